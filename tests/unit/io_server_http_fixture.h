/*
 * io_server_http_fixture.h - HTTP requests to the engine of io_server_fixture.h.
 *
 * Header fields are one text, `name: value` joined by `|`; {app}, {token} and {bearer} in it stand
 * for the app's id, its admin token and `Bearer` with it. Bodies are written as messages are.
 */
#ifndef INST_TESTS_IO_SERVER_HTTP_FIXTURE_H
#define INST_TESTS_IO_SERVER_HTTP_FIXTURE_H

#include "io_server_fixture.h"

#include <ftw.h>
#include <unistd.h>

#define ADMIN "app-id: {app}|authorization: {bearer}"

static inline int remove_entry(const char *path, const struct stat *info, int kind,
                               struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

/* A world over a folder of apps, where admin tokens count; dir gets the folder's name. */
static inline void world_open_dir(struct world *w, char dir[32], const char *schema) {
    struct inst_err err = {0};
    struct inst_arena arena;
    struct inst_value json = {0};
    strcpy(dir, "/tmp/inst-server-XXXXXX");
    assert_non_null(mkdtemp(dir));
    *w = (struct world){.now = 1700000000000, .random = 88172645463325252u};
    w->env = (struct inst_env){w, world_now, world_random, NULL};
    inst_arena_init(&w->arena);
    if (inst_apps_open_dir(dir, NULL, &w->env, &w->apps, &err) != INST_OK)
        fail_msg("%s", err.message);
    world_start(w);
    inst_arena_init(&arena);
    char *text = quoted(schema);
    assert_int_equal(inst_json_parse(&arena, text, strlen(text), &json, &err), INST_OK);
    if (inst_server_create_app(w->server, "Test", &json, 0, &w->app, w->token, &err) != INST_OK)
        fail_msg("%s", err.message);
    free(text);
    inst_arena_free(&arena);
    learn_attrs(w);
}

static inline void world_close_dir(struct world *w, const char *dir) {
    world_close(w);
    nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

struct answer {
    int status;
    struct inst_arena arena;
    struct inst_value value; /* of a JSON body */
    char *text;
    char head[4096]; /* its header lines */
};

static inline void free_answer(struct answer *answer) {
    inst_arena_free(&answer->arena);
    free(answer->text);
    *answer = (struct answer){0};
}

static inline char *filled_in(struct world *w, const char *text) {
    const struct {
        const char *name, *value;
    } words[] = {{"{app}", w->app.id}, {"{token}", w->token}, {"{bearer}", w->token}};
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_add_str(&buf, "");
    while (*text != '\0') {
        size_t i = 0;
        while (i < 3 && strncmp(text, words[i].name, strlen(words[i].name)) != 0)
            i++;
        if (i == 3) {
            inst_buf_add_char(&buf, *text++);
            continue;
        }
        if (i == 2)
            inst_buf_add_str(&buf, "Bearer ");
        inst_buf_add_str(&buf, words[i].value);
        text += strlen(words[i].name);
    }
    size_t len;
    return inst_buf_take(&buf, &len);
}

/* Of an answer that comes later: takes it. */
static inline void take_response(void *ctx, struct inst_http_response *response) {
    struct inst_http_response *to = ctx;
    *to = *response;
    inst_buf_init(&response->headers);
    inst_buf_init(&response->body);
}

/* target: path, with a query behind `?`. body NULL: none. to: what an event stream goes to, or
 * NULL.
 */
static inline struct answer *call_with(struct world *w, const char *method, const char *target,
                                       const char *fields, const char *body,
                                       struct connection *to) {
    static struct answer answer;
    struct inst_http_field list[16];
    struct inst_http_response response;
    char *head = filled_in(w, fields), *path = filled_in(w, target);
    char *sent = body != NULL ? expanded(w, body) : strdup("");
    size_t count = 0;
    for (char *at = strtok(head, "|"); at != NULL; at = strtok(NULL, "|")) {
        char *colon = strstr(at, ": ");
        assert_non_null(colon);
        *colon = '\0';
        list[count++] = (struct inst_http_field){at, colon + 2};
    }
    char *query = strchr(path, '?');
    if (query != NULL)
        *query++ = '\0';
    struct inst_http_request request = {.method = method,
                                        .path = path,
                                        .query = query != NULL ? query : "",
                                        .body = sent,
                                        .body_len = strlen(sent),
                                        .fields = list,
                                        .field_count = count,
                                        .ip = w->ip,
                                        .connection = to};
    free_answer(&answer);
    inst_server_http(w->server, &request, &response);
    if (response.later != NULL) {
        struct inst_http_response came = {0};
        assert_non_null(w->settle);
        inst_http_later_wait(response.later, take_response, &came);
        w->settle(w);
        assert_int_not_equal(came.status, 0);
        response = came;
    }
    snprintf(answer.head, sizeof answer.head, "%s",
             response.headers.data != NULL ? response.headers.data : "");
    assert_false(response.body.failed || response.headers.failed);
    inst_arena_init(&answer.arena);
    answer.status = response.status;
    answer.text =
        strdup(response.body.data != NULL ? response.body.data : "{}"); /* as the host does */
    if (inst_json_parse(&answer.arena, answer.text, strlen(answer.text), &answer.value, NULL) !=
        INST_OK)
        answer.value = inst_undefined();
    if (to != NULL)
        to->session = response.stream;
    inst_http_response_clear(&response);
    free(head);
    free(path);
    free(sent);
    return &answer;
}

static inline struct answer *call(struct world *w, const char *method, const char *target,
                                  const char *fields, const char *body) {
    return call_with(w, method, target, fields, body, NULL);
}

/* A connection whose session is the event stream that the answer opens. */
static inline struct connection *open_stream(struct world *w, const char *target,
                                             const char *fields, const char *body) {
    struct connection *c = calloc(1, sizeof *c);
    c->end = &c->first;
    struct answer *answer = call_with(w, "POST", target, fields, body, c);
    if (answer->status != 200 || c->session == NULL)
        fail_msg("%s %s: %d %s", target, body, answer->status, answer->text);
    assert_string_equal(answer->text, "retry: 500\n\n");
    return c;
}

static inline void expect_body(struct world *w, const struct inst_value *got, const char *wanted) {
    struct inst_buf buf;
    struct inst_arena arena;
    struct inst_value value;
    inst_arena_init(&arena);
    inst_buf_init(&buf);
    inst_json_write(&buf, got);
    char *text = expanded(w, wanted);
    assert_int_equal(inst_json_parse(&arena, text, strlen(text), &value, NULL), INST_OK);
    if (!inst_value_equal(got, &value))
        fail_msg("wanted: %s\n   got: %s", text, buf.data);
    free(text);
    inst_buf_free(&buf);
    inst_arena_free(&arena);
}

/* Status 200; gives the body. */
static inline const struct inst_value *done(struct world *w, const char *method, const char *target,
                                            const char *fields, const char *body) {
    struct answer *answer = call(w, method, target, fields, body);
    if (answer->status != 200)
        fail_msg("%s %s %s: %d %s", method, target, body ? body : "", answer->status, answer->text);
    return &answer->value;
}

/* Status 400 and this error; gives the body. */
static inline const struct inst_value *denied(struct world *w, const char *method,
                                              const char *target, const char *fields,
                                              const char *body, const char *type,
                                              const char *message) {
    struct answer *answer = call(w, method, target, fields, body);
    char *wanted = expanded_message(w, message);
    if (answer->status != 400 || !inst_is_string(inst_getz(&answer->value, "type"), type) ||
        !inst_is_string(inst_getz(&answer->value, "message"), wanted))
        fail_msg("%s %s [%s] %s\nwanted: %s: %s\n   got: %d %s", method, target,
                 fields ? fields : "", body ? body : "", type, wanted, answer->status,
                 answer->text);
    assert_true(inst_getz(&answer->value, "hint") == NULL ||
                inst_getz(&answer->value, "hint")->tag == INST_OBJECT);
    free(wanted);
    return &answer->value;
}

#endif
