/*
 * Out of memory at every place of a message's way: the engine answers or closes the connection,
 * keeps a transaction whole or not at all, and works again when there is memory.
 */
#include "io_server_fixture.h"

#include "oom.h"

#include <unistd.h>

static const char schema[] =
    "{'entities':{'todos':{'attrs':{"
    "'title':{'valueType':'string','required':false,'config':{'indexed':true,'unique':true}}}}},"
    "'links':{}}";

static struct world world;

static size_t count_of(struct connection *c) { return c->count + (c->is_closed ? 1000000 : 0); }

/* One window of failing allocations around a message and its turn. true: nothing failed. */
static bool try(struct connection *c, const char *text, long after) {
    size_t before = count_of(c);
    oom_after(after);
    inst_session_receive(c->session, text, strlen(text));
    inst_server_turn(world.server);
    bool is_untouched = oom_left > 0;
    oom_off();
    inst_server_turn(world.server);
    assert_true(count_of(c) > before); /* never silence */
    return is_untouched;
}

#define NEW_ATTR                                                                                   \
    "['add-attr',{'id':'cccccccc-0000-4000-8000-%012ld','forward-identity':["                      \
    "'cccccccc-0000-4000-8001-%012ld','things%ld','x'],'value-type':'blob','cardinality':'one',"   \
    "'unique?':false,'index?':true}]"

static void transactions_are_whole(void **state) {
    (void)state;
    world_open(&world, ":memory:", schema);
    struct connection *c = enter(&world, true), *witness = enter(&world, true);
    c->is_deaf = witness->is_deaf = true;
    say(&world, witness,
        "{'op':'add-query','q':{'todos':{'$':{'order':{'title':'asc'},"
        "'limit':3}}}}");
    bool is_done = false;
    for (long n = 0; !is_done; n++) {
        char message[2000];
        snprintf(message, sizeof message,
                 "{'op':'transact','client-event-id':'e','tx-steps':[" NEW_ATTR ","
                 "['add-triple','#%ld','@todos.id','#%ld'],"
                 "['add-triple','#%ld','@todos.title','t%ld'],"
                 "['add-triple',['@todos.title','by lookup %ld'],'@todos.id',"
                 "['@todos.title','by lookup %ld']]]}",
                 n, n, n, n + 1, n + 1, n + 1, n, n, n);
        char *text = expanded(&world, message);
        is_done = try(c, text, n);
        free(text);
        /* all of it or nothing */
        struct inst_app *app;
        struct inst_err err = {0};
        assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
        char id[64];
        snprintf(id, sizeof id, "cccccccc-0000-4000-8000-%012ld", n);
        bool has_attr = inst_attrs_by_id(app->catalog->attrs, id, strlen(id)) != NULL;
        assert_ptr_equal(app->db->store.attrs, app->catalog->attrs);
        char wanted[100] = "";
        if (has_attr)
            snprintf(wanted, sizeof wanted, "todos.id=#%ld todos.title='t%ld'", n + 1, n);
        expect_state(&world, (unsigned)n + 1, wanted);
        if (c->is_closed) {
            disconnect(c);
            c = enter(&world, true);
            c->is_deaf = true;
        }
        if (witness->is_closed) {
            disconnect(witness);
            witness = enter(&world, true);
            witness->is_deaf = true;
            say(&world, witness,
                "{'op':'add-query','q':{'todos':{'$':{'order':{'title':'asc'},"
                "'limit':3}}}}");
        }
        assert_true(n < 5000);
    }
    disconnect(c);
    disconnect(witness);
    world_close(&world);
}

static void other_messages(void **state) {
    (void)state;
    static const char *const messages[] = {
        "{'op':'init','client-event-id':'e','app-id':'x'}",
        "{'op':'add-query','client-event-id':'e','q':{'todos':{'$':{'where':{'title':'a'}}}}}",
        "{'op':'add-query','client-event-id':'e','q':{'todos':{}},'return-type':'tree'}",
        "{'op':'remove-query','client-event-id':'e','q':{'todos':{}}}",
        "{'op':'what','client-event-id':'e'}",
        "{'op':'transact','client-event-id':'dddddddd-0000-4000-8000-000000000001',"
        "'tx-steps':[['add-triple','#1','@todos.title',5]]}",
        "not JSON",
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        bool is_done = false;
        for (long n = 0; !is_done; n++) {
            if (n % 50 == 0) {
                if (n > 0)
                    world_close(&world);
                world_open(&world, ":memory:", schema);
            }
            struct connection *c = enter(&world, false);
            c->is_deaf = true;
            char *text = expanded(&world, messages[i]);
            is_done = try(c, text, n);
            free(text);
            disconnect(c);
            struct inst_server_stats stats;
            inst_server_stats(world.server, &stats);
            assert_int_equal(stats.computations, 0);
            assert_int_equal(stats.subscriptions, 0);
            assert_true(n < 5000);
        }
        world_close(&world);
    }
}

