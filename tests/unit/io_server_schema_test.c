/*
 * An app's schema over HTTP: shown, planned, pushed (http.md 8.3, 8.4); an operator's apps and how
 * the CLI signs one in (8.1, 8.2). The official programs do the same in tests/e2e.
 */
#include "io_server_http_fixture.h"

#include "server/limits.h"
#include "server/operators.h"

#define SCHEMA                                                                                     \
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','required':false}}},"            \
    "'people':{'attrs':{}}},'links':{}}"
#define APP "/dash/apps/{app}"
#define BEARER "authorization: {bearer}"
#define ID_A "aaaaaaaa-0000-4000-8000-00000000000a"
#define ID_B "bbbbbbbb-0000-4000-8000-00000000000b"

static char folder[32];
static char operator_field[128]; /* a header field */

static int open_world(void **state) {
    struct world *w = malloc(sizeof *w);
    char token[INST_OPERATOR_TOKEN + 1];
    struct inst_err err = {0};
    world_open_dir(w, folder, SCHEMA);
    if (inst_server_add_operator(w->server, "test", token, &err) != INST_OK)
        fail_msg("%s", err.message);
    snprintf(operator_field, sizeof operator_field, "authorization: Bearer %s", token);
    *state = w;
    return 0;
}

static int close_world(void **state) {
    struct world *w = *state;
    world_close_dir(w, folder);
    free(w);
    return 0;
}

/* The app's attr of this name, as its schema/pull shows it; NULL: none. Lives until the next call.
 */
static const struct inst_value *pulled(struct world *w, const char *etype, const char *label) {
    const struct inst_value *all = done(w, "GET", APP "/schema/pull", BEARER, NULL);
    const struct inst_value *attrs = inst_getz(all, "attrs");
    for (uint32_t i = 0; i < attrs->len; i++) {
        const struct inst_value *ident = inst_getz(&attrs->u.items[i], "forward-identity");
        if (inst_is_string(&ident->u.items[1], etype) && inst_is_string(&ident->u.items[2], label))
            return &attrs->u.items[i];
    }
    return NULL;
}

static void id_of(struct world *w, const char *label, char out[INST_UUID_TEXT + 1]) {
    const struct inst_value *id = inst_getz(pulled(w, "todos", label), "id");
    memcpy(out, id->u.str, INST_UUID_TEXT);
    out[INST_UUID_TEXT] = '\0';
}

static void run_jobs(struct world *w) {
    for (int i = 0; i < 1000 && inst_server_is_pending(w->server); i++)
        inst_server_turn(w->server);
    assert_false(inst_server_is_pending(w->server));
}

static void test_pull(void **state) {
    struct world *w = *state;
    const struct inst_value *all = done(w, "GET", APP "/schema/pull", BEARER, NULL);
    assert_int_equal(all->len, 3);
    assert_true(inst_is_string(inst_getz(all, "app-title"), "Test"));
    const struct inst_value *blobs = inst_getz(inst_getz(all, "schema"), "blobs");
    assert_non_null(inst_getz(inst_getz(blobs, "todos"), "title"));
    assert_null(inst_getz(blobs, "$magicCodes"));
    assert_non_null(pulled(w, "$magicCodes", "codeHash")); /* attrs has all */
    const struct inst_value *schema =
        done(w, "GET", "/superadmin/apps/{app}/schema", operator_field, NULL);
    assert_non_null(inst_getz(inst_getz(schema, "schema"), "refs"));
    denied(w, "GET", APP "/schema/pull", "authorization: Bearer " ID_A, NULL, "record-not-found",
           "Record not found: app-admin-token");
    denied(w, "GET", "/dash/apps/" ID_A "/schema/pull", BEARER, NULL, "record-not-found",
           "Record not found: app-admin-token");
}

