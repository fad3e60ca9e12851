/*
 * http_chunked.h - a request body in chunks, read strictly (RFC 9112 7.1, conformance/http.md
 * 37-40).
 *
 *     size [";" extension] CRLF  bytes CRLF  ...  "0" CRLF  (trailer CRLF)*  CRLF
 *
 * As with heads, what two readers could read differently is refused: a bare CR or LF, white space
 * or a sign around a size, more than 16 digits. Extensions and trailers are passed over; what they
 * take together is limited. No I/O, no allocation.
 */
#ifndef INST_IO_HTTP_CHUNKED_H
#define INST_IO_HTTP_CHUNKED_H

#include "io/http_head.h"

/* Bytes of all extensions and trailers of one body. */
#define INST_CHUNKED_MAX_EXTRA 16384

/* Zero at the beginning of a body. */
struct inst_chunked {
    int state;
    int digits;      /* of the size being read */
    uint64_t left;   /* bytes of this chunk that are still to come */
    size_t extra;    /* bytes of extensions and trailers */
    size_t line_len; /* of the trailer being read */
    bool has_colon;  /* it has its name */
    bool is_refused;
};

enum inst_chunked_result {
    INST_CHUNKED_MORE,   /* all of the input was read */
    INST_CHUNKED_DATA,   /* *data is the next piece of the body */
    INST_CHUNKED_END,    /* *at is behind the body's last byte */
    INST_CHUNKED_REFUSE, /* malformed: nothing behind it may be read as a request */
    INST_CHUNKED_LONG,   /* too much beside the body, likewise */
};

/* Reads on from *at, which moves, up to end. */
enum inst_chunked_result inst_chunked_next(struct inst_chunked *chunked, const char **at,
                                           const char *end, struct inst_slice *data);

#endif
