/*
 * A client on real files, killed at any moment: every write that it was told is accepted is found
 * by the next one, once.
 */
#include "base/json.h"
#include "base/uuid.h"
#include "io/client.h"
#include "io/storage.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define APP "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define ROUNDS 10
#define AT_ONCE 5
#define MAX_IDS 20000

/* ---- the process that is killed ---- */

struct writer {
    struct inst_client *client;
    struct inst_arena arena;
    struct inst_value chunk;
    int out;
    bool is_done;
};

static void on_told(void *ctx, const struct inst_transact_result *result,
                    const struct inst_reactor_error *error) {
    struct writer *w = ctx;
    char line[INST_UUID_TEXT + 1];
    if (error || strcmp(result->status, "enqueued") != 0) {
        fprintf(stderr, "not accepted: %s\n", error ? error->err->message : result->status);
        _exit(3);
    }
    memcpy(line, result->event_id, INST_UUID_TEXT);
    line[INST_UUID_TEXT] = '\n';
    if (write(w->out, line, sizeof(line)) != (ssize_t)sizeof(line)) {
        _exit(4);
    }
    inst_reactor_transact(inst_client_reactor(w->client), &w->chunk, on_told, w, NULL);
}

static enum inst_status new_client(struct inst_loop *loop, const char *spec,
                                   struct inst_client **out, struct inst_err *err) {
    struct inst_client_config config = {
        .reactor = {.app_id = APP},
        .websocket_uri = "ws://127.0.0.1:1/runtime/session", /* nobody there */
        .storage = spec,
    };
    return inst_client_new(loop, &config, out, err);
}

static void parse(struct inst_arena *arena, const char *text, struct inst_value *out) {
    if (inst_json_parse(arena, text, strlen(text), out, NULL) != INST_OK) {
        abort();
    }
}

static void write_until_killed(const char *spec, int out) {
    struct inst_loop *loop;
    struct writer w = {.out = out};
    struct inst_err err = {0};
    if (inst_loop_new(&loop, NULL) != INST_OK ||
        new_client(loop, spec, &w.client, &err) != INST_OK) {
        fprintf(stderr, "%s\n", err.message);
        _exit(2);
    }
    inst_loop_log_level(loop, INST_LOG_ERROR);
    inst_arena_init(&w.arena);
    parse(&w.arena,
          "{\"__ops\":[[\"update\",\"todos\",\"00000001-0000-4000-8000-000000000000\","
          "{\"title\":\"a title that somebody typed while the train was in the tunnel\"}]]}",
          &w.chunk);
    for (int i = 0; i < AT_ONCE; i++) {
        inst_reactor_transact(inst_client_reactor(w.client), &w.chunk, on_told, &w, NULL);
    }
    inst_loop_hold(loop);
    inst_loop_run(loop);
    _exit(1);
}

/* ---- who looks afterwards ---- */

static size_t count_of(const struct inst_buf *text, const char *id) {
    size_t count = 0;
    for (const char *at = text->data; at && (at = strstr(at, id)) != NULL; at++) {
        count++;
    }
    return count;
}

/* All pages of pending mutations. */
static void read_pages(const char *spec, struct inst_buf *out) {
    struct inst_loop *loop;
    struct inst_storage *storage;
    struct inst_buf keys;
    struct inst_err err = {0};
    inst_buf_init(out);
    inst_buf_init(&keys);
    assert_int_equal(inst_loop_new(&loop, NULL), INST_OK);
    if (inst_storage_open(loop, spec, APP, &storage, &err) != INST_OK) {
        fail_msg("%s", err.message);
    }
    assert_null(storage->warning); /* nothing had to be set aside */
    assert_int_equal(storage->ops->list(storage, "kv", &keys, &err), INST_OK);
    for (size_t i = 0; i < keys.len; i += strlen(keys.data + i) + 1) {
        bool is_there;
        assert_null(strstr(keys.data + i, "aside"));
        assert_int_equal(storage->ops->load(storage, "kv", keys.data + i, out, &is_there, &err),
                         INST_OK);
    }
    storage->ops->close(storage);
    inst_buf_free(&keys);
    inst_loop_free(loop);
}

