/* Which proxy the environment asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/proxy.h"

#include <string.h>

/* name, value, name, value ... */
static const char *const *environment;

static const char *get(const char *name) {
    for (const char *const *at = environment; *at; at += 2)
        if (strcmp(at[0], name) == 0)
            return at[1];
    return NULL;
}

struct want {
    bool is_tls;
    const char *to;
    const char *host; /* NULL: direct; "!": refused */
    int port;
    const char *auth;
};

static void check(const char *const *env, const struct want *want) {
    struct inst_proxy proxy;
    struct inst_err err = {0};
    environment = env;
    enum inst_status status = inst_proxy_find(get, want->is_tls, want->to, &proxy, &err);
    if (want->host && strcmp(want->host, "!") == 0) {
        assert_int_equal(status, INST_FAILED);
        assert_string_equal(err.type, "param-malformed");
        assert_null(strstr(err.message, "secret"));
        assert_null(proxy.host);
        inst_err_clear(&err);
        return;
    }
    assert_int_equal(status, INST_OK);
    if (!want->host) {
        assert_null(proxy.host);
    } else {
        assert_non_null(proxy.host);
        assert_string_equal(proxy.host, want->host);
        assert_int_equal(proxy.port, want->port);
        if (want->auth)
            assert_string_equal(proxy.auth, want->auth);
        else
            assert_null(proxy.auth);
    }
    inst_proxy_clear(&proxy);
}

static void names(void **state) {
    (void)state;
    static const char *const none[] = {NULL};
    static const char *const both[] = {"http_proxy", "http://plain:1", "https_proxy",
                                       "http://tls:2", NULL};
    static const char *const upper[] = {"HTTP_PROXY", "http://plain:1", "HTTPS_PROXY",
                                        "http://tls:2", NULL};
    static const char *const all[] = {"all_proxy", "http://all:3", "https_proxy", "", NULL};
    check(none, &(struct want){true, "a", NULL, 0, NULL});
    check(both, &(struct want){true, "a", "tls", 2, NULL});
    check(both, &(struct want){false, "a", "plain", 1, NULL});
    check(upper, &(struct want){true, "a", "tls", 2, NULL});
    check(upper, &(struct want){false, "a", NULL, 0, NULL}); /* a header of a CGI request */
    check(all, &(struct want){true, "a", "all", 3, NULL});
    check(all, &(struct want){false, "a", "all", 3, NULL});
}

static void forms(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        int port;
        const char *auth;
    } cases[] = {
        {"http://a:8080", "a", 8080, NULL},
        {"HTTP://a:8080/", "a", 8080, NULL},
        {"a:8080", "a", 8080, NULL},
        {"http://a", "a", 1080, NULL},
        {"http://[::1]:3128", "::1", 3128, NULL},
        {"http://[::1]", "::1", 1080, NULL},
        {"http://u:secret@a:1", "a", 1, "u:secret"},
        {"http://u:p%40s%3As@a:1", "a", 1, "u:p@s:s"},
        {"http://u:p@s@a:1", "a", 1, "u:p@s"},
        {"http://u:%zz%4@a:1", "a", 1, "u:%zz%4"},
        {"socks5://u:secret@a:1", "!", 0, NULL},
        {"https://a:1", "!", 0, NULL},
        {"http://u:secret@", "!", 0, NULL},
        {"http://a:0", "!", 0, NULL},
        {"http://a:65536", "!", 0, NULL},
        {"http://a:1x", "!", 0, NULL},
        {"http://[::1", "!", 0, NULL},
        {"http://[::1]x", "!", 0, NULL},
        {"http://:1", "!", 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *env[] = {"http_proxy", cases[i].text, NULL};
        check(env, &(struct want){false, "b", cases[i].host, cases[i].port, cases[i].auth});
    }
}

static void exclusions(void **state) {
    (void)state;
    static const struct {
        const char *list, *to;
        bool is_direct;
    } cases[] = {
        {"*", "a", true},
        {"localhost,127.0.0.1", "127.0.0.1", true},
        {"localhost, 127.0.0.1", "LOCALHOST", true},
        {"localhost 127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"example.com", "example.com", true},
        {"example.com", "api.example.com", true},
        {"example.com", "badexample.com", false},
        {".example.com", "example.com", true},
        {".example.com.", "a.example.com", true},
        {"example.com", "a.example.com.", true},
        {"api.example.com", "example.com", false},
        {"10.0.0.0/8", "10.1.2.3", true},
        {"10.0.0.0/8", "11.1.2.3", false},
        {"10.128.0.0/9", "10.127.0.1", false},
        {"10.128.0.0/9", "10.255.0.1", true},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"10.0.0.0/33", "10.0.0.1", false},
        {"10.0.0.0/", "10.0.0.0", false},
        {"10.0.0.0/8", "10.example", false},
        {"::1", "::1", true},
        {"fd00::/8", "fd12::1", true},
        {"fd00::/8", "fe80::1", false},
        {"", "a", false},
        {",, ,", "a", false},
        {".", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *env[] = {"https_proxy", "http://p:1", "no_proxy", cases[i].list, NULL};
        check(env, &(struct want){true, cases[i].to, cases[i].is_direct ? NULL : "p", 1, NULL});
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(forms),
        cmocka_unit_test(exclusions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
