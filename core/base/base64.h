/*
 * base64.h - bytes as text (RFC 4648): the ordinary alphabet for mail, the one for addresses
 * (base64url, without padding) for signed tokens.
 */
#ifndef INST_BASE_BASE64_H
#define INST_BASE_BASE64_H

#include "base/buf.h"

/* With padding, in one line. */
void inst_base64_add(struct inst_buf *out, const void *bytes, size_t len);
/* Without padding. */
void inst_base64url_add(struct inst_buf *out, const void *bytes, size_t len);
/* Bytes that so much text stands for, at most. */
#define INST_BASE64_BYTES(len) ((len) / 4 * 3 + 3)
/* Reads base64url, padded or not; out has room for INST_BASE64_BYTES(len). false: it is none, or
 * its last bits are not zero (one sequence of bytes has one text). */
bool inst_base64url_read(const char *text, size_t len, uint8_t *out, size_t *out_len);

#endif
