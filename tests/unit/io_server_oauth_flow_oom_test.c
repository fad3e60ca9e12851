/*
 * Out of memory at every place of a sign-in by redirects, and of a mail with a code: what was begun
 * ends, nobody waits for ever, and trying again works.
 */
#include "io_server_outside.h"

#include "oom.h"

#define ISSUER "https://id.example"
#define DISCOVERY ISSUER "/.well-known/openid-configuration"

static struct world world;
static char dir[32];

struct outcome {
    int status; /* 0: the answer itself did not fit into memory */
    char head[4096], body[1024];
    bool is_untouched;
};

static struct outcome ask(const char *method, const char *path, const char *query,
                          const char *cookie, const char *body, long after) {
    struct outcome out = {0};
    struct inst_http_field field = {"cookie", cookie};
    struct inst_http_request request = {.method = method,
                                        .path = path,
                                        .query = query,
                                        .body = body,
                                        .body_len = strlen(body),
                                        .fields = &field,
                                        .field_count = cookie != NULL};
    struct inst_http_response response, came = {0};
    oom_after(after);
    inst_server_http(world.server, &request, &response);
    if (response.later != NULL) {
        inst_http_later_wait(response.later, take_response, &came);
        settle(&world);
        response = came;
    }
    out.is_untouched = after < 0 || oom_left > 0;
    oom_off();
    assert_int_equal(outside.waiting_count, 0);
    assert_null(world.server->laters);
    bool is_whole = !response.body.failed && !response.headers.failed;
    out.status = is_whole ? response.status : 0;
    if (is_whole && response.headers.data != NULL)
        snprintf(out.head, sizeof out.head, "%s", response.headers.data);
    if (is_whole && response.body.data != NULL)
        snprintf(out.body, sizeof out.body, "%s", response.body.data);
    inst_http_response_clear(&response);
    return out;
}

static void check(const struct outcome *out) {
    assert_true(out->status == 302 || out->status == 400 || out->status == 500 || out->status == 0);
    assert_true(!out->is_untouched || out->status == 302);
}

static struct outcome start(long after) {
    char query[512];
    snprintf(query, sizeof query,
             "app_id=%s&client_name=web&redirect_uri=https://app.example/&state=s&hd=x&"
             "code_challenge=c&code_challenge_method=plain",
             world.app.id);
    return ask("GET", "/runtime/oauth/start", query, NULL, "", after);
}

/* Behind a name, up to one of ends. */
static void cut(const char *text, const char *name, const char *ends, char *out, size_t cap) {
    const char *at = strstr(text, name);
    assert_non_null(at);
    at += strlen(name);
    snprintf(out, cap, "%.*s", (int)strcspn(at, ends), at);
}

static struct outcome come_back(const struct outcome *started, long after) {
    char state[128], cookie[128], query[256];
    cut(started->head, "&state=", "&\r", state, sizeof state);
    cut(started->head, "Set-Cookie: ", ";", cookie, sizeof cookie);
    snprintf(query, sizeof query, "state=%s&code=p", state);
    return ask("GET", "/runtime/oauth/callback", query, cookie, "", after);
}

static void set_up(void) {
    char text[512], claims[256];
    world_open_dir(&world, dir, "{'entities':{},'links':{}}");
    outside_open(&world);
    struct connection *admin = enter(&world, true);
    transact(&world, admin,
             "[['add-triple','#2','@$oauthProviders.id','#2'],"
             "['add-triple','#2','@$oauthProviders.name','p'],"
             "['add-triple','#1','@$oauthClients.id','#1'],"
             "['add-triple','#1','@$oauthClients.name','web'],"
             "['add-triple','#1','@$oauthClients.clientId','c'],"
             "['add-triple','#1','@$oauthClients.discoveryEndpoint','" DISCOVERY "'],"
             "['add-triple','#1','@$oauthClients.$oauthProvider','#2']]");
    disconnect(admin);
    snprintf(text, sizeof text, "/dash/apps/%s/authorized_redirect_origins", world.app.id);
    done(&world, "POST", text, ADMIN, "{'service':'generic','params':['app.example']}");
    snprintf(text, sizeof text, "/dash/apps/%s/oauth_clients/%s", world.app.id, uuid_text(1));
    done(&world, "POST", text, ADMIN, "{'client_secret':'s'}");
    serve(DISCOVERY, 200, NULL,
          "{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":\"" ISSUER
          "/auth\",\"token_endpoint\":\"" ISSUER "/token\"}");
    struct provider_key key = new_key(true);
    snprintf(claims, sizeof claims,
             "{'iss':'" ISSUER "','aud':'c','sub':'s','email':'a@b.de','email_verified':true,"
             "'exp':99999999999}");
    snprintf(text, sizeof text, "{\"id_token\":\"%s\"}", token_of(&key, NULL, claims));
    serve(ISSUER "/token", 200, NULL, text);
    EVP_PKEY_free(key.key);
}

static void tear_down(void) {
    world_close_dir(&world, dir);
    outside_close();
}

static void redirects(void **state) {
    (void)state;
    struct outcome out = {0};
    set_up();
    for (long n = 0; !out.is_untouched; n++) {
        world.now += 2 * 24 * 3600 * 1000; /* so that nothing is left of the document */
        out = start(n);
        check(&out);
    }
    out.is_untouched = false;
    for (long n = 0; !out.is_untouched; n++) {
        world.now += 2 * 24 * 3600 * 1000;
        struct outcome started = start(-1);
        assert_int_equal(started.status, 302);
        world.now += 60 * 1000;
        out = come_back(&started, n);
        check(&out);
        /* Used up, unless it was refused before its row was found. */
        struct outcome again = come_back(&started, -1);
        assert_true(again.status == 400 || (again.status == 302 && out.status != 302));
    }
    assert_non_null(strstr(out.head, "https://app.example/?state=s&code="));
    tear_down();
}

static void mail(void **state) {
    (void)state;
    struct outcome out = {0};
    set_up();
    outside.has_mail = true;
    for (long n = 0; !out.is_untouched; n++) {
        char body[256];
        world.now += 60 * 60 * 1000; /* so that no limit is reached */
        snprintf(body, sizeof body, "{\"app-id\":\"%s\",\"email\":\"a@b.de\"}", world.app.id);
        unsigned before = outside.mails;
        out = ask("POST", "/runtime/auth/send_magic_code", "", NULL, body, n);
        assert_true(out.status == 200 || out.status == 500 || out.status == 0);
        assert_true(!out.is_untouched || (out.status == 200 && outside.mails == before + 1));
    }
    tear_down();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(redirects), cmocka_unit_test(mail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
