/*
 * Rooms of the backend engine: who is told what, when, in which form; what is refused.
 */
#include "io_server_fixture.h"

#include "server/limits.h"
#include "server/rooms.h"

static struct world world;
static struct connection *a, *b, *c, *old; /* old: below the version gates */

static struct connection *enter_as(const char *version) {
    struct connection *made = connect_session(&world);
    say(&world, made, "{'op':'init','app-id':'%s','versions':{'\\u0040instantdb/core':%s}}",
        world.app.id, version);
    turn(&world);
    expect(made, "init-ok");
    return made;
}

static int set_up(void **state) {
    (void)state;
    world_open(&world, ":memory:", NULL);
    a = enter(&world, false);
    b = enter(&world, false);
    c = enter(&world, false);
    old = enter_as("'v0.17.5'");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    struct connection *all[] = {a, b, c, old};
    for (size_t i = 0; i < 4; i++)
        if (all[i] != NULL)
            disconnect(all[i]);
    world_close(&world);
    return 0;
}

/* ---- saying and hearing ---- */

static void does(struct connection *who, const char *op, const char *room, const char *data) {
    char *text;
    if (asprintf(&text, "{'op':'%s','client-event-id':'e','room-type':'t','room-id':'%s'%s%s}", op,
                 room, data[0] ? ",'data':" : "", data) < 0)
        fail();
    say(&world, who, "%s", text);
    free(text);
    char ok[40];
    snprintf(ok, sizeof ok, "%s-ok", op);
    struct inst_value *answer = expect(who, ok);
    expect_text(inst_getz(answer, "room-id"), room);
    expect_text(inst_getz(answer, "client-event-id"), "e");
}

static void joins(struct connection *who, const char *room, const char *data) {
    does(who, "join-room", room, data);
}
static void shows(struct connection *who, const char *room, const char *data) {
    does(who, "set-presence", room, data);
}
static void leaves(struct connection *who, const char *room) { does(who, "leave-room", room, ""); }

static const char *id_of(const struct connection *who) { return who->session->id; }

/* ' to ", $a $b $c $o to session ids; the caller frees it. */
static char *wanted_text(const char *text) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    for (const char *at = text; *at; at++) {
        const struct connection *who = NULL;
        if (*at == '$')
            who = at[1] == 'a'   ? a
                  : at[1] == 'b' ? b
                  : at[1] == 'c' ? c
                  : at[1] == 'o' ? old
                                 : NULL;
        if (who != NULL) {
            inst_buf_add_str(&buf, id_of(who));
            at++;
        } else {
            inst_buf_add_char(&buf, *at == '\'' ? '"' : *at);
        }
    }
    size_t len;
    return inst_buf_take(&buf, &len);
}

static void is_json(const struct inst_value *got, const char *wanted) {
    char *text = wanted_text(wanted);
    struct inst_arena arena;
    struct inst_value v;
    struct inst_buf buf;
    inst_arena_init(&arena);
    inst_buf_init(&buf);
    inst_json_write(&buf, got);
    assert_int_equal(inst_json_parse(&arena, text, strlen(text), &v, NULL), INST_OK);
    if (!inst_value_equal(got, &v))
        fail_msg("wanted: %s\n   got: %s", text, buf.data);
    inst_buf_free(&buf);
    inst_arena_free(&arena);
    free(text);
}

/* The whole room: {"<session>": data, ...}. */
static void hears_whole(struct connection *who, const char *room, const char *wanted) {
    struct inst_value *m = expect(who, "refresh-presence");
    expect_text(inst_getz(m, "room-id"), room);
    assert_true(inst_getz(m, "trace-id")->tag == INST_STRING);
    const struct inst_value *data = inst_getz(m, "data");
    struct inst_arena arena;
    struct inst_object_builder shown;
    struct inst_value result;
    inst_arena_init(&arena);
    inst_object_begin(&shown, &arena);
    for (uint32_t i = 0; i < data->len; i++) {
        const struct inst_member *member = &data->u.members[i];
        const struct inst_value *id = inst_getz(&member->value, "peer-id");
        assert_true(id->len == member->key_len && memcmp(id->u.str, member->key, id->len) == 0);
        assert_int_equal(inst_getz(&member->value, "instance-id")->len, INST_UUID_TEXT);
        assert_int_equal(inst_getz(&member->value, "user")->tag, INST_NULL);
        inst_object_add(&shown, member->key, member->key_len, *inst_getz(&member->value, "data"));
    }
    assert_true(inst_object_end(&shown, &result));
    is_json(&result, wanted);
    inst_arena_free(&arena);
}

