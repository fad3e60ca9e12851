/* Third parties that ask to be let in (server/http_platform.c), many of them at once. */
#include "io_server_owner.h"

#define OPERATOR "authorization: Bearer per_1"
#define BACK "https://third.example/back"

static char client[INST_UUID_TEXT + 1], secret[128];

static int open_owner(void **state) {
    struct inst_operator_token who = {"aaaaaaaa-0000-4000-8000-000000000001", "one", 1};
    struct inst_err err = {0};
    char rest[128], body[256];
    (void)state;
    owner_open();
    assert_int_equal(world.server->host.apps->manage->add_operator(world.server->host.apps_ctx,
                                                                   &who, "per_1", &err),
                     INST_OK);
    const struct inst_value *v =
        done(&world, "POST", at("oauth-apps"), OPERATOR, "{'app_name':'Third'}");
    const struct inst_value *id = inst_getz(inst_getz(v, "app"), "id");
    snprintf(rest, sizeof rest, "oauth-apps/%.*s/clients", (int)id->len, id->u.str);
    snprintf(body, sizeof body, "{'client_name':'web','authorized_redirect_urls':['" BACK "']}");
    v = done(&world, "POST", at(rest), OPERATOR, body);
    const struct inst_value *client_id = inst_getz(inst_getz(v, "client"), "client_id"),
                            *value = inst_getz(v, "secretValue");
    snprintf(client, sizeof client, "%.*s", (int)client_id->len, client_id->u.str);
    snprintf(secret, sizeof secret, "%.*s", (int)value->len, value->u.str);
    return 0;
}

struct asked {
    char id[INST_UUID_TEXT + 1], cookie[128];
};

static struct asked ask(const char *ip) {
    struct asked asked;
    world.ip = ip;
    struct answer *answer = call(&world, "GET",
                                 text_of("/platform/oauth/start?client_id=%s&redirect_uri=" BACK
                                         "&scope=apps-read&state=x&response_type=code",
                                         client),
                                 "a: b", NULL);
    assert_int_equal(answer->status, 200);
    const char *id = strstr(answer->text, "name=\"redirect_id\" value=\"");
    const char *cookie = strstr(answer->head, "__session=");
    assert_true(id != NULL && cookie != NULL);
    snprintf(asked.id, sizeof asked.id, "%s", id + strlen("name=\"redirect_id\" value=\""));
    snprintf(asked.cookie, sizeof asked.cookie, "cookie: %.*s", (int)strcspn(cookie, ";"), cookie);
    return asked;
}

struct code {
    char text[INST_UUID_TEXT + 1]; /* "": the request is not known any more */
};

static struct code grant(const struct asked *asked) {
    struct code code = {""};
    struct answer *answer = call(&world, "POST", "/platform/oauth/grant",
                                 text_of("%s|content-type: application/json", asked->cookie),
                                 text_of("{'redirect_id':'%s','token':'per_1'}", asked->id));
    if (answer->status != 302)
        return code;
    const char *text = strstr(answer->head, "code=");
    assert_non_null(text);
    snprintf(code.text, sizeof code.text, "%s", text + 5);
    return code;
}

static int exchange(struct code code) {
    return call(&world, "POST", "/platform/oauth/token", "content-type: application/json",
                text_of("{'grant_type':'authorization_code','client_id':'%s','client_secret':'%s',"
                        "'redirect_uri':'" BACK "','code':'%s'}",
                        client, secret, code.text))
        ->status;
}

/* Whoever asks again and again is in nobody's way but its own. */
static void those_of_one_address_displace_each_other(void **state) {
    (void)state;
    struct asked waiting = ask("10.0.0.1"), granted = ask("10.0.0.1");
    struct code code = grant(&granted);
    struct asked first = ask("192.0.2.66");
    for (int i = 0; i < 1100; i++)
        ask(i % 2 != 0 ? "192.0.2.66" : text_of("2001:db8:1:2:%x::1", (unsigned)i));
    assert_string_equal(grant(&first).text, "");
    assert_string_not_equal(grant(&waiting).text, "");
    assert_int_equal(exchange(code), 200);
    assert_int_equal(exchange(code), 400);
}

/* Not even by everybody's. */
static void what_was_granted_stays_until_its_time_is_over(void **state) {
    (void)state;
    struct asked one = ask("10.0.0.1"), two = ask("10.0.0.1");
    struct code code = grant(&one), late = grant(&two);
    assert_string_not_equal(late.text, "");
    for (unsigned i = 0; i < 1100; i++)
        ask(text_of("198.51.%u.%u", i / 250, i % 250));
    assert_int_equal(exchange(code), 200);
    world.now += 10 * 60 * 1000;
    assert_int_equal(exchange(late), 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, open_owner, owner_close)
        T(those_of_one_address_displace_each_other),
        T(what_was_granted_stays_until_its_time_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