/* The one deleted attr, a text without an index, as both routes list it (http.md 6.5). */
static void expect_deleted(struct world *w, const char *id) {
    char name[120], id_attr[INST_UUID_TEXT + 1];
    id_of(w, "id", id_attr);
    const struct inst_value *answer = done(w, "GET", APP "/soft_deleted_attrs", BEARER, NULL);
    assert_int_equal(inst_getz(answer, "grace-period-days")->u.num, 2);
    assert_int_equal(inst_getz(answer, "attrs")->len, 1);
    const struct inst_value *attr = &inst_getz(answer, "attrs")->u.items[0];
    assert_true(inst_is_string(inst_getz(attr, "id"), id));
    assert_int_equal(inst_getz(attr, "deletion-marked-at")->tag, INST_STRING);
    const struct inst_value *identity = inst_getz(attr, "forward-identity");
    snprintf(name, sizeof name, "%s_deleted$todos", id);
    assert_true(inst_is_string(&identity->u.items[1], name));
    const struct inst_value *was = inst_getz(inst_getz(attr, "metadata"), "soft_delete_snapshot");
    assert_int_equal(inst_getz(was, "is_indexed")->tag, INST_FALSE);
    assert_int_equal(inst_getz(was, "is_required")->tag, INST_FALSE);
    assert_true(inst_is_string(inst_getz(was, "id_attr_id"), id_attr));
    const struct inst_value *same =
        done(w, "GET", "/admin/soft_deleted_attrs", "app-id: {app}|" BEARER, NULL);
    assert_int_equal(inst_getz(same, "attrs")->len, 1);
    denied(w, "GET", APP "/soft_deleted_attrs", "authorization: Bearer " ID_A, NULL,
           "record-not-found", "Record not found: app-admin-token");
}

static void test_steps(void **state) {
    struct world *w = *state;
    char body[2048], group[INST_UUID_TEXT + 1], path[128], title[INST_UUID_TEXT + 1];
    id_of(w, "title", title);
    snprintf(body, sizeof body,
             "{'steps':["
             "['add-attr',{'id':'" ID_A "','forward-identity':['" ID_A "','todos','n'],"
             "'reverse-identity':null,'inferred-types':null,'value-type':'blob',"
             "'cardinality':'one','index?':false,'required?':false,'unique?':false,"
             "'catalog':'user','checked-data-type':null}],"
             "['index',{'attr-id':'" ID_A "','forward-identity':['" ID_A "','todos','n']}],"
             "['update-attr',{'id':'%s','forward-identity':['%s','todos','name'],"
             "'cardinality':'one'}]]}",
             title, title);
    const struct inst_value *answer = done(w, "POST", APP "/schema/steps/apply", BEARER, body);
    const struct inst_value *steps = inst_getz(answer, "steps");
    const struct inst_value *jobs = inst_getz(answer, "indexing-jobs");
    assert_int_equal(steps->len, 3);
    assert_null(inst_getz(&steps->u.items[0].u.items[1], "job-id"));
    const struct inst_value *job = &inst_getz(jobs, "jobs")->u.items[0];
    assert_true(
        inst_value_equal(inst_getz(&steps->u.items[1].u.items[1], "job-id"), inst_getz(job, "id")));
    assert_true(inst_is_string(inst_getz(job, "attr_name"), "todos.n"));
    assert_true(inst_getz(inst_getz(answer, "transaction"), "id")->u.num > 1);
    memcpy(group, inst_getz(jobs, "group-id")->u.str, INST_UUID_TEXT);
    group[INST_UUID_TEXT] = '\0';
    run_jobs(w);
    snprintf(path, sizeof path, APP "/indexing-jobs/group/%s", group);
    answer = done(w, "GET", path, BEARER, NULL);
    job = &inst_getz(answer, "jobs")->u.items[0];
    assert_true(inst_is_string(inst_getz(job, "job_status"), "completed"));
    assert_true(inst_get_true(pulled(w, "todos", "n"), "index?"));
    assert_null(pulled(w, "todos", "title"));
    assert_non_null(pulled(w, "todos", "name"));

    /* Deleted, and back. */
    snprintf(body, sizeof body, "{'steps':[['delete-attr','%s']]}", title);
    answer = done(w, "POST", APP "/schema/steps/apply", BEARER, body);
    assert_int_equal(inst_getz(answer, "indexing-jobs")->tag, INST_NULL);
    assert_null(pulled(w, "todos", "name"));
    expect_deleted(w, title);
    snprintf(body, sizeof body, "{'steps':[['restore-attr','%s']]}", title);
    done(w, "POST", APP "/schema/steps/apply", BEARER, body);
    assert_non_null(pulled(w, "todos", "name"));
    assert_null(inst_getz(pulled(w, "todos", "name"), "metadata"));
    answer = done(w, "GET", APP "/soft_deleted_attrs", BEARER, NULL);
    assert_int_equal(inst_getz(answer, "attrs")->len, 0);
    answer = done(w, "POST", APP "/schema/steps/apply", BEARER, "{'steps':[]}");
    assert_int_equal(inst_getz(answer, "transaction")->len, 0);
}

