/*
 * Memory runs out for a while, at every place of a stream's life in turn: nothing crashes or leaks,
 * and when there is memory again, what was taken arrives whole, once, with its end.
 */
#include "client_fixture.h"
#include "oom.h"

#include "client/streams.h"

#define STREAM_ID "aaaaaaaa-0000-4000-8000-000000000001"
#define TEXT "Gr\xc3\xbc\xc3\x9f"

struct scene {
    struct fixture *f;
    uint64_t id;    /* 0: could not be made */
    char kept[200]; /* the server's */
    size_t len;
    bool is_kept_done;
    char heard[200]; /* the reader's */
    bool is_done, is_failed;
    char event_id[40]; /* of the message at hand */
};

static void on_writer(void *ctx, const struct inst_writer_event *event) {
    struct scene *s = ctx;
    s->is_done = s->is_done || event->kind == INST_WRITER_DONE;
    s->is_failed = s->is_failed || event->kind == INST_WRITER_FAILED;
}

static void on_reader(void *ctx, const struct inst_reader_event *event) {
    struct scene *s = ctx;
    if (event->kind == INST_READER_TEXT) {
        strncat(s->heard, event->bytes, event->len);
    }
    s->is_done = s->is_done || event->kind == INST_READER_DONE;
    s->is_failed = s->is_failed || event->kind == INST_READER_FAILED;
}

/* ---- the server, which allocates nothing ---- */

static void say(struct scene *s, const char *fmt, const char *a, size_t offset, const char *b) {
    char text[400];
    int len = snprintf(text, sizeof(text), fmt, a, offset, b);
    inst_reactor_message(s->f->r, text, (size_t)len);
}

static size_t number_of(const char *bytes, const char *name) {
    const char *at = strstr(bytes, name);
    return at ? (size_t)atol(at + strlen(name)) : 0;
}

/* Chunks without escapes. */
static void take_chunks(struct scene *s, const char *bytes) {
    size_t at = number_of(bytes, "\"offset\":");
    assert_true(at <= s->len);
    const char *c = strstr(bytes, "\"chunks\":[") + strlen("\"chunks\":[");
    for (bool is_inside = false; *c != ']'; c++) {
        if (*c == '"') {
            is_inside = !is_inside;
        } else if (is_inside && at++ >= s->len) {
            s->kept[s->len++] = *c;
        }
    }
}

static void answer(struct scene *s, const char *bytes) {
    const char *id = strstr(bytes, "\"client-event-id\":\"");
    if (id) {
        memcpy(s->event_id, id + strlen("\"client-event-id\":\""), 36);
    }
    if (strstr(bytes, "\"op\":\"start-stream\"") && s->is_kept_done) {
        say(s,
            "{\"op\":\"error\",\"client-event-id\":\"%s\",\"status\":%zu,\"type\":"
            "\"validation-failed\",\"message\":\"Validation failed for start-stream: Stream is "
            "closed.\",\"original-event\":{\"op\":\"start-stream\"%s}}",
            s->event_id, 400, "");
    } else if (strstr(bytes, "\"op\":\"start-stream\"")) {
        say(s,
            "{\"op\":\"start-stream-ok\",\"client-event-id\":\"%s\",\"offset\":%zu,"
            "\"stream-id\":\"%s\"}",
            s->event_id, s->len, STREAM_ID);
    } else if (strstr(bytes, "\"op\":\"append-stream\"")) {
        take_chunks(s, bytes);
        s->is_kept_done = s->is_kept_done || strstr(bytes, "\"done\":true");
        say(s, "{\"op\":\"stream-flushed\",\"stream-id\":\"%s\",\"offset\":%zu,\"done\":%s}",
            STREAM_ID, s->len, s->is_kept_done ? "true" : "false");
    } else if (strstr(bytes, "\"op\":\"subscribe-stream\"")) {
        size_t offset = number_of(bytes, "\"offset\":");
        say(s,
            "{\"op\":\"stream-append\",\"client-event-id\":\"%s\",\"offset\":%zu,"
            "\"stream-id\":\"" STREAM_ID "\",\"done\":true,\"content\":\"%s\"}",
            s->event_id, offset, TEXT + offset);
    }
}

