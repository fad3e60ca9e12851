/* Webhooks of an app: routes, events made of the log, deliveries and what becomes of them. */
#include "io_server_outside.h"

#include "base/signature.h"
#include "server/limits.h"
#include "server/webhooks.h"

static const char schema[] =
    "{'entities':{"
    "'todos':{'attrs':{'title':{'valueType':'string','config':{'unique':false,'indexed':false}}}},"
    "'notes':{'attrs':{'text':{'valueType':'string','config':{'unique':false,'indexed':false}}}}},"
    "'links':{'todoNotes':{'forward':{'on':'notes','has':'one','label':'todo'},"
    "'reverse':{'on':'todos','has':'many','label':'notes'}}},'rooms':{}}";

#define URL "https://hooks.example.com/in"
#define BASE "/dash/apps/{app}/webhooks"

static struct world w;
static char dir[32];
static struct connection *c;

static void open_world(void) {
    world_open_dir(&w, dir, schema);
    outside_open(&w);
    inst_server_set_origin(w.server, "https://db.example.com", false, NULL);
    c = enter(&w, true);
}

static void close_world(void) {
    disconnect(c);
    outside_close();
    world_close_dir(&w, dir);
}

/* The engine ends and begins anew over what is kept. */
static void restart(void) {
    struct inst_err err = {0};
    disconnect(c);
    inst_server_free(w.server);
    outside.waiting_count = 0;
    world_start(&w);
    outside_open(&w);
    inst_server_set_origin(w.server, "https://db.example.com", false, NULL);
    assert_int_equal(inst_server_resume_app(w.server, w.app.id, &err), INST_OK);
    c = enter(&w, true);
}

static const char *text_of(const struct inst_value *v) {
    static char texts[8][4096];
    static unsigned n;
    char *text = texts[n++ % 8];
    assert_non_null(v);
    if (v->tag != INST_STRING)
        return NULL;
    snprintf(text, sizeof texts[0], "%.*s", (int)v->len, v->u.str);
    return text;
}

static const char *add_webhook(const char *body) {
    return text_of(inst_getz(inst_getz(done(&w, "POST", BASE, ADMIN, body), "webhook"), "id"));
}

static void work(void) {
    for (int i = 0; i < 50 && inst_server_is_pending(w.server); i++)
        turn(&w);
    assert_false(inst_server_is_pending(w.server));
}

static void respond(int status, const char *body) {
    assert_true(outside.waiting_count > 0);
    struct question q = outside.waiting[0];
    memmove(outside.waiting, outside.waiting + 1,
            --outside.waiting_count * sizeof *outside.waiting);
    struct inst_outgoing_response response = {
        .status = status, .body = body, .body_len = strlen(body)};
    q.done(q.done_ctx, &response, NULL);
    work();
}

static void fail_with(const char *type, const char *message) {
    struct inst_err err = {0};
    struct question q = outside.waiting[0];
    memmove(outside.waiting, outside.waiting + 1,
            --outside.waiting_count * sizeof *outside.waiting);
    inst_err_set(&err, type, 0, "%s", message);
    q.done(q.done_ctx, NULL, &err);
    inst_err_clear(&err);
    work();
}

static const struct inst_value *events(const char *id) {
    char path[256];
    snprintf(path, sizeof path, BASE "/%s/events", id);
    return inst_getz(done(&w, "GET", path, ADMIN, NULL), "events");
}

static const struct inst_value *only_event(const char *id) {
    const struct inst_value *list = events(id);
    assert_int_equal(list->len, 1);
    return &list->u.items[0];
}

static void expect_event(const char *id, const char *status, unsigned attempts) {
    const struct inst_value *event = only_event(id);
    expect_text(inst_getz(event, "status"), status);
    const struct inst_value *list = inst_getz(event, "attempts");
    assert_int_equal(list->tag == INST_ARRAY ? list->len : 0, attempts);
}

/* ---- routes ---- */

