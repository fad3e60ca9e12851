/*
 * file_upload.h - one upload on its way: from who sends it to the disk and into a row.
 *
 *     begin ── engine: may it? ──> room/fill, room/fill ... ──> answered(response)
 *                                       │    └─ a worker thread hashes and writes the piece
 *                                       └─ no room while it does: whoever sends has to wait
 *
 * Memory: one piece, INST_FILE_PIECE bytes, however long the content is. Syncing is the worker's,
 * too; the row and the answer are made on the loop when the bytes are durable. What is cancelled or
 * fails leaves no row, and no bytes.
 */
#ifndef INST_IO_FILE_UPLOAD_H
#define INST_IO_FILE_UPLOAD_H

#include "io/backend.h"

#define INST_FILE_PIECE (128u << 10)

struct inst_file_upload;

struct inst_file_upload_config {
    uint64_t size;     /* of the whole body */
    uint64_t max_size; /* more is refused with 413; 0: any */
    void *ctx;
    /* There is room again. */
    void (*ready)(void *ctx);
    /* Once, last, unless cancelled; also before all has come, when it fails. The response is the
     * receiver's to clear; the upload frees itself. */
    void (*answered)(void *ctx, struct inst_http_response *response);
};

/* Asks the engine. false: the request is no upload. true with *out NULL: refused, response says
 * why. Callbacks come from the loop, never from inside a call. */
bool inst_file_upload_begin(struct inst_backend *backend, const struct inst_http_request *head,
                            const struct inst_file_upload_config *config,
                            struct inst_file_upload **out, struct inst_http_response *response);
/* Where the next bytes go and how many; NULL while the worker has the last ones. Never more than
 * are still to come. */
char *inst_file_upload_room(struct inst_file_upload *upload, size_t *cap);
/* So many were put there. */
void inst_file_upload_fill(struct inst_file_upload *upload, size_t count);
/* Bytes that are still to come. */
uint64_t inst_file_upload_left(const struct inst_file_upload *upload);
/* Nobody is called any more. NULL is fine. */
void inst_file_upload_cancel(struct inst_file_upload *upload);

#endif