static void hears_edits(struct connection *who, const char *room, const char *wanted) {
    struct inst_value *m = expect(who, "patch-presence");
    expect_text(inst_getz(m, "room-id"), room);
    is_json(inst_getz(m, "edits"), wanted);
}

static void nobody_hears(void) {
    expect_nothing(a);
    expect_nothing(b);
    expect_nothing(c);
    expect_nothing(old);
}

/* ---- presence ---- */

static void newcomers_and_others(void **state) {
    (void)state;
    joins(a, "r", "{'name':'ada'}");
    turn(&world);
    hears_whole(a, "r", "{'$a':{'name':'ada'}}");
    joins(b, "r", "");
    joins(old, "r", "null");
    turn(&world);
    hears_whole(b, "r", "{'$a':{'name':'ada'},'$b':{},'$o':{}}");
    hears_whole(old, "r", "{'$a':{'name':'ada'},'$b':{},'$o':{}}");
    struct inst_value *m = expect(a, "patch-presence");
    const struct inst_value *edits = inst_getz(m, "edits");
    assert_int_equal(edits->len, 2);
    is_json(&edits->u.items[0].u.items[0], "['$b']");
    is_json(&edits->u.items[0].u.items[1], "'+'");
    is_json(inst_getz(&edits->u.items[0].u.items[2], "peer-id"), "'$b'");
    is_json(inst_getz(&edits->u.items[0].u.items[2], "data"), "{}");
    is_json(&edits->u.items[1].u.items[0], "['$o']");
    turn(&world);
    nobody_hears();
}

static void edits_go_to_all_who_know_the_rest(void **state) {
    (void)state;
    joins(a, "r", "{'x':1,'name':'a rather long name of somebody'}");
    joins(b, "r", "{'y':1}");
    joins(old, "r", "");
    turn(&world);
    forget_messages(a);
    forget_messages(b);
    forget_messages(old);
    shows(a, "r", "{'x':2,'name':'a rather long name of somebody'}");
    turn(&world);
    hears_edits(a, "r", "[[['$a','data','x'],'r',2]]");
    hears_edits(b, "r", "[[['$a','data','x'],'r',2]]");
    hears_whole(old, "r",
                "{'$a':{'x':2,'name':'a rather long name of somebody'},'$b':{'y':1},'$o':{}}");
    shows(b, "r", "{}");
    turn(&world);
    hears_edits(a, "r", "[[['$b','data'],'r',{}]]");
    hears_edits(b, "r", "[[['$b','data'],'r',{}]]");
    expect(old, "refresh-presence");
    shows(b, "r", "{}");
    turn(&world);
    nobody_hears();
}

static void a_turn_is_told_once(void **state) {
    (void)state;
    joins(a, "r", "");
    joins(b, "r", "{'n':0}");
    turn(&world);
    forget_messages(a);
    forget_messages(b);
    for (int i = 1; i <= 50; i++) {
        char data[20];
        snprintf(data, sizeof data, "{'n':%d}", i);
        shows(b, "r", data);
    }
    joins(c, "r", "{'new':1}");
    shows(c, "r", "{'new':2}");
    assert_true(inst_server_is_pending(world.server));
    turn(&world);
    assert_false(inst_server_is_pending(world.server));
    struct inst_value *m = expect(a, "patch-presence");
    assert_int_equal(inst_getz(m, "edits")->len, 2);
    is_json(&inst_getz(m, "edits")->u.items[0], "[['$b','data','n'],'r',50]");
    expect(b, "patch-presence");
    hears_whole(c, "r", "{'$a':{},'$b':{'n':50},'$c':{'new':2}}");
    shows(b, "r", "{'n':51}");
    shows(b, "r", "{'n':50}"); /* back to what the others know */
    turn(&world);
    nobody_hears();
}

