/*
 * http_head.h - the head of one HTTP/1.1 request, read strictly (conformance/http.md 1-3).
 *
 *     [CRLF] method SP target SP HTTP/1.x CRLF (name ":" OWS value OWS CRLF)* CRLF
 *
 * Everything that two readers could read differently is refused: bare CR or LF, folded lines, white
 * space before a colon, control bytes, several or odd lengths, any Transfer-Encoding but chunked
 * (http_chunked.h) and that beside a length, several hosts. No I/O, no allocation: slices point
 * into the caller's bytes.
 */
#ifndef INST_IO_HTTP_HEAD_H
#define INST_IO_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_HTTP_MAX_TARGET 8192
#define INST_HTTP_MAX_HEAD 16384 /* request line and headers together */
#define INST_HTTP_MAX_FIELDS 100

struct inst_slice {
    const char *str; /* not NUL-terminated */
    size_t len;
};

struct inst_head_field {
    struct inst_slice name;
    struct inst_slice value; /* without white space around it */
};

struct inst_http_head {
    struct inst_slice method;
    struct inst_slice path;  /* as sent, still percent-encoded; "*" for OPTIONS * */
    struct inst_slice query; /* behind the '?', may be empty */
    int minor;               /* of HTTP/1.x: 0 or 1 */
    bool keep_alive;
    bool has_length;
    bool is_chunked;         /* the body's length shows when it ends */
    uint64_t content_length; /* 0 when that is so */
    bool expects_continue;
    struct inst_head_field fields[INST_HTTP_MAX_FIELDS];
    size_t field_count;
};

enum inst_head_result {
    INST_HEAD_MORE,   /* not all of it is there */
    INST_HEAD_DONE,   /* *head is filled, *head_len says where the body begins */
    INST_HEAD_REFUSE, /* *status says with what; nothing behind it may be read as a request */
};

/* What was looked at in earlier calls with a shorter piece of the same bytes; zero at first. */
struct inst_head_scan {
    size_t done;       /* bytes looked at */
    size_t line_start; /* of the line that `done` is in */
    size_t lines;      /* complete lines, a leading empty one not counted */
};

/* Looks at the first len bytes of a connection's input. */
enum inst_head_result inst_http_head_parse(struct inst_head_scan *scan, const char *bytes,
                                           size_t len, struct inst_http_head *head,
                                           size_t *head_len, int *status);

/* The first field of that name (lower case); NULL when there is none. *count gets how many. */
const struct inst_slice *inst_head_field(const struct inst_http_head *head, const char *name,
                                         size_t *count);
/* Is token (lower case) in the comma-separated lists of all fields of that name? */
bool inst_http_has_token(const struct inst_http_head *head, const char *name, const char *token);
bool inst_slice_is(const struct inst_slice *slice, const char *text);
/* May it stand in a method or a field's name? */
bool inst_http_is_token_char(unsigned char c);
int inst_http_hex_digit(char c); /* -1: it is none */

/* Decodes %xx once into out (path.len + 1 bytes, NUL-terminated). %2F and %5C stay as they are:
 * they are data inside a segment. False for a broken escape, a control byte or broken UTF-8. */
bool inst_http_decode_path(const struct inst_slice *path, char *out);

#endif
