/* A feed of changes (server/feed.h) against what the app looked like at each transaction. */
#include "io_server_http_fixture.h"
#include "server/feed_internal.h"
#include "server/limits.h"

static const char schema[] =
    "{'entities':{"
    "'todos':{'attrs':{'title':{'valueType':'string','config':{'unique':false,'indexed':false}},"
    "'n':{'valueType':'number','config':{'unique':false,'indexed':true}},"
    "'meta':{'valueType':'json','config':{'unique':false,'indexed':false}}}},"
    "'notes':{'attrs':{'text':{'valueType':'string','config':{'unique':false,'indexed':false}}}}},"
    "'links':{'todoNotes':{'forward':{'on':'notes','has':'one','label':'todo'},"
    "'reverse':{'on':'todos','has':'many','label':'notes'}}},'rooms':{}}";

/* ---- the app at each transaction ---- */

#define MAX_TX 420
#define IDS 12

struct history {
    struct world w;
    char dir[32];
    struct connection *c;
    struct inst_arena arena;
    struct inst_value at[MAX_TX + 1]; /* {todos: [...], notes: [...]} */
    int64_t last;
    uint64_t random;
};

static unsigned pick(struct history *h, unsigned n) {
    return (unsigned)(next_random(&h->random) % n);
}

static void snapshot(struct history *h) {
    const struct inst_value *got = done(&h->w, "POST", "/admin/query", ADMIN,
                                        "{'query':{'todos':{'$':{'fields':['title','n','meta']}},"
                                        "'notes':{'$':{'fields':['text']}}}}");
    struct inst_app *app;
    assert_int_equal(inst_app_get(h->w.server, h->w.app.id, &app, NULL), INST_OK);
    int64_t now = app->last_tx;
    assert_in_range(now, 1, MAX_TX);
    /* Attrs may be written by transactions of their own. */
    for (int64_t tx = h->last + 1; tx < now; tx++)
        h->at[tx] = h->at[h->last];
    assert_true(inst_value_dup(&h->arena, got, &h->at[now]));
    h->last = now;
}

static void add_step(struct inst_buf *steps, const char *fmt, ...) {
    va_list args;
    char text[512];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    inst_buf_addf(steps, "%s%s", steps->len > 1 ? "," : "", text);
}

static void random_step(struct history *h, struct inst_buf *steps) {
    unsigned id = pick(h, IDS), other = pick(h, IDS), n = pick(h, 4);
    switch (pick(h, 10)) {
    case 0:
        add_step(steps, "['add-triple','#%u','@todos.id','#%u']", id, id);
        add_step(steps, "['add-triple','#%u','@todos.title','t%u']", id, pick(h, 3));
        break;
    case 1:
        add_step(steps, "['add-triple','#%u','@notes.id','#%u']", id, id);
        break;
    case 2:
        add_step(steps, "['delete-entity','#%u','todos']", id);
        break;
    case 3:
        add_step(steps, "['delete-entity','#%u','notes']", id);
        break;
    case 4:
        add_step(steps, "['add-triple','#%u','@todos.id','#%u']", id, id);
        add_step(steps, "['deep-merge-triple','#%u','@todos.meta',{'k%u':%u,'l':['+','#1']}]", id,
                 n, pick(h, 3));
        break;
    case 5:
        add_step(steps, "['add-triple','#%u','@notes.id','#%u']", id, id);
        add_step(steps, "['add-triple','#%u','@notes.todo','#%u']", id, other);
        break;
    case 6:
        add_step(steps, "['retract-triple','#%u','@notes.todo','#%u']", id, other);
        break;
    case 7:
        add_step(steps, "['add-triple','#%u','@notes.id','#%u']", id, id);
        add_step(steps, "['add-triple','#%u','@notes.text',%s]", id, n == 0 ? "null" : "'a'");
        break;
    default:
        add_step(steps, "['add-triple','#%u','@todos.id','#%u']", id, id);
        add_step(steps, "['add-triple','#%u','@todos.n',%u]", id, n);
    }
}

static void random_transaction(struct history *h) {
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    for (unsigned i = 0, n = 1 + pick(h, 4); i < n; i++)
        random_step(h, &steps);
    inst_buf_add_char(&steps, ']');
    transact(&h->w, h->c, steps.data);
    inst_buf_free(&steps);
    snapshot(h);
}