static void leaving(void **state) {
    (void)state;
    joins(a, "r", "");
    joins(b, "r", "");
    turn(&world);
    forget_messages(a);
    forget_messages(b);
    leaves(b, "r");
    turn(&world);
    hears_edits(a, "r", "[[['$b'],'-']]");
    expect_nothing(b);
    leaves(b, "r"); /* once more: answered, and nothing changes */
    leaves(b, "never there");
    turn(&world);
    nobody_hears();
    joins(c, "r", "");
    leaves(c, "r"); /* gone before anybody knew */
    turn(&world);
    nobody_hears();
    leaves(a, "r");
    turn(&world);
    nobody_hears();
    struct inst_app *app;
    struct inst_err err = {0};
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    assert_int_equal(app->rooms.count, 0);
}

static void a_closed_session_leaves(void **state) {
    (void)state;
    joins(a, "r", "");
    joins(b, "r", "");
    joins(b, "s", "");
    joins(c, "s", "");
    turn(&world);
    forget_messages(a);
    forget_messages(c);
    char gone[INST_UUID_TEXT + 1], edits[100];
    memcpy(gone, id_of(b), sizeof gone);
    disconnect(b);
    b = NULL;
    assert_true(inst_server_is_pending(world.server));
    turn(&world);
    snprintf(edits, sizeof edits, "[[['%s'],'-']]", gone);
    hears_edits(a, "r", edits);
    hears_edits(c, "s", edits);
}

/* A client that left and came back has forgotten the room: it must get all of it, although to the
 * others hardly anything changed. */
static void coming_back_within_a_turn(void **state) {
    (void)state;
    joins(a, "r", "{'a':1}");
    joins(b, "r", "{'b':1,'c':1}");
    turn(&world);
    forget_messages(a);
    forget_messages(b);
    leaves(b, "r");
    joins(b, "r", "{'b':2,'c':1}");
    turn(&world);
    hears_edits(a, "r", "[[['$b','data','b'],'r',2]]");
    hears_whole(b, "r", "{'$a':{'a':1},'$b':{'b':2,'c':1}}");
    leaves(b, "r");
    joins(b, "r", "{'b':2,'c':1}");
    leaves(b, "r");
    turn(&world);
    hears_edits(a, "r", "[[['$b'],'-']]");
    nobody_hears();
}

static void joining_twice_keeps_the_presence(void **state) {
    (void)state;
    joins(a, "r", "{'a':1}");
    joins(b, "r", "");
    turn(&world);
    forget_messages(a);
    forget_messages(b);
    joins(a, "r", "{'a':2}");
    turn(&world);
    hears_whole(a, "r", "{'$a':{'a':1},'$b':{}}");
    nobody_hears();
}

/* The type of a room does not tell it from another; its app does. */
static void rooms_are_apart(void **state) {
    (void)state;
    joins(a, "r", "");
    joins(b, "s", "");
    turn(&world);
    forget_messages(a);
    forget_messages(b);
    say(&world, c, "{'op':'join-room','room-type':'another','room-id':'r'}");
    turn(&world);
    expect(c, "join-room-ok");
    hears_whole(c, "r", "{'$a':{},'$c':{}}");
    expect(a, "patch-presence");
    nobody_hears();

    struct inst_app *app;
    struct inst_err err = {0};
    struct inst_buf buf;
    inst_buf_init(&buf);
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    inst_rooms_write(app, "s", 1, &buf);
    assert_non_null(strstr(buf.data, id_of(b)));
    assert_null(strstr(buf.data, id_of(a)));
    inst_buf_clear(&buf);
    inst_rooms_write(app, "none", 4, &buf);
    assert_string_equal(buf.data, "{}");
    inst_buf_free(&buf);
}

