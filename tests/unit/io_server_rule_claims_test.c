/*
 * What permissions.md says of errors (5), of saving rules (6) and of who is asked what (7, 8),
 * claim by claim, where the vectors (9) do not reach: each row names its section.
 */
#include "io_server_http_fixture.h"

static const char schema[] =
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','required':false,"
    "'config':{'indexed':false,'unique':false}}}},'lists':{'attrs':{}}},"
    "'links':{'list':{'forward':{'on':'todos','label':'list','has':'one'},"
    "'reverse':{'on':'lists','label':'todos','has':'many'}}}}";

#define GUEST ADMIN "|as-guest: true"

static struct world world;
static struct connection *admin, *user;
static char dir[32];

static int set_up(void **state) {
    (void)state;
    world_open_dir(&world, dir, schema);
    admin = enter(&world, true);
    user = enter(&world, false);
    transact(&world, admin,
             "[['add-triple','#1','@todos.id','#1'],['add-triple','#1','@todos.title','one'],"
             "['add-triple','#2','@lists.id','#2']]");
    forget_messages(admin);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(admin);
    disconnect(user);
    world_close_dir(&world, dir);
    return 0;
}

static void save(const char *code) {
    char body[600];
    snprintf(body, sizeof body, "{'code':%s}", code);
    done(&world, "POST", "/dash/apps/{app}/rules", "authorization: {bearer}", body);
}

static void expect_part(const char *text, const char *section, const char *of, const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("%s: %s\nwanted: %s\n   got: %s", section, of, part, text);
}

static const struct {
    const char *section, *code, *message;
} bad_rules[] = {
    {"6.2", "{'todos':{'allow':{'view':'data.title.size.x'}}}", NULL}, /* dyn: anything goes */
    {"6.2", "{'todos':{'allow':{'view':'1.x'}}}", "\"errors\":[{"},
    {"6.2", "{'todos':{'allow':{'view':'size(1) == 1'}}}",
     "found no matching overload for 'size' applied to '(int)' (candidates: "},
    {"6.2", "{'todos':{'allow':{'view':'true.x == 1'}}}",
     "type 'bool' does not support field selection"},
    {"6.2", "{'todos':{'allow':{'view':'request.nothing == 1'}}}", "undefined field 'nothing'"},
    {"6.2", "{'todos':{'allow':{'view':'while == 1'}}}", "reserved identifier: while"},
    {"6.2", "{'todos':{'allow':{'view':'data.?x == 1'}}}", "unsupported syntax '.?'"},
    {"6.2", "{'todos':{'allow':{'view':'has(data)'}}}", "invalid argument to has() macro"},
    {"6.2", "{'todos':{'allow':{'view':'1.all(x, true)'}}}", "\"errors\":[{"},
    {"6.2", "{'todos':{'allow':{'view':'true.all(x, true)'}}}",
     "expression of type 'bool' cannot be range of a comprehension"},
    {"3", "{'todos':{'allow':{'view':'newData.x == 1'}}}",
     "undeclared reference to 'newData' (in container '')"},
    {"3", "{'todos':{'allow':{'delete':'newData.x == 1'}}}",
     "undeclared reference to 'newData' (in container '')"},
    {"3", "{'todos':{'allow':{'create':'linkedData.x == 1'}}}",
     "undeclared reference to 'linkedData' (in container '')"},
    {"3", "{'todos':{'allow':{'update':'actions.x == 1'}}}",
     "undeclared reference to 'actions' (in container '')"},
    {"3.4", "{'todos':{'allow':{'view':'request.origin == null'}}}",
     "found no matching overload for '_==_' applied to '(string, null_type)'"},
    {"4.1", "{'todos':{'allow':{'view':'1 +'}}}", "\"errors\":[{"},
    {"4.4", "{'todos':{'allow':{'view':'1 < 1.5'}}}",
     "found no matching overload for '_<_' applied to '(int, double)'"},
    {"4.4", "{'todos':{'allow':{'view':'data.title.reverse() == 1'}}}",
     "undeclared reference to 'reverse' (in container '')"},
    {"6.2", "{'todos':{'allow':{'view':5}}}", "There was an unexpected error evaluating the rules"},
    {"6.2", "{'todos':{'allow':{'view':{}}}}",
     "There was an unexpected error evaluating the rules"},
    {"6.2", "{'todos':{'allow':{'view':null}}}", NULL},
    {"6.2", "{'todos':{'bind':{'a':5},'allow':{'view':'a'}}}",
     "There was an unexpected error evaluating the rules"},
    {"6.2", "{'todos':{'bind':{'a':5},'allow':{'view':'true'}}}", NULL}, /* not used */
    {"6.2", "{'$users':{'allow':{'delete':5}}}",
     "The $users namespace doesn't support permissions for delete."},
    {"6.3", "{'todos':{'fields':{'title':[]}}}",
     "There was an unexpected error evaluating the rules"},
    {"6.4", "{'$rateLimits':{'a':{'limits':[]}}}",
     "The rate limit config must have at least one limit in the `limits` array."},
    {"6.4", "{'$rateLimits':{'a':{'limits':[{'capacity':1,'refill':{'period':'0 seconds'}}]}}}",
     "The refill period must be longer than a second."},
    {"6.4", "{'$rateLimits':{'a':{'limits':[{'capacity':1,'refill':{'period':'25 hours'}}]}}}",
     "The refill period can't be longer than a day."},
    {"6",
     "{'todos':{'allow':{'$default':'nope','link':{'list':'nope'},'unlink':{'list':'nope'}},"
     "'shape':7}}",
     NULL}, /* not looked at */
    {"1", "{'$rooms':{'allow':{'view':'true'}}}",
     "The $rooms namespace is a reserved internal namespace that does not yet support rules."},
};

