/*
 * The admin API's queries, transactions and schema: who may, what is answered, what is refused and
 * how (http.md 6, session.md 7.1).
 */
#include "io_server_http_fixture.h"

#include "base/digest.h"

#define SCHEMA                                                                                     \
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','config':{'indexed':true}},"     \
    "'slug':{'valueType':'string','config':{'unique':true,'indexed':true}}}}},"                    \
    "'links':{'owner':{'forward':{'on':'todos','label':'owner','has':'one'},"                      \
    "'reverse':{'on':'$users','label':'todos','has':'many'}}}}"

#define OTHER "aaaaaaaa-0000-4000-8000-000000000001"
#define TOKEN "bbbbbbbb-0000-4000-8000-000000000001"

static char folder[32];

static int open_world(void **state) {
    struct world *w = malloc(sizeof *w);
    struct inst_uuid token;
    char hash[INST_SHA256_HEX + 1], steps[1024];
    world_open_dir(w, folder, SCHEMA);
    w->admin = enter(w, true);
    inst_uuid_parse(TOKEN, INST_UUID_TEXT, &token);
    inst_sha256_hex(token.bytes, sizeof token.bytes, hash);
    snprintf(steps, sizeof steps,
             "[['add-triple','#1','@$users.id','#1'],['add-triple','#1','@$users.email','a@b.c'],"
             "['add-triple','#2','@$users.id','#2'],['add-triple','#2','@$users.email','b@b.c'],"
             "['add-triple','#9','@$userRefreshTokens.id','#9'],"
             "['add-triple','#9','@$userRefreshTokens.hashedToken','%s'],"
             "['add-triple','#9','@$userRefreshTokens.$user','#1'],"
             "['add-triple','#11','@todos.id','#11'],['add-triple','#11','@todos.title','one'],"
             "['add-triple','#11','@todos.owner','#1']]",
             hash);
    transact(w, w->admin, steps);
    forget_messages(w->admin);
    *state = w;
    return 0;
}

static int close_world(void **state) {
    struct world *w = *state;
    disconnect(w->admin);
    world_close_dir(w, folder);
    free(w);
    return 0;
}

static void test_query(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/query?app_id={app}";
    expect_body(w, done(w, "POST", path, ADMIN, "{'query':{'todos':{}}}"),
                "{'todos':[{'id':'#11','title':'one','owner':'#1','slug':null}]}");
    expect_body(w,
                done(w, "POST", path, ADMIN,
                     "{'query':{'todos':{'$':{'fields':['title']},'owner':{'$':{'fields':["
                     "'email']}}}},'inference?':false}"),
                "{'todos':[{'title':'one','id':'#11','owner':[{'email':'a@b.c','id':'#1'}]}]}");
    expect_body(w,
                done(w, "POST", path, ADMIN,
                     "{'query':{'todos':{'$':{'fields':['title']},'owner':{'$':{'fields':["
                     "'email']}}},'$users':{'$':{'where':{'email':'b@b.c'},'fields':['email']},"
                     "'todos':{}}},'inference?':true,'versions':{}}"),
                "{'todos':[{'title':'one','id':'#11','owner':{'email':'a@b.c','id':'#1'}}],"
                "'$users':[{'email':'b@b.c','id':'#2','todos':[]}]}");
    /* the app id in the query alone, as some clients send it; ruleParams are not data */
    expect_body(w,
                done(w, "POST", path, "authorization: {bearer}",
                     "{'query':{'$$ruleParams':{'a':1},'todos':{'$':{'where':{'title':'x'}}}}}"),
                "{'todos':[]}");
    expect_body(w, done(w, "POST", path, ADMIN, "{'query':{}}"), "{}");
    expect_body(w, done(w, "POST", path, ADMIN, "{'query':{'nothing':{}}}"), "{'nothing':[]}");
    expect_body(w,
                done(w, "POST", path, ADMIN,
                     "{'query':{'todos':{'$':{'first':1,'order':{'title':'desc'},"
                     "'fields':['title']}}}}"),
                "{'todos':[{'title':'one','id':'#11'}]}");
}

