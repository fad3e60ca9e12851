#include "io_server_fixture.h"

#include "server/limits.h"
#include "server/permissions.h"
#include "server/streams_internal.h"

static struct world world;
static struct connection *writer, *reader;

/* ---- contents, kept when a test says so ---- */

struct keep {
    struct keep *next;
    char location[INST_UUID_TEXT + 1];
    char *bytes;
    size_t len;
    inst_files_kept_fn *kept;
    void *ctx;
    bool is_kept;
};

static struct keep *keeps;
static bool keep_fails;

static enum inst_status fake_key(void *ctx, uint8_t out[INST_SERVER_FILES_KEY],
                                 struct inst_err *err) {
    (void)ctx, (void)err;
    memset(out, 7, INST_SERVER_FILES_KEY);
    return INST_OK;
}

static enum inst_status fake_keep(void *ctx, const char *app, const char *location,
                                  char *bytes_take, size_t len, inst_files_kept_fn *kept,
                                  void *kept_ctx, struct inst_err *err) {
    (void)ctx, (void)app;
    if (keep_fails) {
        free(bytes_take);
        return inst_err_set(err, "storage-full", 507, "no room");
    }
    struct keep *keep = calloc(1, sizeof *keep), **end = &keeps;
    memcpy(keep->location, location, sizeof keep->location);
    keep->bytes = bytes_take;
    keep->len = len;
    keep->kept = kept;
    keep->ctx = kept_ctx;
    while (*end != NULL)
        end = &(*end)->next;
    *end = keep;
    return INST_OK;
}

static const struct inst_files_ops fake_files = {fake_key, fake_keep};

/* The oldest that waits; false: none does. */
static bool finish_keep(const char *failure) {
    struct keep *keep = keeps;
    struct inst_err err = {0};
    while (keep != NULL && keep->is_kept)
        keep = keep->next;
    if (keep == NULL)
        return false;
    keep->is_kept = true;
    if (failure != NULL)
        inst_err_set(&err, "data-file", 500, "%s", failure);
    keep->kept(keep->ctx, failure != NULL ? &err : NULL);
    inst_err_clear(&err);
    inst_server_turn(world.server);
    return true;
}

static void finish_keeps(void) {
    while (finish_keep(NULL))
        ;
}

static void free_keeps(void) {
    while (keeps != NULL) {
        struct keep *keep = keeps;
        keeps = keep->next;
        if (!keep->is_kept)
            keep->kept(keep->ctx, NULL);
        free(keep->bytes);
        free(keep);
    }
}

static int set_up(void **state) {
    (void)state;
    world_open(&world, ":memory:", NULL);
    world.server->host.files = &fake_files;
    keep_fails = false;
    writer = enter(&world, true);
    reader = enter(&world, true);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(writer);
    disconnect(reader);
    finish_keeps();
    world_close(&world);
    free_keeps();
    return 0;
}

/* ---- a writer ---- */

static char stream_id[INST_UUID_TEXT + 1];

static double start_with(struct connection *c, const char *client, unsigned token) {
    say(&world, c,
        "{'op':'start-stream','client-event-id':'s','client-id':'%s','reconnect-token':'#%u'}",
        client, token);
    inst_server_turn(world.server);
    struct inst_value *m = expect(c, "start-stream-ok");
    expect_text(inst_getz(m, "client-event-id"), "s");
    expect_text(inst_getz(m, "client-id"), client);
    memcpy(stream_id, inst_getz(m, "stream-id")->u.str, INST_UUID_TEXT);
    return inst_getz(m, "offset")->u.num;
}

static void append(struct connection *c, double offset, const char *chunks, const char *more) {
    say(&world, c,
        "{'op':'append-stream','client-event-id':'a','stream-id':'%s','chunks':%s,'offset':%.0f%s}",
        stream_id, chunks, offset, more);
    inst_server_turn(world.server);
}

static char *big_chunk(size_t len, char c) {
    char *text = malloc(len + 5);
    sprintf(text, "['");
    memset(text + 2, c, len);
    strcpy(text + 2 + len, "']");
    return text;
}