/* Turns until nothing is pending; false: too many. */
static bool settle(void) {
    for (int i = 0; i < 100 && inst_server_is_pending(world.server); i++)
        inst_server_turn(world.server);
    return !inst_server_is_pending(world.server);
}

/* Every allocation of a start, a load, a change while it loads and the updates behind it: the
 * client hears of a failure, or its connection is closed. */
static void sync_tables(void **state) {
    (void)state;
    bool is_done = false;
    for (long n = 0; !is_done; n++) {
        char text[300];
        if (n % 100 == 0) {
            if (n > 0)
                world_close(&world);
            world_open(&world, ":memory:", schema);
            struct connection *d = enter(&world, true);
            for (int i = 0; i < 120; i++) {
                snprintf(text, sizeof text,
                         "[['add-triple','#%d','@todos.id','#%d'],"
                         "['add-triple','#%d','@todos.title','t%03d']]",
                         i + 1, i + 1, i + 1, i);
                transact(&world, d, text);
            }
            disconnect(d);
        }
        struct connection *c = enter(&world, true), *d = enter(&world, true);
        snprintf(text, sizeof text,
                 "{'op':'transact','client-event-id':'e','tx-steps':["
                 "['add-triple','#119','@todos.title','u%ld']]}",
                 n);
        c->is_deaf = d->is_deaf = true;
        c->watches[0] = "sync-init-finish";
        c->watches[1] = "\"op\":\"error\"";
        char *sync = quoted("{'op':'start-sync','q':{'todos':{'$':{'order':{'title':'asc'}}}}}");
        char *write = expanded(&world, text);
        oom_after(n);
        inst_session_receive(c->session, sync, strlen(sync));
        inst_server_turn(world.server);
        inst_session_receive(d->session, write, strlen(write));
        is_done = settle() && oom_left > 0;
        oom_off();
        assert_true(settle());
        /* whole, or told */
        assert_true(c->saw[0] || c->saw[1] || c->is_closed);
        free(sync);
        free(write);
        disconnect(c);
        disconnect(d);
        assert_true(n < 20000);
    }
    world_close(&world);
}

/* Rooms: whatever fails, who is still connected knows the room as it is in the end. */
static void rooms(void **state) {
    (void)state;
    static const char *const messages[] = {
        "{'op':'join-room','client-event-id':'e','room-id':'s','data':{'a':[1,2]}}",
        "{'op':'set-presence','client-event-id':'e','room-id':'r','data':{'a':{'b':[2,3,{}]}}}",
        "{'op':'client-broadcast','client-event-id':'e','room-id':'r','topic':'t','data':{'x':1}}",
        "{'op':'leave-room','client-event-id':'e','room-id':'r'}",
    };
    world_open(&world, ":memory:", NULL);
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        bool is_done = false;
        for (long n = 0; !is_done; n++) {
            struct connection *c = enter(&world, false), *other = enter(&world, false);
            say(&world, c, "{'op':'join-room','room-id':'r','data':{'a':{'b':[1,2]}}}");
            say(&world, other, "{'op':'join-room','room-id':'r'}");
            turn(&world);
            c->is_deaf = other->is_deaf = true;
            char *text = quoted(messages[i]);
            is_done = try(c, text, n);
            free(text);
            disconnect(c);
            turn(&world);
            if (!other->is_closed) {
                other->is_deaf = false;
                forget_messages(other);
                say(&world, other, "{'op':'join-room','room-id':'r'}");
                turn(&world);
                expect(other, "join-room-ok");
                struct inst_value *m = expect(other, "refresh-presence");
                assert_int_equal(inst_getz(m, "data")->len, 1);
            }
            disconnect(other);
            turn(&world);
            struct inst_app *app;
            assert_int_equal(inst_app_get(world.server, world.app.id, &app, NULL), INST_OK);
            assert_int_equal(app->rooms.count, 0);
            assert_true(n < 5000);
        }
    }
    world_close(&world);
}

/* ---- streams ---- */

static struct {
    inst_files_kept_fn *kept;
    void *ctx;
} kept_later[8];
static size_t kept_count;

static enum inst_status stream_key(void *ctx, uint8_t out[INST_SERVER_FILES_KEY],
                                   struct inst_err *err) {
    (void)ctx, (void)err;
    memset(out, 7, INST_SERVER_FILES_KEY);
    return INST_OK;
}

