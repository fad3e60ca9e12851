#include "io/http_chunked.h"

/* Where the next byte belongs. */
enum state {
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LF,
    LAST_LF,
};

static bool is_control(unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; }

/* The bytes of one state each: false refuses. */
static bool read_size(struct inst_chunked *c, char byte) {
    int digit = inst_http_hex_digit(byte);
    if (digit >= 0) {
        c->left = c->left << 4 | (uint64_t)digit;
        return ++c->digits <= 16;
    }
    c->state = byte == ';' ? EXTENSION : SIZE_LF;
    return c->digits > 0 && (byte == ';' || byte == '\r');
}

static bool read_extension(struct inst_chunked *c, char byte) {
    c->extra++;
    if (byte == '\r')
        c->state = SIZE_LF;
    return byte == '\r' || !is_control((unsigned char)byte);
}

static void end_size(struct inst_chunked *c) {
    c->state = c->left > 0 ? DATA : TRAILER;
    c->digits = 0;
    c->line_len = 0;
    c->has_colon = false;
}

/* A trailer is a header field that nobody reads. */
static bool read_trailer(struct inst_chunked *c, char byte) {
    if (byte == '\r') {
        c->state = c->line_len == 0 ? LAST_LF : TRAILER_LF;
        return c->line_len == 0 || c->has_colon;
    }
    c->extra++;
    if (byte == ':' && c->line_len > 0)
        c->has_colon = true;
    else if (!c->has_colon && !inst_http_is_token_char((unsigned char)byte))
        return false;
    c->line_len++;
    return !is_control((unsigned char)byte);
}

static bool read_byte(struct inst_chunked *c, char byte) {
    switch (c->state) {
    case SIZE:
        return read_size(c, byte);
    case EXTENSION:
        return read_extension(c, byte);
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r';
    case TRAILER:
        return read_trailer(c, byte);
    case SIZE_LF:
        end_size(c);
        return byte == '\n';
    case DATA_LF:
        c->state = SIZE;
        return byte == '\n';
    default: /* TRAILER_LF */
        c->state = TRAILER;
        c->line_len = 0;
        c->has_colon = false;
        return byte == '\n';
    }
}

static enum inst_chunked_result refuse(struct inst_chunked *c, enum inst_chunked_result why) {
    c->is_refused = true;
    return why;
}

enum inst_chunked_result inst_chunked_next(struct inst_chunked *chunked, const char **at,
                                           const char *end, struct inst_slice *data) {
    if (chunked->is_refused)
        return INST_CHUNKED_REFUSE;
    while (*at < end) {
        if (chunked->state == DATA) {
            size_t len = (size_t)(end - *at);
            if (len > chunked->left)
                len = (size_t)chunked->left;
            *data = (struct inst_slice){*at, len};
            *at += len;
            chunked->left -= len;
            if (chunked->left == 0)
                chunked->state = DATA_CR;
            return INST_CHUNKED_DATA;
        }
        char byte = *(*at)++;
        if (chunked->state == LAST_LF)
            return byte == '\n' ? INST_CHUNKED_END : refuse(chunked, INST_CHUNKED_REFUSE);
        if (!read_byte(chunked, byte))
            return refuse(chunked, INST_CHUNKED_REFUSE);
        if (chunked->extra > INST_CHUNKED_MAX_EXTRA)
            return refuse(chunked, INST_CHUNKED_LONG);
    }
    return INST_CHUNKED_MORE;
}