static void what_is_wrong_is_said_when_rules_are_saved(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_rules / sizeof *bad_rules; i++) {
        char body[600];
        snprintf(body, sizeof body, "{'code':%s}", bad_rules[i].code);
        struct answer *answer =
            call(&world, "POST", "/dash/apps/{app}/rules", "authorization: {bearer}", body);
        if (answer->status != (bad_rules[i].message != NULL ? 400 : 200))
            fail_msg("%s: %s: %d %s", bad_rules[i].section, bad_rules[i].code, answer->status,
                     answer->text);
        if (bad_rules[i].message == NULL)
            continue;
        expect_text(inst_getz(&answer->value, "type"), "validation-failed");
        expect_part(answer->text, bad_rules[i].section, bad_rules[i].code, bad_rules[i].message);
        expect_part(answer->text, bad_rules[i].section, bad_rules[i].code,
                    "Validation failed for rule: ");
    }
}

/* What debugging says of a rule that fails while it runs: the code, the text. */
static const struct {
    const char *section, *rule, *code, *text;
} failures[] = {
    {"4.5", "!ruleParams.none", "OVERLOAD_NOT_FOUND",
     "No matching overload for function '!_'. Overload candidates: logical_not"},
    {"4.5", "ruleParams.none < 1", "OVERLOAD_NOT_FOUND",
     "No matching overload for function '_<_'. Overload candidates: "},
    {"4.5", "ruleParams.five < 1.5", "OVERLOAD_NOT_FOUND",
     "No matching overload for function '_<_'. Overload candidates: "},
    {"4.5", "ruleParams.none && true", "INVALID_ARGUMENT",
     "expected boolean value, found: NULL_VALUE"},
    {"3.1", "ruleParams.none.more == 1", "ATTRIBUTE_NOT_FOUND", ""},
    {"5.2", "1 / (ruleParams.five - 5) == 1", "DIVIDE_BY_ZERO", "/ by zero"},
    {"5.2", "1 % (ruleParams.five - 5) == 1", "DIVIDE_BY_ZERO", "/ by zero"},
    {"5.2", "9223372036854775807 + ruleParams.five == 1", "NUMERIC_OVERFLOW", ""},
    {"5.2", "[1][ruleParams.five] == 1", "INDEX_OUT_OF_BOUNDS", ""},
    {"5.2", "int(data.title) == 1", "BAD_FORMAT", ""},
    {"3.2", "ruleParams.ref(data.title) == []", "OVERLOAD_NOT_FOUND", ""},
};

static void a_rule_that_fails_says_why_to_who_debugs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        char body[600], code[60];
        snprintf(body, sizeof body,
                 "{'query':{'$$ruleParams':{'five':5},'todos':{}},"
                 "'rules-override':{'todos':{'allow':{'view':'%s'}}}}",
                 failures[i].rule);
        struct answer *answer = call(&world, "POST", "/admin/query_perms_check", GUEST, body);
        if (answer->status != 400)
            fail_msg("%s: %s: %d %s", failures[i].section, failures[i].rule, answer->status,
                     answer->text);
        expect_text(inst_getz(&answer->value, "type"), "permission-evaluation-failed");
        snprintf(code, sizeof code, "\"error\":{\"type\":\"%s\"", failures[i].code);
        expect_part(answer->text, failures[i].section, failures[i].rule, code);
        expect_part(answer->text, failures[i].section, failures[i].rule, failures[i].text);
        expect_part(answer->text, failures[i].section, failures[i].rule,
                    "\"rule\":[\"todos\",\"view\"]");
    }
}