static void expect_flushed(struct connection *c, double offset, bool is_done) {
    struct inst_value *m = expect(c, "stream-flushed");
    expect_text(inst_getz(m, "stream-id"), stream_id);
    assert_true(inst_getz(m, "offset")->u.num == offset);
    assert_int_equal(inst_getz(m, "done")->tag, is_done ? INST_TRUE : INST_FALSE);
}

/* ---- a reader ---- */

struct text {
    struct inst_buf bytes;
    bool is_done;
    bool wants_retry;
    char abort_reason[32];
    size_t messages;
};

static void take_bytes(struct text *text, uint64_t *at, const char *bytes, size_t len) {
    size_t skip = text->bytes.len > *at ? (size_t)(text->bytes.len - *at) : 0;
    assert_true(*at <= text->bytes.len);
    if (skip < len) {
        assert_memory_equal(bytes, bytes, len);
        inst_buf_add(&text->bytes, bytes + skip, len - skip);
    }
    *at += len;
}

static void take_file(struct text *text, uint64_t *at, const struct inst_value *file) {
    const struct inst_value *url = inst_getz(file, "url");
    struct keep *keep = keeps;
    char copy[300];
    snprintf(copy, sizeof copy, "%.*s", (int)url->len, url->u.str);
    while (keep != NULL && strstr(copy, keep->location) == NULL)
        keep = keep->next;
    assert_non_null(keep);
    assert_true(keep->is_kept);
    assert_true(inst_getz(file, "size")->u.num == (double)keep->len);
    assert_int_equal(inst_getz(file, "id")->len, INST_UUID_TEXT);
    take_bytes(text, at, keep->bytes, keep->len);
}

static void take_append(struct text *text, const struct inst_value *m) {
    const struct inst_value *offset = inst_getz(m, "offset"), *files = inst_getz(m, "files");
    const struct inst_value *content = inst_getz(m, "content");
    uint64_t at = offset != NULL ? (uint64_t)offset->u.num : text->bytes.len;
    text->messages++;
    expect_text(inst_getz(m, "client-event-id"), "r");
    expect_text(inst_getz(m, "stream-id"), stream_id);
    for (uint32_t i = 0; files != NULL && i < files->len; i++)
        take_file(text, &at, &files->u.items[i]);
    if (content != NULL)
        take_bytes(text, &at, content->u.str, content->len);
    text->is_done = text->is_done || inst_get_true(m, "done");
    text->wants_retry = text->wants_retry || inst_get_true(m, "retry");
    const struct inst_value *reason = inst_get_string(m, "abort-reason");
    if (reason != NULL)
        snprintf(text->abort_reason, sizeof text->abort_reason, "%.*s", (int)reason->len,
                 reason->u.str);
}

static void subscribe(struct connection *c, const char *more) {
    say(&world, c, "{'op':'subscribe-stream','client-event-id':'r'%s}", more);
    inst_server_turn(world.server);
}

static void subscribe_id(struct connection *c, size_t offset) {
    char more[100];
    snprintf(more, sizeof more, ",'stream-id':'%s','offset':%zu", stream_id, offset);
    subscribe(c, more);
}

static void follow(struct connection *c, struct text *text) {
    while (c->first != NULL)
        take_append(text, expect(c, "stream-append"));
}

static void expect_bytes(struct text *text, const char *wanted) {
    assert_string_equal(text->bytes.data != NULL ? text->bytes.data : "", wanted);
}

static void free_text(struct text *text) { inst_buf_free(&text->bytes); }

/* ---- the way of a stream ---- */

