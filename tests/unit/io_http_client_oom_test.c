/* HTTP requests of this process: what callbacks may do, the end, no library, no memory. */
#include "io_port_fixture.h"
#include "oom.h"

#include "io/http_client.h"

struct request {
    struct world *world;
    struct inst_http_client *client;
    struct inst_http_call *call;
    char url[80];
    int status;
    char type[40]; /* of the error */
    size_t bytes;
    int dones;
    int restarts;      /* how often done starts it again */
    bool cancels_head; /* in the callback of that name */
    bool cancels_data;
    bool refuses_data;
};

static void start(struct request *request);

static void on_head(void *ctx, const struct inst_http_result *head) {
    struct request *request = ctx;
    assert_int_equal(head->body_len, 0);
    assert_string_equal(inst_http_result_field(head, "content-type"), "application/json");
    assert_null(inst_http_result_field(head, "x"));
    if (request->cancels_head)
        inst_http_cancel(request->call);
}

static bool on_data(void *ctx, const char *bytes, size_t len) {
    struct request *request = ctx;
    (void)bytes;
    request->bytes += len;
    if (request->cancels_data)
        inst_http_cancel(request->call);
    return !request->refuses_data;
}

static void on_done(void *ctx, const struct inst_http_result *result, const struct inst_err *err) {
    struct request *request = ctx;
    request->dones++;
    request->status = result ? result->status : 0;
    strcpy(request->type, err ? err->type : "");
    if (request->restarts-- > 0)
        start(request);
}

static enum inst_status try_start(struct request *request, struct inst_err *err) {
    struct inst_http_field field = {"X-Test", "1"};
    struct inst_http_options options = {.url = request->url,
                                        .fields = &field,
                                        .field_count = 1,
                                        .method = "PUT",
                                        .body = "body",
                                        .body_len = 4,
                                        .silence_ms = 60000,
                                        .ctx = request,
                                        .head = on_head,
                                        .data = on_data,
                                        .done = on_done};
    return inst_http_start(request->client, &options, &request->call, err);
}

static void start(struct request *request) {
    struct inst_err err = {0};
    if (try_start(request, &err) != INST_OK)
        fail_msg("%s", err.message);
}

static struct request *make(struct world *world) {
    struct request *request = calloc(1, sizeof *request);
    struct inst_err err = {0};
    request->world = world;
    request->client = inst_loop_http(world->loop, &err);
    assert_non_null(request->client);
    snprintf(request->url, sizeof request->url, "http://127.0.0.1:%d/nowhere",
             inst_ws_server_port(world->server));
    return request;
}

static void run_until(struct request *request, int dones) {
    int64_t stop = inst_loop_monotonic_ms(request->world->loop) + LIMIT_MS;
    while (request->dones < dones) {
        inst_loop_step(request->world->loop);
        assert_true(inst_loop_monotonic_ms(request->world->loop) < stop);
    }
}

static void a_callback_may_start_another(void **state) {
    struct request *request = make(*state);
    request->restarts = 2;
    start(request);
    run_until(request, 3);
    assert_int_equal(request->status, 404);
    assert_true(request->bytes > 0);
    free(request);
}

/* Another request is waited for, to see that the first is not heard of again. */
static void expect_silence(struct request *request) {
    struct request *other = make(request->world);
    start(other);
    run_until(other, 1);
    assert_int_equal(request->dones, 0);
    free(other);
    free(request);
}

static void cancelled_ones_are_not_heard_of(void **state) {
    struct request *at_once = make(*state);
    start(at_once);
    inst_http_cancel(at_once->call);
    expect_silence(at_once);
    struct request *in_head = make(*state);
    in_head->cancels_head = true;
    start(in_head);
    expect_silence(in_head);
    struct request *in_data = make(*state);
    in_data->cancels_data = true;
    start(in_data);
    expect_silence(in_data);
    struct request *under_way = make(*state);
    start(under_way);
    inst_loop_step(((struct world *)*state)->loop);
    inst_http_cancel(under_way->call);
    expect_silence(under_way);
}

static void data_may_be_refused(void **state) {
    struct request *request = make(*state);
    request->refuses_data = true;
    start(request);
    run_until(request, 1);
    assert_string_equal(request->type, "aborted");
    free(request);
}

static void the_end_of_the_loop_calls_nobody(void **state) {
    struct request *under_way = make(*state), *queued = make(*state);
    struct world *world = *state;
    start(under_way);
    inst_loop_step(world->loop);
    start(queued);
    inst_ws_server_free(world->server);
    inst_backend_close(world->backend);
    inst_loop_free(world->loop);
    assert_int_equal(under_way->dones + queued->dones, 0);
    free(under_way);
    free(queued);
    free(world);
}

static void says_which_package_is_missing(void **state) {
    static const char *const nothing[] = {"libcurl-nowhere.so.4", NULL};
    static const char *const other[] = {"libm.so.6", NULL};
    struct world *world = *state;
    struct inst_http_client *client;
    struct inst_err err = {0};
    assert_int_equal(inst_http_client_new(world->loop, &client, &err), INST_OK);
    inst_http_client_set_libraries(client, nothing);
    struct request request = {.world = world, .client = client, .url = "http://127.0.0.1:1/"};
    assert_int_equal(try_start(&request, &err), INST_FAILED);
    assert_string_equal(err.type, "io-error");
    assert_non_null(strstr(err.message, "apt-get install libcurl4"));
    inst_http_client_set_libraries(client, other);
    assert_int_equal(try_start(&request, &err), INST_FAILED);
    assert_non_null(strstr(err.message, "has no function curl_global_init"));
    inst_err_clear(&err);
    inst_http_client_free(client);
}

static void no_memory_is_an_error(void **state) {
    struct request *request = make(*state);
    bool is_done = false;
    for (long n = 0; !is_done; n++) {
        struct inst_err err = {0};
        oom_after(n);
        enum inst_status status = try_start(request, &err);
        oom_off();
        is_done = status == INST_OK;
        assert_true(is_done || status == INST_NOMEM);
        inst_err_clear(&err);
    }
    run_until(request, 1);
    assert_int_equal(request->status, 404);
    free(request);
}

/* While it goes on: it ends, one way or the other. */
static void no_memory_later_ends_it(void **state) {
    for (long n = 0; n < 60; n++) {
        struct request *request = make(*state);
        start(request);
        int64_t stop = inst_loop_monotonic_ms(request->world->loop) + LIMIT_MS;
        while (request->dones == 0) {
            oom_after(n);
            inst_loop_step(request->world->loop);
            oom_off();
            inst_loop_step(request->world->loop);
            assert_true(inst_loop_monotonic_ms(request->world->loop) < stop);
        }
        free(request);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup_patient, teardown)
        T(a_callback_may_start_another),
        T(cancelled_ones_are_not_heard_of),
        T(data_may_be_refused),
        cmocka_unit_test_setup(the_end_of_the_loop_calls_nobody, setup_patient),
        T(says_which_package_is_missing),
        T(no_memory_is_an_error),
        T(no_memory_later_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