static void history_open(struct history *h, uint64_t seed) {
    memset(h, 0, sizeof *h);
    world_open_dir(&h->w, h->dir, schema);
    inst_arena_init(&h->arena);
    h->random = seed;
    h->c = enter(&h->w, true);
    struct inst_value empty = inst_array(NULL, 0);
    struct inst_object_builder none;
    inst_object_begin(&none, &h->arena);
    inst_object_addz(&none, "todos", empty);
    inst_object_addz(&none, "notes", empty);
    inst_object_end(&none, &h->at[0]);
    snapshot(h);
}

static void history_close(struct history *h) {
    disconnect(h->c);
    inst_arena_free(&h->arena);
    world_close_dir(&h->w, h->dir);
}

static struct inst_app *app_of(struct history *h) {
    struct inst_app *app;
    assert_int_equal(inst_app_get(h->w.server, h->w.app.id, &app, NULL), INST_OK);
    return app;
}

/* ---- what the changes must be ---- */

static const char *const etypes[] = {"todos", "notes"};

static const struct inst_value *find(const struct inst_value *all, const struct inst_value *etype,
                                     const char *id) {
    const struct inst_value *list = inst_get(all, etype->u.str, etype->len);
    for (uint32_t i = 0; list != NULL && i < list->len; i++)
        if (inst_is_string(inst_getz(&list->u.items[i], "id"), id))
            return &list->u.items[i];
    return NULL;
}

static bool is_equal(const struct inst_value *a, const struct inst_value *b) {
    struct inst_value null = inst_null();
    return inst_value_equal(a != NULL ? a : &null, b != NULL ? b : &null);
}

static bool has_all_of(const struct inst_value *a, const struct inst_value *b) {
    for (uint32_t i = 0; i < a->len; i++) {
        const struct inst_member *m = &a->u.members[i];
        const struct inst_value *other = inst_get(b, m->key, m->key_len);
        if (!inst_is_nullish(&m->value) && (other == NULL || !inst_value_equal(&m->value, other)))
            return false;
    }
    return true;
}

/* null is as good as nothing. */
static bool differs(const struct inst_value *a, const struct inst_value *b) {
    if (a == NULL || b == NULL)
        return a != b;
    return !has_all_of(a, b) || !has_all_of(b, a);
}

/* Entities that are not the same at tx - 1 and tx. */
static size_t count_differences(struct history *h, int64_t tx, const struct inst_feed_filter *f) {
    size_t count = 0;
    for (size_t t = 0; t < 2; t++)
        for (unsigned n = 0; n < IDS; n++) {
            struct inst_value etype = inst_cstring(etypes[t]);
            const struct inst_value *before = find(&h->at[tx - 1], &etype, uuid_text(n));
            const struct inst_value *after = find(&h->at[tx], &etype, uuid_text(n));
            unsigned action = before == NULL  ? INST_FEED_CREATE
                              : after == NULL ? INST_FEED_DELETE
                                              : INST_FEED_UPDATE;
            bool is_wanted = f->etypes == NULL || inst_value_same(&f->etypes[0], &etype);
            count += is_wanted && (f->actions & action) != 0 && differs(before, after);
        }
    return count;
}

static void fail_images(const struct inst_feed_change *change, const struct inst_value *before,
                        const struct inst_value *after) {
    struct inst_buf text[4];
    const struct inst_value *values[4] = {before, after, &change->before, &change->after};
    struct inst_value null = inst_null();
    for (int i = 0; i < 4; i++) {
        inst_buf_init(&text[i]);
        inst_json_write(&text[i], values[i] != NULL ? values[i] : &null);
    }
    fail_msg("tx %lld %s\nwas: %s\nis: %s\nfeed was: %s\nfeed is: %s", (long long)change->tx_id,
             change->id, text[0].data, text[1].data, text[2].data, text[3].data);
}

struct check {
    struct history *h;
    const struct inst_feed_filter *filter;
    int64_t tx;    /* whose changes are being counted */
    size_t count;  /* so far */
    unsigned stop; /* every so many changes, 0: never */
    unsigned until;
    char last_key[INST_UUID_TEXT + 1];
};