static void test_query_refusals(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/query";
    denied(w, "POST", path, ADMIN, "{}", "param-missing",
           "Missing parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, ADMIN, "{'query':null}", "param-missing",
           "Missing parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, ADMIN, "{'query':[]}", "param-malformed",
           "Malformed parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, ADMIN, "{'query':'x'}", "param-malformed",
           "Malformed parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, ADMIN, "[]", "param-malformed", "Malformed parameter: [\"body\"]");
    denied(w, "POST", path, ADMIN, "{'query':", "param-malformed",
           "Malformed parameter: [\"body\"]");
    denied(w, "POST", path, ADMIN, NULL, "param-malformed", "Malformed parameter: [\"body\"]");
    const struct inst_value *error =
        denied(w, "POST", path, ADMIN, "{'query':{'todos':{'owner':[]}}}", "validation-failed",
               "Validation failed for query");
    expect_body(w, &inst_getz(inst_getz(error, "hint"), "errors")->u.items[0],
                "{'expected':'map?','in':['todos','owner']}");
}

static void test_transact(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/transact";
    struct connection *c = enter(w, false);
    say(w, c,
        "{'op':'add-query','client-event-id':'q','return-type':'tree','q':{'todos':{'$':{"
        "'fields':['title']}}}}");
    turn(w);
    expect(c, "add-query-ok");
    const struct inst_value *answer =
        done(w, "POST", path, ADMIN,
             "{'steps':[['create','todos','#12',{'title':'two','slug':'s'}]],"
             "'throw-on-missing-attrs?':true}");
    assert_true(inst_getz(answer, "tx-id")->u.num > 1);
    assert_int_equal(answer->len, 1);
    done(w, "POST", path, ADMIN,
         "{'steps':[['link','todos',['slug','s'],{'owner':{'email':'b@b.c'}}]]}");
    expect_state(w, 12, "todos.id=#12 todos.owner=#2 todos.slug='s' todos.title='two'");
    expect(c, "refresh-ok"); /* before any turn */
    /* attrs on the fly */
    done(w, "POST", path, ADMIN,
         "{'steps':[['update','posts','#20',{'n':1}],['link','posts','#20',{'tags':'#21'}]]}");
    expect_state(w, 20, "posts.id=#20 posts.n=1 posts.tags=#21");
    denied(w, "POST", path, ADMIN,
           "{'steps':[['update','posts','#20',{'m':1}]],'throw-on-missing-attrs?':true}",
           "validation-failed",
           "Validation failed for steps: Attributes are missing in your schema");
    denied(w, "POST", path, ADMIN, "{'steps':[['create','todos','#12',{}]]}", "validation-failed",
           "Validation failed for tx-step: Creating entities that exist: #12");
    denied(w, "POST", path, ADMIN,
           "{'steps':[['update','todos','#99',{'title':'x'},{'upsert':false}]]}",
           "validation-failed",
           "Validation failed for tx-step: Updating entities that don't exist: #99, #99");
    denied(w, "POST", path, ADMIN, "{'steps':[['update','todos','#12',{'title':5}]]}",
           "validation-failed",
           "Invalid value type for todos.title. Value must be a string but the provided value type "
           "is number.");
    expect_state(w, 12, "todos.id=#12 todos.owner=#2 todos.slug='s' todos.title='two'");
    done(w, "POST", path, ADMIN,
         "{'steps':[['unlink','todos','#12',{'owner':'#2'}],['delete','todos','#11',null],"
         "['ruleParams','todos','#12',{}],['update','todos','#12',{'title':'2'},{'upsert':"
         "true}]]}");
    expect_state(w, 12, "todos.id=#12 todos.slug='s' todos.title='2'");
    expect_state(w, 11, "");
    disconnect(c);
}

static void test_transact_refusals(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/transact";
    denied(w, "POST", path, ADMIN, "{}", "param-missing",
           "Missing parameter: [\"body\" \"steps\"]");
    denied(w, "POST", path, ADMIN, "{'steps':7}", "param-malformed",
           "Malformed parameter: [\"body\" \"steps\"]");
    denied(w, "POST", path, ADMIN, "{'steps':[['updatez','todos','#1',{}]]}", "validation-failed",
           "Validation failed for steps");
    denied(w, "POST", path, ADMIN, "{'steps':[['delete','todos','x']]}", "validation-failed",
           "Validation failed for steps: Invalid entity ID 'x'. Entity IDs must be UUIDs or lookup "
           "references.");
    denied(w, "POST", path, ADMIN, "{'steps':[['update-attr',{'id':'#1'}]]}", "validation-failed",
           "Validation failed for action: Unsupported action update-attr");
    /* the attr of a step is judged as any other */
    denied(w, "POST", path, ADMIN, "{'steps':[['add-attr',{'id':'#1'}]]}", "validation-failed",
           "Validation failed for tx-steps");
    denied(w, "POST", path, "app-id: {app}|as-guest: true",
           "{'steps':[['update','$users','#5',{'email':'x@y.z'}]]}", "validation-failed",
           "Validation failed for tx-step: $users.email is a system column. You aren't allowed to "
           "change this directly.");
}

/* ---- debugQuery, debugTransact ---- */

#define GUEST ADMIN "|as-guest: true"

static const struct inst_value *check_of(const struct inst_value *answer, const char *action,
                                         unsigned n) {
    const struct inst_value *list = inst_getz(answer, "check-results");
    const struct inst_value *found = NULL;
    for (uint32_t i = 0; i < list->len; i++) {
        const struct inst_value *check = &list->u.items[i], *eid = inst_getz(check, "eid");
        if (!inst_is_string(inst_getz(check, "action"), action))
            continue;
        if (n == 0 || (eid != NULL && inst_is_string(eid, uuid_text(n)))) {
            assert_null(found); /* each once */
            found = check;
        }
    }
    return found;
}

static void test_debug_query(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/query_perms_check?app_id={app}";
    const struct inst_value *answer =
        done(w, "POST", path, ADMIN "|as-email: a@b.c",
             "{'query':{'todos':{'$':{'fields':['title']},'owner':{}},'$files':{}},'inference?':"
             "true}");
    expect_body(w, answer,
                "{'result':{'todos':[{'title':'one','id':'#11','owner':{'id':'#1','email':'a@b.c'}}"
                "],'$files':[]},"
                "'check-results':[{'id':'#11','entity':'todos','label':null,'record':{'id':'#11',"
                "'title':'one','slug':null,'owner':'#1'},'program':{},'check':true},"
                "{'id':'#1','entity':'$users','label':null,'record':{'id':'#1','email':'a@b.c'},"
                "'program':{'code':'auth.id == data.id || (data.linkedPrimaryUser != null && "
                "auth.id == data.linkedPrimaryUser)','display-code':'auth.id == data.id || "
                "(data.linkedPrimaryUser != null && auth.id == data.linkedPrimaryUser)',"
                "'etype':'$users','action':'view'},'check':true}],'rule-wheres':{'$users':"
                "{'short-circuit?':false,'where-clauses':{'or':[{'id':'#1'},"
                "{'and':[{'linkedPrimaryUser':{'$isNull':false}},{'linkedPrimaryUser':'#1'}]}]},"
                "'rate-limits':{}},"
                "'$files':{'short-circuit?':true,'where-clauses':null,'rate-limits':{}}}}");
    answer = done(w, "POST", path, GUEST, "{'query':{'$userRefreshTokens':{}}}");
    expect_body(w, inst_getz(answer, "result"), "{'$userRefreshTokens':[]}");
    expect_body(w, inst_getz(&inst_getz(answer, "check-results")->u.items[0], "program"),
                "{'code':'false','display-code':'disallow_view_on_system_tables',"
                "'etype':'$userRefreshTokens','action':'view'}");
    assert_int_equal(inst_getz(&inst_getz(answer, "check-results")->u.items[0], "check")->tag,
                     INST_FALSE);
    /* $$ruleParams and empty overrides are taken */
    done(w, "POST", path, GUEST,
         "{'query':{'$$ruleParams':{'a':1},'todos':{}},'rules-override':{},'ip-override':'1.2.3.4',"
         "'origin-override':'https://x'}");
    answer = done(w, "POST", path, GUEST,
                  "{'query':{'todos':{}},'rules-override':{'todos':{'allow':{'view':"
                  "'request.ip + request.origin'}}},'ip-override':'1.2.3.4',"
                  "'origin-override':'https://x'}");
    expect_text(inst_getz(&inst_getz(answer, "check-results")->u.items[0], "check"),
                "1.2.3.4https://x");
    /* what became conditions of the query: of every namespace that it reads, also on the way of
     * a condition; not of a rule that is asked entity by entity */
    answer = done(w, "POST", path, GUEST,
                  "{'query':{'todos':{'$':{'where':{'owner.email':'x'}}},'$files':{}},"
                  "'rules-override':{'todos':{'allow':{'view':'size(data.title) > 1'}},"
                  "'$users':{'allow':{'view':'true'}},'$files':{'allow':{'view':"
                  "'data.path == ruleParams.path'}}}}");
    expect_body(w, inst_getz(answer, "rule-wheres"),
                "{'$users':{'short-circuit?':false,'where-clauses':null,'rate-limits':{}},"
                "'$files':{'short-circuit?':false,'where-clauses':{'path':{'$isNull':true}},"
                "'rate-limits':{}}}");
    /* here a rule that fails says what the evaluator does */
    struct answer *failed = call(w, "POST", path, GUEST,
                                 "{'query':{'todos':{}},'rules-override':{'todos':{'allow':{'view':"
                                 "'1 / (size(data.title) - 3) > 0'}}}}");
    assert_int_equal(failed->status, 400);
    expect_text(inst_getz(&failed->value, "message"),
                "Could not evaluate permission rule for `todos.view`. evaluation error at "
                "<input>:2: / by zero. Debug this in the sandbox and then update your permission "
                "rules.");
    expect_text(inst_getz(inst_getz(inst_getz(&failed->value, "hint"), "error"), "hint"),
                "evaluation error at <input>:2: / by zero");
}

static void test_debug_transact(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/transact_perms_check";
    const struct inst_value *answer = done(
        w, "POST", path, GUEST,
        "{'steps':[['update','todos','#11',{'title':'new'}],['create','todos','#12',{'title':'x',"
        "'slug':'s'}],['ruleParams','todos','#11',{'k':1}],['link','todos','#12',{'owner':'#1'}],"
        "['delete','todos','#99']]}");
    assert_true(inst_getz(answer, "tx-id")->u.num > 1);
    assert_true(inst_getz(answer, "all-checks-ok?")->tag == INST_FALSE); /* view of $users */
    assert_true(inst_getz(answer, "committed?")->tag == INST_FALSE);
    const struct inst_value *update = check_of(answer, "update", 11);
    expect_body(w, update,
                "{'scope':'object','action':'update','etype':'todos','eid':'#11','program':{},"
                "'bindings':{'data':{'id':'#11','title':'one','slug':null,'owner':'#1'},"
                "'new-data':{'id':'#11','title':'new','slug':null,'owner':'#1'},"
                "'rule-params':{'k':1},'modified-fields':['title']},"
                "'check-result':true,'check-pass?':true}");
    expect_body(w, inst_getz(inst_getz(check_of(answer, "create", 12), "bindings"), "data"),
                "{'id':'#12','title':'x','slug':'s','owner':'#1'}");
    assert_true(inst_getz(check_of(answer, "view", 1), "check-pass?")->tag == INST_FALSE);
    expect_body(w, inst_getz(check_of(answer, "delete", 99), "bindings"),
                "{'data':null,'rule-params':null}");
    /* nothing stays of it: neither rows nor tx-ids nor attrs */
    expect_state(w, 11, "todos.id=#11 todos.owner=#1 todos.slug=null todos.title='one'");
    expect_state(w, 12, "");
    answer = done(w, "POST", path, GUEST, "{'steps':[['create','nothing','#13',{'n':1}]]}");
    assert_true(inst_getz(answer, "all-checks-ok?")->tag == INST_TRUE);
    assert_non_null(check_of(answer, "create", 13));
    double tx = inst_getz(answer, "tx-id")->u.num;
    assert_null(inst_getz(
        inst_getz(inst_getz(done(w, "GET", "/admin/schema", ADMIN, NULL), "schema"), "blobs"),
        "nothing"));
    /* lookups: of what is there, and of what is made */
    answer = done(w, "POST", path, GUEST,
                  "{'steps':[['update','todos',['slug','q'],{'title':'made'}]],"
                  "'dangerously-commit-tx':true}");
    assert_true(inst_getz(answer, "committed?")->tag == INST_TRUE);
    assert_true(inst_getz(answer, "tx-id")->u.num == tx);
    const struct inst_value *made = check_of(answer, "create", 0);
    assert_int_equal(inst_getz(made, "eid")->len, INST_UUID_TEXT);
    answer = done(w, "POST", path, GUEST,
                  "{'steps':[['update','todos',['slug','q'],{'title':'again'}]]}");
    const struct inst_value *found = check_of(answer, "update", 0);
    assert_int_equal(inst_getz(found, "eid")->len, INST_UUID_TEXT);
    expect_text(inst_getz(inst_getz(inst_getz(found, "bindings"), "data"), "title"), "made");
    /* failed checks keep it from being committed */
    answer = done(w, "POST", path, GUEST,
                  "{'steps':[['link','todos','#11',{'owner':'#2'}]],'dangerously-commit-tx':true}");
    assert_true(inst_getz(answer, "committed?")->tag == INST_FALSE);
    expect_state(w, 11, "todos.id=#11 todos.owner=#1 todos.slug=null todos.title='one'");
    /* what fails, fails as it would without checks */
    denied(w, "POST", path, GUEST, "{'steps':[['create','todos','#11',{}]]}", "validation-failed",
           "Validation failed for tx-step: Creating entities that exist: #11");
    denied(w, "POST", path, GUEST,
           "{'steps':[['update','todos','#11',{'zz':1}]],'throw-on-missing-attrs?':true}",
           "validation-failed",
           "Validation failed for steps: Attributes are missing in your schema");
}

static void test_debug_refusals(void **state) {
    struct world *w = *state;
    static const struct {
        const char *path, *name, *body;
    } debug[] = {{"/admin/query_perms_check", "query", "{'query':{'todos':{}}"},
                 {"/admin/transact_perms_check", "steps", "{'steps':[]"}};
    for (size_t i = 0; i < 2; i++) {
        char body[128], message[64];
        snprintf(body, sizeof body, "%s}", debug[i].body);
        denied(w, "POST", debug[i].path, ADMIN, body, "validation-failed",
               "Validation failed for non-admin: Cannot test perms as admin");
        denied(w, "POST", debug[i].path, "app-id: {app}|as-guest: true", body, "param-missing",
               "Missing parameter: [\"headers\" \"authorization\"]");
        denied(w, "POST", debug[i].path, ADMIN "|as-token: " OTHER, body, "record-not-found",
               "Record not found: app-user");
        snprintf(body, sizeof body, "%s,'rules-override':{'todos':{'allow':{'view':'nope'}}}}",
                 debug[i].body);
        denied(w, "POST", debug[i].path, GUEST, body, "validation-failed",
               "Validation failed for rule: undeclared reference to 'nope' (in container '')");
        snprintf(body, sizeof body, "%s,'rules-override':[]}", debug[i].body);
        denied(w, "POST", debug[i].path, GUEST, body, "param-malformed",
               "Malformed parameter: [\"body\" \"rules-override\"]");
        snprintf(body, sizeof body, "%s,'ip-override':[]}", debug[i].body);
        denied(w, "POST", debug[i].path, GUEST, body, "param-malformed",
               "Malformed parameter: [\"body\" \"ip-override\"]");
        snprintf(body, sizeof body, "%s,'origin-override':' '}", debug[i].body);
        denied(w, "POST", debug[i].path, GUEST, body, "param-malformed",
               "Malformed parameter: [\"body\" \"origin-override\"]");
        snprintf(message, sizeof message, "Missing parameter: [\"body\" \"%s\"]", debug[i].name);
        denied(w, "POST", debug[i].path, GUEST, "{}", "param-missing", message);
        snprintf(body, sizeof body, "{'%s':7}", debug[i].name);
        snprintf(message, sizeof message, "Malformed parameter: [\"body\" \"%s\"]", debug[i].name);
        denied(w, "POST", debug[i].path, GUEST, body, "param-malformed", message);
    }
}

/* Every route that acts for somebody, each with a body that it would take. */
static const struct {
    const char *path, *body;
} routes[] = {
    {"/admin/query", "{'query':{}}"},
    {"/admin/transact", "{'steps':[]}"},
};

static void test_who(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const char *path = routes[i].path, *body = routes[i].body;
        denied(w, "POST", path, "authorization: {bearer}", body, "param-missing",
               "Missing parameter: [\"headers\" \"app-id\"]");
        denied(w, "POST", path, "app-id: x|authorization: {bearer}", body, "param-malformed",
               "Malformed parameter: [\"headers\" \"app-id\"]");
        denied(w, "POST", path, "app-id: {app}", body, "param-missing",
               "Missing parameter: [\"headers\" \"authorization\"]");
        denied(w, "POST", path, "app-id: {app}|authorization: Bearer " TOKEN, body,
               "record-not-found", "Record not found: app-admin-token");
        denied(w, "POST", path, "app-id: " TOKEN "|authorization: {bearer}", body,
               "record-not-found", "Record not found: app-admin-token");
        denied(w, "POST", path, "app-id: {app}|as-email: a@b.c", body, "param-missing",
               "Missing parameter: [\"headers\" \"authorization\"]");
        denied(w, "POST", path, ADMIN "|as-email: nobody@b.c", body, "record-not-found",
               "Record not found: app-user");
        denied(w, "POST", path, "app-id: {app}|as-token: x", body, "param-malformed",
               "Malformed parameter: [\"asUser\" \"token\"]");
        denied(w, "POST", path, ADMIN "|as-token: aaaaaaaa-0000-4000-8000-000000000001", body,
               "record-not-found", "Record not found: app-user");
        denied(w, "POST", path, "app-id: " TOKEN "|as-guest: true", body, "record-not-found",
               "Record not found: app");
        denied(w, "POST", path, "app-id: " TOKEN "|as-token: " TOKEN, body, "record-not-found",
               "Record not found: app");
        done(w, "POST", path, ADMIN, body);
        done(w, "POST", path, "app-id: {app}|as-guest: true", body);
        done(w, "POST", path, "app-id: {app}|as-token: " TOKEN, body);
        done(w, "POST", path, ADMIN "|as-email: a@b.c", body);
    }
}