/* What cannot be done is said before any of it is done. */
static void test_steps_that_are_refused(void **state) {
    struct world *w = *state;
    static const char path[] = APP "/schema/steps/apply";
    static const char add[] =
        "['add-attr',{'id':'" ID_A "','forward-identity':['" ID_A "','todos','n'],"
        "'value-type':'blob','cardinality':'one','index?':false,'unique?':false}]";
    static const char *const bad[][2] = {
        {"['index',{'attr-id':'x'}]", "Validation failed for steps: `attr-id` must be a uuid."},
        {"['index',null]", "Validation failed for steps: `attr-id` must be a uuid."},
        {"['drop-table',{}]", "Validation failed for steps: Unsupported action."},
        {"['index']", "Validation failed for steps: A step must be a pair of an action and its "
                      "parameters."},
        {"7", "Validation failed for steps: A step must be a pair of an action and its "
              "parameters."},
        {"[7,{}]", "Validation failed for steps: Unsupported action."},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char body[1024];
        snprintf(body, sizeof body, "{'steps':[%s,%s]}", add, bad[i][0]);
        denied(w, "POST", path, BEARER, body, "validation-failed", bad[i][1]);
        assert_null(pulled(w, "todos", "n"));
    }
    denied(w, "POST", path, BEARER, "{}", "param-missing",
           "Missing parameter: [\"body\" \"steps\"]");
    denied(w, "POST", path, BEARER, "{'steps':{}}", "param-malformed",
           "Malformed parameter: [\"body\" \"steps\"]");
    assert_int_equal(call(w, "POST", path, BEARER, "{'steps':[['add-attr',7]]}")->status, 400);
    assert_int_equal(call(w, "POST", path, BEARER, "{'steps':[['update-attr',{}]]}")->status, 400);
}

#define WANTED                                                                                     \
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'number','required':true,"                \
    "'config':{'indexed':true}}}},'people':{'attrs':{}}},'links':{'o':{'forward':{'on':'todos',"   \
    "'label':'owner','has':'one'},'reverse':{'on':'people','label':'todos','has':'many'}}}}"

