/*
 * Requests to other servers: which addresses may be asked, on real sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/http_server.h"
#include "io/outgoing.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void addresses(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_public;
    } cases[] = {
        {"8.8.8.8", true},        {"1.1.1.1", true},           {"172.15.255.255", true},
        {"172.32.0.0", true},     {"100.128.0.0", true},       {"223.255.255.255", true},
        {"0.0.0.0", false},       {"10.0.0.1", false},         {"100.64.0.1", false},
        {"127.0.0.1", false},     {"127.255.255.255", false},  {"169.254.169.254", false},
        {"172.16.0.1", false},    {"172.31.255.255", false},   {"192.168.1.1", false},
        {"192.0.2.1", false},     {"198.18.0.1", false},       {"198.19.255.255", false},
        {"198.51.100.1", false},  {"203.0.113.1", false},      {"224.0.0.1", false},
        {"240.0.0.1", false},     {"255.255.255.255", false},  {"2606:4700::1111", true},
        {"2a00:1450::1", true},   {"2001:4860::8888", true},   {"::", false},
        {"::1", false},           {"::ffff:127.0.0.1", false}, {"::ffff:8.8.8.8", true},
        {"::127.0.0.1", false},   {"64:ff9b::7f00:1", false},  {"64:ff9b::808:808", true},
        {"2002:7f00:1::", false}, {"2001::1", false},          {"2001:db8::1", false},
        {"3fff::1", false},       {"fc00::1", false},          {"fd12:3456::1", false},
        {"fe80::1", false},       {"ff02::1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool is_v4 = inet_pton(AF_INET, cases[i].text, &v4.sin_addr) == 1;
        if (!is_v4)
            assert_int_equal(inet_pton(AF_INET6, cases[i].text, &v6.sin6_addr), 1);
        bool got = inst_outgoing_is_public(is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6);
        if (got != cases[i].is_public)
            fail_msg("%s", cases[i].text);
    }
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(inst_outgoing_is_public(&local));
}

/* ---- on sockets ---- */

static struct inst_loop *loop;
static struct inst_http_server *server;
static int hits;

static void answer(void *ctx, const struct inst_http_request *request,
                   struct inst_http_response *response) {
    (void)ctx;
    *response = (struct inst_http_response){.status = 200};
    hits++;
    inst_buf_addf(&response->body, "{\"method\":\"%s\",\"len\":%zu}", request->method,
                  request->body_len);
    if (strcmp(request->path, "/large") == 0)
        for (int i = 0; i < 10000; i++)
            inst_buf_add_str(&response->body, "                                        ");
}

static int set_up(void **state) {
    (void)state;
    struct inst_err err = {0};
    struct inst_http_server_config config = {.answer = answer};
    hits = 0;
    assert_int_equal(inst_loop_new(&loop, &err), INST_OK);
    if (inst_http_server_new(loop, &config, &server, &err) != INST_OK)
        fail_msg("%s", err.message);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    inst_http_server_free(server);
    inst_loop_free(loop);
    return 0;
}

struct came {
    int status;
    char type[64], message[256], body[256];
};

static void on_done(void *ctx, const struct inst_outgoing_response *response,
                    const struct inst_err *err) {
    struct came *came = ctx;
    if (err) {
        snprintf(came->type, sizeof came->type, "%s", err->type);
        snprintf(came->message, sizeof came->message, "%s", err->message);
    } else {
        came->status = response->status;
        snprintf(came->body, sizeof came->body, "%s", response->body);
    }
    inst_loop_release(loop);
}

static struct came ask(struct inst_outgoing *outgoing, const char *host, const char *path,
                       size_t max) {
    static char url[512];
    struct came came = {0};
    struct inst_err err = {0};
    snprintf(url, sizeof url, "http://%s:%d%s", host, inst_http_server_port(server), path);
    struct inst_outgoing_request request = {
        .method = "POST", .url = url, .body = "{}", .body_len = 2, .max_response = max};
    inst_loop_hold(loop);
    if (inst_outgoing_ops.http(outgoing, &request, on_done, &came, &err) != INST_OK) {
        snprintf(came.type, sizeof came.type, "%s", err.type);
        snprintf(came.message, sizeof came.message, "%s", err.message);
        inst_err_clear(&err);
        inst_loop_release(loop);
        return came;
    }
    inst_loop_run(loop);
    return came;
}

static void own_network(void **state) {
    (void)state;
    struct inst_outgoing *outgoing;
    struct inst_err err = {0};
    char with_port[64];
    assert_int_equal(inst_outgoing_new(loop, false, &outgoing, &err), INST_OK);
    /* Without TLS nobody is asked that was not named. */
    struct came came = ask(outgoing, "127.0.0.1", "/", 0);
    assert_string_equal(came.type, "param-malformed");
    /* With it the address decides. A name leads there as well. */
    static const char *const urls[] = {"https://127.0.0.1:1/",  "https://localhost:1/",
                                       "https://[::1]:1/",      "https://[::ffff:127.0.0.1]:1/",
                                       "https://2130706433:1/", "https://0x7f.1:1/"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct came https = {0};
        struct inst_outgoing_request request = {.url = urls[i]};
        inst_loop_hold(loop);
        assert_int_equal(inst_outgoing_ops.http(outgoing, &request, on_done, &https, &err),
                         INST_OK);
        inst_loop_run(loop);
        if (strcmp(https.type, "address-refused") != 0)
            fail_msg("%s: %s %s", urls[i], https.type, https.message);
    }
    assert_int_equal(hits, 0);
    snprintf(with_port, sizeof with_port, "127.0.0.1:%d", inst_http_server_port(server));
    assert_int_equal(inst_outgoing_allow(outgoing, with_port, &err), INST_OK);
    came = ask(outgoing, "127.0.0.1", "/", 0);
    assert_int_equal(came.status, 200);
    assert_string_equal(came.body, "{\"method\":\"POST\",\"len\":2}");
    /* Another name of the same place was not named. */
    came = ask(outgoing, "localhost", "/", 0);
    assert_string_equal(came.type, "param-malformed");
    assert_int_equal(inst_outgoing_allow(outgoing, "LocalHost", &err), INST_OK);
    assert_int_equal(ask(outgoing, "localhost", "/", 0).status, 200);
    came = ask(outgoing, "u@127.0.0.1", "/", 0);
    assert_string_equal(came.type, "param-malformed");
    assert_int_equal(inst_outgoing_allow(outgoing, "http://x/", &err), INST_FAILED);
    inst_err_clear(&err);
    inst_outgoing_free(outgoing);
}

static void sizes_and_ends(void **state) {
    (void)state;
    struct inst_outgoing *outgoing;
    struct inst_err err = {0};
    assert_int_equal(inst_outgoing_new(loop, true, &outgoing, &err), INST_OK);
    assert_int_equal(ask(outgoing, "127.0.0.1", "/large", 1 << 20).status, 200);
    assert_string_equal(ask(outgoing, "127.0.0.1", "/large", 1000).type, "response-too-large");
    /* One that is under way when everything ends tells nobody. */
    struct came came = {0};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", inst_http_server_port(server));
    struct inst_outgoing_request request = {.url = url};
    assert_int_equal(inst_outgoing_ops.http(outgoing, &request, on_done, &came, &err), INST_OK);
    inst_outgoing_free(outgoing);
    inst_loop_step(loop);
    assert_int_equal(came.status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test_setup_teardown(own_network, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_and_ends, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