static void any_json_is_presence(void **state) {
    static const char *const values[] = {"null",
                                         "[1,{'a':[]}]",
                                         "'text'",
                                         "5",
                                         "true",
                                         "{'':''}",
                                         "{'__proto__':{'x':1}}",
                                         "{'__proto__':{'x':2}}",
                                         "{}"};
    (void)state;
    joins(a, "r", "");
    joins(b, "r", "false"); /* none */
    turn(&world);
    forget_messages(a);
    hears_whole(b, "r", "{'$a':{},'$b':{}}");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char edits[200];
        shows(b, "r", values[i]);
        turn(&world);
        snprintf(edits, sizeof edits, "[[['$b','data'],'r',%s]]", values[i]);
        if (strcmp(values[i], "{'':''}") == 0)
            snprintf(edits, sizeof edits, "[[['$b','data'],'r',{'':''}]]");
        hears_edits(a, "r", edits);
        hears_edits(b, "r", edits);
    }
    say(&world, b, "{'op':'set-presence','room-id':'r'}"); /* none: null, as upstream */
    turn(&world);
    expect(b, "set-presence-ok");
    hears_edits(a, "r", "[[['$b','data'],'r',null]]");
}

/* ---- topics ---- */

static void topics_reach_the_others(void **state) {
    (void)state;
    joins(a, "r", "");
    joins(b, "r", "");
    joins(old, "r", "");
    joins(c, "s", "");
    turn(&world);
    forget_messages(a);
    forget_messages(b);
    forget_messages(c);
    forget_messages(old);
    say(&world, a,
        "{'op':'client-broadcast','client-event-id':'e','room-id':'r','roomType':'t',"
        "'topic':'emoji','data':{'n':[1]}}");
    struct inst_value *m = expect(a, "client-broadcast-ok");
    expect_text(inst_getz(m, "client-event-id"), "e");
    expect_text(inst_getz(m, "room-id"), "r");
    expect_text(inst_getz(m, "topic"), "emoji");
    is_json(inst_getz(m, "data"), "{'peer-id':'$a','user':null,'data':{'n':[1]}}");
    m = expect(b, "server-broadcast");
    expect_text(inst_getz(m, "room-id"), "r");
    expect_text(inst_getz(m, "topic"), "emoji");
    is_json(inst_getz(m, "data"), "{'peer-id':'$a','user':null,'data':{'n':[1]}}");
    expect(old, "server-broadcast");
    say(&world, b, "{'op':'client-broadcast','room-id':'r','topic':5}");
    m = expect(a, "server-broadcast");
    is_json(inst_getz(m, "topic"), "5");
    is_json(inst_getz(m, "data"), "{'peer-id':'$b','user':null,'data':null}");
    expect(old, "server-broadcast");
    expect(b, "client-broadcast-ok");
    turn(&world);
    nobody_hears();
}

static void a_message_comes_behind_its_senders_presence(void **state) {
    (void)state;
    joins(a, "r", "");
    turn(&world);
    forget_messages(a);
    joins(b, "r", "{'name':'bob'}");
    say(&world, b, "{'op':'client-broadcast','room-id':'r','topic':'hello','data':1}");
    expect(a, "patch-presence");
    expect(a, "server-broadcast");
    hears_whole(b, "r", "{'$a':{},'$b':{'name':'bob'}}");
    expect(b, "client-broadcast-ok");
    turn(&world);
    nobody_hears();
}

/* ---- refusals and limits ---- */

static void refusals(void **state) {
    (void)state;
    static const char *const ops[] = {"join-room", "leave-room", "set-presence",
                                      "client-broadcast"};
    for (size_t i = 0; i < 4; i++) {
        say(&world, a, "{'op':'%s','client-event-id':'e','data':{}}", ops[i]);
        struct inst_value *m = expect_error(a, "param-missing", "Missing parameter: [\"room-id\"]");
        expect_text(inst_getz(m, "client-event-id"), "e");
        say(&world, a, "{'op':'%s','room-id':7,'data':{}}", ops[i]);
        expect_error(a, "param-malformed", "Malformed parameter: [\"room-id\"]");
    }
    for (size_t i = 2; i < 4; i++) {
        say(&world, a, "{'op':'%s','room-id':'r','topic':'t','data':{}}", ops[i]);
        struct inst_value *m =
            expect_error(a, "validation-failed",
                         "Validation failed for room: You have not entered this room yet.");
        expect_text(inst_getz(inst_getz(m, "hint"), "data-type"), "room");
        expect_text(inst_getz(inst_getz(inst_getz(m, "hint"), "input"), "room-id"), "r");
        expect_text(inst_getz(inst_getz(m, "original-event"), "room-id"), "r");
    }
    joins(a, "r", "");
    say(&world, a, "{'op':'client-broadcast','room-id':'r','topic':{'a':1},'data':1}");
    expect_error(a, "param-malformed", "Malformed parameter: [\"topic\"]");
    static const char *const internal[] = {"refresh-presence", "server-broadcast"};
    for (size_t i = 0; i < 2; i++) {
        say(&world, a, "{'op':'%s','room-id':'r','data':{}}", internal[i]);
        expect_error(a, "param-malformed", "Invalid op");
    }
    struct connection *stranger = connect_session(&world);
    say(&world, stranger, "{'op':'join-room','room-id':'r'}");
    expect_error(stranger, "validation-failed",
                 "Validation failed for init: `init` has not run for this session.");
    disconnect(stranger);
}