static void count_up_to(struct check *check, int64_t tx) {
    for (; check->tx < tx; check->tx++, check->count = 0)
        if (check->tx > 0 && check->count != count_differences(check->h, check->tx, check->filter))
            fail_msg("tx %lld: %zu changes, wanted %zu", (long long)check->tx, check->count,
                     count_differences(check->h, check->tx, check->filter));
}

static bool on_change(void *ctx, const struct inst_feed_change *change) {
    struct check *check = ctx;
    struct history *h = check->h;
    assert_true(change->tx_id >= check->tx);
    count_up_to(check, change->tx_id);
    check->count++;
    const struct inst_value *before = find(&h->at[change->tx_id - 1], &change->etype, change->id);
    const struct inst_value *after = find(&h->at[change->tx_id], &change->etype, change->id);
    if (!is_equal(before, &change->before) || !is_equal(after, &change->after))
        fail_images(change, before, after);
    assert_int_equal(change->action, before == NULL  ? INST_FEED_CREATE
                                     : after == NULL ? INST_FEED_DELETE
                                                     : INST_FEED_UPDATE);
    assert_string_not_equal(change->key, check->last_key);
    strcpy(check->last_key, change->key);
    return check->stop == 0 || ++check->until % check->stop != 0;
}

/* Reads from `from` to the head; begins anew at the position now and then, as a consumer does that
 * was restarted, and lets the app go on meanwhile. */
static void check_from(struct history *h, int64_t from, size_t window, unsigned stop,
                       unsigned restart, unsigned writes, size_t slice,
                       const struct inst_feed_filter *filter) {
    struct check check = {.h = h, .filter = filter, .tx = from + 1, .stop = stop};
    struct inst_feed_position at = {from, 0};
    struct inst_feed *feed = NULL;
    struct inst_err err = {0};
    bool is_at_head = false;
    for (unsigned i = 1; !is_at_head; i++) {
        if (feed == NULL) {
            assert_int_equal(inst_feed_new(app_of(h), at, &feed, &err), INST_OK);
            inst_feed_limit_window(feed, window);
        }
        struct inst_feed_budget budget = inst_feed_budget();
        if (slice != 0)
            budget = (struct inst_feed_budget){slice, 100 * slice, slice, slice};
        if (inst_feed_read_within(feed, &budget, filter, on_change, &check, &is_at_head, &err) !=
            INST_OK)
            fail_msg("%s", err.message);
        at = inst_feed_at(feed);
        if (restart != 0 && i % restart == 0) {
            char text[INST_FEED_POSITION_TEXT];
            inst_feed_position_print(at, text);
            assert_true(inst_feed_position_parse(text, strlen(text), &at));
            inst_feed_free(feed);
            feed = NULL;
        }
        if (writes != 0 && i % 3 == 0 && h->last < MAX_TX - 20) {
            random_transaction(h);
            is_at_head = false;
            writes--;
        }
    }
    count_up_to(&check, h->last + 1);
    inst_feed_free(feed);
}

/* ---- tests ---- */

static void random_histories_are_told_as_they_were(void **state) {
    static struct history h;
    static const size_t windows[] = {1, 2, 5, INST_FEED_WINDOW_ENTITIES};
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        history_open(&h, seed * 2654435761u);
        for (int i = 0; i < 120; i++)
            random_transaction(&h);
        struct inst_value todos = inst_cstring("todos");
        const struct inst_feed_filter all = {.actions = INST_FEED_ALL},
                                      some = {&todos, 1, INST_FEED_UPDATE | INST_FEED_DELETE};
        for (size_t i = 0; i < 4; i++) {
            check_from(&h, 0, windows[i], 0, 0, 0, 0, &all);
            check_from(&h, pick(&h, 100), windows[i], 1 + pick(&h, 3), 1 + pick(&h, 4), 0, 0, &all);
            check_from(&h, pick(&h, 100), windows[i], 1 + pick(&h, 3), 0, 10, 0, &all);
            check_from(&h, pick(&h, 100), windows[i], 1 + pick(&h, 3), 2, 10, 0, &some);
            check_from(&h, pick(&h, 100), windows[i], 0, 0, 10, 1 + pick(&h, 7), &all);
        }
        history_close(&h);
    }
}