static void written_and_read(void **state) {
    (void)state;
    struct text text = {.messages = 0};
    assert_true(start_with(writer, "chat", 1) == 0);
    subscribe(reader, ",'client-id':'chat'");
    follow(reader, &text);
    assert_int_equal(text.messages, 1);
    append(writer, 0, "['Hel','lo']", "");
    append(writer, 5, "[' wörld']", ",'done':false");
    follow(reader, &text);
    expect_bytes(&text, "Hello wörld");
    assert_int_equal(text.messages, 3);
    assert_false(text.is_done);
    expect_nothing(writer);
    append(writer, 12, "['!']", ",'done':true");
    follow(reader, &text);
    expect_bytes(&text, "Hello wörld!");
    assert_true(text.is_done);
    expect_nothing(writer);
    finish_keeps();
    expect_flushed(writer, 13, true);
    expect_nothing(writer);
    assert_int_equal(writer->session->app->streams.count, 0);
    /* whole, from anywhere */
    struct text again = {.messages = 0};
    subscribe_id(reader, 0);
    follow(reader, &again);
    expect_bytes(&again, "Hello wörld!");
    assert_true(again.is_done);
    assert_int_equal(again.messages, 1);
    say(&world, writer, "{'op':'add-query','q':{'$streams':{},'$files':{}},'return-type':'tree'}");
    inst_server_turn(world.server);
    struct inst_value *m = expect(writer, "add-query-ok");
    const struct inst_value *row = &inst_getz(inst_getz(m, "result"), "$streams")->u.items[0];
    expect_text(inst_getz(row, "clientId"), "chat");
    assert_true(inst_getz(row, "size")->u.num == 13);
    assert_int_equal(inst_getz(row, "done")->tag, INST_TRUE);
    assert_int_equal(inst_getz(row, "hashedReconnectToken")->len, 64);
    const struct inst_value *file = &inst_getz(inst_getz(m, "result"), "$files")->u.items[0];
    char path[80];
    snprintf(path, sizeof path, "$stream/%s/0", stream_id);
    expect_text(inst_getz(file, "path"), path);
    free_text(&text);
    free_text(&again);
}

static void an_empty_stream(void **state) {
    (void)state;
    struct text text = {.messages = 0};
    start_with(writer, "none", 1);
    append(writer, 0, "[]", ",'done':true");
    expect_flushed(writer, 0, true);
    subscribe_id(reader, 0);
    follow(reader, &text);
    assert_true(text.is_done);
    assert_int_equal(text.messages, 1);
    expect_bytes(&text, "");
    assert_null(keeps);
    free_text(&text);
}

static void aborted(void **state) {
    (void)state;
    struct text text = {.messages = 0}, later = {.messages = 0};
    start_with(writer, "chat", 1);
    subscribe_id(reader, 0);
    append(writer, 0, "['half']", ",'done':true,'abort-reason':'no more'");
    follow(reader, &text);
    assert_string_equal(text.abort_reason, "no more");
    assert_true(text.is_done);
    /* between the end and the file a reader gets everything all the same */
    subscribe_id(reader, 2);
    inst_buf_add_str(&later.bytes, "ha");
    follow(reader, &later);
    expect_bytes(&later, "half");
    assert_string_equal(later.abort_reason, "no more");
    finish_keeps();
    expect_flushed(writer, 4, true);
    free_text(&later);
    later = (struct text){.messages = 0};
    subscribe_id(reader, 0);
    follow(reader, &later);
    expect_bytes(&later, "half");
    assert_string_equal(later.abort_reason, "no more");
    free_text(&text);
    free_text(&later);
}

static void flushed_every_megabyte(void **state) {
    (void)state;
    struct text text = {.messages = 0};
    char *chunk = big_chunk(700000, 'x');
    start_with(writer, "long", 1);
    append(writer, 0, chunk, "");
    assert_false(finish_keep(NULL));
    append(writer, 700000, chunk, "");
    append(writer, 1400000, "['tail']", ""); /* while the first part is on its way */
    assert_true(finish_keep(NULL));
    expect_flushed(writer, 1400000, false);
    assert_false(finish_keep(NULL));
    subscribe_id(reader, 0);
    follow(reader, &text);
    assert_int_equal(text.messages, 1);
    assert_int_equal(text.bytes.len, 1400004);
    append(writer, 1400004, chunk, "");
    append(writer, 2100004, chunk, ",'done':true");
    assert_true(finish_keep(NULL));
    expect_flushed(writer, 2800004, true);
    follow(reader, &text);
    assert_true(text.is_done);
    assert_int_equal(text.bytes.len, 2800004);
    /* from the middle only what is needed is sent */
    struct text half = {.messages = 0};
    inst_buf_add(&half.bytes, text.bytes.data, 2000000);
    subscribe_id(reader, 2000000);
    const struct inst_value *files = inst_getz(&reader->first->value, "files");
    assert_int_equal(files->len, 1);
    assert_true(inst_getz(&reader->first->value, "offset")->u.num == 1400000);
    follow(reader, &half);
    assert_int_equal(half.bytes.len, 2800004);
    assert_memory_equal(half.bytes.data, text.bytes.data, 2800004);
    free(chunk);
    free_text(&text);
    free_text(&half);
}

