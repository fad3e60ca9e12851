/*
 * stream_rows.h - `$streams`, and the `$files` that hold a stream's bytes.
 *
 *     $streams  clientId (unique) machineId hashedReconnectToken done? size? abortReason?
 *        └─ $files ─> $files  path `$stream/<stream-id>/<n>`, n = 0, 1, 2 ... without gaps
 */
#ifndef INST_SERVER_STREAM_ROWS_H
#define INST_SERVER_STREAM_ROWS_H

#include "server/engine.h"

/* Values are on server->scratch; UNDEFINED where there is none. */
struct inst_stream_row {
    uint32_t e; /* 0: there is no such stream */
    char id[INST_UUID_TEXT + 1];
    struct inst_value client_id, token_hash, abort_reason;
    bool has_machine;
    bool is_done;
};

struct inst_stream_part {
    struct inst_value id, location;
    uint64_t size;
    uint64_t number;
};

/* By id, or (NULL) by client id. */
enum inst_status inst_stream_row_find(struct inst_app *app, const char *id,
                                      const struct inst_value *client_id,
                                      struct inst_stream_row *out, struct inst_err *err);
/* The files of a stream in order; *size: their bytes. Fails when one is missing. */
enum inst_status inst_stream_row_parts(struct inst_app *app, const struct inst_stream_row *row,
                                       struct inst_stream_part **out, size_t *count, uint64_t *size,
                                       struct inst_err *err);
/* Durable when it returns INST_OK. */
enum inst_status inst_stream_row_create(struct inst_app *app, const struct inst_value *client_id,
                                        const char *token_hash, char id[INST_UUID_TEXT + 1],
                                        struct inst_err *err);

/* What happens to a stream's rows in one transaction. */
struct inst_stream_change {
    const char *id;       /* the stream's */
    const char *location; /* of a new part; NULL: none */
    uint64_t number;      /* the part's */
    uint64_t size;        /* the part's */
    bool is_done;         /* with the next two */
    uint64_t whole;
    const char *abort_reason; /* NULL: none */
};
/* Durable when it returns INST_OK. Fails when the stream was deleted. */
enum inst_status inst_stream_row_change(struct inst_app *app,
                                        const struct inst_stream_change *change,
                                        struct inst_err *err);

#endif