static void drain(struct scene *s) {
    struct inst_output out;
    while (inst_reactor_next_output(s->f->r, &out)) {
        if (out.kind == INST_OUTPUT_CONNECT) {
            inst_reactor_opened(s->f->r);
        } else if (out.kind == INST_OUTPUT_SEND) {
            char bytes[2000]; /* an answer may be the end of what is sent */
            assert_true(out.len < sizeof(bytes));
            memcpy(bytes, out.bytes, out.len);
            bytes[out.len] = '\0';
            answer(s, bytes);
        }
    }
}

/* Memory is back: the connection is lost, and found again. */
static void recover(struct scene *s, const char *init) {
    oom_off();
    inst_reactor_closed(s->f->r);
    for (int i = 0; i < 4; i++) {
        pass(s->f, 20000);
        drain(s);
        inst_reactor_message(s->f->r, init, strlen(init));
        drain(s);
    }
}

/* ---- */

static bool put(struct scene *s, const char *text, char *wanted) {
    size_t unflushed;
    bool is_taken = s->id && inst_reactor_stream_write(s->f->r, s->id, text, strlen(text),
                                                       &unflushed, NULL) == INST_OK;
    if (is_taken) {
        strcat(wanted, text);
    }
    return is_taken;
}

static void writing(void **state) {
    (void)state;
    char *init = text_of(INIT_OK);
    bool had_failure = true;
    long n = 0;
    for (; had_failure; n++) {
        struct scene s = {.f = fixture_new(NULL)};
        char wanted[100] = "";
        oom_after(n);
        if (inst_reactor_create_write_stream(s.f->r, "chat", 4, NULL, on_writer, &s, &s.id, NULL) !=
            INST_OK) {
            s.id = 0;
        }
        put(&s, "abc", wanted);
        drain(&s);
        inst_reactor_message(s.f->r, init, strlen(init));
        drain(&s);
        put(&s, "def", wanted);
        drain(&s);
        bool is_closed = s.id && inst_reactor_stream_close(s.f->r, s.id, NULL, NULL) == INST_OK;
        drain(&s);
        had_failure = oom_left == 0;
        recover(&s, init);
        if (s.id && !is_closed) {
            assert_int_equal(inst_reactor_stream_close(s.f->r, s.id, NULL, NULL), INST_OK);
            drain(&s);
        }
        assert_false(s.is_failed);
        assert_true(s.is_done == (s.id != 0));
        assert_string_equal(s.kept, wanted);
        fixture_free(s.f);
        assert_true(n < 5000);
    }
    print_message("%ld places\n", n);
    free(init);
}

static void reading(void **state) {
    (void)state;
    char *init = text_of(INIT_OK);
    struct inst_value name = inst_cstring("chat");
    struct inst_read_stream_options options = {.client_id = &name};
    bool had_failure = true;
    long n = 0;
    for (; had_failure; n++) {
        struct scene s = {.f = fixture_new(NULL)};
        oom_after(n);
        if (inst_reactor_create_read_stream(s.f->r, &options, on_reader, &s, &s.id, NULL) !=
            INST_OK) {
            s.id = 0;
        }
        drain(&s);
        inst_reactor_message(s.f->r, init, strlen(init));
        drain(&s);
        had_failure = oom_left == 0;
        recover(&s, init);
        assert_false(s.is_failed);
        assert_true(s.is_done == (s.id != 0));
        assert_string_equal(s.heard, s.id ? TEXT : "");
        fixture_free(s.f);
        assert_true(n < 5000);
    }
    print_message("%ld places\n", n);
    free(init);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing),
        cmocka_unit_test(reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
