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
#define INST_FILE_SIZE_UNKNOWN UINT64_MAX

struct inst_file_upload;

struct inst_file_upload_config {
    uint64_t size;     /* of the whole body; INST_FILE_SIZE_UNKNOWN: until inst_file_upload_end */
    uint64_t max_size; /* more is refused with 413 when it is known, 0: any */
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
/* Where the next bytes go and how many; NULL while the worker has the last ones, and when there
 * may be no more. Never more than are still to come, or allowed. */
char *inst_file_upload_room(struct inst_file_upload *upload, size_t *cap);
/* So many were put there. */
void inst_file_upload_fill(struct inst_file_upload *upload, size_t count);
/* Of unknown size: that was all. */
void inst_file_upload_end(struct inst_file_upload *upload);
/* Does the worker have the last bytes? */
bool inst_file_upload_is_working(const struct inst_file_upload *upload);
/* Bytes that are still to come, as far as that is known. */
uint64_t inst_file_upload_left(const struct inst_file_upload *upload);
/* Nobody is called any more. NULL is fine. */
void inst_file_upload_cancel(struct inst_file_upload *upload);

#endif
