/*
 * Out of memory at every place of a sign-in: it succeeds whole, or nobody is signed in and trying
 * again works.
 */
#include "io_server_http_fixture.h"

#include "base/digest.h"
#include "oom.h"
#include "server/users.h"

static struct world world;
static char dir[32];

static char code[INST_MAGIC_CODE_DIGITS + 1];

static void on_log(void *ctx, enum inst_log_level level, const char *line) {
    (void)ctx;
    (void)level;
    const char *is = strstr(line, "\" is ");
    if (is != NULL)
        memcpy(code, is + 5, INST_MAGIC_CODE_DIGITS);
}

/* The status; 0 when the answer itself did not fit into memory. */
static int ask(const char *route, const char *text, bool *is_untouched, long after) {
    char *sent = expanded(&world, text);
    struct inst_http_request request = {
        .method = "POST", .path = route, .query = "", .body = sent, .body_len = strlen(sent)};
    struct inst_http_response response;
    oom_after(after);
    inst_server_http(world.server, &request, &response);
    *is_untouched = oom_left > 0;
    oom_off();
    int status = response.body.failed ? 0 : response.status;
    inst_http_response_clear(&response);
    free(sent);
    return status;
}

static void each_place(const char *route, const char *fmt) {
    bool is_untouched = false;
    for (long n = 0; !is_untouched; n++) {
        char text[512];
        world.now += 60 * 60 * 1000; /* so that no limit is reached */
        snprintf(text, sizeof text, "{'app-id':'%s','email':'a@b.de'}", world.app.id);
        done(&world, "POST", "/runtime/auth/send_magic_code", "", text);
        snprintf(text, sizeof text, fmt, world.app.id, code);
        int status = ask(route, text, &is_untouched, n);
        assert_true(status == 200 || status == 500 || status == 0);
        assert_true(!is_untouched || status == 200);
    }
}

static void signing_in(void **state) {
    (void)state;
    world_open_dir(&world, dir, "{'entities':{},'links':{}}");
    world.env.log = on_log;
    each_place("/runtime/auth/send_magic_code", "{'app-id':'%s','email':'a@b.de','code':'%s'}");
    each_place("/runtime/auth/verify_magic_code", "{'app-id':'%s','email':'a@b.de','code':'%s'}");
    each_place("/runtime/auth/sign_in_guest", "{'app-id':'%s','code':'%s'}");
    each_place("/runtime/signout",
               "{'app-id':'%s','refresh-token':'aaaaaaaa-0000-4000-8000-000000%s'}");
    const struct inst_value *answer =
        done(&world, "POST", "/admin/query", ADMIN, "{'query':{'$users':{}}}");
    size_t with_email = 0;
    const struct inst_value *users = inst_getz(answer, "$users");
    for (uint32_t i = 0; i < users->len; i++)
        with_email += inst_get_string(&users->u.items[i], "email") != NULL;
    assert_int_equal(with_email, 1);
    world_close_dir(&world, dir);
}

/* A code as a provider's callback leaves it; its uuid is the n-th. */
static void leave_code(struct connection *admin, unsigned n) {
    char hash[INST_SHA256_HEX + 1], steps[1024];
    struct inst_uuid uuid;
    inst_uuid_parse(uuid_text(n), INST_UUID_TEXT, &uuid);
    inst_sha256_hex(uuid.bytes, sizeof uuid.bytes, hash);
    snprintf(steps, sizeof steps,
             "[['add-triple','#%u','@$oauthCodes.id','#%u'],"
             "['add-triple','#%u','@$oauthCodes.codeHash','%s'],"
             "['add-triple','#%u','@$oauthCodes.userInfo',{'email':'a%u@b.de','sub':'%u'}],"
             "['add-triple','#%u','@$oauthCodes.$oauthClient','#1']]",
             n, n, n, hash, n, n / 2, n / 3, n);
    transact(&world, admin, steps);
}

static void exchanging_a_code(void **state) {
    (void)state;
    bool is_untouched = false;
    world_open_dir(&world, dir, "{'entities':{},'links':{}}");
    struct connection *admin = enter(&world, true);
    transact(&world, admin,
             "[['add-triple','#2','@$oauthProviders.id','#2'],"
             "['add-triple','#2','@$oauthProviders.name','p'],"
             "['add-triple','#1','@$oauthClients.id','#1'],"
             "['add-triple','#1','@$oauthClients.$oauthProvider','#2']]");
    for (long n = 0; !is_untouched; n++) {
        char text[256];
        unsigned number = 4096 + (unsigned)n;
        leave_code(admin, number);
        snprintf(text, sizeof text, "{'app_id':'%s','code':'%s'}", world.app.id, uuid_text(number));
        int status = ask("/runtime/oauth/token", text, &is_untouched, n);
        assert_true(status == 200 || status == 500 || status == 0);
        assert_true(!is_untouched || status == 200);
        /* Used up, or still good: never both signed in and good. */
        struct answer *answer = call(&world, "POST", "/runtime/oauth/token", "", text);
        assert_int_equal(answer->status, status == 200 || answer->status == 400 ? 400 : 200);
    }
    disconnect(admin);
    world_close_dir(&world, dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(signing_in),
                                       cmocka_unit_test(exchanging_a_code)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