/* ---- the writer goes and comes back ---- */

static void a_writer_that_left(void **state) {
    (void)state;
    struct text text = {.messages = 0}, late = {.messages = 0};
    start_with(writer, "chat", 1);
    subscribe_id(reader, 0);
    append(writer, 0, "['abc']", "");
    follow(reader, &text);
    disconnect(writer);
    expect_nothing(reader); /* it waits */
    finish_keeps();
    expect_nothing(reader);
    writer = enter(&world, true);
    struct connection *other = enter(&world, true);
    subscribe_id(other, 0);
    follow(other, &late);
    expect_bytes(&late, "abc");
    subscribe_id(other, 3); /* nothing new: silence until the writer is back */
    expect_nothing(other);
    assert_true(start_with(writer, "chat", 1) == 3);
    follow(reader, &text);
    assert_true(text.wants_retry);
    follow(other, &late);
    assert_true(late.wants_retry);
    subscribe_id(reader, 3);
    append(writer, 3, "['def']", ",'done':true");
    follow(reader, &text);
    expect_bytes(&text, "abcdef");
    disconnect(other);
    free_text(&text);
    free_text(&late);
}

static void the_start_waits_for_the_flush(void **state) {
    (void)state;
    start_with(writer, "chat", 1);
    append(writer, 0, "['abc']", "");
    disconnect(writer); /* its flush is on its way */
    writer = enter(&world, true);
    struct connection *gone = enter(&world, true);
    say(&world, gone, "{'op':'start-stream','client-id':'chat','reconnect-token':'#1'}");
    say(&world, writer,
        "{'op':'start-stream','client-event-id':'w','client-id':'chat','reconnect-token':'#1'}");
    inst_server_turn(world.server);
    expect_nothing(writer);
    disconnect(gone);
    finish_keeps();
    struct inst_value *m = expect(writer, "start-stream-ok");
    expect_text(inst_getz(m, "client-event-id"), "w");
    assert_true(inst_getz(m, "offset")->u.num == 3);
    append(writer, 3, "['d']", ",'done':true");
    finish_keeps();
    expect_flushed(writer, 4, true);
}

static void the_newest_writer_counts(void **state) {
    (void)state;
    start_with(writer, "chat", 1);
    append(writer, 0, "['lost']", "");
    assert_true(start_with(reader, "chat", 1) == 0);
    append(writer, 4, "['x']", "");
    expect_error(writer, "validation-failed",
                 "Validation failed for append-stream: Stream is missing.");
    append(reader, 0, "['kept']", ",'done':true");
    finish_keeps();
    expect_flushed(reader, 4, true);
    expect_nothing(writer);
}

static void a_failed_flush(void **state) {
    (void)state;
    struct text text = {.messages = 0};
    start_with(writer, "chat", 1);
    subscribe_id(reader, 0);
    append(writer, 0, "['abc']", ",'done':true");
    follow(reader, &text);
    assert_true(finish_keep("the disk is broken"));
    struct inst_value *m = expect(writer, "append-failed");
    expect_text(inst_getz(m, "stream-id"), stream_id);
    assert_true(start_with(writer, "chat", 1) == 0);
    append(writer, 0, "['abc']", ",'done':true");
    finish_keeps();
    expect_flushed(writer, 3, true);
    /* at once */
    keep_fails = true;
    start_with(writer, "other", 1);
    append(writer, 0, "['abc']", ",'done':true");
    expect(writer, "append-failed");
    expect_nothing(writer);
    keep_fails = false;
    start_with(writer, "other", 1);
    append(writer, 0, "['abc']", ",'done':true");
    finish_keeps();
    expect_flushed(writer, 3, true);
    free_text(&text);
}

