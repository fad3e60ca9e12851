/* Files over HTTP, by a raw client on the same thread: what is stored, refused and sent. */
#include "io_http_files_fixture.h"

/* ---- rows ---- */

/* The only row of `$files`, as an admin's query shows it. */
static struct inst_value row(struct world *w) {
    struct inst_app *app;
    struct inst_err err = {0};
    struct inst_viewer viewer = {.is_admin = true};
    struct inst_outcome outcome;
    struct inst_value q, tree;
    const char text[] = "{\"$files\":{}}";
    inst_outcome_init(&outcome);
    must(inst_app_get(inst_backend_server(w->backend), w->app.id, &app, &err), &err);
    must(inst_json_parse(&w->arena, text, sizeof text - 1, &q, &err), &err);
    must(inst_evaluate_once(app, &q, &viewer, true, false, &outcome, &err), &err);
    must(inst_json_parse(&w->arena, outcome.result.data, outcome.result.len, &tree, &err), &err);
    inst_outcome_free(&outcome);
    const struct inst_value *files = inst_getz(&tree, "$files");
    assert_int_equal(files->len, 1);
    return files->u.items[0];
}

static void test_upload_makes_a_row(void **state) {
    struct world *w = *state;
    put(w, "a/b.txt", "Content-Type: text/plain\r\nContent-Disposition: inline\r\n", "hello");
    char id[64], location[64];
    strcpy(id, data(w, "id"));
    strcpy(location, data(w, "location-id"));
    assert_int_equal(inst_getz(inst_getz(&w->json, "data"), "size")->u.num, 5);
    struct inst_value file = row(w);
    assert_string_equal(text_of(inst_getz(&file, "id")), id);
    assert_string_equal(text_of(inst_getz(&file, "path")), "a/b.txt");
    assert_string_equal(text_of(inst_getz(&file, "content-type")), "text/plain");
    assert_string_equal(text_of(inst_getz(&file, "content-disposition")), "inline");
    assert_string_equal(text_of(inst_getz(&file, "location-id")), location);
    assert_int_equal(inst_getz(&file, "size")->u.num, 5);
    assert_int_equal(inst_getz(&file, "key-version")->u.num, 1);

    /* The same path again: the same row, another content, and the old address ends. */
    char old[1024];
    strcpy(old, address(w, "a/b.txt"));
    put(w, "a/b.txt", "", "hi");
    assert_string_equal(data(w, "id"), id);
    assert_string_not_equal(data(w, "location-id"), location);
    file = row(w);
    assert_int_equal(inst_getz(&file, "size")->u.num, 2);
    assert_string_equal(text_of(inst_getz(&file, "content-type")), "application/octet-stream");
    assert_int_equal(inst_getz(&file, "content-disposition")->tag, INST_NULL);
    assert_int_equal(request(w, "GET", old, "", NULL), 404);
    assert_int_equal(request(w, "GET", address(w, "a/b.txt"), "", NULL), 200);
    expect_body(w, "hi");
}