static enum inst_status stream_keep(void *ctx, const char *app, const char *location,
                                    char *bytes_take, size_t len, inst_files_kept_fn *kept,
                                    void *kept_ctx, struct inst_err *err) {
    (void)ctx, (void)app, (void)location, (void)len, (void)err;
    free(bytes_take);
    assert_true(kept_count < 8);
    kept_later[kept_count].kept = kept;
    kept_later[kept_count++].ctx = kept_ctx;
    return INST_OK;
}

static void end_keeps(void) {
    while (kept_count > 0) {
        kept_count--;
        kept_later[kept_count].kept(kept_later[kept_count].ctx, NULL);
    }
    inst_server_turn(world.server);
}

static void stream_say(struct connection *c, const char *text) {
    inst_session_receive(c->session, text, strlen(text));
    inst_server_turn(world.server);
}

/* The stream's offset at start, from the answer that is kept whatever c is. */
static const char started[] = "\"op\":\"start-stream-ok\"";

/* Writes and reads; afterwards a writer that begins again brings it to its end. */
static void streams(void **state) {
    (void)state;
    static const struct inst_files_ops files = {stream_key, stream_keep};
    static const char id[] = "\"stream-id\":\"";
    bool is_done = false;
    world_open(&world, ":memory:", NULL);
    world.server->host.files = &files;
    for (long n = 0; !is_done; n += n < 80 ? 1 : 3) {
        char start[200], text[300], read[200];
        struct connection *w = enter(&world, true), *r = enter(&world, true);
        snprintf(start, sizeof start,
                 "{\"op\":\"start-stream\",\"client-id\":\"s%ld\",\"reconnect-token\":"
                 "\"11111111-1111-4111-8111-111111111111\"}",
                 n);
        snprintf(read, sizeof read, "{\"op\":\"subscribe-stream\",\"client-id\":\"s%ld\"}", n);
        w->is_deaf = r->is_deaf = true;
        w->watches[0] = started;
        oom_after(n);
        stream_say(w, start);
        stream_say(r, read);
        stream_say(r, read);
        stream_say(w, start);
        end_keeps();
        is_done = oom_left > 0;
        oom_off();
        assert_true(w->count > 1 || w->is_closed); /* never silence */
        disconnect(w);
        disconnect(r);
        /* with memory: to the end */
        w = enter(&world, true);
        r = enter(&world, true);
        stream_say(w, start);
        struct inst_value *ok = expect(w, "start-stream-ok");
        snprintf(text, sizeof text,
                 "{\"op\":\"append-stream\",%s%.36s\",\"chunks\":[\"abc\"],\"offset\":0,"
                 "\"done\":true}",
                 id, inst_getz(ok, "stream-id")->u.str);
        oom_after(n);
        w->is_deaf = true;
        w->watches[0] = "\"done\":true";
        w->watches[1] = "\"op\":\"e";
        stream_say(w, text);
        end_keeps();
        is_done = is_done && oom_left > 0;
        oom_off();
        if (!w->saw[0]) { /* begun again */
            disconnect(w);
            end_keeps();
            w = enter(&world, true);
            stream_say(w, start);
            if (strstr(w->first->text, "Stream is closed.") == NULL) { /* it had only not said so */
                expect(w, "start-stream-ok");
                stream_say(w, text);
                end_keeps();
                assert_true(inst_get_true(expect(w, "stream-flushed"), "done"));
            }
        }
        stream_say(r, read);
        struct inst_value *m = expect(r, "stream-append");
        assert_true(inst_get_true(m, "done"));
        assert_int_equal(inst_getz(m, "files")->len, 1);
        disconnect(w);
        disconnect(r);
        assert_true(n < 5000);
    }
    world_close(&world);
}

/* init opens the app: the data file, the catalog, the system attrs. */
static void opening_an_app(void **state) {
    (void)state;
    char dir[] = "/tmp/inst-server-XXXXXX", path[64], command[64], text[200];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/app.db", dir);
    world_open(&world, path, schema);
    struct connection *c;
    bool is_done = false;
    for (long n = 0; !is_done; n += n < 400 ? 1 : 13) {
        inst_server_free(world.server);
        world_start(&world);
        c = connect_session(&world);
        c->is_deaf = true;
        snprintf(text, sizeof text, "{\"op\":\"init\",\"app-id\":\"%s\"}", world.app.id);
        is_done = try(c, text, n);
        disconnect(c);
        assert_true(n < 100000);
    }
    c = enter(&world, false);
    disconnect(c);
    world_close(&world);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transactions_are_whole),
        cmocka_unit_test(other_messages),
        cmocka_unit_test(sync_tables),
        cmocka_unit_test(streams),
        cmocka_unit_test(rooms),
        cmocka_unit_test(opening_an_app),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