static void a_commit_that_fails(void **state) {
    (void)state;
    start_with(writer, "chat", 1);
    append(writer, 0, "['abc']", ",'done':true");
    char steps[200];
    snprintf(steps, sizeof steps, "[['delete-entity','%s','$streams']]", stream_id);
    transact(&world, reader, steps); /* deleted under its writer */
    assert_true(finish_keep(NULL));
    expect(writer, "append-failed");
    subscribe_id(reader, 0);
    expect_error(reader, "validation-failed",
                 "Validation failed for subscribe-stream: Stream is missing.");
    assert_int_equal(writer->session->app->streams.count, 0);
}

static void closing_while_flushing(void **state) {
    (void)state;
    start_with(writer, "chat", 1);
    append(writer, 0, "['abc']", "");
    disconnect(writer);
    disconnect(reader);
    inst_server_free(world.server);
    world.server = NULL;
    free_keeps(); /* calls back: nobody is there */
    world_start(&world);
    world.server->host.files = &fake_files;
    writer = enter(&world, true);
    reader = enter(&world, true);
    assert_true(start_with(writer, "chat", 1) == 0); /* it was not kept: to be sent again */
}

/* ---- readers ---- */

static void a_slow_reader_comes_back_later(void **state) {
    (void)state;
    struct text text = {.messages = 0};
    start_with(writer, "chat", 1);
    subscribe_id(reader, 0);
    reader->backlog = INST_STREAM_MAX_BACKLOG + 1;
    append(writer, 0, "['abc']", "");
    follow(reader, &text);
    assert_true(text.wants_retry);
    assert_non_null(strstr(reader->taken->text, "\"error-type\":\"rate-limit\""));
    append(writer, 3, "['def']", "");
    expect_nothing(reader);
    reader->backlog = 0;
    subscribe_id(reader, 0);
    follow(reader, &text);
    expect_bytes(&text, "abcdef");
    free_text(&text);
}

static void unsubscribing(void **state) {
    (void)state;
    start_with(writer, "chat", 1);
    subscribe_id(reader, 0);
    expect(reader, "stream-append");
    say(&world, reader, "{'op':'unsubscribe-stream','subscribe-event-id':'r'}");
    append(writer, 0, "['abc']", "");
    expect_nothing(reader);
    say(&world, reader, "{'op':'unsubscribe-stream','subscribe-event-id':'r'}");
    expect_error(reader, "validation-failed",
                 "Validation failed for unsubscribe-stream: Stream subscription is missing.");
    say(&world, reader, "{'op':'unsubscribe-stream'}");
    expect_error(reader, "validation-failed",
                 "Validation failed for unsubscribe-stream: Stream subscription is missing.");
    /* the same event id again replaces what was there */
    subscribe_id(reader, 0);
    subscribe_id(reader, 0);
    forget_messages(reader);
    append(writer, 3, "['d']", "");
    expect(reader, "stream-append");
    expect_nothing(reader);
}

/* A cut inside of a character begins with the whole of it. */
static void offsets_inside_of_characters(void **state) {
    (void)state;
    start_with(writer, "chat", 1);
    append(writer, 0, "['aöb']", "");
    subscribe_id(reader, 2);
    struct inst_value *m = expect(reader, "stream-append");
    assert_true(inst_getz(m, "offset")->u.num == 1);
    expect_text(inst_getz(m, "content"), "öb");
    subscribe_id(reader, 99);
    m = expect(reader, "stream-append");
    assert_true(inst_getz(m, "offset")->u.num == 4);
    expect_text(inst_getz(m, "content"), "");
}

/* ---- who may not, and bad input ---- */

