/*
 * s3_sign.h - addresses that carry their own right, as S3 and what is compatible with it take them
 * (AWS Signature Version 4, in the query; the content is not signed).
 *
 * One signature serves all methods, uploads of unknown hash and browsers that are sent there alike:
 * nobody but this process knows the secret key. No I/O.
 */
#ifndef INST_IO_S3_SIGN_H
#define INST_IO_S3_SIGN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct inst_s3_request {
    const char *method;
    const char *scheme; /* "https" */
    const char *host;   /* with its port, unless that is the scheme's */
    const char *path;   /* begins with '/', not encoded */
    const char *region;
    const char *access_key;
    const char *secret_key;
    int64_t now_ms;
    int seconds; /* how long it is good; a week at most */
    /* What an answer to GET says instead of what is stored; NULL: that. */
    const char *content_type;
    const char *content_disposition;
};

/* Appends the address. false when out of memory. */
bool inst_s3_sign(const struct inst_s3_request *request, struct inst_buf *out);

#endif