static void webhooks_are_made_changed_and_deleted(void **state) {
    (void)state;
    open_world();
    const char *id = add_webhook("{'url':'" URL
                                 "','namespaces':['todos','notes'],'actions':['delete','create']}");
    const struct inst_value *webhook =
        &inst_getz(done(&w, "GET", BASE, ADMIN, NULL), "webhooks")->u.items[0];
    expect_text(inst_getz(webhook, "id"), id);
    expect_body(&w, inst_getz(webhook, "sink"), "{'url':'" URL "'}");
    expect_body(&w, inst_getz(webhook, "namespaces"), "['todos','notes']");
    expect_body(&w, inst_getz(webhook, "actions"), "['delete','create']");
    expect_text(inst_getz(webhook, "status"), "active");
    char path[256];
    snprintf(path, sizeof path, BASE "/%s", id);
    webhook = inst_getz(done(&w, "POST", path, ADMIN, "{'actions':['update']}"), "webhook");
    expect_body(&w, inst_getz(webhook, "actions"), "['update']");
    expect_body(&w, inst_getz(webhook, "namespaces"), "['todos','notes']");
    snprintf(path, sizeof path, BASE "/%s/disable", id);
    webhook = inst_getz(done(&w, "POST", path, ADMIN, "{'reason':'why'}"), "webhook");
    expect_text(inst_getz(webhook, "status"), "disabled");
    expect_text(inst_getz(webhook, "disabled_reason"), "why");
    restart();
    webhook = &inst_getz(done(&w, "GET", BASE, ADMIN, NULL), "webhooks")->u.items[0];
    expect_text(inst_getz(webhook, "disabled_reason"), "why");
    expect_body(&w, inst_getz(webhook, "actions"), "['update']");
    snprintf(path, sizeof path, BASE "/%s/enable", id);
    webhook = inst_getz(done(&w, "POST", path, ADMIN, "{}"), "webhook");
    expect_text(inst_getz(webhook, "status"), "active");
    assert_int_equal(inst_getz(webhook, "disabled_reason")->tag, INST_NULL);
    snprintf(path, sizeof path, BASE "/%s", id);
    expect_text(inst_getz(inst_getz(done(&w, "DELETE", path, ADMIN, NULL), "webhook"), "id"), id);
    assert_int_equal(inst_getz(done(&w, "GET", BASE, ADMIN, NULL), "webhooks")->len, 0);
    assert_int_equal(call(&w, "DELETE", path, ADMIN, NULL)->status, 400);
    work();
    close_world();
}

static void bad_wishes_are_refused(void **state) {
    static const struct {
        const char *body, *type, *message;
    } bad[] = {
        {"{'url':'http://x.example','namespaces':['todos'],'actions':['create']}",
         "validation-failed", "Validation failed for webhook: The Webhook url must be https"},
        {"{'url':'" URL "','namespaces':['nope'],'actions':['create']}", "validation-failed",
         "Validation failed for webhook: Could not find matching table for nope"},
        {"{'url':'" URL "','namespaces':['$magicCodes'],'actions':['create']}", "validation-failed",
         "Validation failed for webhook: Could not find matching table for $magicCodes"},
        {"{'url':'" URL "','namespaces':[],'actions':['create']}", "validation-failed",
         "Validation failed for webhook: Webhook must have at least one table."},
        {"{'url':'" URL "','namespaces':['todos'],'actions':[]}", "validation-failed",
         "Validation failed for webhook: Webhook must have at least one action."},
        {"{'namespaces':['todos'],'actions':['create']}", "param-missing",
         "Missing parameter: [\"body\" \"url\"]"},
        {"{'url':'" URL "','namespaces':'todos','actions':['create']}", "param-malformed",
         "Malformed parameter: [\"body\" \"namespaces\"]"},
        {"{'url':'" URL "','namespaces':['todos'],'actions':[1]}", "param-malformed",
         "Malformed parameter: [\"body\" \"actions\"]"},
    };
    (void)state;
    open_world();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer *answer = call(&w, "POST", BASE, ADMIN, bad[i].body);
        assert_int_equal(answer->status, 400);
        expect_text(inst_getz(&answer->value, "message"), bad[i].message);
        expect_text(inst_getz(&answer->value, "type"), bad[i].type);
    }
    static const char good[] =
        "{'url':'" URL "','namespaces':['todos'],'actions':['create','update']}";
    static const char same[] =
        "{'url':'" URL "','namespaces':['todos'],'actions':['update','create','update']}";
    add_webhook(good);
    struct answer *answer = call(&w, "POST", BASE, ADMIN, same);
    assert_int_equal(answer->status, 400);
    assert_non_null(strstr(answer->text, "already exists with all of the same properties"));
    assert_int_equal(
        call(&w, "GET", BASE, "authorization: Bearer 00000000-0000-4000-8000-000000000000", NULL)
            ->status,
        400);
    for (unsigned i = 1; i < INST_WEBHOOK_MAX_ACTIVE; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{'url':'" URL "/%u','namespaces':['todos'],'actions':['create']}", i);
        add_webhook(body);
    }
    answer = call(&w, "POST", BASE, ADMIN,
                  "{'url':'" URL "','namespaces':['notes'],'actions':['create']}");
    assert_int_equal(answer->status, 400);
    assert_non_null(strstr(answer->text, "more than 100 active webhooks"));
    close_world();
}