/* What each of them sees says who it is; as-token wins over as-email, that over as-guest. */
static void test_impersonation(void **state) {
    struct world *w = *state;
    static const char query[] = "{'query':{'$users':{'$':{'fields':['email']}}}}";
    static const char one[] = "{'$users':[{'email':'a@b.c','id':'#1'}]}";
    static const char two[] = "{'$users':[{'email':'b@b.c','id':'#2'}]}";
    static const char path[] = "/admin/query";
    expect_body(w, done(w, "POST", path, "app-id: {app}|as-guest: true", query), "{'$users':[]}");
    expect_body(w, done(w, "POST", path, "app-id: {app}|as-token:  " TOKEN " ", query), one);
    expect_body(w, done(w, "POST", path, ADMIN "|as-email: B@b.C", query), two);
    expect_body(w, done(w, "POST", path, ADMIN "|as-email: b@b.c|as-token: " TOKEN, query), one);
    expect_body(w, done(w, "POST", path, ADMIN "|as-guest: true|as-email: b@b.c", query), two);
    assert_int_equal(inst_getz(done(w, "POST", path, ADMIN, query), "$users")->len, 2);
    denied(
        w, "POST", path, "app-id: {app}|as-guest: true",
        "{'query':{'todos':{'$':{'aggregate':'count'}}}}", "validation-failed",
        "Validation failed for query: Aggregates are currently only available for admin queries.");
}

