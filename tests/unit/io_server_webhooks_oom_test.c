/*
 * Out of memory at every place of a change's way to a webhook: what was committed is told once and
 * only once, whatever failed on the way; routes say so, and do all or nothing.
 */
#include "io_server_outside.h"

#include "server/limits.h"
#include "server/webhooks.h"

#include "oom.h"

#define URL "https://hooks.example.com/in"
#define MAX_ALLOCATIONS 5000

static const char schema[] =
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','config':{'unique':false,"
    "'indexed':false}}}}},'links':{},'rooms':{}}";

static struct world w;
static char dir[32];
static struct connection *c;

static int open_world(void **state) {
    (void)state;
    world_open_dir(&w, dir, schema);
    outside_open(&w);
    c = enter(&w, true);
    c->is_deaf = true;
    return 0;
}

static int close_world(void **state) {
    (void)state;
    disconnect(c);
    outside_close();
    world_close_dir(&w, dir);
    return 0;
}

static struct inst_app *app(void) {
    struct inst_app *found;
    assert_int_equal(inst_app_get(w.server, w.app.id, &found, NULL), INST_OK);
    return found;
}

/* One request with the n-th allocation failing; its status, 0 when there is no answer. *untouched:
 * fewer were needed. */
static int ask(const char *path, const char *body, long n, bool *untouched) {
    char *fields = filled_in(&w, "{app}|{bearer}"), *target = filled_in(&w, path);
    char *sent = expanded(&w, body);
    *strchr(fields, '|') = '\0';
    struct inst_http_field list[] = {{"app-id", fields},
                                     {"authorization", fields + strlen(fields) + 1}};
    struct inst_http_response response;
    struct inst_http_request request = {.method = "POST",
                                        .path = target,
                                        .query = "",
                                        .body = sent,
                                        .body_len = strlen(sent),
                                        .fields = list,
                                        .field_count = 2};
    oom_after(n);
    inst_server_http(w.server, &request, &response);
    *untouched = oom_left > 0;
    oom_off();
    int status = response.body.failed || response.headers.failed ? 0 : response.status;
    if (response.later != NULL)
        inst_http_later_forget(response.later);
    inst_http_response_clear(&response);
    free(fields);
    free(target);
    free(sent);
    return status;
}

static void rest(void) {
    for (int i = 0; i < 100 && inst_server_is_pending(w.server); i++)
        turn(&w);
}

static void changes_are_answered_or_refused(void **state) {
    static const char *const bodies[] = {"{}", "{'after':'now','wait':1}",
                                         "{'etypes':['todos'],'actions':['create'],'limit':2}"};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        say(&w, c,
            "{'op':'transact','client-event-id':'t','tx-steps':[['add-triple','#%u','@todos.id',"
            "'#%u'],['add-triple','#%u','@todos.title','x']]}",
            i, i, i);
        turn(&w);
    }
    for (size_t i = 0; i < 3; i++) {
        bool untouched = false;
        for (long n = 0; !untouched; n++) {
            assert_true(n < MAX_ALLOCATIONS);
            int status = ask("/admin/changes", bodies[i], n, &untouched);
            assert_true(!untouched || status == 200);
            w.now += 2000; /* waits end */
            rest();
        }
    }
}

static void a_webhook_is_made_whole_or_not(void **state) {
    (void)state;
    bool untouched = false;
    for (long n = 0; !untouched; n++) {
        assert_true(n < MAX_ALLOCATIONS);
        struct inst_webhook *first = inst_webhooks_first(app());
        if (first != NULL)
            assert_int_equal(inst_webhook_delete(app(), first, NULL), INST_OK);
        int status =
            ask("/dash/apps/{app}/webhooks",
                "{'url':'" URL "','namespaces':['todos'],'actions':['create']}", n, &untouched);
        if (status == 200)
            assert_non_null(inst_webhooks_first(app()));
        else if (status != 0)
            assert_null(inst_webhooks_first(app()));
        assert_true(!untouched || status == 200);
        rest();
    }
}

static unsigned count_events(const char *id, const char *status) {
    char path[256];
    unsigned count = 0;
    snprintf(path, sizeof path, "/dash/apps/{app}/webhooks/%s/events", id);
    const struct inst_value *list = inst_getz(done(&w, "GET", path, ADMIN, NULL), "events");
    for (uint32_t i = 0; i < list->len; i++)
        count += inst_is_string(inst_getz(&list->u.items[i], "status"), status);
    assert_true(list->len < INST_WEBHOOK_PAGE);
    return count;
}

static void take_all(void) {
    struct inst_outgoing_response response = {.status = 200, .body = "ok", .body_len = 2};
    for (int i = 0; i < 20; i++) {
        w.now += INST_WEBHOOK_STALL_MS + 1;
        rest();
        while (outside.waiting_count > 0) {
            struct question q = outside.waiting[--outside.waiting_count];
            q.done(q.done_ctx, &response, NULL);
        }
    }
}

/* Every event is settled as a success or, where a delivery could not be made, tried again. */
static void what_is_committed_is_told_once(void **state) {
    (void)state;
    const char *made = "{'url':'" URL "','namespaces':['todos'],'actions':['create']}";
    long n = 0;
    for (bool untouched = false; !untouched;) {
        /* A page of events for each webhook. */
        struct inst_webhook *first = inst_webhooks_first(app());
        if (first != NULL)
            assert_int_equal(inst_webhook_delete(app(), first, NULL), INST_OK);
        done(&w, "POST", "/dash/apps/{app}/webhooks", ADMIN, made);
        const char *id = inst_webhooks_first(app())->id;
        int64_t before = app()->last_tx;
        for (int i = 0; i < 50 && !untouched; i++, n++) {
            assert_true(n < MAX_ALLOCATIONS);
            say(&w, c,
                "{'op':'transact','client-event-id':'t','tx-steps':[['add-triple','#%u',"
                "'@todos.id','#%u']]}",
                (unsigned)(1000 + n), (unsigned)(1000 + n));
            inst_app_commit(app());
            oom_after(n);
            inst_server_turn(w.server);
            untouched = oom_left > 0;
            oom_off();
        }
        take_all();
        w.now += 61 * 1000; /* those whose request could not be made */
        take_all();
        assert_int_equal(count_events(id, "success"), app()->last_tx - before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_are_answered_or_refused, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_webhook_is_made_whole_or_not, open_world, close_world),
        cmocka_unit_test_setup_teardown(what_is_committed_is_told_once, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