/* Attrs come and go: what today's schema does not know is not told, what it knows is. */
static void a_schema_that_changes_is_todays(void **state) {
    static struct history h;
    (void)state;
    history_open(&h, 7);
    for (int i = 0; i < 60; i++)
        random_transaction(&h);
    transact(&h.w, h.c, "[['delete-attr','@todos.n']]");
    int64_t from = app_of(&h)->last_tx;
    struct inst_feed *feed;
    struct inst_err err = {0};
    bool is_at_head = false;
    /* Earlier snapshots show `n`; what it was is gone for everybody. */
    for (int64_t tx = 0; tx <= h.last; tx++) {
        const struct inst_value *list = inst_getz(&h.at[tx], "todos");
        for (uint32_t i = 0; i < list->len; i++) {
            struct inst_value *todo = (struct inst_value *)&list->u.items[i];
            struct inst_object_builder without;
            inst_object_begin(&without, &h.arena);
            for (uint32_t k = 0; k < todo->len; k++)
                if (strncmp(todo->u.members[k].key, "n", todo->u.members[k].key_len) != 0)
                    inst_object_add(&without, todo->u.members[k].key, todo->u.members[k].key_len,
                                    todo->u.members[k].value);
            assert_true(inst_object_end(&without, todo));
        }
    }
    h.at[from] = h.at[h.last];
    h.last = from;
    const struct inst_feed_filter all = {.actions = INST_FEED_ALL};
    check_from(&h, 0, 3, 2, 3, 0, 0, &all);
    assert_int_equal(inst_feed_new(app_of(&h), (struct inst_feed_position){from, 0}, &feed, &err),
                     INST_OK);
    struct check check = {.h = &h, .filter = &all, .tx = from + 1};
    assert_int_equal(inst_feed_read(feed, &all, on_change, &check, &is_at_head, &err), INST_OK);
    assert_true(is_at_head);
    inst_feed_free(feed);
    history_close(&h);
}

