/* Uploads in chunks, by a raw client on the same thread. */
#include "io_http_files_fixture.h"

/* The same bytes in chunks of one size, with a request behind them. */
static void send_chunks(struct world *w, const char *bytes, size_t len, size_t chunk) {
    struct inst_buf text;
    inst_buf_init(&text);
    for (size_t at = 0; at < len; at += chunk) {
        size_t n = len - at < chunk ? len - at : chunk;
        inst_buf_addf(&text, "%zx;e=1\r\n", n);
        inst_buf_add(&text, bytes + at, n);
        inst_buf_add_str(&text, "\r\n");
    }
    inst_buf_add_str(&text, "0\r\nX: y\r\n\r\nGET /health/system HTTP/1.1\r\nHost: a\r\n\r\n");
    send_bytes(w, text.data, text.len);
    inst_buf_free(&text);
}

static void test_chunked(void **state) {
    struct world *w = *state;
    static const struct {
        size_t size, chunk;
    } rows[] = {{0, 1},
                {1, 1},
                {3000, 1},
                {INST_FILE_PIECE, INST_FILE_PIECE},
                {3 * INST_FILE_PIECE + 1, 5000},
                {MAX_UPLOAD, 70000}};
    char *bytes = malloc(MAX_UPLOAD + 1);
    for (size_t i = 0; i < MAX_UPLOAD + 1; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dial(w);
        send_head(w,
                  "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sTransfer-Encoding: chunked"
                  "\r\n\r\n",
                  admin(w, "path: big\r\n"));
        send_chunks(w, bytes, rows[i].size, rows[i].chunk);
        assert_int_equal(answer(w, true), 200);
        assert_int_equal(inst_getz(inst_getz(&w->json, "data"), "size")->u.num, rows[i].size);
        assert_int_equal(answer(w, true), 200);
        expect_body(w, "{\"wal\":\"ok\"}");
        assert_int_equal(request(w, "GET", address(w, "big"), "", NULL), 200);
        assert_int_equal(w->body_len, rows[i].size);
        assert_memory_equal(w->body, bytes, rows[i].size);
    }
    dial(w);
    send_head(w,
              "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sTransfer-Encoding: chunked"
              "\r\n\r\n",
              admin(w, "path: large\r\n"));
    send_chunks(w, bytes, MAX_UPLOAD + 1, 70000);
    answer(w, true);
    expect_refusal(w, 413, "param-malformed", "too large");
    assert_string_equal(field(w, "Connection"), "close");
    assert_int_equal(answer(w, true), 0);
    free(bytes);
}

/* What is malformed in the middle leaves nothing. */
static void test_bad_chunks(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {"5\r\nhelloX\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
                                      "5\r\nhello\r\n0\r\n bad\r\n\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dial(w);
        send_head(w,
                  "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sTransfer-Encoding: chunked"
                  "\r\n\r\n%sGET /health/system HTTP/1.1\r\nHost: a\r\n\r\n",
                  admin(w, "path: bad\r\n"), bad[i]);
        answer(w, true);
        expect_refusal(w, 400, "param-malformed", "malformed");
        assert_int_equal(answer(w, true), 0);
        assert_int_equal(incoming(w), 0);
    }
    assert_int_equal(
        request(w, "GET", "/admin/storage/signed-download-url?filename=bad", admin(w, ""), NULL),
        200);
    assert_int_equal(inst_getz(&w->json, "data")->tag, INST_NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_chunked),
        TEST(test_bad_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
