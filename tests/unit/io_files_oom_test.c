/* Without memory: an upload says so, and leaves neither a row nor bytes. */
#include "oom.h"

#include "io_server_fixture.h"

#include "io/file_store.h"
#include "server/files.h"

#include <ftw.h>
#include <unistd.h>

#define LOCATION "bbbbbbbb-0000-4000-8000-000000000001"

static int counted;
static int count_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)path;
    (void)st;
    (void)where;
    counted += kind == FTW_F;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static enum inst_status store_one(struct inst_env *env, const char *root, const char *app,
                                  struct inst_err *err) {
    struct inst_file_store *store;
    struct inst_file_writer *writer;
    struct inst_file_stored stored;
    enum inst_status status = inst_file_store_open(root, NULL, env, &store, err);
    if (status != INST_OK)
        return status;
    status = inst_file_writer_new(store, app, 5, &writer, err);
    if (status == INST_OK) {
        status = inst_file_writer_add(writer, "hello", 5, err);
        if (status == INST_OK)
            status = inst_file_writer_finish(writer, LOCATION, &stored, err);
        inst_file_writer_free(writer);
    }
    inst_file_store_close(store);
    return status;
}

static void test_storing(void **state) {
    (void)state;
    struct world w = {.random = 5};
    struct inst_env env = {.ctx = &w, .now_ms = world_now, .random = world_random};
    struct inst_err err = {0};
    char dir[] = "/tmp/instant-files-oom-XXXXXX", root[64];
    assert_non_null(mkdtemp(dir));
    snprintf(root, sizeof root, "%s/files", dir);
    for (long n = 0;; n++) {
        assert_true(n < 100);
        oom_after(n);
        enum inst_status status =
            store_one(&env, root, "aaaaaaaa-0000-4000-8000-000000000001", &err);
        oom_off();
        if (status == INST_OK)
            break;
        assert_int_equal(status, INST_NOMEM);
        counted = 0;
        nftw(root, count_entry, 16, FTW_PHYS);
        assert_int_equal(counted, 0);
        inst_err_clear(&err);
    }
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static enum inst_status key(void *ctx, uint8_t out[INST_SERVER_FILES_KEY], struct inst_err *err) {
    (void)ctx;
    (void)err;
    memset(out, 7, INST_SERVER_FILES_KEY);
    return INST_OK;
}
static const struct inst_files_ops files_ops = {.key = key};

/* 0: without memory; else the status. */
static int status_of(struct inst_http_response *response) {
    bool failed = response->body.failed || response->headers.failed;
    if (response->status == 500 && response->body.data != NULL)
        assert_non_null(strstr(response->body.data, "memory"));
    int status = failed || response->status == 500 ? 0 : response->status;
    inst_http_response_clear(response);
    return status;
}

static int upload(struct world *w) {
    char bearer[64];
    snprintf(bearer, sizeof bearer, "Bearer %s", w->token);
    struct inst_http_field fields[] = {{"app-id", w->app.id},
                                       {"authorization", bearer},
                                       {"path", "caf\xe9.txt"},
                                       {"content-disposition", "inline"}};
    struct inst_http_request head = {.method = "PUT",
                                     .path = "/admin/storage/upload",
                                     .query = "",
                                     .fields = fields,
                                     .field_count = 4};
    struct inst_http_response response;
    struct inst_upload *upload;
    assert_true(inst_upload_begin(w->server, &head, &upload, &response));
    if (upload == NULL)
        return status_of(&response);
    inst_http_response_clear(&response);
    inst_upload_done(w->server, upload, 5, NULL, &response);
    inst_upload_free(upload);
    return status_of(&response);
}

static int ask(struct world *w, const char *method, const char *path, const char *query) {
    char bearer[64];
    snprintf(bearer, sizeof bearer, "Bearer %s", w->token);
    struct inst_http_field fields[] = {{"app-id", w->app.id}, {"authorization", bearer}};
    struct inst_http_request request = {.method = method,
                                        .path = path,
                                        .query = query,
                                        .body = "{\"filename\":\"x\",\"filenames\":[\"x\"]}",
                                        .body_len = 36,
                                        .fields = fields,
                                        .field_count = 2};
    request.body_len = strlen(request.body);
    struct inst_http_response response;
    inst_server_http(w->server, &request, &response);
    return status_of(&response);
}

static void test_routes(void **state) {
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    world_open(w, ":memory:", "{}");
    w->server->host.files = &files_ops;
    long n = 0;
    for (int status = 0; status != 200; n++) {
        assert_true(n < 3000);
        oom_after(n);
        status = upload(w);
        oom_off();
        assert_true(status == 0 || status == 200);
    }
    assert_true(n > 10);
    static const struct {
        const char *method, *path, *query;
    } routes[] = {
        {"GET", "/admin/storage/files", ""},
        {"GET", "/admin/storage/signed-download-url", "filename=caf%C3%A9.txt"},
        {"POST", "/admin/storage/signed-upload-url", ""},
        {"POST", "/admin/storage/files/delete", ""},
        {"DELETE", "/admin/storage/files", "filename=caf%C3%A9.txt"},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        n = 0;
        for (int status = 0; status != 200; n++) {
            assert_true(n < 3000);
            oom_after(n);
            status = ask(w, routes[i].method, routes[i].path, routes[i].query);
            oom_off();
            assert_true(status == 0 || status == 200);
        }
    }
    world_close(w);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_storing),
                                       cmocka_unit_test(test_routes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