/* ---- deliveries ---- */

static void a_transaction_is_one_signed_delivery(void **state) {
    (void)state;
    open_world();
    transact(&w, c, "[['add-triple','#9','@todos.id','#9']]"); /* before it: not told */
    const char *id =
        add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create','update']}");
    work();
    assert_int_equal(outside.waiting_count, 0);
    transact(&w, c,
             "[['add-triple','#1','@todos.id','#1'],['add-triple','#1','@todos.title','a'],"
             "['add-triple','#2','@todos.id','#2'],['add-triple','#3','@notes.id','#3']]");
    transact(&w, c, "[['add-triple','#3','@notes.text','no']]");
    transact(&w, c, "[['delete-entity','#2','todos']]"); /* not asked for */
    work();
    assert_int_equal(outside.waiting_count, 1);
    assert_string_equal(outside.waiting[0].url, URL);
    assert_string_equal(outside.waiting[0].method, "POST");
    expect_event(id, "processing", 0);
    /* What it carries opens the changes, and nothing else. */
    struct inst_value body;
    assert_int_equal(inst_json_parse(&w.arena, outside.waiting[0].body,
                                     strlen(outside.waiting[0].body), &body, NULL),
                     INST_OK);
    const char *url = text_of(inst_getz(&body, "payloadUrl"));
    char fields[2048], other[600], path[512];
    snprintf(fields, sizeof fields, "authorization: Bearer %s", text_of(inst_getz(&body, "token")));
    assert_int_equal(strncmp(url, "https://db.example.com/", 23), 0);
    snprintf(path, sizeof path, "%s", url + 22);
    const struct inst_value *payload = done(&w, "GET", path, fields, NULL);
    const struct inst_value *data = inst_getz(payload, "data");
    assert_int_equal(data->len, 2);
    expect_text(inst_getz(&data->u.items[0], "namespace"), "todos");
    expect_text(inst_getz(&data->u.items[0], "action"), "create");
    expect_body(&w, inst_getz(&data->u.items[0], "after"), "{'id':'#1','title':'a'}");
    assert_int_equal(inst_getz(&data->u.items[0], "before")->tag, INST_NULL);
    const char *key = text_of(inst_getz(payload, "idempotencyKey"));
    snprintf(other, sizeof other, "%s0", path);
    assert_int_equal(call(&w, "GET", other, fields, NULL)->status, 400);
    w.now += 3600 * 1000;
    assert_non_null(strstr(call(&w, "GET", path, fields, NULL)->text, "Expired JWT"));
    fields[strlen(fields) - 3] ^= 1;
    assert_non_null(strstr(call(&w, "GET", path, fields, NULL)->text, "Invalid JWT."));
    respond(200, "ok");
    expect_event(id, "success", 1);
    /* What was taken is read from the log, the same again. */
    payload = done(&w, "GET", path, ADMIN, NULL);
    expect_text(inst_getz(payload, "idempotencyKey"), key);
    expect_body(&w, inst_getz(&inst_getz(payload, "data")->u.items[0], "after"),
                "{'id':'#1','title':'a'}");
    close_world();
}