/* Header bytes: Latin-1 as browsers send it, UTF-8 as others do. */
static void test_paths_of_all_kinds(void **state) {
    struct world *w = *state;
    static const struct {
        const char *sent, *path, *query;
    } rows[] = {
        {"photos/\xfc \xe9.png", "photos/\xc3\xbc \xc3\xa9.png", "photos%2F%C3%BC%20%C3%A9.png"},
        {"photos/\xc3\xbc.png", "photos/\xc3\xbc.png", "photos/%c3%bc.png"},
        {"\xe2\x82\xac", "\xe2\x82\xac", "%E2%82%AC"},
        {"  trimmed  ", "trimmed", "+trimmed+"},
        {"../../../etc/passwd", "../../../etc/passwd", "../../../etc/passwd"},
        {"/etc/passwd", "/etc/passwd", "%2Fetc%2Fpasswd"},
        {"a%2e%2e%00b", "a%2e%2e%00b", "a%252e%252e%2500b"},
        {"..", "..", ".."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put(w, rows[i].sent, "", "x");
        struct inst_value file = row(w);
        assert_string_equal(text_of(inst_getz(&file, "path")), rows[i].path);
        char target[1024];
        assert_int_equal(request(w, "GET", address(w, rows[i].query), "", NULL), 200);
        snprintf(target, sizeof target, "/admin/storage/files?filename=%s", rows[i].query);
        assert_int_equal(request(w, "DELETE", target, admin(w, ""), NULL), 200);
        assert_int_equal(strlen(data(w, "id")), INST_UUID_TEXT);
        assert_int_equal(request(w, "DELETE", target, admin(w, ""), NULL), 200);
        assert_int_equal(inst_getz(inst_getz(&w->json, "data"), "id")->tag, INST_NULL);
    }
    assert_int_equal(access("/tmp/etc", F_OK), -1);
}

static void test_bad_paths(void **state) {
    struct world *w = *state;
    char fields[INST_FILES_MAX_PATH + 64] = "path: ";
    request(w, "PUT", "/admin/storage/upload", admin(w, ""), "x");
    expect_refusal(w, 400, "param-missing", "[\"path\"]");
    request(w, "PUT", "/admin/storage/upload", admin(w, "path:  \r\n"), "x");
    expect_refusal(w, 400, "param-malformed", "[\"path\"]");
    request(w, "PUT", "/admin/storage/upload", admin(w, "path: a\tb\r\n"), "x");
    expect_refusal(w, 400, "param-malformed", "[\"path\"]");
    request(w, "PUT", "/admin/storage/upload", admin(w, "path: $stream/x/0\r\n"), "x");
    expect_refusal(w, 400, "validation-failed", "stream files can't be edited");
    memset(fields + 6, 'p', INST_FILES_MAX_PATH + 1);
    strcpy(fields + 6 + INST_FILES_MAX_PATH + 1, "\r\n");
    request(w, "PUT", "/admin/storage/upload", admin(w, fields), "x");
    expect_refusal(w, 400, "validation-failed", "A path takes at most");
    strcpy(fields + 6 + INST_FILES_MAX_PATH, "\r\n"); /* just as long as may be */
    assert_int_equal(request(w, "PUT", "/admin/storage/upload", admin(w, fields), "x"), 200);
    send_head(w, "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\npath: a");
    send_bytes(w, "\0b\r\n\r\n", 6);
    assert_int_equal(answer(w, true), 400);
    request(w, "DELETE", "/admin/storage/files?filename=a%00b", admin(w, ""), NULL);
    expect_refusal(w, 400, "param-malformed", "filename");
    request(w, "DELETE", "/admin/storage/files", admin(w, ""), NULL);
    expect_refusal(w, 400, "param-missing", "[\"params\" \"filename\"]");
    request(w, "POST", "/admin/storage/signed-upload-url", admin(w, ""),
            "{\"filename\":\"a\\u0000b\"}");
    expect_refusal(w, 400, "param-malformed", "[\"body\" \"filename\"]");
    request(w, "PUT", "/admin/storage/upload", admin(w, "path: a\r\nContent-Disposition:\r\n"),
            "x");
    expect_refusal(w, 400, "param-malformed", "content-disposition");
}

/* Nobody but an admin may do anything while there are no rules for `$files`. */
static void test_who_may(void **state) {
    struct world *w = *state;
    char fields[512], target[512], body[512];
    static const char *const bearers[] = {"Bearer undefined", "undefined",
                                          "Bearer aaaaaaaa-0000-4000-8000-000000000001"};
    put(w, "a", "", "x");
    for (size_t i = 0; i < 3; i++) {
        snprintf(fields, sizeof fields, "app_id: %s\r\npath: b\r\nAuthorization: %s\r\n", w->app.id,
                 bearers[i]);
        request(w, "PUT", "/storage/upload", fields, "content");
        expect_refusal(w, 400, "permission-denied",
                       "Permission denied: not has-storage-permission?");
        assert_non_null(strstr(w->body, "\"input\":[\"$files\",\"create\"],"
                                        "\"expected\":\"has-storage-permission?\""));
    }
    snprintf(target, sizeof target, "/storage/files?app_id=%s&filename=a", w->app.id);
    request(w, "DELETE", target, "", NULL);
    expect_refusal(w, 400, "permission-denied", "has-storage-permission?");
    snprintf(target, sizeof target, "/storage/signed-download-url?app_id=%s&filename=a", w->app.id);
    request(w, "GET", target, "", NULL);
    expect_refusal(w, 400, "permission-denied", "has-storage-permission?");
    snprintf(body, sizeof body, "{\"app_id\":\"%s\",\"filename\":\"b\"}", w->app.id);
    request(w, "POST", "/storage/signed-upload-url", "", body);
    expect_refusal(w, 400, "permission-denied", "has-storage-permission?");
    /* An app that is not there says the same. */
    request(w, "DELETE", "/storage/files?app_id=aaaaaaaa-0000-4000-8000-000000000009&filename=a",
            "", NULL);
    expect_refusal(w, 400, "permission-denied", "has-storage-permission?");
    request(w, "DELETE", "/storage/files?app_id=nonsense&filename=a", "", NULL);
    expect_refusal(w, 400, "param-malformed", "[\"app-id\"]");
    request(w, "PUT", "/storage/upload", "path: b\r\n", "x");
    expect_refusal(w, 400, "param-missing", "[\"app-id\"]");
    /* In an admin's place nobody is more than they are. */
    assert_int_equal(
        request(w, "PUT", "/admin/storage/upload", admin(w, "path: b\r\nas-guest: true\r\n"), "x"),
        400);
    expect_refusal(w, 400, "permission-denied", "has-storage-permission?");
    request(w, "PUT", "/admin/storage/upload", admin(w, "path: b\r\nas-token: nonsense\r\n"), "x");
    expect_refusal(w, 400, "param-malformed", "[\"asUser\" \"token\"]");
    snprintf(fields, sizeof fields,
             "app-id: %s\r\npath: b\r\nAuthorization: Bearer aaaaaaaa-0000-4000-8000-00000000000b"
             "\r\n",
             w->app.id);
    static const char *const admin_only[][2] = {
        {"PUT", "/admin/storage/upload"},
        {"DELETE", "/admin/storage/files?filename=a"},
        {"POST", "/admin/storage/files/delete"},
        {"GET", "/admin/storage/files"},
        {"GET", "/admin/storage/signed-download-url?filename=a"},
        {"POST", "/admin/storage/signed-upload-url"},
    };
    for (size_t i = 0; i < sizeof admin_only / sizeof *admin_only; i++) {
        request(w, admin_only[i][0], admin_only[i][1], fields, "{}");
        expect_refusal(w, 400, "record-not-found", "app-admin-token");
    }
    struct inst_value file = row(w); /* still the one */
    assert_string_equal(text_of(inst_getz(&file, "path")), "a");
}

static void test_lists_and_deletes_many(void **state) {
    struct world *w = *state;
    put(w, "b", "", "bb");
    put(w, "a", "", "a");
    put(w, "c", "", "ccc");
    assert_int_equal(request(w, "GET", "/admin/storage/files", admin(w, ""), NULL), 200);
    const struct inst_value *list = inst_getz(&w->json, "data");
    assert_int_equal(list->len, 3);
    assert_string_equal(text_of(inst_getz(&list->u.items[0], "name")), "a");
    assert_int_equal(inst_getz(&list->u.items[2], "size")->u.num, 3);
    assert_int_equal(inst_getz(&list->u.items[2], "etag")->tag, INST_NULL);
    const char *key = text_of(inst_getz(&list->u.items[0], "key"));
    assert_int_equal(strncmp(key, w->app.id, INST_UUID_TEXT), 0);
    assert_true(key[37] >= '0' && key[37] <= '9' && key[38] == '/');
    assert_int_equal(request(w, "POST", "/admin/storage/files/delete", admin(w, ""),
                             "{\"filenames\":[\"a\",\"none\",\"c\",\"a\"]}"),
                     200);
    assert_int_equal(inst_getz(inst_getz(&w->json, "data"), "ids")->len, 2);
    struct inst_value file = row(w);
    assert_string_equal(text_of(inst_getz(&file, "path")), "b");
    assert_int_equal(
        request(w, "POST", "/admin/storage/files/delete", admin(w, ""), "{\"filenames\":[]}"), 200);
    request(w, "POST", "/admin/storage/files/delete", admin(w, ""), "{\"filenames\":[1]}");
    expect_refusal(w, 400, "param-malformed", "filenames");
    request(w, "POST", "/admin/storage/files/delete", admin(w, ""), "{}");
    expect_refusal(w, 400, "param-missing", "filenames");
    request(w, "POST", "/admin/storage/files/delete", admin(w, ""), "{\"filenames\":");
    expect_refusal(w, 400, "param-malformed", "body");
}

/* ---- sizes ---- */

static void test_sizes(void **state) {
    struct world *w = *state;
    static const size_t sizes[] = {0,
                                   1,
                                   INST_FILE_PIECE - 1,
                                   INST_FILE_PIECE,
                                   INST_FILE_PIECE + 1,
                                   3 * INST_FILE_PIECE,
                                   MAX_UPLOAD};
    char *bytes = malloc(MAX_UPLOAD);
    for (size_t i = 0; i < MAX_UPLOAD; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        dial(w);
        send_head(w,
                  "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n",
                  admin(w, "path: big\r\n"), sizes[i]);
        send_bytes(w, bytes, sizes[i]);
        assert_int_equal(answer(w, true), 200);
        assert_int_equal(inst_getz(inst_getz(&w->json, "data"), "size")->u.num, sizes[i]);
        assert_int_equal(request(w, "GET", address(w, "big"), "", NULL), 200);
        assert_int_equal(w->body_len, sizes[i]);
        assert_memory_equal(w->body, bytes, sizes[i]);
    }
    free(bytes);
}

static void test_too_large(void **state) {
    struct world *w = *state;
    dial(w);
    send_head(w, "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sContent-Length: %u\r\n\r\n",
              admin(w, "path: big\r\n"), MAX_UPLOAD + 1);
    answer(w, true);
    expect_refusal(w, 413, "param-malformed", "A file takes at most 1048576 bytes");
    assert_string_equal(field(w, "Connection"), "close");
    dial(w);
    send_head(w,
              "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sContent-Length: "
              "18446744073709551615\r\n\r\n",
              admin(w, "path: big\r\n"));
    assert_int_equal(answer(w, true), 413);
    dial(w);
    send_head(w,
              "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sTransfer-Encoding: chunked"
              "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
              admin(w, "path: big\r\n"));
    assert_int_equal(answer(w, true), 200);
}

/* A client that goes away in the middle leaves neither a row nor bytes. */
static void test_cut_off(void **state) {
    struct world *w = *state;
    static const size_t sent[] = {0, 1, 100, INST_FILE_PIECE + 5};
    char *bytes = calloc(1, INST_FILE_PIECE * 2);
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        dial(w);
        send_head(w,
                  "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sContent-Length: %u\r\n\r\n",
                  admin(w, "path: cut\r\n"), INST_FILE_PIECE * 2);
        send_bytes(w, bytes, sent[i]);
        int64_t stop = inst_loop_monotonic_ms(w->loop) + LIMIT_MS;
        while (incoming(w) == 0) {
            turn(w);
            check_time(w, stop);
        }
        hang_up(w);
        while (incoming(w) > 0) {
            inst_loop_step(w->loop);
            check_time(w, stop);
        }
    }
    free(bytes);
    assert_int_equal(
        request(w, "GET", "/admin/storage/signed-download-url?filename=cut", admin(w, ""), NULL),
        200);
    assert_int_equal(inst_getz(&w->json, "data")->tag, INST_NULL);
}