static void others_may_not(void **state) {
    (void)state;
    struct connection *d = enter(&world, false);
    say(&world, d, "{'op':'start-stream','client-id':'chat','reconnect-token':'#1'}");
    struct inst_value *e =
        expect_error(d, "permission-denied", "Permission denied: not has-streams-permission?");
    expect_text(&inst_getz(inst_getz(e, "hint"), "input")->u.items[1], "create");
    start_with(writer, "chat", 1);
    subscribe_id(d, 0);
    e = expect_error(d, "permission-denied", "Permission denied: not has-streams-permission?");
    expect_text(&inst_getz(inst_getz(e, "hint"), "input")->u.items[1], "view");
    append(d, 0, "['x']", "");
    expect_error(d, "validation-failed", "Validation failed for append-stream: Stream is missing.");
    disconnect(d);
}

static void by_the_rules(void **state) {
    (void)state;
    struct inst_err err = {0};
    struct inst_arena arena;
    struct inst_value code;
    char *text = quoted("{'$streams':{'allow':{'create':'data.clientId.size() == 6',"
                        "'view':'data.clientId == ruleParams.id'}}}");
    inst_arena_init(&arena);
    if (inst_json_parse(&arena, text, strlen(text), &code, &err) != INST_OK ||
        inst_app_set_rules(writer->session->app, &code, &err) != INST_OK)
        fail_msg("%s", err.message);
    inst_arena_free(&arena);
    free(text);
    struct connection *d = enter(&world, false);
    say(&world, d, "{'op':'start-stream','client-id':'closed 1','reconnect-token':'#1'}");
    expect_error(d, "permission-denied", "Permission denied: not has-streams-permission?");
    start_with(d, "open-1", 1);
    append(d, 0, "['mine']", "");
    expect_nothing(d);
    subscribe_id(d, 0);
    expect(d, "error");
    subscribe(d, ",'client-id':'open-1','rule-params':{'id':'other'}");
    expect_error(d, "permission-denied", "Permission denied: not has-streams-permission?");
    subscribe(d, ",'client-id':'open-1','rule-params':{'id':'open-1'}");
    expect_text(inst_getz(expect(d, "stream-append"), "content"), "mine");
    disconnect(d);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *message, *type, *error;
    } cases[] = {
        {"'op':'start-stream'", "param-missing", "Missing parameter: [\"client-id\"]"},
        {"'op':'start-stream','client-id':' '", "param-malformed",
         "Malformed parameter: [\"client-id\"]"},
        {"'op':'start-stream','client-id':{}", "param-malformed",
         "Malformed parameter: [\"client-id\"]"},
        {"'op':'start-stream','client-id':'x'", "param-missing",
         "Missing parameter: [\"reconnect-token\"]"},
        {"'op':'start-stream','client-id':'x','reconnect-token':'y'", "param-malformed",
         "Malformed parameter: [\"reconnect-token\"]"},
        {"'op':'start-stream','client-id':'chat','reconnect-token':'#2'", "validation-failed",
         "Validation failed for start-stream: A stream with that clientId already exists. "
         "Reconnect token is invalid."},
        {"'op':'start-stream','client-id':'over','reconnect-token':'#1'", "validation-failed",
         "Validation failed for start-stream: Stream is closed."},
        {"'op':'append-stream'", "param-missing", "Missing parameter: [\"stream-id\"]"},
        {"'op':'append-stream','stream-id':'x'", "param-malformed",
         "Malformed parameter: [\"stream-id\"]"},
        {"'op':'append-stream','stream-id':'#1'", "param-missing",
         "Missing parameter: [\"offset\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':-1", "param-malformed",
         "Malformed parameter: [\"offset\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':1.5", "param-malformed",
         "Malformed parameter: [\"offset\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':0", "param-missing",
         "Missing parameter: [\"chunks\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':0,'chunks':'x'", "param-malformed",
         "Malformed parameter: [\"chunks\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':0,'chunks':['x',7]", "param-malformed",
         "Malformed parameter: [\"chunks\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':0,'chunks':[],'done':7", "param-malformed",
         "Malformed parameter: [\"done\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':0,'chunks':[],'abort-reason':{}",
         "param-malformed", "Malformed parameter: [\"abort-reason\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':0,'chunks':[],'abort-reason':' '",
         "param-malformed", "Malformed parameter: [\"abort-reason\"]"},
        {"'op':'append-stream','stream-id':'#1','offset':0,'chunks':[]", "validation-failed",
         "Validation failed for append-stream: Stream is missing."},
        {"'op':'subscribe-stream'", "validation-failed",
         "Validation failed for subscribe-stream: Must provide either a stream-id or a client-id"},
        {"'op':'subscribe-stream','stream-id':7", "param-malformed",
         "Malformed parameter: [\"stream-id\"]"},
        {"'op':'subscribe-stream','client-id':'chat','offset':'x'", "param-malformed",
         "Malformed parameter: [\"offset\"]"},
        {"'op':'subscribe-stream','client-id':'nobody'", "validation-failed",
         "Validation failed for subscribe-stream: Stream is missing."},
        {"'op':'subscribe-stream','stream-id':'#9'", "validation-failed",
         "Validation failed for subscribe-stream: Stream is missing."},
        {"'op':'unsubscribe-stream','subscribe-event-id':{}", "param-malformed",
         "Malformed parameter: [\"subscribe-event-id\"]"},
    };
    start_with(writer, "over", 1);
    append(writer, 0, "[]", ",'done':true");
    expect_flushed(writer, 0, true);
    start_with(writer, "chat", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        say(&world, reader, "{'client-event-id':'e',%s}", cases[i].message);
        inst_server_turn(world.server);
        struct inst_value *e = expect_error(reader, cases[i].type, cases[i].error);
        expect_text(inst_getz(e, "client-event-id"), "e");
        expect_nothing(reader);
    }
    append(writer, 1, "['x']", "");
    expect_error(writer, "validation-failed",
                 "Validation failed for append-stream: Invalid offset for stream.");
    append(writer, 0, "['x']", ",'done':true");
    append(writer, 1, "['x']", "");
    expect_error(writer, "validation-failed",
                 "Validation failed for append-stream: Stream is completed.");
}