static char *filler(size_t len) {
    char *text = malloc(len + 1);
    memset(text, 'x', len);
    text[len] = 0;
    return text;
}

static void sizes_have_limits(void **state) {
    (void)state;
    char message[200];
    char *id = filler(INST_SERVER_MAX_ROOM_ID + 1);
    say(&world, a, "{'op':'join-room','room-id':'%s'}", id);
    expect_error(a, "validation-failed",
                 "Validation failed for room: A room id takes at most 1024 bytes.");
    id[INST_SERVER_MAX_ROOM_ID] = 0;
    joins(a, id, "");
    leaves(a, id);
    free(id);
    joins(a, "r", "");
    char *data = filler(INST_SERVER_MAX_PRESENCE - 1); /* with quotes one too many */
    snprintf(message, sizeof message,
             "Validation failed for room: Presence takes at most %u bytes.",
             INST_SERVER_MAX_PRESENCE);
    say(&world, a, "{'op':'set-presence','room-id':'r','data':'%s'}", data);
    expect_error(a, "validation-failed", message);
    say(&world, b, "{'op':'join-room','room-id':'r','data':'%s'}", data);
    expect_error(b, "validation-failed", message);
    data[INST_SERVER_MAX_PRESENCE - 2] = 0;
    say(&world, a, "{'op':'set-presence','room-id':'r','data':'%s'}", data);
    expect(a, "set-presence-ok");
    free(data);
    char *large = filler(INST_SERVER_MAX_BROADCAST);
    snprintf(message, sizeof message,
             "Validation failed for room: A message takes at most %u bytes.",
             INST_SERVER_MAX_BROADCAST);
    say(&world, a, "{'op':'client-broadcast','room-id':'r','topic':'t','data':'%s'}", large);
    expect_error(a, "validation-failed", message);
    free(large);
    struct inst_buf deep;
    inst_buf_init(&deep);
    for (unsigned i = 0; i <= INST_SERVER_MAX_VALUE_DEPTH; i++)
        inst_buf_add_char(&deep, '[');
    for (unsigned i = 0; i <= INST_SERVER_MAX_VALUE_DEPTH; i++)
        inst_buf_add_char(&deep, ']');
    say(&world, a, "{'op':'set-presence','room-id':'r','data':%s}", deep.data);
    expect_error(a, "validation-failed",
                 "Validation failed for room: Presence is nested too deep.");
    say(&world, a, "{'op':'client-broadcast','room-id':'r','topic':'t','data':%s}", deep.data);
    expect_error(a, "validation-failed",
                 "Validation failed for room: A message is nested too deep.");
    inst_buf_free(&deep);
}

