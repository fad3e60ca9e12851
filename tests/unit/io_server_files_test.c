/* Addresses of files in live results: who gets them, how long they are good, how they change. */
#include "io_server_fixture.h"

#include "server/files.h"
#include "server/limits.h"

#define DAY INST_FILES_DAY_MS
#define Q "{'$files':{'$':{'fields':['path','url']}}}"

static enum inst_status key(void *ctx, uint8_t out[INST_SERVER_FILES_KEY], struct inst_err *err) {
    (void)ctx;
    (void)err;
    memset(out, 7, INST_SERVER_FILES_KEY);
    return INST_OK;
}
static const struct inst_files_ops files_ops = {.key = key};

static void put(struct world *w, const char *path, char location[INST_UUID_TEXT + 1]) {
    struct inst_app *app;
    struct inst_err err = {0};
    char id[INST_UUID_TEXT + 1];
    struct inst_upload upload = {
        .who.is_admin = true, .path = (char *)path, .content_type = (char *)"text/plain"};
    inst_uuid_make_text(&w->env, upload.location);
    assert_int_equal(inst_app_get(w->server, w->app.id, &app, &err), INST_OK);
    if (inst_files_put(app, &upload, 5, id, &err) != INST_OK)
        fail_msg("%s", err.message);
    inst_arena_reset(&w->server->scratch);
    if (location)
        strcpy(location, upload.location);
}

static int open_world(void **state) {
    struct world *w = malloc(sizeof *w);
    struct inst_err err = {0};
    world_open(w, ":memory:", "{}");
    w->server->host.files = &files_ops;
    assert_int_equal(inst_server_set_origin(w->server, "https://a.example", false, &err), INST_OK);
    w->now = 20000 * DAY + 5000;
    w->admin = enter(w, true);
    *state = w;
    return 0;
}

static int close_world(void **state) {
    struct world *w = *state;
    disconnect(w->admin);
    world_close(w);
    free(w);
    return 0;
}

/* The url of the only file in a result in tree form. */
static const char *url_in(const struct inst_value *result) {
    static char texts[4][512];
    static unsigned next;
    char *text = texts[next++ % 4];
    const struct inst_value *files = inst_getz(result, "$files");
    assert_int_equal(files->len, 1);
    const struct inst_value *url = inst_getz(&files->u.items[0], "url");
    assert_non_null(url);
    snprintf(text, 512, "%.*s", (int)url->len, url->u.str);
    return text;
}

static const char *subscribe(struct world *w, struct connection *c) {
    say(w, c, "{'op':'add-query','client-event-id':'q','return-type':'tree','q':%s}", Q);
    turn(w);
    return url_in(inst_getz(expect(c, "add-query-ok"), "result"));
}

static const char *refreshed(struct connection *c) {
    const struct inst_value *list = inst_getz(expect(c, "refresh-ok"), "computations");
    assert_int_equal(list->len, 1);
    return url_in(inst_getz(&list->u.items[0], "instaql-result"));
}

/* Splits an address into what the engine checks. */
static enum inst_status check(struct world *w, const char *url, struct inst_err *err) {
    char app[INST_UUID_TEXT + 1], location[INST_UUID_TEXT + 1], expires[32], signature[128];
    assert_int_equal(sscanf(url,
                            "https://a.example/storage/files/%36[^/]/%36[^?]?expires=%31[0-9]"
                            "&signature=%127s",
                            app, location, expires, signature),
                     4);
    inst_err_clear(err);
    return inst_files_check_url(w->server, app, location, expires, signature, err);
}

static void test_addresses_in_results(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    char location[INST_UUID_TEXT + 1], first[512], again[512];
    put(w, "a.txt", location);
    strcpy(first, subscribe(w, w->admin));
    assert_non_null(strstr(first, location));
    assert_int_equal(check(w, first, &err), INST_OK);

    /* A row that changes otherwise keeps its address; one with another content does not. */
    transact(w, w->admin, "[['add-triple',['@$files.path','a.txt'],'@$files.path','b.txt']]");
    strcpy(again, refreshed(w->admin));
    assert_string_equal(again, first);
    put(w, "b.txt", NULL);
    strcpy(again, refreshed(w->admin));
    assert_string_not_equal(again, first);
    assert_int_equal(check(w, first, &err), INST_OK); /* well signed; the row is another matter */
    inst_err_clear(&err);

    /* Who does not see the row does not see its address. */
    struct connection *user = enter(w, false);
    say(w, user, "{'op':'add-query','client-event-id':'q','q':%s}", Q);
    turn(w);
    struct inst_buf text;
    inst_buf_init(&text);
    inst_json_write(&text, expect(user, "add-query-ok"));
    assert_null(strstr(text.data, "a.example"));
    inst_buf_free(&text);
    disconnect(user);
}