static void test_plan(void **state) {
    struct world *w = *state;
    static const char *const ops[] = {"index", "required", "check-data-type", "add-attr"};
    const struct inst_value *answer =
        done(w, "POST", APP "/schema/push/plan", BEARER,
             "{'schema':" WANTED ",'check_types':true,'supports_background_updates':true}");
    const struct inst_value *steps = inst_getz(answer, "steps");
    assert_int_equal(steps->len, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(inst_is_string(&steps->u.items[i].u.items[0], ops[i]));
    assert_non_null(inst_getz(inst_getz(inst_getz(answer, "new-schema"), "refs"),
                              "[\"todos\" \"owner\" \"people\" \"todos\"]"));
    assert_non_null(inst_getz(inst_getz(answer, "current-schema"), "blobs"));
    assert_true(inst_getz(answer, "current-attrs")->len > 50);
    assert_null(pulled(w, "todos", "owner")); /* a plan changes nothing */
    denied(w, "POST", APP "/schema/push/plan", BEARER, "{}", "param-missing",
           "Missing parameter: [\"body\" \"schema\"]");
    denied(w, "POST", APP "/schema/push/plan", BEARER, "{'schema':[]}", "param-malformed",
           "Malformed parameter: [\"body\" \"schema\"]");
    denied(w, "POST", APP "/schema/push/plan", BEARER, "{'schema':{'entities':7}}",
           "validation-failed", "Invalid schema: entities must be an object");
}

static void test_apply(void **state) {
    struct world *w = *state;
    const struct inst_value *answer =
        done(w, "POST", "/superadmin/apps/{app}/schema/push/apply", operator_field,
             "{'schema':" WANTED ",'check_types':true,'supports_background_updates':true}");
    assert_int_equal(inst_getz(inst_getz(answer, "indexing-jobs"), "jobs")->len, 3);
    run_jobs(w);
    const struct inst_value *title = pulled(w, "todos", "title");
    assert_true(inst_get_true(title, "index?") && inst_get_true(title, "required?"));
    assert_true(inst_is_string(inst_getz(title, "checked-data-type"), "number"));
    assert_non_null(pulled(w, "todos", "owner"));
    answer = done(w, "POST", APP "/schema/push/apply", BEARER,
                  "{'schema':" WANTED ",'check_types':true}");
    assert_int_equal(inst_getz(answer, "steps")->len, 0);
    assert_int_equal(inst_getz(answer, "indexing-jobs")->tag, INST_NULL);
}

/* ---- apps ---- */

static void refused_operator(struct world *w, const char *method, const char *path,
                             const char *fields, const char *body) {
    struct answer *answer = call(w, method, path, fields, body);
    if (answer->status != 401)
        fail_msg("%s %s: %d %s", method, path, answer->status, answer->text);
    assert_true(
        inst_is_string(inst_getz(&answer->value, "message"), "Record not found: instant-user"));
}

static void test_who_is_an_operator(void **state) {
    struct world *w = *state;
    static const char none[] = "authorization: Bearer per_"
                               "0000000000000000000000000000000000000000000000000000000000000000";
    static const char *const routes[][2] = {
        {"GET", "/dash"},
        {"POST", "/dash/apps"},
        {"DELETE", "/dash/apps/{app}"},
        {"GET", "/superadmin/apps"},
        {"POST", "/superadmin/apps"},
        {"DELETE", "/superadmin/apps/{app}"},
        {"GET", "/superadmin/orgs"},
        {"GET", "/dash/personal_access_tokens"},
        {"POST", "/dash/personal_access_tokens"},
        {"DELETE", "/dash/personal_access_tokens/" ID_A},
        {"POST", "/dash/cli/auth/claim"},
        {"POST", "/dash/cli/auth/void"},
        {"POST", "/dash/apps/ephemeral/{app}/claim"},
        {"POST", "/dash/apps/{app}/track-import"},
        {"GET", "/dash/orgs/" ID_A},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        refused_operator(w, routes[i][0], routes[i][1], none, "{}");
        refused_operator(w, routes[i][0], routes[i][1], BEARER, "{}"); /* of one app only */
        assert_int_equal(call(w, routes[i][0], routes[i][1], "", "{}")->status, 400);
    }
    refused_operator(w, "GET", "/dash/apps/{app}", none, NULL);
    refused_operator(w, "POST", "/admin/query?app_id={app}", none, "{'query':{}}");
    done(w, "POST", "/admin/query?app_id={app}", operator_field, "{'query':{}}");
    const struct inst_value *me = done(w, "GET", "/dash/me", BEARER, NULL);
    assert_true(inst_is_string(inst_getz(inst_getz(me, "user"), "email"), "operator@localhost"));
    done(w, "GET", "/dash/me", operator_field, NULL);
    refused_operator(w, "GET", "/dash/me", "authorization: Bearer " ID_A, NULL);
}

static size_t app_count(struct world *w) {
    return inst_getz(done(w, "GET", "/dash", operator_field, NULL), "apps")->len;
}

static void test_apps(void **state) {
    struct world *w = *state;
    const struct inst_value *app =
        inst_getz(done(w, "POST", "/dash/apps", operator_field,
                       "{'id':'" ID_A "','title':' Mine ','admin_token':'" ID_B "','org_id':null,"
                       "'rules':{'code':{'x':{'allow':{'view':'false'}}}}}"),
                  "app");
    assert_true(inst_is_string(inst_getz(app, "title"), "Mine"));
    assert_true(inst_is_string(inst_getz(app, "admin-token"), ID_B));
    assert_int_equal(app_count(w), 2);
    denied(w, "POST", "/dash/apps", operator_field,
           "{'id':'" ID_A "','title':'Again','admin_token':'" ID_B "'}", "record-not-unique",
           "Record not unique: app " ID_A);
    denied(w, "POST", "/dash/apps", operator_field, "{'id':'" ID_A "','title':'x'}",
           "param-missing", "Missing parameter: [\"body\" \"admin_token\"]");
    denied(w, "POST", "/dash/apps", operator_field,
           "{'id':'x','title':'x','admin_token':'" ID_B "'}", "param-malformed",
           "Malformed parameter: [\"body\" \"id\"]");
    static const char bearer[] = "authorization: Bearer " ID_B;
    expect_body(w, done(w, "GET", "/dash/apps/" ID_A "/perms/pull", bearer, NULL),
                "{'perms':{'x':{'allow':{'view':'false'}}}}");
    done(w, "POST", "/dash/apps/" ID_A "/rename", bearer, "{'title':'Named anew'}");
    app = inst_getz(done(w, "GET", "/dash/apps/" ID_A, bearer, NULL), "app");
    assert_true(inst_is_string(inst_getz(app, "title"), "Named anew"));
    done(w, "POST", "/dash/apps/" ID_A "/tokens", bearer,
         "{'admin-token':'cccccccc-0000-4000-8000-00000000000c'}");
    denied(w, "GET", "/dash/apps/" ID_A, bearer, NULL, "record-not-found",
           "Record not found: app-admin-token");

    expect_body(w, done(w, "DELETE", "/dash/apps/" ID_A, operator_field, NULL), "{'ok':true}");
    assert_int_equal(app_count(w), 1);
    denied(w, "GET", "/dash/apps/" ID_A, operator_field, NULL, "record-not-found",
           "Record not found: app");
    denied(w, "DELETE", "/dash/apps/" ID_A, operator_field, NULL, "record-not-found",
           "Record not found: app");
    denied(w, "POST", "/dash/apps", operator_field,
           "{'id':'" ID_A "','title':'Again','admin_token':'" ID_B "'}", "record-not-unique",
           "Record not unique: app " ID_A);
}

/* Who is in it is sent away, and it is closed when they are gone. */
static void test_an_app_in_use_is_removed(void **state) {
    struct world *w = *state;
    struct connection *c = enter(w, false);
    done(w, "DELETE", "/superadmin/apps/{app}", operator_field, NULL);
    assert_true(c->is_closed);
    disconnect(c);
    inst_server_turn(w->server);
    struct inst_server_stats stats;
    inst_server_stats(w->server, &stats);
    assert_int_equal(stats.sessions, 0);
    char body[64];
    snprintf(body, sizeof body, "{'app-id':'%s'}", w->app.id);
    denied(w, "POST", "/runtime/auth/sign_in_guest", "", body, "record-not-found",
           "Record not found: app");
}

static void test_claim(void **state) {
    struct world *w = *state;
    char path[128], body[128], id[INST_UUID_TEXT + 1], token[INST_UUID_TEXT + 1];
    const struct inst_value *app =
        inst_getz(done(w, "POST", "/dash/apps/ephemeral", "", "{'title':'For now'}"), "app");
    snprintf(id, sizeof id, "%.36s", inst_getz(app, "id")->u.str);
    snprintf(token, sizeof token, "%.36s", inst_getz(app, "admin-token")->u.str);
    snprintf(path, sizeof path, "/dash/apps/ephemeral/%s/claim", id);
    snprintf(body, sizeof body, "{'app_id':'%s','token':'" ID_A "'}", id);
    denied(w, "POST", path, operator_field, body, "record-not-found",
           "Record not found: app-admin-token");
    snprintf(body, sizeof body, "{'app_id':'%s','token':'%s'}", id, token);
    done(w, "POST", path, operator_field, body);
    snprintf(path, sizeof path, "/dash/apps/ephemeral/%s", id);
    denied(w, "GET", path, "", NULL, "record-not-found", "Record not found: app");
}

static void test_tokens(void **state) {
    struct world *w = *state;
    char field[128], path[128];
    const struct inst_value *data = inst_getz(
        done(w, "POST", "/dash/personal_access_tokens", operator_field, "{'name':'laptop'}"),
        "data");
    snprintf(field, sizeof field, "authorization: Bearer %.68s", inst_getz(data, "token")->u.str);
    snprintf(path, sizeof path, "/dash/personal_access_tokens/%.36s", inst_getz(data, "id")->u.str);
    const struct inst_value *list =
        inst_getz(done(w, "GET", "/dash/personal_access_tokens", field, NULL), "data");
    assert_int_equal(list->len, 2);
    assert_null(inst_getz(&list->u.items[1], "token"));
    done(w, "DELETE", path, operator_field, NULL);
    refused_operator(w, "GET", "/dash", field, NULL);
}

/* ---- signing in ---- */

struct login {
    char secret[INST_UUID_TEXT + 1], ticket[INST_UUID_TEXT + 1];
    char check[128], ticket_body[128]; /* bodies */
};

static void start_login(struct world *w, struct login *login) {
    const struct inst_value *answer = done(w, "POST", "/dash/cli/auth/register", "", NULL);
    snprintf(login->secret, sizeof login->secret, "%.36s", inst_getz(answer, "secret")->u.str);
    snprintf(login->ticket, sizeof login->ticket, "%.36s", inst_getz(answer, "ticket")->u.str);
    snprintf(login->check, sizeof login->check, "{'secret':'%s'}", login->secret);
    snprintf(login->ticket_body, sizeof login->ticket_body, "{'ticket':'%s'}", login->ticket);
}

static void expect_issue(struct world *w, const struct login *login, const char *issue) {
    struct answer *answer = call(w, "POST", "/dash/cli/auth/check", "", login->check);
    assert_int_equal(answer->status, 400);
    const struct inst_value *errors = inst_getz(inst_getz(&answer->value, "hint"), "errors");
    assert_true(inst_is_string(inst_getz(&errors->u.items[0], "issue"), issue));
}

static void test_login(void **state) {
    struct world *w = *state;
    struct login one, two;
    char field[128];
    start_login(w, &one);
    start_login(w, &two);
    expect_issue(w, &one, "waiting-for-user");
    done(w, "POST", "/dash/cli/auth/claim", operator_field, one.ticket_body);
    done(w, "POST", "/dash/cli/auth/void", operator_field, two.ticket_body);
    expect_issue(w, &two, "user-voided-request");
    const struct inst_value *answer = done(w, "POST", "/dash/cli/auth/check", "", one.check);
    snprintf(field, sizeof field, "authorization: Bearer %.68s", inst_getz(answer, "token")->u.str);
    done(w, "GET", "/dash", field, NULL);
    expect_issue(w, &one, "user-already-claimed"); /* it is given out once */
    assert_int_equal(
        call(w, "POST", "/dash/cli/auth/claim", operator_field, one.ticket_body)->status, 400);
    denied(w, "POST", "/dash/cli/auth/check", "", "{'secret':'" ID_A "'}", "record-not-found",
           "Record not found: instant-cli-login");
    /* The ticket, which the browser's address shows, fetches nothing. */
    start_login(w, &one);
    done(w, "POST", "/dash/cli/auth/claim", operator_field, one.ticket_body);
    snprintf(field, sizeof field, "{'secret':'%s'}", one.ticket);
    denied(w, "POST", "/dash/cli/auth/check", "", field, "record-not-found",
           "Record not found: instant-cli-login");
}

static void test_login_expires(void **state) {
    struct world *w = *state;
    struct login login;
    start_login(w, &login);
    w->now += INST_SERVER_LOGIN_MS;
    denied(w, "POST", "/dash/cli/auth/check", "", login.check, "record-expired",
           "Record expired: instant-cli-login");
    denied(w, "POST", "/dash/cli/auth/claim", operator_field, login.ticket_body, "record-expired",
           "Record expired: instant-cli-login");
}

static void test_logins_are_few(void **state) {
    struct world *w = *state;
    struct login first, last;
    start_login(w, &first);
    for (unsigned i = 0; i < INST_SERVER_MAX_LOGINS; i++)
        start_login(w, &last);
    denied(w, "POST", "/dash/cli/auth/check", "", first.check, "record-not-found",
           "Record not found: instant-cli-login");
    expect_issue(w, &last, "waiting-for-user");
}

static void test_login_page(void **state) {
    struct world *w = *state;
    struct login login;
    char path[128], form[512];
    start_login(w, &login);
    snprintf(path, sizeof path, "/dash?ticket=%s", login.ticket);
    struct answer *page = call(w, "GET", path, "", NULL);
    assert_int_equal(page->status, 200);
    assert_non_null(strstr(page->text, login.ticket));
    assert_int_equal(call(w, "GET", "/dash?ticket=%3Cscript%3E", "", NULL)->status, 400);
    assert_int_equal(call(w, "GET", "/dash?ticket=" ID_A, "", NULL)->status, 400);
    const char *token = operator_field + strlen("authorization: Bearer ");
    snprintf(form, sizeof form, "ticket=%s&token=per_1&answer=approve", login.ticket);
    assert_int_equal(call(w, "POST", "/dash/cli/auth/decide", "", form)->status, 401);
    snprintf(form, sizeof form, "ticket=%s&answer=approve", login.ticket);
    assert_int_equal(call(w, "POST", "/dash/cli/auth/decide", "", form)->status, 400);
    expect_issue(w, &login, "waiting-for-user");
    snprintf(form, sizeof form, "ticket=%s&token=%s&answer=approve", login.ticket, token);
    assert_int_equal(call(w, "POST", "/dash/cli/auth/decide", "", form)->status, 200);
    done(w, "POST", "/dash/cli/auth/check", "", login.check);
    start_login(w, &login);
    snprintf(form, sizeof form, "ticket=%s&token=%s&answer=refuse", login.ticket, token);
    assert_int_equal(call(w, "POST", "/dash/cli/auth/decide", "", form)->status, 200);
    expect_issue(w, &login, "user-voided-request");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(test_pull),
        TEST(test_steps),
        TEST(test_steps_that_are_refused),
        TEST(test_plan),
        TEST(test_apply),
        TEST(test_who_is_an_operator),
        TEST(test_apps),
        TEST(test_an_app_in_use_is_removed),
        TEST(test_claim),
        TEST(test_tokens),
        TEST(test_login),
        TEST(test_login_expires),
        TEST(test_logins_are_few),
        TEST(test_login_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
