/* Memory runs out at every place of every call: it fails as it says, nothing leaks or is lost. */
#include "instant.h"
#include "oom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int calls;

static void on_result(void *ctx, const struct instant_result *result,
                      const struct instant_error *error) {
    (void)ctx, (void)result, (void)error;
    calls++;
}

static void on_done(void *ctx, const char *status, const char *event_id,
                    const struct instant_error *error) {
    (void)ctx, (void)status, (void)event_id, (void)error;
    calls++;
}

static void on_status(void *ctx, const char *status, const struct instant_error *error) {
    (void)ctx, (void)status, (void)error;
}

static void on_app_status(void *ctx, const char *status) { (void)ctx, (void)status; }

static void on_mutation_error(void *ctx, const char *event_id, const struct instant_error *error) {
    (void)ctx, (void)event_id, (void)error;
}

static void on_presence(void *ctx, const struct instant_presence *presence) {
    (void)ctx, (void)presence;
}

static void on_auth(void *ctx, const struct instant_value *user) { (void)ctx, (void)user; }

static const struct instant_value *step(struct instant_builder *b) {
    instant_build_array(b);
    instant_build_string(b, "update");
    instant_build_string(b, "todos");
    instant_build_value(b, instant_parse(b, "\"00000001-0000-4000-8000-000000000000\""));
    instant_build_object(b);
    for (int i = 0; i < 40; i++) {
        char key[8] = {'k', (char)('0' + i / 10), (char)('0' + i % 10)};
        instant_build_key(b, key);
        instant_build_number(b, i);
    }
    instant_build_end(b);
    instant_build_end(b);
    return instant_built(b);
}

/* Of a call that may fail for one reason only. */
static bool went(bool ok, struct instant_error **error) {
    if (!ok) {
        assert_non_null(*error);
        assert_string_equal(instant_error_type(*error), "out-of-memory");
    } else {
        assert_null(*error);
    }
    instant_error_free(*error);
    *error = NULL;
    return ok;
}

static bool use(struct instant_db *db, struct instant_builder *b, int *promises) {
    struct instant_error *error = NULL;
    const struct instant_value *query = instant_parse(b, "{\"todos\":{}}");
    uint64_t id = 0;
    bool ok = went(instant_subscribe_query(db, query, instant_parse(b, "{\"a\":1}"), on_result,
                                           NULL, &id, &error),
                   &error);
    bool asked = went(instant_query_once(db, query, NULL, on_result, NULL, &error), &error);
    bool wrote = went(instant_transact(db, step(b), on_done, NULL, &error), &error);
    ok = went(instant_subscribe_connection_status(db, on_status, NULL, NULL, &error), &error) && ok;
    ok = went(instant_subscribe_app_status(db, on_app_status, NULL, NULL, &error), &error) && ok;
    ok = went(instant_subscribe_mutation_errors(db, on_mutation_error, NULL, NULL, &error),
              &error) &&
         ok;
    const struct instant_value *shown = instant_parse(b, "{\"name\":\"ann\"}");
    ok = went(instant_join_room(db, "chat", "r", shown, &error), &error) && ok;
    ok = went(instant_subscribe_presence(db, "chat", "r", instant_parse(b, "{\"keys\":[]}"),
                                         on_presence, NULL, NULL, &error),
              &error) &&
         ok;
    ok = went(instant_subscribe_auth(db, on_auth, NULL, NULL, &error), &error) && ok;
    char *text = instant_value_json(query, NULL);
    ok = ok && text;
    instant_free(text);
    instant_unsubscribe(db, id);
    *promises += asked + wrote;
    return ok && asked && wrote;
}

/* True: everything went well. */
static bool play(void) {
    struct instant_error *error = NULL;
    struct instant_loop *loop = instant_loop_new(&error);
    struct instant_builder *b = instant_builder_new();
    int promises = 0;
    calls = 0;
    bool ok = went(loop != NULL, &error) && b;
    struct instant_db *db = NULL;
    if (ok) {
        db = instant_init(loop, instant_parse(b, "{\"apiURI\":\"local::memory:\"}"), &error);
        ok = went(db != NULL, &error);
    }
    ok = ok && use(db, b, &promises);
    oom_off();
    if (db) {
        calls = 0;
        instant_shutdown(db);
        assert_true(calls <= promises);
    }
    instant_builder_free(b);
    instant_loop_free(loop);
    return ok;
}

static void test_out_of_memory(void **state) {
    (void)state;
    long n = 0;
    bool is_through = false;
    while (!is_through) {
        oom_after(n);
        n += n < 300 ? 1
                     : 7; /* past the calls themselves: the backend, which has tests of its own */
        is_through = play();
    }
    assert_true(n > 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
