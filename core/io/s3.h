/*
 * s3.h - the contents of files in a bucket of S3, or of what speaks its language.
 *
 *     PUT, DELETE   by this process, at addresses that it signs itself (s3_sign.h)
 *     GET, HEAD     by clients: they are sent to such an address
 *
 * The bucket is in the path (ENDPOINT/BUCKET/KEY), which all of them understand. Errors have type
 * "data-file": the log says what the other end said, the wire does not.
 */
#ifndef INST_IO_S3_H
#define INST_IO_S3_H

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"

#include <stdint.h>

/* An upload that moves less than this many bytes a second for a minute has failed. */
#define INST_S3_RATE_MIN 1024
/* How long an address is good for reading. */
#define INST_S3_READ_S 3600

struct inst_s3;

struct inst_s3_config {
    const char *endpoint; /* http://HOST[:PORT] or https://... */
    const char *bucket;
    const char *region; /* NULL: us-east-1, which also serves where there are none */
    const char *access_key;
    const char *secret_key;
    const char *ca_file; /* trusted instead of the system's roots; NULL: those */
};

/* Copies what is configured; err: "param-malformed" for what is missing or malformed. */
enum inst_status inst_s3_new(const struct inst_env *env, const struct inst_s3_config *config,
                             struct inst_s3 **out, struct inst_err *err);
/* One more user, who frees it too: the last one lets it go. */
struct inst_s3 *inst_s3_ref(struct inst_s3 *s3);
/* NULL is fine. */
void inst_s3_free(struct inst_s3 *s3);

/* Both wait for the answer, on any thread. key: letters, digits, '-' and '/'. */
enum inst_status inst_s3_put(struct inst_s3 *s3, const char *key, const char *path, uint64_t size,
                             struct inst_err *err);
enum inst_status inst_s3_remove(struct inst_s3 *s3, const char *key, struct inst_err *err);
/* Appends where a content can be read (method GET or HEAD) for INST_S3_READ_S. */
enum inst_status inst_s3_address(struct inst_s3 *s3, const char *method, const char *key,
                                 const char *content_type, const char *content_disposition,
                                 struct inst_buf *out, struct inst_err *err);

#endif
