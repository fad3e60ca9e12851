/*
 * Out of memory at every place of a sign-in that asks the provider's servers: the user is signed in
 * whole or not at all, nobody waits for ever, and trying again works.
 */
#include "io_server_outside.h"

#include "oom.h"

#define ISSUER "https://id.example"
#define DISCOVERY ISSUER "/.well-known/openid-configuration"
#define KEYS ISSUER "/keys"

static struct world world;
static char dir[32];

/* The status; 0 when the answer itself did not fit into memory. */
static int ask(const char *body, bool *is_untouched, long after) {
    char *sent = expanded(&world, body);
    struct inst_http_request request = {.method = "POST",
                                        .path = "/runtime/oauth/id_token",
                                        .query = "",
                                        .body = sent,
                                        .body_len = strlen(sent)};
    struct inst_http_response response, came = {0};
    oom_after(after);
    inst_server_http(world.server, &request, &response);
    if (response.later != NULL) {
        inst_http_later_wait(response.later, take_response, &came);
        settle(&world);
        response = came;
    }
    *is_untouched = oom_left > 0;
    oom_off();
    assert_int_equal(outside.waiting_count, 0);
    assert_null(world.server->laters);
    int status = response.body.failed ? 0 : response.status;
    inst_http_response_clear(&response);
    free(sent);
    return status;
}

static void signing_in(void **state) {
    (void)state;
    struct provider_key key = new_key(true);
    struct inst_buf set;
    bool is_untouched = false;
    world_open_dir(&world, dir, "{'entities':{},'links':{}}");
    outside_open(&world);
    struct connection *admin = enter(&world, true);
    transact(&world, admin,
             "[['add-triple','#2','@$oauthProviders.id','#2'],"
             "['add-triple','#2','@$oauthProviders.name','p'],"
             "['add-triple','#1','@$oauthClients.id','#1'],"
             "['add-triple','#1','@$oauthClients.name','web'],"
             "['add-triple','#1','@$oauthClients.discoveryEndpoint','" DISCOVERY "'],"
             "['add-triple','#1','@$oauthClients.$oauthProvider','#2']]");
    inst_buf_init(&set);
    inst_buf_add_str(&set, "{\"keys\":[");
    add_jwk(&set, &key, "1");
    inst_buf_add_str(&set, "]}");
    serve(KEYS, 200, NULL, set.data);
    serve(DISCOVERY, 200, NULL,
          "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"" KEYS "\","
          "\"id_token_signing_alg_values_supported\":[\"ES256\"]}");
    for (long n = 0; !is_untouched; n++) {
        char claims[512], body[8192];
        world.now += 2 * 24 * 3600 * 1000; /* so that nothing is left of the documents */
        snprintf(claims, sizeof claims,
                 "{'iss':'" ISSUER "','sub':'%ld','email':'a%ld@b.de','email_verified':true,"
                 "'exp':%lld}",
                 n, n / 3, (long long)(world.now / 1000) + 60);
        snprintf(body, sizeof body, "{'app_id':'%s','client_name':'web','id_token':'%s'}",
                 world.app.id, token_of(&key, "1", claims));
        int status = ask(body, &is_untouched, n);
        assert_true(status == 200 || status == 400 || status == 500 || status == 0);
        assert_true(!is_untouched || status == 200);
        done(&world, "POST", "/runtime/oauth/id_token", "", body);
    }
    inst_buf_free(&set);
    EVP_PKEY_free(key.key);
    disconnect(admin);
    world_close_dir(&world, dir);
    outside_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(signing_in)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