static void what_is_not_taken_is_sent_again(void **state) {
    static const int64_t minutes[] = {1, 5, 30, 120, 300, 600, 720, 720, 720, 720};
    (void)state;
    open_world();
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    transact(&w, c, "[['add-triple','#1','@todos.id','#1']]");
    work();
    for (unsigned i = 0; i < 10; i++) {
        int64_t before = w.now;
        if (i == 1)
            fail_with("timeout", "no answer");
        else
            respond(i == 2 ? 302 : 500, "no \xff");
        expect_event(id, "error", i + 1);
        assert_int_equal(outside.waiting_count, 0);
        int64_t due = inst_server_due_ms(w.server);
        assert_in_range(due - before, minutes[i] * 60000, minutes[i] * 60000 + 1000);
        if (i == 4)
            restart();
        w.now = due - 20;
        turn(&w);
        assert_int_equal(outside.waiting_count, 0);
        w.now = due;
        work();
        assert_int_equal(outside.waiting_count, 1);
    }
    respond(500, "no");
    expect_event(id, "failed", 11);
    assert_true(inst_server_due_ms(w.server) == INT64_MAX);
    const struct inst_value *attempts = inst_getz(only_event(id), "attempts");
    expect_text(inst_getz(&attempts->u.items[1], "error-type"), "timeout");
    assert_true(inst_getz(&attempts->u.items[2], "status-code")->u.num == 302);
    expect_text(inst_getz(&attempts->u.items[0], "response-text"), "no \xef\xbf\xbd");
    /* Again, by hand. */
    const char *isn = text_of(inst_getz(only_event(id), "isn"));
    char path[256];
    snprintf(path, sizeof path, BASE "/%s/events/%s", id, isn);
    const struct inst_value *event = inst_getz(done(&w, "POST", path, ADMIN, "{}"), "event");
    expect_text(inst_getz(event, "status"), "pending");
    work();
    assert_non_null(strstr(call(&w, "POST", path, ADMIN, "{}")->text,
                           "Could not resend event. Try again in one minute."));
    respond(204, "");
    expect_event(id, "success", 12);
    close_world();
}

static void gone_disables_and_so_does_the_owner(void **state) {
    (void)state;
    open_world();
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    char path[256];
    transact(&w, c, "[['add-triple','#1','@todos.id','#1']]");
    work();
    respond(410, "gone");
    expect_event(id, "failed", 1);
    const struct inst_value *webhook =
        &inst_getz(done(&w, "GET", BASE, ADMIN, NULL), "webhooks")->u.items[0];
    expect_text(inst_getz(webhook, "status"), "disabled");
    expect_text(inst_getz(webhook, "disabled_reason"), "Endpoint returned 410 status code.");
    transact(&w, c, "[['add-triple','#2','@todos.id','#2']]");
    work();
    assert_int_equal(outside.waiting_count, 0);
    snprintf(path, sizeof path, BASE "/%s/enable", id);
    done(&w, "POST", path, ADMIN, "{}");
    transact(&w, c, "[['add-triple','#3','@todos.id','#3']]");
    work();
    respond(500, "");
    snprintf(path, sizeof path, BASE "/%s/disable", id);
    done(&w, "POST", path, ADMIN, NULL);
    w.now += 61 * 1000;
    work();
    assert_int_equal(outside.waiting_count, 0);
    const struct inst_value *list = events(id);
    assert_int_equal(list->len, 2); /* what was written while it was disabled is not told */
    expect_text(inst_getz(&list->u.items[0], "status"), "failed");
    const struct inst_value *attempts = inst_getz(&list->u.items[0], "attempts");
    expect_text(inst_getz(&attempts->u.items[1], "error-type"), "disabled");
    close_world();
}

static void what_is_deleted_meanwhile_does_no_harm(void **state) {
    (void)state;
    open_world();
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    char path[256];
    transact(&w, c, "[['add-triple','#1','@todos.id','#1']]");
    work();
    snprintf(path, sizeof path, BASE "/%s", id);
    done(&w, "DELETE", path, ADMIN, NULL);
    work();
    respond(500, "");
    assert_true(inst_server_due_ms(w.server) == INT64_MAX);
    id = add_webhook("{'url':'" URL "','namespaces':['todos','notes'],'actions':['create']}");
    transact(&w, c, "[['add-triple','#2','@todos.id','#2'],['add-triple','#3','@notes.id','#3']]");
    work();
    transact(&w, c, "[['delete-attr','@todos.id'],['delete-attr','@todos.title']]");
    respond(200, "");
    expect_event(id, "success", 1);
    char isn[64];
    snprintf(isn, sizeof isn, "%s", text_of(inst_getz(only_event(id), "isn")));
    snprintf(path, sizeof path, "/webhooks/payload/{app}/%s/%s", id, isn);
    const struct inst_value *data = inst_getz(done(&w, "GET", path, ADMIN, NULL), "data");
    assert_int_equal(data->len, 1);
    expect_text(inst_getz(&data->u.items[0], "namespace"), "notes");
    const struct inst_value *webhook =
        &inst_getz(done(&w, "GET", BASE, ADMIN, NULL), "webhooks")->u.items[0];
    expect_body(&w, inst_getz(webhook, "namespaces"), "['notes']");
    struct inst_err err = {0};
    transact(&w, c, "[['add-triple','#4','@notes.id','#4']]");
    work();
    assert_int_equal(inst_server_remove_app(w.server, w.app.id, &err), INST_OK);
    respond(200, "");
    close_world();
}