static void test_addresses_of_a_day(void **state) {
    struct world *w = *state;
    struct inst_err err = {0};
    char first[512], second[512];
    put(w, "a.txt", NULL);
    strcpy(first, subscribe(w, w->admin));
    w->now += DAY - 10000;
    inst_server_renew_urls(w->server); /* still the same day */
    turn(w);
    expect_nothing(w->admin);
    w->now += 10000;
    inst_server_renew_urls(w->server);
    strcpy(second, refreshed(w->admin));
    assert_string_not_equal(second, first);
    inst_server_renew_urls(w->server);
    expect_nothing(w->admin);

    /* Whoever comes a day later does not get what another was told the day before, and the other
     * is told, too. */
    w->now += DAY;
    struct connection *other = enter(w, true);
    say(w, other, "{'op':'add-query','client-event-id':'q','return-type':'tree','q':%s}", Q);
    assert_string_not_equal(refreshed(w->admin), second);
    assert_string_not_equal(refreshed(other), second);
    assert_string_not_equal(url_in(inst_getz(expect(other, "add-query-ok"), "result")), second);
    disconnect(other);

    /* Good for a week at least, and not for ever. */
    w->now = 20000 * DAY + 7 * DAY + DAY - 1;
    assert_int_equal(check(w, first, &err), INST_OK);
    w->now++;
    assert_int_equal(check(w, first, &err), INST_FAILED);
    assert_int_equal(err.status, 403);
    inst_err_clear(&err);
}

/* Nothing of it costs queries without files a thing. */
static void test_other_results_are_left_alone(void **state) {
    struct world *w = *state;
    struct inst_server_stats before, after;
    put(w, "a.txt", NULL);
    say(w, w->admin,
        "{'op':'add-query','client-event-id':'q','q':{'$files':{'$':{'fields':["
        "'path']}}}}");
    turn(w);
    expect(w->admin, "add-query-ok");
    inst_server_stats(w->server, &before);
    w->now += 3 * DAY;
    inst_server_renew_urls(w->server);
    inst_server_stats(w->server, &after);
    assert_int_equal(after.computations_run, before.computations_run);
}

static void post(struct world *w, struct inst_http_response *response) {
    char bearer[64], body[] = "{\"filename\":\"u\"}";
    snprintf(bearer, sizeof bearer, "Bearer %s", w->token);
    struct inst_http_field fields[] = {{"app-id", w->app.id}, {"authorization", bearer}};
    struct inst_http_request request = {.method = "POST",
                                        .path = "/admin/storage/signed-upload-url",
                                        .query = "",
                                        .body = body,
                                        .body_len = sizeof body - 1,
                                        .fields = fields,
                                        .field_count = 2};
    inst_server_http(w->server, &request, response);
    assert_int_equal(response->status, 200);
}

static void test_upload_addresses_end(void **state) {
    struct world *w = *state;
    struct inst_http_response response;
    struct inst_upload *upload;
    char path[256];
    post(w, &response);
    assert_int_equal(sscanf(response.body.data, "{\"data\":\"https://a.example%255[^\"]", path), 1);
    inst_http_response_clear(&response);
    struct inst_http_request put = {.method = "PUT", .path = path, .query = ""};
    w->now += INST_FILES_PENDING_MS;
    assert_true(inst_upload_begin(w->server, &put, &upload, &response));
    assert_null(upload);
    assert_int_equal(response.status, 400);
    inst_http_response_clear(&response);
    /* One that is not over: taken once, with the rights it was given with. */
    post(w, &response);
    assert_int_equal(sscanf(response.body.data, "{\"data\":\"https://a.example%255[^\"]", path), 1);
    inst_http_response_clear(&response);
    w->now += INST_FILES_PENDING_MS - 1;
    assert_true(inst_upload_begin(w->server, &put, &upload, &response));
    assert_non_null(upload);
    assert_true(upload->who.is_admin);
    assert_string_equal(upload->path, "u");
    inst_http_response_clear(&response);
    /* The disk failed: no row, and the client is told no path. */
    struct inst_err failed = {0};
    inst_err_set(&failed, "data-file", 500, "/secret/path: broken");
    inst_upload_done(w->server, upload, 0, &failed, &response);
    assert_int_equal(response.status, 500);
    assert_null(strstr(response.body.data, "secret"));
    inst_http_response_clear(&response);
    inst_upload_free(upload);
    inst_err_clear(&failed);
    /* What is no upload is left to others. */
    put.path = "/storage/files";
    assert_false(inst_upload_begin(w->server, &put, &upload, &response));
    post(w, &response); /* given out, and freed with the server */
    inst_http_response_clear(&response);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(test_addresses_in_results),
        TEST(test_addresses_of_a_day),
        TEST(test_other_results_are_left_alone),
        TEST(test_upload_addresses_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