static void without_files(void **state) {
    (void)state;
    world.server->host.files = NULL;
    say(&world, writer, "{'op':'start-stream','client-id':'chat','reconnect-token':'#1'}");
    expect_error(writer, "validation-failed", "This backend keeps no files.");
}

static void a_number_is_a_client_id(void **state) {
    (void)state;
    say(&world, writer, "{'op':'start-stream','client-id':7,'reconnect-token':'#1'}");
    inst_server_turn(world.server);
    expect_text(inst_getz(expect(writer, "start-stream-ok"), "client-id"), "7");
    say(&world, writer, "{'op':'start-stream','client-id':' 7\\n','reconnect-token':'#1'}");
    inst_server_turn(world.server);
    expect_text(inst_getz(expect(writer, "start-stream-ok"), "client-id"), "7");
}

static void more_than_may_wait(void **state) {
    (void)state;
    struct inst_uuid id;
    start_with(writer, "fast", 1);
    append(writer, 0, "['abc']", "");
    inst_uuid_parse(stream_id, INST_UUID_TEXT, &id);
    struct inst_stream *stream = inst_stream_get(writer->session->app, &id);
    stream->buffer.len = INST_STREAM_MAX_BUFFER - 1; /* as if */
    append(writer, INST_STREAM_MAX_BUFFER - 1, "['xy']", "");
    stream->buffer.len = 3;
    expect_error(writer, "validation-failed",
                 "Validation failed for append-stream: The stream is written faster than it can be "
                 "stored.");
    append(writer, 3, "['xy']", ",'done':true");
    finish_keeps();
    expect_flushed(writer, 5, true);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(written_and_read),
        TEST(an_empty_stream),
        TEST(aborted),
        TEST(flushed_every_megabyte),
        TEST(a_writer_that_left),
        TEST(the_start_waits_for_the_flush),
        TEST(the_newest_writer_counts),
        TEST(a_failed_flush),
        TEST(a_commit_that_fails),
        TEST(closing_while_flushing),
        TEST(a_slow_reader_comes_back_later),
        TEST(unsubscribing),
        TEST(offsets_inside_of_characters),
        TEST(others_may_not),
        TEST(by_the_rules),
        TEST(refusals),
        TEST(without_files),
        TEST(a_number_is_a_client_id),
        TEST(more_than_may_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