/* Nothing is lost by a crash between a commit and its event, nor between sending and hearing. */
static void a_restart_repeats_what_was_on_its_way(void **state) {
    (void)state;
    open_world();
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    transact(&w, c, "[['add-triple','#1','@todos.id','#1']]");
    work();
    assert_int_equal(outside.waiting_count, 1);
    restart();
    work();
    assert_int_equal(outside.waiting_count, 1);
    respond(200, "");
    expect_event(id, "success", 1);
    restart();
    work();
    assert_int_equal(outside.waiting_count, 0);
    expect_event(id, "success", 1);
    close_world();
}

/* What was read before a webhook asked for it is not told of, also when nobody noted that. */
static void what_is_asked_for_later_is_not_told_of_before(void **state) {
    (void)state;
    open_world();
    char path[256];
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    snprintf(path, sizeof path, BASE "/%s", id);
    transact(&w, c, "[['add-triple','#1','@notes.id','#1']]");
    work();
    done(&w, "POST", path, ADMIN, "{'namespaces':['todos','notes']}");
    restart();
    work();
    assert_int_equal(outside.waiting_count, 0);
    transact(&w, c, "[['add-triple','#2','@notes.id','#2']]");
    work();
    respond(200, "");
    expect_event(id, "success", 1);
    close_world();
}

/* ---- a disk that refuses, once ---- */

static const struct inst_app_db_ops *good_ops;

static enum inst_status no_log(struct inst_app_db *db, int64_t after,
                               bool (*fn)(void *ctx, const struct inst_log_record *record),
                               void *ctx, struct inst_err *err) {
    (void)after, (void)fn, (void)ctx;
    db->db_ops = good_ops;
    return inst_err_set(err, "data-file", 500, "the disk refused");
}

static enum inst_status no_commit(struct inst_app_db *db, struct inst_err *err) {
    db->db_ops = good_ops;
    good_ops->rollback(db);
    return inst_err_set(err, "data-file", 500, "the disk refused");
}

/* The commit that holds this note is refused. */
static enum inst_status no_place(struct inst_app_db *db, const char *key, const char *bytes,
                                 size_t len, struct inst_err *err) {
    static struct inst_app_db_ops refusing;
    refusing = *good_ops;
    refusing.commit = no_commit;
    if (strcmp(key, "webhook-at") == 0)
        db->db_ops = &refusing;
    return good_ops->set_note(db, key, bytes, len, err);
}

static void expect_told_later_with(struct inst_app *app, const struct inst_app_db_ops *bad) {
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    work();
    app->db->db_ops = bad;
    transact(&w, c, "[['add-triple','#1','@todos.id','#1']]");
    turn(&w);
    assert_ptr_equal(app->db->db_ops, good_ops);
    assert_int_equal(outside.waiting_count, 0);
    w.now += INST_WEBHOOK_STALL_MS;
    work();
    assert_int_equal(outside.waiting_count, 1);
    respond(200, "");
    expect_event(id, "success", 1);
}

static void no_event_is_lost_when_the_disk_refuses_once(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct inst_app *app;
        open_world();
        assert_int_equal(inst_app_get(w.server, w.app.id, &app, NULL), INST_OK);
        good_ops = app->db->db_ops;
        struct inst_app_db_ops bad = *good_ops;
        if (i == 0)
            bad.read_log = no_log;
        else
            bad.set_note = no_place;
        expect_told_later_with(app, &bad);
        close_world();
    }
}

