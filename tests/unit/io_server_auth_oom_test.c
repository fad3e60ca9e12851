/*
 * Out of memory at every place of a sign-in: it succeeds whole, or nobody is signed in and trying
 * again works.
 */
#include "io_server_http_fixture.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(signing_in)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
