#include "io/operator.h"

#include "base/json.h"
#include "io/backup.h"
#include "io/data_folder.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH "/operator/backup"
/* Two uuids: 244 random bits. */
#define TOKEN_TEXT (2 * INST_UUID_TEXT)

enum state { IDLE, RUNNING, DONE, FAILED };

struct inst_operator {
    struct inst_loop *loop;
    struct inst_backend *backend;
    struct inst_turn_hook hook;
    char path[PATH_MAX]; /* of the file */
    char token[TOKEN_TEXT + 1];
    struct inst_backup *backup; /* while it runs */
    enum state state;
    struct inst_backup_progress shown; /* name is not used any more */
    char *failure;
};

/* ---- the backup ---- */

static enum inst_status hold(void *ctx, const char *app_id, struct inst_app_db **out,
                             struct inst_err *err) {
    struct inst_operator *op = ctx;
    return inst_server_hold_app(inst_backend_server(op->backend), app_id, out, err);
}

static void let_go(void *ctx, const char *app_id, struct inst_app_db *db) {
    struct inst_operator *op = ctx;
    (void)db;
    inst_server_release_app(inst_backend_server(op->backend), app_id);
}

static void end_backup(struct inst_operator *op, enum state state, const struct inst_err *err) {
    inst_backup_free(op->backup);
    op->backup = NULL;
    op->state = state;
    free(op->failure);
    op->failure = err ? strdup(err->message) : NULL;
}

static void turn(void *ctx) {
    struct inst_operator *op = ctx;
    struct inst_err err = {0};
    bool is_done = false;
    if (!op->backup)
        return;
    enum inst_status status = inst_backup_step(op->backup, &is_done, &err);
    inst_backup_show(op->backup, &op->shown);
    if (status != INST_OK)
        end_backup(op, FAILED, &err);
    else if (is_done)
        end_backup(op, DONE, NULL);
    else
        inst_loop_poll_again(op->loop);
    inst_err_clear(&err);
}

static enum inst_status start_backup(struct inst_operator *op, const char *to,
                                     struct inst_err *err) {
    struct inst_backup_source source = {
        .apps = inst_backend_apps(op->backend), .hold = hold, .let_go = let_go, .ctx = op};
    if (op->state == RUNNING)
        return inst_err_set(err, "operator", 400, "A backup is being made already.");
    enum inst_status status = inst_backup_begin(&source, to, &op->backup, err);
    if (status == INST_OK) {
        op->state = RUNNING;
        op->shown = (struct inst_backup_progress){0};
    }
    return status;
}

/* ---- requests ---- */

static bool has_token(const struct inst_operator *op, const struct inst_http_request *request) {
    static const char bearer[] = "Bearer ";
    for (size_t i = 0; i < request->field_count; i++) {
        const char *value = request->fields[i].value;
        if (strcmp(request->fields[i].name, "authorization") == 0)
            return strncmp(value, bearer, sizeof bearer - 1) == 0 &&
                   strlen(value) == sizeof bearer - 1 + TOKEN_TEXT &&
                   CRYPTO_memcmp(value + sizeof bearer - 1, op->token, TOKEN_TEXT) == 0;
    }
    return false;
}

static void write_state(const struct inst_operator *op, struct inst_buf *out) {
    static const char *const states[] = {"idle", "running", "done", "failed"};
    const struct inst_backup_progress *shown = &op->shown;
    inst_buf_addf(out, "{\"state\":\"%s\",\"file\":%zu,\"files\":%zu,\"pages\":%zu,\"of\":%zu",
                  states[op->state], shown->file, shown->files, shown->pages, shown->page_count);
    if (op->failure) {
        inst_buf_add_str(out, ",\"message\":");
        inst_json_write_string(out, op->failure, strlen(op->failure));
    }
    inst_buf_add_char(out, '}');
}

static void refuse(struct inst_http_response *response, const struct inst_err *err) {
    response->status = 400;
    inst_buf_clear(&response->body);
    inst_buf_add_str(&response->body, "{\"type\":\"operator\",\"message\":");
    inst_json_write_string(&response->body, err->message, strlen(err->message));
    inst_buf_add_char(&response->body, '}');
}

static enum inst_status begin(struct inst_operator *op, const struct inst_http_request *request,
                              struct inst_err *err) {
    struct inst_arena arena;
    struct inst_value body;
    inst_arena_init(&arena);
    enum inst_status status = inst_json_parse(&arena, request->body, request->body_len, &body, err);
    const struct inst_value *to =
        status == INST_OK && body.tag == INST_OBJECT ? inst_get_string(&body, "to") : NULL;
    if (status == INST_OK && (!to || to->len == 0 || to->u.str[0] != '/' || to->len >= PATH_MAX))
        status = inst_err_set(err, "operator", 400, "`to` must be the full path of a folder.");
    if (status == INST_OK) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%.*s", (int)to->len, to->u.str);
        status = start_backup(op, path, err);
    }
    inst_arena_free(&arena);
    return status;
}

bool inst_operator_answers(struct inst_operator *op, const struct inst_http_request *request,
                           struct inst_http_response *response) {
    struct inst_err err = {0};
    enum inst_status status = INST_OK;
    if (strcmp(request->path, PATH) != 0 || !has_token(op, request))
        return false;
    if (strcmp(request->method, "POST") == 0)
        status = begin(op, request, &err);
    else if (strcmp(request->method, "DELETE") == 0 && op->state == RUNNING)
        end_backup(op, IDLE, NULL);
    response->status = 200;
    if (status == INST_OK)
        write_state(op, &response->body);
    else
        refuse(response, &err);
    inst_err_clear(&err);
    return true;
}

/* ---- life ---- */

static enum inst_status write_file(struct inst_operator *op, const char *url,
                                   struct inst_err *err) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, "{\"url\":");
    inst_json_write_string(&text, url, strlen(url));
    inst_buf_addf(&text, ",\"token\":\"%s\"}\n", op->token);
    unlink(op->path); /* of a server that did not end by itself */
    enum inst_status status =
        text.failed ? inst_err_nomem(err) : inst_data_write(op->path, text.data, text.len, err);
    inst_buf_free(&text);
    return status;
}

enum inst_status inst_operator_new(struct inst_loop *loop, struct inst_backend *backend,
                                   const char *dir, const char *url, struct inst_operator **out,
                                   struct inst_err *err) {
    struct inst_operator *op = calloc(1, sizeof *op);
    if (!op)
        return inst_err_nomem(err);
    op->loop = loop;
    op->backend = backend;
    op->hook = (struct inst_turn_hook){.fn = turn, .ctx = op};
    inst_uuid_make_text(inst_loop_env(loop), op->token);
    inst_uuid_make_text(inst_loop_env(loop), op->token + INST_UUID_TEXT);
    enum inst_status status = INST_OK;
    if (snprintf(op->path, sizeof op->path, "%s/" INST_OPERATOR_FILE, dir) >= (int)sizeof op->path)
        status = inst_err_set(err, "data-file", 500, "%s: the path is too long", dir);
    if (status == INST_OK)
        status = write_file(op, url, err);
    if (status != INST_OK) {
        free(op);
        return status;
    }
    inst_loop_add_hook(loop, &op->hook);
    *out = op;
    return INST_OK;
}

void inst_operator_free(struct inst_operator *op) {
    if (!op)
        return;
    inst_loop_remove_hook(op->loop, &op->hook);
    unlink(op->path);
    inst_backup_free(op->backup);
    free(op->failure);
    free(op);
}