/* ---- what web servers ask, for their users (http.md 7.4) ---- */

/* The rows of a session's result, and the attrs of its init-ok. */
static void test_framework_query(void **state) {
    struct world *w = *state;
    static const char path[] = "/runtime/framework/query";
    static const char query[] = "{'query':{'$users':{'$':{'fields':['email'],'limit':2}}}}";
    static const char *const tokens[] = {TOKEN, "undefined", OTHER, "no-uuid"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        char fields[128];
        snprintf(fields, sizeof fields, "app-id: {app}|authorization: Bearer %s", tokens[i]);
        const struct inst_value *body = done(w, "POST", path, fields, query);
        const struct inst_value *data = inst_getz(&inst_getz(body, "result")->u.items[0], "data");
        const struct inst_value *rows =
            inst_getz(inst_getz(data, "datalog-result"), "join-rows")->u.items;
        const struct inst_value *page = inst_getz(inst_getz(data, "page-info"), "$users");
        assert_int_equal(rows->len, i == 0 ? 2 : 0); /* id and email of the token's user */
        assert_true(inst_getz(page, "has-next-page?")->tag == INST_FALSE);
        assert_int_equal(inst_getz(body, "attrs")->len, w->attrs.len);
    }
    done(w, "POST", path, "app-id: {app}", query);
    denied(w, "POST", path, "app-id: {app}", "{}", "param-missing",
           "Missing parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, "app-id: {app}", "{'query':[]}", "param-malformed",
           "Malformed parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, "app-id: " OTHER, query, "record-not-found", "Record not found: app");
    denied(w, "POST", path, "app-id: {app}", "{'query':{'todos':{'$':{'limit':'x'}}}}",
           "validation-failed",
           "Validation failed for query: The limit field must be a positive integer. Got \"x\".");
}

/* ---- event streams ---- */

static void answer_is(struct world *w, const char *target, const char *body, const char *type) {
    struct answer *answer = call(w, "POST", target, "x: y", body);
    assert_int_equal(answer->status, 400);
    expect_text(inst_getz(&answer->value, "type"), type);
}

#define TITLES "{'query':{'todos':{'$':{'fields':['title']}}}}"

static void test_subscribe(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/subscribe-query?local_connection_id=x";
    struct connection *c = open_stream(w, path, ADMIN, TITLES);
    struct connection *guest = open_stream(w, path, "app-id: {app}|as-guest: true",
                                           "{'query':{'todos':{'$':{'fields':['title']},'owner':{}}"
                                           "},'inference?':true,'versions':{}}");
    assert_non_null(inst_getz(expect(c, "sse-init"), "sse-token"));
    const struct inst_value *message = expect(c, "add-query-ok");
    assert_non_null(inst_getz(message, "q"));
    expect_body(w, inst_getz(message, "result"), "{'todos':[{'title':'one','id':'#11'}]}");
    expect_body(w, inst_getz(message, "result-meta"), "{'page-info':{},'aggregate':{}}");
    expect(guest, "sse-init");
    expect_body(w, inst_getz(expect(guest, "add-query-ok"), "result"),
                "{'todos':[{'title':'one','id':'#11','owner':null}]}");
    done(w, "POST", "/admin/transact", ADMIN,
         "{'steps':[['update','todos','#12',{'title':'two'}]]}");
    message = expect(c, "refresh-ok");
    expect_body(w, inst_getz(&inst_getz(message, "computations")->u.items[0], "instaql-result"),
                "{'todos':[{'title':'one','id':'#11'},{'title':'two','id':'#12'}]}");
    expect(guest, "refresh-ok");
    /* an error of the query is an event, and the stream stays */
    struct connection *bad = open_stream(w, path, ADMIN, "{'query':{'todos':{'owner':[]}}}");
    expect(bad, "sse-init");
    expect_error(bad, "validation-failed", "Validation failed for query");
    expect_nothing(bad);
    assert_false(bad->is_closed);
    disconnect(bad);
    disconnect(c);
    disconnect(guest);
}

static void test_subscribe_refusals(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/subscribe-query";
    struct connection *c = calloc(1, sizeof *c);
    denied(w, "POST", path, ADMIN, "{}", "param-missing",
           "Missing parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, ADMIN, "{'query':[]}", "param-malformed",
           "Malformed parameter: [\"body\" \"query\"]");
    denied(w, "POST", path, "app-id: {app}", TITLES, "param-missing",
           "Missing parameter: [\"headers\" \"authorization\"]");
    denied(w, "POST", path, ADMIN "|as-email: nobody@b.c", TITLES, "record-not-found",
           "Record not found: app-user");
    /* nothing is left of a stream that did not come to be */
    assert_int_equal(call_with(w, "POST", path, "app-id: {app}", TITLES, c)->status, 400);
    assert_null(c->session);
    free(c);
}

static void test_session_stream(void **state) {
    struct world *w = *state;
    char body[512], machine[64], session[64], token[64];
    static const char *const names[] = {"machine-id", "session-id", "sse-token"};
    char *const texts[] = {machine, session, token};
    struct connection *c =
        open_stream(w, "/admin/sse?app_id={app}", ADMIN "|as-email: a@b.c", "{'inference?':true}");
    const struct inst_value *init = expect(c, "sse-init");
    for (size_t i = 0; i < 3; i++)
        snprintf(texts[i], 64, "%.*s", INST_UUID_TEXT, inst_getz(init, names[i])->u.str);
    static const char push[] = "/admin/sse/push?app_id={app}";
    const char *shape = "{'machine_id':'%s','session_id':'%s','sse_token':'%s','messages':%s}";
    snprintf(body, sizeof body, shape, machine, session, token,
             "[{'op':'add-query','client-event-id':'1','return-type':'tree','q':{'$users':{'todos':"
             "{}}}},{'op':'init','client-event-id':'2','app-id':'x'}]");
    expect_body(w, done(w, "POST", push, "content-type: application/json", body), "{}");
    const struct inst_value *users =
        inst_getz(inst_getz(expect(c, "add-query-ok"), "result"), "$users"); /* the viewer's own */
    assert_int_equal(users->len, 1);
    expect_error(c, "validation-failed",
                 "Validation failed for init: `init` has already run for this session.");
    snprintf(body, sizeof body, shape, machine, session, OTHER, "[]");
    answer_is(w, push, body, "session-missing");
    snprintf(body, sizeof body, shape, OTHER, session, token, "[]");
    answer_is(w, push, body, "member-missing");
    snprintf(body, sizeof body, shape, machine, session, token, "7");
    denied(w, "POST", push, "x: y", body, "param-malformed",
           "Malformed parameter: [\"body\" \"messages\"]");
    denied(w, "POST", push, "x: y", "{}", "param-missing",
           "Missing parameter: [\"body\" \"machine_id\"]");
    denied(w, "POST", "/admin/sse", "app-id: {app}", "{}", "param-missing",
           "Missing parameter: [\"headers\" \"authorization\"]");
    denied(w, "POST", "/admin/sse", ADMIN, NULL, "param-malformed",
           "Malformed parameter: [\"body\"]");
    disconnect(c);
}

static void test_presence(void **state) {
    struct world *w = *state;
    static const char path[] = "/admin/rooms/presence?app_id={app}&room-type=chat&room-id=a%20b";
    expect_body(w, done(w, "GET", path, ADMIN, NULL), "{'sessions':{}}");
    struct connection *one = enter(w, false), *two = enter(w, false);
    memcpy(one->session->viewer.user, uuid_text(1), INST_UUID_TEXT + 1);
    say(w, one, "{'op':'join-room','room-type':'chat','room-id':'a b','data':{'x':[1]}}");
    say(w, two, "{'op':'join-room','room-type':'other','room-id':'a b'}");
    turn(w);
    const struct inst_value *sessions = inst_getz(done(w, "GET", path, ADMIN, NULL), "sessions");
    assert_int_equal(sessions->len, 2);
    const struct inst_value *peer = inst_getz(sessions, one->session->id);
    expect_text(inst_getz(peer, "peer-id"), one->session->id);
    expect_body(w, inst_getz(peer, "data"), "{'x':[1]}");
    expect_text(inst_getz(inst_getz(peer, "user"), "email"), "a@b.c");
    assert_null(inst_getz(inst_getz(peer, "user"), "refresh_token"));
    assert_int_equal(inst_getz(inst_getz(sessions, two->session->id), "user")->tag, INST_NULL);
    denied(w, "GET", "/admin/rooms/presence?room-id=a", ADMIN, NULL, "param-missing",
           "Missing parameter: [\"params\" \"room-type\"]");
    denied(w, "GET", "/admin/rooms/presence?room-type=a", ADMIN, NULL, "param-missing",
           "Missing parameter: [\"params\" \"room-id\"]");
    denied(w, "GET", "/admin/rooms/presence?room-type=+&room-id=a", ADMIN, NULL, "param-malformed",
           "Malformed parameter: [\"params\" \"room-type\"]");
    denied(w, "GET", path, "app-id: {app}|as-guest: true", NULL, "param-missing",
           "Missing parameter: [\"headers\" \"authorization\"]");
    disconnect(one);
    disconnect(two);
}

static void test_schema(void **state) {
    struct world *w = *state;
    const struct inst_value *schema =
        inst_getz(done(w, "GET", "/admin/schema", ADMIN, NULL), "schema");
    const struct inst_value *blobs = inst_getz(schema, "blobs"), *refs = inst_getz(schema, "refs");
    const struct inst_value *title = inst_getz(inst_getz(blobs, "todos"), "title");
    assert_true(inst_is_string(inst_getz(title, "checked-data-type"), "string"));
    assert_true(inst_get_true(title, "index?"));
    assert_non_null(inst_getz(inst_getz(blobs, "$users"), "email"));
    assert_non_null(inst_getz(inst_getz(blobs, "$files"), "path"));
    assert_null(inst_getz(inst_getz(blobs, "$files"), "location-id"));
    assert_true(inst_get_true(inst_getz(inst_getz(blobs, "$files"), "url"), "required?"));
    assert_null(inst_getz(blobs, "$userRefreshTokens"));
    assert_null(inst_getz(inst_getz(blobs, "$streams"), "machineId"));
    assert_non_null(inst_getz(refs, "todos-owner-$users-todos"));
    assert_non_null(inst_getz(refs, "$users-linkedPrimaryUser-$users-linkedGuestUsers"));
    denied(w, "GET", "/admin/schema", "app-id: {app}", NULL, "param-missing",
           "Missing parameter: [\"headers\" \"authorization\"]");
    denied(w, "GET", "/admin/schema", "app-id: {app}|as-guest: true", NULL, "param-missing",
           "Missing parameter: [\"headers\" \"authorization\"]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, open_world, close_world)
        T(test_query),          T(test_query_refusals),
        T(test_transact),       T(test_transact_refusals),
        T(test_debug_query),    T(test_debug_transact),
        T(test_debug_refusals), T(test_who),
        T(test_impersonation),  T(test_framework_query),
        T(test_subscribe),      T(test_subscribe_refusals),
        T(test_session_stream), T(test_presence),
        T(test_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
