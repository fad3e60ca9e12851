#include "io/file_upload.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct inst_file_upload {
    uv_work_t work; /* first: the request is the upload */
    struct inst_backend *backend;
    struct inst_file_upload_config config;
    struct inst_upload *head; /* what the engine said */
    struct inst_file_writer *writer;
    uint64_t received;
    size_t filled; /* of piece */
    bool is_working;
    bool is_cancelled;
    bool is_ended;     /* of unknown size: all has come */
    bool is_finishing; /* the worker has the last piece, and makes everything durable */
    /* Written by the worker. */
    enum inst_status status;
    struct inst_err err;
    struct inst_file_stored stored;
    char piece[INST_FILE_PIECE];
};

static void free_upload(struct inst_file_upload *upload) {
    inst_file_writer_free(upload->writer);
    inst_upload_free(upload->head);
    inst_err_clear(&upload->err);
    free(upload);
}

static void answer(struct inst_file_upload *upload) {
    struct inst_http_response response;
    const struct inst_err *failed = upload->status != INST_OK ? &upload->err : NULL;
    inst_upload_done(inst_backend_server(upload->backend), upload->head, upload->stored.size,
                     failed, &response);
    upload->config.answered(upload->config.ctx, &response);
    free_upload(upload);
}

/* ---- on a worker thread ---- */

static void do_work(uv_work_t *work) {
    struct inst_file_upload *upload = (struct inst_file_upload *)work;
    upload->status =
        inst_file_writer_add(upload->writer, upload->piece, upload->filled, &upload->err);
    if (upload->status == INST_OK && upload->is_finishing)
        upload->status = inst_file_writer_finish(upload->writer, upload->head->location,
                                                 &upload->stored, &upload->err);
}

/* ---- on the loop ---- */

static void hand_over(struct inst_file_upload *upload);

static void work_done(uv_work_t *work, int failed) {
    struct inst_file_upload *upload = (struct inst_file_upload *)work;
    (void)failed; /* only when cancelled, which is never asked for */
    upload->is_working = false;
    upload->filled = 0;
    if (upload->is_cancelled)
        free_upload(upload);
    else if (upload->status != INST_OK || upload->is_finishing)
        answer(upload);
    else if (upload->is_ended)
        hand_over(upload);
    else
        upload->config.ready(upload->config.ctx);
}

static void hand_over(struct inst_file_upload *upload) {
    upload->is_finishing = upload->is_ended || upload->received == upload->config.size;
    upload->is_working = true;
    uv_queue_work(inst_loop_uv(inst_backend_loop(upload->backend)), &upload->work, do_work,
                  work_done);
}

/* Bytes that may still come. */
static uint64_t allowance(const struct inst_file_upload *upload) {
    uint64_t limit = upload->config.size;
    if (limit == INST_FILE_SIZE_UNKNOWN && upload->config.max_size > 0)
        limit = upload->config.max_size;
    return limit - upload->received;
}

char *inst_file_upload_room(struct inst_file_upload *upload, size_t *cap) {
    uint64_t left = allowance(upload);
    if (upload->is_working || upload->is_ended || left == 0)
        return NULL;
    *cap = sizeof upload->piece - upload->filled;
    if (*cap > left)
        *cap = (size_t)left;
    return upload->piece + upload->filled;
}

void inst_file_upload_fill(struct inst_file_upload *upload, size_t count) {
    upload->filled += count;
    upload->received += count;
    if (upload->filled == sizeof upload->piece || upload->received == upload->config.size)
        hand_over(upload);
}

void inst_file_upload_end(struct inst_file_upload *upload) {
    upload->is_ended = true;
    if (!upload->is_working)
        hand_over(upload);
}

bool inst_file_upload_is_working(const struct inst_file_upload *upload) {
    return upload->is_working;
}

uint64_t inst_file_upload_left(const struct inst_file_upload *upload) {
    return upload->is_ended ? 0 : upload->config.size - upload->received;
}

void inst_file_upload_cancel(struct inst_file_upload *upload) {
    if (!upload)
        return;
    upload->is_cancelled = true;
    if (!upload->is_working)
        free_upload(upload);
}

static enum inst_status check_size(const struct inst_file_upload_config *config,
                                   struct inst_err *err) {
    if (config->max_size == 0 || config->size <= config->max_size ||
        config->size == INST_FILE_SIZE_UNKNOWN)
        return INST_OK;
    return inst_err_set(err, "param-malformed", 413,
                        "A file takes at most %llu bytes here; this one has %llu.",
                        (unsigned long long)config->max_size, (unsigned long long)config->size);
}

bool inst_file_upload_begin(struct inst_backend *backend, const struct inst_http_request *head,
                            const struct inst_file_upload_config *config,
                            struct inst_file_upload **out, struct inst_http_response *response) {
    struct inst_server *server = inst_backend_server(backend);
    struct inst_upload *accepted;
    struct inst_err err = {0};
    *out = NULL;
    if (!inst_upload_begin(server, head, &accepted, response))
        return false;
    if (!accepted)
        return true;
    /* The piece need not be zeroed. */
    struct inst_file_upload *upload = malloc(sizeof *upload);
    enum inst_status status = upload ? check_size(config, &err) : inst_err_nomem(&err);
    if (upload) {
        memset(upload, 0, offsetof(struct inst_file_upload, piece));
        upload->backend = backend;
        upload->config = *config;
        upload->head = accepted;
    }
    if (status == INST_OK)
        status = inst_file_writer_new(inst_backend_files(backend), accepted->app,
                                      config->size == INST_FILE_SIZE_UNKNOWN ? 0 : config->size,
                                      &upload->writer, &err);
    if (status == INST_OK) {
        *out = upload;
        if (config->size == 0)
            hand_over(upload);
        return true;
    }
    inst_http_response_clear(response);
    inst_upload_done(server, accepted, 0, &err, response);
    inst_err_clear(&err);
    if (upload)
        free_upload(upload);
    else
        inst_upload_free(accepted);
    return true;
}