static void test_killed(void **state) {
    const char *kind = *state;
    char dir[] = "/tmp/instant-killed-XXXXXX", spec[128], command[128];
    static char ids[MAX_IDS][INST_UUID_TEXT + 1];
    size_t count = 0;
    assert_non_null(mkdtemp(dir));
    snprintf(spec, sizeof(spec), "%s:%s/keep", kind, dir);
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            write_until_killed(spec, ends[1]);
        }
        close(ends[1]);
        FILE *in = fdopen(ends[0], "r");
        char line[64];
        /* At some moment of the work on some write. */
        int until = round * 3 % 40;
        for (int i = 0; i <= until && fgets(line, sizeof(line), in); i++) {
            assert_true(count < MAX_IDS);
            memcpy(ids[count++], line, INST_UUID_TEXT);
        }
        for (volatile int spin = (round * 7919) % 100000; spin > 0; spin--) {
        }
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        while (fgets(line, sizeof(line), in)) { /* told before it died */
            assert_int_equal(strlen(line), INST_UUID_TEXT + 1);
            assert_true(count < MAX_IDS);
            memcpy(ids[count++], line, INST_UUID_TEXT);
        }
        fclose(in);
    }
    struct inst_buf pages;
    read_pages(spec, &pages);
    for (size_t i = 0; i < count; i++) {
        if (count_of(&pages, ids[i]) != 1) {
            fail_msg("%s was accepted and is there %zu times", ids[i], count_of(&pages, ids[i]));
        }
    }
    assert_true(count > ROUNDS * AT_ONCE);
    print_message("%zu accepted writes\n", count);
    /* the next client has them all */
    struct inst_loop *loop;
    struct inst_client *client;
    assert_int_equal(inst_loop_new(&loop, NULL), INST_OK);
    inst_loop_log_level(loop, INST_LOG_ERROR);
    assert_int_equal(new_client(loop, spec, &client, NULL), INST_OK);
    inst_loop_hold(loop);
    while (inst_reactor_pending_count(inst_client_reactor(client)) == 0) {
        inst_loop_turn(loop);
    }
    assert_true(inst_reactor_pending_count(inst_client_reactor(client)) >= count);
    inst_loop_release(loop);
    inst_client_free(client);
    inst_loop_free(loop);
    inst_buf_free(&pages);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static int folder(void **state) {
    *state = "file";
    return 0;
}

static int sqlite(void **state) {
    *state = "sqlite";
    return 0;
}

/* ---- ending ---- */

struct told {
    int count;
    char status[16];
};

static void on_ended(void *ctx, const struct inst_transact_result *result,
                     const struct inst_reactor_error *error) {
    struct told *told = ctx;
    told->count++;
    snprintf(told->status, sizeof(told->status), "%s", error ? error->err->type : result->status);
}

/* Freed right after writing: what was not told is on the disk all the same, when it was shut down
 * with the answer. */
static void test_freed(void **state) {
    const char *kind = *state;
    char dir[] = "/tmp/instant-freed-XXXXXX", spec[128], command[128];
    assert_non_null(mkdtemp(dir));
    snprintf(spec, sizeof(spec), "%s:%s/keep", kind, dir);
    struct inst_loop *loop;
    struct inst_client *client;
    struct inst_arena arena;
    struct inst_value chunk;
    assert_int_equal(inst_loop_new(&loop, NULL), INST_OK);
    inst_loop_log_level(loop, INST_LOG_ERROR);
    inst_arena_init(&arena);
    parse(&arena,
          "{\"__ops\":[[\"update\",\"todos\",\"00000001-0000-4000-8000-000000000000\","
          "{\"title\":\"x\"}]]}",
          &chunk);
    for (int i = 0; i < 2; i++) {
        struct told told = {0};
        assert_int_equal(new_client(loop, spec, &client, NULL), INST_OK);
        inst_loop_hold(loop);
        do {
            inst_loop_turn(loop);
        } while (!inst_reactor_is_user_known(inst_client_reactor(client)) ||
                 !inst_reactor_is_flushed(inst_client_reactor(client)));
        inst_reactor_transact(inst_client_reactor(client), &chunk, on_ended, &told, NULL);
        if (i == 1) {
            inst_client_shutdown(client);
        }
        inst_loop_release(loop);
        inst_client_free(client);
        assert_int_equal(told.count, i);
        assert_string_equal(told.status, i ? "enqueued" : "");
    }
    inst_loop_free(loop);
    inst_arena_free(&arena);
    struct inst_buf pages;
    read_pages(spec, &pages);
    assert_int_equal(count_of(&pages, "\"op\":\"transact\""), 2);
    inst_buf_free(&pages);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* What cannot be opened is said when the client is made. */
static void test_refused(void **state) {
    (void)state;
    struct inst_loop *loop;
    struct inst_client *client;
    struct inst_err err = {0};
    assert_int_equal(inst_loop_new(&loop, NULL), INST_OK);
    assert_int_equal(new_client(loop, "file:/proc/none", &client, &err), INST_FAILED);
    assert_string_equal(err.type, "storage-failed");
    assert_int_equal(new_client(loop, "somewhere", &client, &err), INST_FAILED);
    assert_string_equal(err.type, "param-malformed");
    assert_int_equal(new_client(loop, "memory", &client, &err), INST_OK);
    inst_client_free(client);
    inst_err_clear(&err);
    inst_loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_killed, folder),
        cmocka_unit_test_setup(test_killed, sqlite),
        cmocka_unit_test_setup(test_freed, folder),
        cmocka_unit_test_setup(test_freed, sqlite),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
