/*
 * http_asked.h - a request as the application sees it: NUL-terminated copies of what its head says.
 */
#ifndef INST_IO_HTTP_ASKED_H
#define INST_IO_HTTP_ASKED_H

#include "io/http_head.h"
#include "server/http.h"

struct inst_http_asked {
    struct inst_http_request request;
    struct inst_http_field fields[INST_HTTP_MAX_FIELDS];
    char *text; /* owned: free() it, also when making it failed */
};

/* 0, or the status to refuse the request with; -1: out of memory. head_len: bytes of the whole
 * head; body is borrowed. */
int inst_http_asked_make(struct inst_http_asked *asked, const struct inst_http_head *head,
                         size_t head_len, const char *body, size_t body_len);

#endif