static void positions_are_texts(void **state) {
    static const char *const bad[] = {
        "", ".", "1.", ".1", "1.4294967296", "-1", "1 ", "x", "9007199254740992", "1.2.3"};
    struct inst_feed_position at;
    char text[INST_FEED_POSITION_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(inst_feed_position_parse(bad[i], strlen(bad[i]), &at));
    assert_true(inst_feed_position_parse("9007199254740991.4294967295", 27, &at));
    inst_feed_position_print(at, text);
    assert_string_equal(text, "9007199254740991.4294967295");
    assert_true(inst_feed_position_parse("7", 1, &at));
    assert_int_equal(at.tx, 7);
    assert_int_equal(at.index, 0);
}

static bool never(void *ctx, const struct inst_feed_change *change) {
    (void)ctx;
    fail_msg("told of %s", change->id);
    return false;
}

/* One transaction of more changes than one read tells, of more entities than one window holds. */
static void a_large_transaction_is_told_in_parts(void **state) {
    static struct history h;
    struct inst_buf steps;
    (void)state;
    history_open(&h, 9);
    inst_buf_init(&steps);
    inst_buf_add_char(&steps, '[');
    for (unsigned i = 0; i < 3000; i++) {
        add_step(&steps, "['add-triple','#%u','@todos.id','#%u']", 100 + i, 100 + i);
        add_step(&steps, "['add-triple','#%u','@todos.n',%u]", 100 + i, i);
    }
    inst_buf_add_char(&steps, ']');
    transact(&h.w, h.c, steps.data);
    inst_buf_free(&steps);
    transact(&h.w, h.c, "[['add-triple','#3099','@todos.n',-1]]");
    struct answer *answer;
    char position[64] = "now", body[256];
    snprintf(position, sizeof position, "%lld", (long long)app_of(&h)->last_tx - 2);
    size_t count = 0, calls = 0;
    for (bool more = true; more; calls++) {
        snprintf(body, sizeof body, "{'after':'%s','limit':700}", position);
        answer = call(&h.w, "POST", "/admin/changes", ADMIN, body);
        assert_int_equal(answer->status, 200);
        const struct inst_value *changes = inst_getz(&answer->value, "changes");
        for (uint32_t i = 0; i < changes->len; i++, count++) {
            const struct inst_value *after = inst_getz(&changes->u.items[i], "after");
            double wanted = count == 3000 ? -1 : (double)count;
            assert_true(inst_getz(after, "n")->u.num == wanted);
        }
        const struct inst_value *at = inst_getz(&answer->value, "position");
        snprintf(position, sizeof position, "%.*s", (int)at->len, at->u.str);
        more = inst_getz(&answer->value, "more")->tag == INST_TRUE;
    }
    assert_int_equal(count, 3001);
    assert_int_equal(calls, 5);
    history_close(&h);
}

/* ---- the route ---- */

static int64_t head_of(struct history *h) { return app_of(h)->last_tx; }

static void expect_gone(struct history *h, const char *after, const char *hint) {
    char body[256];
    snprintf(body, sizeof body, "{'after':'%s'}", after);
    struct answer *answer = call(&h->w, "POST", "/admin/changes", ADMIN, body);
    assert_int_equal(answer->status, 410);
    expect_text(inst_getz(&answer->value, "type"), "position-gone");
    expect_body(&h->w, inst_getz(&answer->value, "hint"), hint);
}

/* A log without its first records. */
static const struct inst_app_db_ops *whole;
struct shortened {
    bool (*fn)(void *ctx, const struct inst_log_record *record);
    void *ctx;
};

static bool skip_first(void *ctx, const struct inst_log_record *record) {
    struct shortened *shortened = ctx;
    return record->tx_id <= 5 || shortened->fn(shortened->ctx, record);
}

static enum inst_status read_shortened(struct inst_app_db *db, int64_t after,
                                       bool (*fn)(void *ctx, const struct inst_log_record *record),
                                       void *ctx, struct inst_err *err) {
    struct shortened shortened = {fn, ctx};
    return whole->read_log(db, after, skip_first, &shortened, err);
}

static void what_the_log_does_not_hold_is_refused(void **state) {
    static struct history h;
    char beyond[32];
    (void)state;
    history_open(&h, 11);
    for (int i = 0; i < 10; i++)
        random_transaction(&h);
    expect_gone(&h, "1000", "{'reason':'The log ends before it.'}");
    snprintf(beyond, sizeof beyond, "%lld.1", (long long)head_of(&h));
    expect_gone(&h, beyond, "{'reason':'The log ends before it.'}");
    struct inst_app *app = app_of(&h);
    whole = app->db->db_ops;
    struct inst_app_db_ops ops = *whole;
    ops.read_log = read_shortened;
    app->db->db_ops = &ops;
    expect_gone(&h, "0", "{'first':'5'}");
    expect_gone(&h, "4.2", "{'first':'5'}");
    const struct inst_value *body = done(&h.w, "POST", "/admin/changes", ADMIN, "{}");
    assert_true(inst_getz(body, "changes")->len > 0);
    assert_true(inst_getz(&inst_getz(body, "changes")->u.items[0], "txId")->u.num >= 6);
    assert_int_equal(call(&h.w, "POST", "/admin/changes", ADMIN, "{'after':'5'}")->status, 200);
    app->db->db_ops = whole;
    history_close(&h);
}

static void bad_requests_are_refused(void **state) {
    static struct history h;
    static const char *const bad[] = {
        "{'etypes':'todos'}",   "{'etypes':[]}",
        "{'etypes':[1]}",       "{'etypes':['$magicCodes']}",
        "{'actions':[]}",       "{'actions':['x']}",
        "{'actions':'create'}", "{'after':7}",
        "{'after':'x'}",        "{'limit':0}",
        "{'limit':1001}",       "{'limit':'1'}",
        "{'wait':-1}",          "{'wait':31}",
        "{'wait':'1'}",
    };
    (void)state;
    history_open(&h, 12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer *answer = call(&h.w, "POST", "/admin/changes", ADMIN, bad[i]);
        if (answer->status != 400)
            fail_msg("%s: %d %s", bad[i], answer->status, answer->text);
        expect_text(inst_getz(&answer->value, "type"), "param-malformed");
    }
    assert_int_equal(call(&h.w, "POST", "/admin/changes", "app-id: {app}", "{}")->status, 400);
    assert_int_equal(
        call(&h.w, "POST", "/admin/changes",
             "app-id: {app}|authorization: Bearer 00000000-0000-4000-8000-000000000000", "{}")
            ->status,
        400);
    history_close(&h);
}

/* ---- waiting ---- */

struct waiting {
    struct inst_http_response came;
};

static struct waiting *ask(struct history *h, const char *body) {
    struct waiting *waiting = calloc(1, sizeof *waiting);
    struct inst_http_response response;
    char *fields = filled_in(&h->w, "{app}|{bearer}"), *sent = expanded(&h->w, body);
    *strchr(fields, '|') = '\0';
    struct inst_http_field list[] = {{"app-id", fields},
                                     {"authorization", fields + strlen(fields) + 1}};
    struct inst_http_request request = {.method = "POST",
                                        .path = "/admin/changes",
                                        .query = "",
                                        .body = sent,
                                        .body_len = strlen(sent),
                                        .fields = list,
                                        .field_count = 2};
    inst_server_http(h->w.server, &request, &response);
    if (response.later != NULL)
        inst_http_later_wait(response.later, take_response, &waiting->came);
    else
        waiting->came = response;
    free(fields);
    free(sent);
    return waiting;
}

static void expect_answer(struct waiting *waiting, int status, const char *part) {
    assert_int_equal(waiting->came.status, status);
    if (strstr(waiting->came.body.data, part) == NULL)
        fail_msg("wanted %s in %s", part, waiting->came.body.data);
    inst_http_response_clear(&waiting->came);
    free(waiting);
}

static void who_waits_is_told_as_soon_as_there_is_something(void **state) {
    static struct history h;
    (void)state;
    history_open(&h, 13);
    struct waiting *todos = ask(&h, "{'after':'now','etypes':['todos'],'wait':20}");
    /* "now" is no wait of its own: the position is the head, and the wait goes on. */
    assert_int_equal(todos->came.status, 0);
    struct waiting *deletes = ask(&h, "{'after':'now','actions':['delete'],'wait':20}");
    turn(&h.w);
    assert_int_equal(todos->came.status, 0);
    transact(&h.w, h.c, "[['add-triple','#1','@notes.id','#1']]");
    turn(&h.w);
    assert_int_equal(todos->came.status, 0);
    transact(&h.w, h.c, "[['add-triple','#1','@todos.id','#1']]");
    turn(&h.w);
    expect_answer(todos, 200, "\"action\":\"create\",\"before\":null,\"after\":{\"id\":");
    assert_int_equal(deletes->came.status, 0);
    assert_true(inst_server_due_ms(h.w.server) <= h.w.now + 20000);
    h.w.now += 20000;
    assert_true(inst_server_is_pending(h.w.server));
    turn(&h.w);
    expect_answer(deletes, 200, "{\"changes\":[],\"position\":");
    assert_true(inst_server_due_ms(h.w.server) == INT64_MAX);
    assert_false(inst_server_is_pending(h.w.server));
    history_close(&h);
}

static void who_went_away_or_whose_app_did_waits_no_more(void **state) {
    static struct history h;
    (void)state;
    history_open(&h, 14);
    struct waiting *gone = ask(&h, "{'after':'now','wait':20}");
    struct waiting *kept = ask(&h, "{'after':'now','wait':20}");
    struct inst_err err = {0};
    assert_int_equal(inst_server_remove_app(h.w.server, h.w.app.id, &err), INST_OK);
    turn(&h.w);
    expect_answer(gone, 400, "record-not-found");
    expect_answer(kept, 400, "record-not-found");
    disconnect(h.c);
    inst_arena_free(&h.arena);
    world_close_dir(&h.w, h.dir);
}

static void an_app_has_few_that_wait(void **state) {
    static struct history h;
    struct waiting *waiting[INST_FEED_APP_POLLS];
    (void)state;
    history_open(&h, 17);
    for (size_t i = 0; i < INST_FEED_APP_POLLS; i++)
        waiting[i] = ask(&h, "{'after':'now','wait':20}");
    expect_answer(ask(&h, "{'after':'now','wait':20}"), 429, "rate-limited");
    expect_answer(ask(&h, "{'after':'now'}"), 200, "\"changes\":[]");
    h.w.now += 20000;
    turn(&h.w);
    for (size_t i = 0; i < INST_FEED_APP_POLLS; i++)
        expect_answer(waiting[i], 200, "\"changes\":[]");
    history_close(&h);
}

struct counted {
    bool (*fn)(void *ctx, const struct inst_log_record *record);
    void *ctx;
};
static size_t counted_bytes;

static bool count_record(void *ctx, const struct inst_log_record *record) {
    struct counted *counted = ctx;
    counted_bytes += record->changes_len;
    return counted->fn(counted->ctx, record);
}

static enum inst_status read_counted(struct inst_app_db *db, int64_t after,
                                     bool (*fn)(void *ctx, const struct inst_log_record *record),
                                     void *ctx, struct inst_err *err) {
    struct counted counted = {fn, ctx};
    return whole->read_log(db, after, count_record, &counted, err);
}

#define LONG (1u << 20)
static void write_long(struct history *h, unsigned id) {
    struct inst_buf steps;
    inst_buf_init(&steps);
    inst_buf_addf(&steps, "[['add-triple','#%u','@todos.id','#%u'],['add-triple','#%u',", id, id,
                  id);
    inst_buf_add_str(&steps, "'@todos.title','");
    for (unsigned i = 0; i < LONG; i++)
        inst_buf_add_char(&steps, 'x');
    inst_buf_add_str(&steps, "']]");
    transact(&h->w, h->c, steps.data);
    inst_buf_free(&steps);
}

/* Those far behind share what a turn reads, and nobody is put off for ever. */
static void all_that_wait_read_one_slice_a_turn(void **state) {
    static struct history h;
    struct waiting *waiting[3];
    (void)state;
    history_open(&h, 18);
    for (unsigned i = 0; i < 12; i++)
        write_long(&h, i);
    struct inst_app *app = app_of(&h);
    whole = app->db->db_ops;
    struct inst_app_db_ops ops = *whole;
    ops.read_log = read_counted;
    app->db->db_ops = &ops;
    for (size_t i = 0; i < 3; i++) {
        waiting[i] = ask(&h, "{'after':'0','etypes':['notes'],'wait':20}");
        assert_int_equal(waiting[i]->came.status, 0);
    }
    transact(&h.w, h.c, "[['add-triple','#1','@notes.id','#1']]");
    unsigned turns = 0;
    while (inst_server_is_pending(h.w.server)) {
        counted_bytes = 0;
        turn(&h.w);
        assert_in_range(counted_bytes, 0, INST_FEED_TURN_BYTES + 2 * LONG);
        assert_true(++turns < 50);
    }
    for (size_t i = 0; i < 3; i++)
        expect_answer(waiting[i], 200, "\"action\":\"create\"");
    app->db->db_ops = whole;
    history_close(&h);
}

static void a_server_that_ends_answers_nobody(void **state) {
    static struct history h;
    (void)state;
    history_open(&h, 15);
    struct waiting *waiting = ask(&h, "{'after':'now','wait':20}");
    history_close(&h);
    assert_int_equal(waiting->came.status, 0);
    free(waiting);
}

static void what_only_the_engine_knows_is_not_told(void **state) {
    static struct history h;
    (void)state;
    history_open(&h, 16);
    int64_t from = head_of(&h);
    done(&h.w, "POST", "/admin/magic_code", ADMIN, "{'email':'a@example.com'}");
    assert_true(head_of(&h) > from);
    struct inst_feed *feed;
    struct inst_err err = {0};
    bool is_at_head = false;
    const struct inst_feed_filter all = {.actions = INST_FEED_ALL};
    assert_int_equal(inst_feed_new(app_of(&h), (struct inst_feed_position){from, 0}, &feed, &err),
                     INST_OK);
    assert_int_equal(inst_feed_read(feed, &all, never, NULL, &is_at_head, &err), INST_OK);
    assert_true(is_at_head);
    inst_feed_free(feed);
    history_close(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_are_told_as_they_were),
        cmocka_unit_test(a_schema_that_changes_is_todays),
        cmocka_unit_test(positions_are_texts),
        cmocka_unit_test(a_large_transaction_is_told_in_parts),
        cmocka_unit_test(what_the_log_does_not_hold_is_refused),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(who_waits_is_told_as_soon_as_there_is_something),
        cmocka_unit_test(who_went_away_or_whose_app_did_waits_no_more),
        cmocka_unit_test(an_app_has_few_that_wait),
        cmocka_unit_test(all_that_wait_read_one_slice_a_turn),
        cmocka_unit_test(a_server_that_ends_answers_nobody),
        cmocka_unit_test(what_only_the_engine_knows_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