/* The server goes away in the middle of an upload. */
static void test_server_ends_in_the_middle(void **state) {
    struct world *w = *state;
    dial(w);
    send_head(w, "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sContent-Length: %u\r\n\r\n",
              admin(w, "path: cut\r\n"), INST_FILE_PIECE * 2);
    char *bytes = calloc(1, INST_FILE_PIECE);
    send_bytes(w, bytes, INST_FILE_PIECE);
    free(bytes);
    int64_t stop = inst_loop_monotonic_ms(w->loop) + LIMIT_MS;
    while (incoming(w) == 0) {
        turn(w);
        check_time(w, stop);
    }
    /* teardown does it; the sanitizers see what is left */
}

/* Requests behind an upload on the same connection, and pieces of it cut anywhere. */
static void test_pipelined(void **state) {
    struct world *w = *state;
    char text[4000];
    int n = snprintf(text, sizeof text,
                     "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sContent-Length: 5\r\n\r\n"
                     "helloGET /health/system HTTP/1.1\r\nHost: a\r\n\r\n",
                     admin(w, "path: p\r\n"));
    for (int cut = 1; cut < n; cut += cut < n - 120 ? 37 : 1) {
        dial(w);
        send_bytes(w, text, (size_t)cut);
        turn(w);
        send_bytes(w, text + cut, (size_t)(n - cut));
        assert_int_equal(answer(w, true), 200);
        assert_int_equal(inst_getz(inst_getz(&w->json, "data"), "size")->u.num, 5);
        assert_int_equal(answer(w, true), 200);
        expect_body(w, "{\"wal\":\"ok\"}");
    }
    dial(w);
    send_head(w,
              "PUT /admin/storage/upload HTTP/1.1\r\nHost: a\r\n%sExpect: 100-continue\r\n"
              "Content-Length: 5\r\n\r\n",
              admin(w, "path: p\r\n"));
    assert_int_equal(answer(w, false), 100);
    send_bytes(w, "hello", 5);
    assert_int_equal(answer(w, true), 200);
    /* Who may not is told before sending anything. */
    dial(w);
    send_head(w,
              "PUT /storage/upload HTTP/1.1\r\nHost: a\r\napp-id: %s\r\npath: p\r\nExpect: "
              "100-continue\r\nContent-Length: 5\r\n\r\n",
              w->app.id);
    assert_int_equal(answer(w, true), 400);
    assert_string_equal(type(w), "permission-denied");
}

