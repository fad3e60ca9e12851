/*
 * http_answer.h - the bytes of an HTTP answer, and which WebSocket handshakes are right.
 */
#ifndef INST_IO_HTTP_ANSWER_H
#define INST_IO_HTTP_ANSWER_H

#include "base/buf.h"
#include "io/http_head.h"
#include "io/http_range.h"
#include "server/http.h"

#include <stdbool.h>

/* Appends a whole answer. head may be NULL (it could not be read). extra: further header lines,
 * each with its line end, or "". */
void inst_http_write(struct inst_buf *out, const struct inst_http_head *head, int status,
                     const char *body, size_t body_len, bool keep_alive, const char *extra);
/* The same for what the engine answers. */
void inst_http_write_response(struct inst_buf *out, const struct inst_http_head *head,
                              const struct inst_http_response *response, bool keep_alive);
/* The head of an answer without an end, and the body that it begins with. */
void inst_http_write_stream(struct inst_buf *out, const struct inst_http_head *head,
                            const struct inst_http_response *response);
/* The head of an answer whose body is a part of a file of that size. */
void inst_http_write_file(struct inst_buf *out, const struct inst_http_response *response,
                          const struct inst_http_part *part, uint64_t size, bool keep_alive);
/* Sends a client that asked for a file to another address. */
void inst_http_write_redirect(struct inst_buf *out, const struct inst_http_head *head,
                              const char *address, bool keep_alive);
/* The same with the error envelope of that status as its body. */
void inst_http_write_error(struct inst_buf *out, const struct inst_http_head *head, int status,
                           const char *message, bool keep_alive);
/* ... and further header lines, each with its line end. */
void inst_http_write_refusal(struct inst_buf *out, const struct inst_http_head *head, int status,
                             const char *message, bool keep_alive, const char *extra);
/* The answer to OPTIONS (http.md 1.4). */
void inst_http_write_preflight(struct inst_buf *out, const struct inst_http_head *head,
                               bool keep_alive);

/* Does the request ask for the session's WebSocket? 0: no, it is plain HTTP. 101: yes, and it is
 * right. Else the status to refuse it with (conformance/websocket.md 1.1). */
int inst_ws_handshake(const struct inst_http_head *head);

#endif