/* permissions.md 5.3: over the socket and over HTTP. */
static void a_limit_says_when_to_come_back(void **state) {
    (void)state;
    save("{'$rateLimits':{'post':{'limits':[{'capacity':2,'refill':{'amount':1,'period':"
         "'10 seconds'}}]}},'todos':{'allow':{'create':'rateLimit.post.limit(1, 2)'}}}");
    transact(&world, user, "[['add-triple','#11','@todos.id','#11']]");
    struct inst_value *error = refused(&world, user, "[['add-triple','#12','@todos.id','#12']]",
                                       "rate-limited", "Your request exceeded the rate limit.");
    assert_true(inst_getz(error, "status")->u.num == 400);
    const struct inst_value *hint = inst_getz(error, "hint");
    assert_int_equal(hint->len, 3);
    assert_int_equal(inst_getz(hint, "retry-at")->tag, INST_STRING);
    assert_true(inst_getz(hint, "retry-after")->u.num == 20);
    assert_true(inst_getz(hint, "remaining-tokens")->u.num == 0);
    struct answer *answer = call(&world, "POST", "/admin/transact", GUEST,
                                 "{'steps':[['update','todos','#13',{'title':'x'}]]}");
    assert_int_equal(answer->status, 429);
    expect_text(inst_getz(&answer->value, "type"), "rate-limited");
    /* An admin is asked nothing (8), and half of the time later one token is not enough. */
    done(&world, "POST", "/admin/transact", ADMIN,
         "{'steps':[['update','todos','#13',{'title':'x'}]]}");
    world.now += 10000;
    refused(&world, user, "[['add-triple','#12','@todos.id','#12']]", "rate-limited",
            "Your request exceeded the rate limit.");
    world.now += 10000;
    transact(&world, user, "[['add-triple','#12','@todos.id','#12']]");
}

/* permissions.md 5.4, 6: link, unlink and $default are not looked at when they are saved. */
static void a_rule_that_never_compiled_refuses(void **state) {
    (void)state;
    save(
        "{'todos':{'allow':{'link':{'list':'nope'},'unlink':{'list':'linkedData.id == actions.x'}}}"
        ",'lists':{'allow':{'$default':'nope'}}}");
    struct inst_value *error =
        refused(&world, user, "[['add-triple','#1','@todos.list','#2']]", "validation-failed",
                "Validation failed for permission: undeclared reference to 'nope' (in container "
                "'')");
    const struct inst_value *hint = inst_getz(error, "hint");
    expect_text(inst_getz(hint, "data-type"), "permission");
    expect_text(&inst_getz(hint, "input")->u.items[0], "todos");
    assert_int_equal(inst_getz(hint, "errors")->len, 1);
    transact(&world, admin, "[['add-triple','#1','@todos.list','#2']]");
    refused(&world, user, "[['retract-triple','#1','@todos.list','#2']]", "validation-failed",
            "Validation failed for permission: undeclared reference to 'actions' (in container "
            "'')");
    refused(&world, user, "[['delete-entity','#2','lists']]", "validation-failed",
            "Validation failed for permission: undeclared reference to 'nope' (in container "
            "'')");
}

/* One that is neither text nor boolean, where nobody looks on save: it does not stand for none. */
static void a_rule_that_is_no_text_refuses(void **state) {
    (void)state;
    save("{'todos':{'allow':{'link':{'list':7},'$default':[]}},'$default':{'allow':{'$default':"
         "'true'}}}");
    const char *message = "Validation failed for permission: There was an unexpected error "
                          "evaluating the rules";
    refused(&world, user, "[['add-triple','#1','@todos.list','#2']]", "validation-failed", message);
    refused(&world, user, "[['add-triple','#1','@todos.title','two']]", "validation-failed",
            message);
    transact(&world, user, "[['add-triple','#3','@lists.id','#3']]");
}

/* permissions.md 4.5: what a rule results in allows unless it is null or false. */
static void what_counts_as_yes(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        bool allows;
    } rows[] = {
        {"0", true},
        {"0.0", true},
        {"[]", true},
        {"{}", true},
        {"null", false},
        {"false", false},
        {"true", true},
        {"ruleParams.none", false},
        {"data.title", true},
        {"1 / (size(data.title) - 3) == 1 || true", true}, /* the other side decides */
        {"1 / (size(data.title) - 3) == 1 && false", false},
        {"auth.id == data.owner", true}, /* both null (3.3) */
        {"has(data.nothing)", true},     /* a missing key reads as null (3.1) */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[400];
        snprintf(body, sizeof body,
                 "{'query':{'todos':{}},'rules-override':{'todos':{'allow':{'view':'%s'}}}}",
                 rows[i].rule);
        const struct inst_value *answer =
            done(&world, "POST", "/admin/query_perms_check", GUEST, body);
        size_t shown = inst_getz(inst_getz(answer, "result"), "todos")->len;
        if (shown != rows[i].allows)
            fail_msg("%s %s", rows[i].rule, shown ? "allows" : "denies");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_when_rules_are_saved, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_rule_that_fails_says_why_to_who_debugs, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_limit_says_when_to_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rule_that_never_compiled_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rule_that_is_no_text_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_counts_as_yes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
