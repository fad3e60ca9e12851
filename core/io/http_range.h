/*
 * http_range.h - which part of a content a request asks for (RFC 9110 13, 14).
 *
 *     If-None-Match has the ETag              304
 *     no Range, one that is malformed, of     200, all of it
 *     another unit, of several parts, or
 *     If-Range names another ETag
 *     it begins behind the end                416
 *     else                                    206, [from, from + len)
 */
#ifndef INST_IO_HTTP_RANGE_H
#define INST_IO_HTTP_RANGE_H

#include "io/http_head.h"

#include <stdint.h>

struct inst_http_part {
    int status; /* 200, 206, 304 or 416 */
    uint64_t from;
    uint64_t len; /* bytes to send */
};

/* head NULL: no header fields. etag with its quotes. */
struct inst_http_part inst_http_part_of(const struct inst_http_head *head, const char *etag,
                                        uint64_t size);

#endif