static void rooms_have_limits(void **state) {
    (void)state;
    char room[20];
    a->is_deaf = true;
    for (unsigned i = 0; i < INST_SERVER_MAX_ROOMS; i++) {
        snprintf(room, sizeof room, "r%u", i);
        say(&world, a, "{'op':'join-room','room-id':'%s'}", room);
    }
    a->is_deaf = false;
    say(&world, a, "{'op':'join-room','room-id':'more'}");
    expect_error(a, "validation-failed",
                 "Validation failed for room: A session is in at most 1000 rooms.");
    joins(a, "r7", ""); /* in it already */
    leaves(a, "r7");
    joins(a, "more", "");

    /* one that is full of what it shows */
    char *data = filler(INST_SERVER_MAX_PRESENCE - 300);
    unsigned count = INST_SERVER_MAX_ROOM_BYTES / INST_SERVER_MAX_PRESENCE;
    struct connection **crowd = calloc(count + 1, sizeof *crowd);
    for (unsigned i = 0; i <= count; i++) {
        crowd[i] = enter(&world, false);
        say(&world, crowd[i], "{'op':'join-room','room-id':'full','data':'%s'}", data);
        if (i < count) {
            expect(crowd[i], "join-room-ok");
            crowd[i]->is_deaf = true;
        } else {
            expect_error(crowd[i], "validation-failed",
                         "Validation failed for room: This room is full.");
        }
    }
    joins(crowd[count], "full", ""); /* there is a little left */
    say(&world, crowd[count], "{'op':'set-presence','room-id':'full','data':'%s'}", data);
    expect_error(crowd[count], "validation-failed",
                 "Validation failed for room: This room is full.");
    turn(&world);
    struct inst_value *m = expect(crowd[count], "refresh-presence");
    assert_int_equal(inst_getz(m, "data")->len, count + 1);
    for (unsigned i = 0; i <= count; i++)
        disconnect(crowd[i]);
    free(crowd);
    free(data);
}

/* ---- version gates (session.md 8) ---- */

static void versions(void **state) {
    static const struct {
        const char *version;
        bool patches, skips;
    } cases[] = {
        {"'v1.0.67'", true, true},      {"'0.20.5'", true, true},
        {"'v0.20.4-dev'", true, true}, /* behind its release */
        {"'v0.20.4'", true, false},     {"'0.17.6'", true, false},
        {"'v0.17.5-dev'", true, false}, {"'v0.17.5'", false, false},
        {"'0.9.99'", false, false},     {"'v1.0.65-beta.1'", false, false},
        {"'1.0'", false, false},        {"'1.0.65.1'", false, false},
        {"'v1.0.'", false, false},      {"'vv1.0.0'", false, false},
        {"' 1.0.0'", false, false},     {"'1.99999999999999999999.0'", false, false},
        {"''", false, false},           {"5", false, false},
        {"null", false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct connection *d = enter_as(cases[i].version);
        assert_int_equal(d->session->features.patches_presence, cases[i].patches);
        assert_int_equal(d->session->features.skips_attrs, cases[i].skips);
        disconnect(d);
    }
}

#define ATTR                                                                                       \
    "['add-attr',{'id':'cccccccc-0000-4000-8000-000000000001','forward-identity':["                \
    "'cccccccc-0000-4000-8001-000000000001','things','id'],'value-type':'blob',"                   \
    "'cardinality':'one','unique?':false,'index?':false}]"

static void old_clients_get_attrs_with_every_refresh(void **state) {
    (void)state;
    say(&world, a, "{'op':'add-query','q':{'things':{}}}");
    say(&world, old, "{'op':'add-query','q':{'things':{}}}");
    transact(&world, c, "[" ATTR "]");
    forget_messages(a);
    forget_messages(old);
    transact(&world, c, "[['add-triple','#1','cccccccc-0000-4000-8000-000000000001','#1']]");
    assert_null(inst_getz(expect(a, "refresh-ok"), "attrs"));
    struct inst_value *m = expect(old, "refresh-ok");
    assert_true(inst_getz(m, "attrs")->len > 1);
    assert_int_equal(inst_getz(m, "computations")->len, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(newcomers_and_others),
        T(edits_go_to_all_who_know_the_rest),
        T(a_turn_is_told_once),
        T(leaving),
        T(a_closed_session_leaves),
        T(coming_back_within_a_turn),
        T(joining_twice_keeps_the_presence),
        T(rooms_are_apart),
        T(any_json_is_presence),
        T(topics_reach_the_others),
        T(a_message_comes_behind_its_senders_presence),
        T(refusals),
        T(sizes_have_limits),
        T(rooms_have_limits),
        T(versions),
        T(old_clients_get_attrs_with_every_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