/* ---- addresses for one upload ---- */

static void test_upload_addresses(void **state) {
    struct world *w = *state;
    char target[256];
    assert_int_equal(request(w, "POST", "/admin/storage/signed-upload-url", admin(w, ""),
                             "{\"filename\":\" c.txt \"}"),
                     200);
    const char *url = data(w, NULL);
    strcpy(target, strchr(url + 7, '/'));
    assert_int_equal(strncmp(target, "/storage/", 9), 0);
    assert_int_equal(request(w, "PUT", target, "Content-Type: text/css\r\n", "x{}"), 200);
    struct inst_value file = row(w);
    assert_string_equal(text_of(inst_getz(&file, "path")), "c.txt");
    assert_string_equal(text_of(inst_getz(&file, "content-type")), "text/css");
    request(w, "PUT", target, "", "again");
    expect_refusal(w, 400, "validation-failed", "The upload URL is expired or invalid.");
    request(w, "PUT", "/storage/nonsense/consume-upload-url", "", "x");
    expect_refusal(w, 400, "param-malformed", "[\"params\" \"upload-id\"]");
    for (unsigned i = 0; i < INST_FILES_MAX_PENDING + 1; i++) {
        assert_int_equal(request(w, "POST", "/admin/storage/signed-upload-url", admin(w, ""),
                                 "{\"filename\":\"d\"}"),
                         200);
        if (i == 0)
            strcpy(target, strchr(data(w, NULL) + 7, '/'));
    }
    request(w, "PUT", target, "", "x");
    expect_refusal(w, 400, "validation-failed", "expired or invalid");
}