static void no_more_are_on_their_way_than_may_be(void **state) {
    (void)state;
    open_world();
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    for (unsigned i = 0; i < 130; i++) {
        char steps[128];
        snprintf(steps, sizeof steps, "[['add-triple','#%u','@todos.id','#%u']]", 10 + i, 10 + i);
        transact(&w, c, steps);
    }
    unsigned answered = 0;
    work();
    while (outside.waiting_count > 0) {
        assert_in_range(outside.waiting_count, 1, INST_WEBHOOK_APP_DELIVERIES);
        respond(200, "");
        answered++;
    }
    assert_int_equal(answered, 130);
    /* Pages, newest first. */
    char path[256];
    snprintf(path, sizeof path, BASE "/%s/events", id);
    const struct inst_value *page = done(&w, "GET", path, ADMIN, NULL);
    assert_int_equal(inst_getz(page, "events")->len, INST_WEBHOOK_PAGE);
    const struct inst_value *info = inst_getz(page, "pageInfo");
    assert_int_equal(inst_getz(info, "hasNextPage")->tag, INST_TRUE);
    char after[64], last[64];
    snprintf(after, sizeof after, "%s", text_of(inst_getz(info, "endCursor")));
    snprintf(last, sizeof last, "%s",
             text_of(inst_getz(&inst_getz(page, "events")->u.items[99], "isn")));
    assert_string_equal(after, last);
    snprintf(path, sizeof path, BASE "/%s/events?after=%s", id, after);
    page = done(&w, "GET", path, ADMIN, NULL);
    assert_int_equal(inst_getz(page, "events")->len, 30);
    assert_int_equal(inst_getz(inst_getz(page, "pageInfo"), "hasNextPage")->tag, INST_FALSE);
    close_world();
}

static void events_end_after_sixty_days(void **state) {
    (void)state;
    open_world();
    const char *id = add_webhook("{'url':'" URL "','namespaces':['todos'],'actions':['create']}");
    for (unsigned i = 0; i < 3; i++) {
        char steps[128];
        snprintf(steps, sizeof steps, "[['add-triple','#%u','@todos.id','#%u']]", 10 + i, 10 + i);
        transact(&w, c, steps);
        work();
        respond(200, "");
        if (i == 1)
            w.now += INST_WEBHOOK_KEEP_MS + 1000;
    }
    assert_int_equal(events(id)->len, 1);
    close_world();
}

static void receivers_can_check_signatures(void **state) {
    (void)state;
    open_world();
    const struct inst_value *keys =
        inst_getz(done(&w, "GET", "/.well-known/webhooks/jwks.json", "", NULL), "keys");
    const struct inst_value *key = &keys->u.items[0];
    expect_text(inst_getz(key, "kty"), "OKP");
    uint8_t raw[64], signature[64];
    size_t len;
    const struct inst_value *x = inst_getz(key, "x");
    assert_true(inst_base64url_read(x->u.str, x->len, raw, &len));
    assert_int_equal(len, 32);
    struct inst_buf field;
    struct inst_err err = {0};
    inst_buf_init(&field);
    assert_int_equal(inst_webhook_sign(w.server, 1700000000123, "{}", 2, &field, &err), INST_OK);
    char kid[32], hex[129];
    assert_int_equal(sscanf(field.data, "t=1700000000,kid=%31[0-9],v1=%128[0-9a-f]", kid, hex), 2);
    expect_text(inst_getz(key, "kid"), kid);
    for (int i = 0; i < 64; i++) {
        unsigned byte;
        sscanf(hex + 2 * (ptrdiff_t)i, "%2x", &byte);
        signature[i] = (uint8_t)byte;
    }
    assert_true(inst_ed25519_verify(raw, 32, signature, 64, "1700000000.{}", 13));
    assert_false(inst_ed25519_verify(raw, 32, signature, 64, "1700000000.{ ", 13));
    inst_buf_free(&field);
    close_world();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(webhooks_are_made_changed_and_deleted),
        cmocka_unit_test(bad_wishes_are_refused),
        cmocka_unit_test(a_transaction_is_one_signed_delivery),
        cmocka_unit_test(what_is_not_taken_is_sent_again),
        cmocka_unit_test(gone_disables_and_so_does_the_owner),
        cmocka_unit_test(what_is_deleted_meanwhile_does_no_harm),
        cmocka_unit_test(a_restart_repeats_what_was_on_its_way),
        cmocka_unit_test(what_is_asked_for_later_is_not_told_of_before),
        cmocka_unit_test(no_event_is_lost_when_the_disk_refuses_once),
        cmocka_unit_test(no_more_are_on_their_way_than_may_be),
        cmocka_unit_test(events_end_after_sixty_days),
        cmocka_unit_test(receivers_can_check_signatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