/* ---- downloads ---- */

static void test_download(void **state) {
    struct world *w = *state;
    char target[1024];
    put(w, "t", "Content-Type: text/html\r\nContent-Disposition: attachment; filename=\"\xfc\"\r\n",
        "0123456789");
    strcpy(target, address(w, "t"));
    assert_string_equal(target, address(w, "t")); /* the same for a day */
    assert_int_equal(request(w, "GET", target, "Origin: http://x\r\n", NULL), 200);
    expect_body(w, "0123456789");
    assert_string_equal(field(w, "Content-Type"), "text/html");
    assert_string_equal(field(w, "Content-Disposition"), "attachment; filename=\"\xfc\"");
    assert_string_equal(field(w, "Access-Control-Allow-Origin"), "*");
    assert_string_equal(field(w, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(field(w, "Accept-Ranges"), "bytes");
    assert_non_null(strstr(field(w, "Content-Security-Policy"), "sandbox"));
    assert_non_null(strstr(field(w, "Cache-Control"), "immutable"));
    char etag[64], fields[256];
    strcpy(etag, field(w, "ETag"));
    assert_int_equal(strlen(etag), INST_UUID_TEXT + 2);

    assert_int_equal(request(w, "HEAD", target, "", NULL), 200);
    assert_string_equal(field(w, "Content-Length"), "10");
    assert_int_equal(request(w, "GET", target, "Range: bytes=2-4\r\n", NULL), 206);
    expect_body(w, "234");
    assert_string_equal(field(w, "Content-Range"), "bytes 2-4/10");
    assert_int_equal(request(w, "GET", target, "Range: bytes=-3\r\n", NULL), 206);
    expect_body(w, "789");
    assert_int_equal(request(w, "GET", target, "Range: bytes=10-\r\n", NULL), 416);
    assert_string_equal(field(w, "Content-Range"), "bytes */10");
    expect_body(w, "");
    assert_int_equal(request(w, "GET", target, "Range: bytes=1-2,4-5\r\n", NULL), 200);
    expect_body(w, "0123456789");
    snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", etag);
    assert_int_equal(request(w, "GET", target, fields, NULL), 304);
    assert_null(field(w, "Content-Length"));
    assert_int_equal(request(w, "HEAD", target, "Range: bytes=2-4\r\n", NULL), 206);
    assert_string_equal(field(w, "Content-Length"), "3");
    assert_int_equal(request(w, "GET", target, "", NULL), 200); /* the connection goes on */
    expect_body(w, "0123456789");
}

static void test_forged_addresses(void **state) {
    struct world *w = *state;
    char good[1024], target[1024];
    put(w, "t", "", "x");
    strcpy(good, address(w, "t"));
    assert_int_equal(request(w, "GET", good, "", NULL), 200);
    char *query = strchr(good, '?'), *signature = strstr(good, "signature=");
    /* No query, no signature, another one, another expiry, another location. */
    snprintf(target, sizeof target, "%.*s", (int)(query - good), good);
    request(w, "GET", target, "", NULL);
    expect_refusal(w, 403, "permission-denied", "expired or invalid");
    snprintf(target, sizeof target, "%.*s", (int)(signature - good), good);
    assert_int_equal(request(w, "GET", target, "", NULL), 403);
    strcpy(target, good);
    target[strlen(target) - 1] ^= 1;
    assert_int_equal(request(w, "GET", target, "", NULL), 403);
    target[strlen(target) - 1] = '\0';
    assert_int_equal(request(w, "GET", target, "", NULL), 403);
    strcpy(target, good);
    strstr(target, "expires=")[8] = '9';
    assert_int_equal(request(w, "GET", target, "", NULL), 403);
    static const char *const expiries[] = {"-1", "", "1e9", "99999999999999999999999", "0x10"};
    for (size_t i = 0; i < sizeof expiries / sizeof *expiries; i++) {
        snprintf(target, sizeof target, "%.*s?expires=%s&%s", (int)(query - good), good,
                 expiries[i], signature);
        assert_int_equal(request(w, "GET", target, "", NULL), 403);
    }
    strcpy(target, good);
    target[strlen("/storage/files/") + 37] ^= 1; /* a hex digit of the location */
    assert_true(request(w, "GET", target, "", NULL) == 403 || w->status == 404);
    request(w, "GET", "/storage/files/../../etc/passwd", "", NULL);
    assert_true(w->status == 404 || w->status == 400);
    assert_int_equal(request(w, "GET", "/storage/files/a/b?expires=1&signature=x", "", NULL), 404);
    assert_int_equal(request(w, "GET", "/storage/files/%2e%2e%2f%2e%2e/key", "", NULL), 404);
    /* Deleted: the address ends at once. */
    assert_int_equal(request(w, "DELETE", "/admin/storage/files?filename=t", admin(w, ""), NULL),
                     200);
    request(w, "GET", good, "", NULL);
    expect_refusal(w, 404, "record-not-found", "app-file");
}

/* Rows that a restored data file has, whose content is nowhere. */
static void test_missing_content(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    put(w, "t", "", "x");
    char target[1024];
    strcpy(target, address(w, "t"));
    must(inst_file_store_remove_app(inst_backend_files(w->backend), w->app.id, &err), &err);
    request(w, "GET", target, "", NULL);
    expect_refusal(w, 500, "unknown", "cannot be read");
    assert_int_equal(request(w, "GET", "/health/system", "", NULL), 200);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_upload_makes_a_row),
        TEST(test_paths_of_all_kinds),
        TEST(test_bad_paths),
        TEST(test_who_may),
        TEST(test_lists_and_deletes_many),
        TEST(test_sizes),
        TEST(test_too_large),
        TEST(test_cut_off),
        TEST(test_server_ends_in_the_middle),
        TEST(test_pipelined),
        TEST(test_upload_addresses),
        TEST(test_download),
        TEST(test_forged_addresses),
        TEST(test_missing_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
