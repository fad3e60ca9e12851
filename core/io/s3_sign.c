#include "io/s3_sign.h"

#include "base/digest.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define STAMP sizeof "20130524T000000Z"
#define DAY 8

/* Percent-encoding as the signature wants it: exactly these stay. */
static void encode(struct inst_buf *out, const char *text, bool keeps_slash) {
    static const char digits[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || strchr("-._~", c) != NULL ||
                        (keeps_slash && c == '/');
        if (is_plain) {
            inst_buf_add_char(out, (char)c);
            continue;
        }
        inst_buf_add_char(out, '%');
        inst_buf_add_char(out, digits[c >> 4]);
        inst_buf_add_char(out, digits[c & 15]);
    }
}

static void add_override(struct inst_buf *query, const char *name, const char *value) {
    if (!value)
        return;
    inst_buf_addf(query, "&%s=", name);
    encode(query, value, false);
}

/* Its names have to be in byte order. */
static void write_query(struct inst_buf *query, const struct inst_s3_request *request,
                        const char stamp[STAMP]) {
    struct inst_buf credential;
    inst_buf_init(&credential);
    inst_buf_addf(&credential, "%s/%.*s/%s/s3/aws4_request", request->access_key, DAY, stamp,
                  request->region);
    inst_buf_add_str(query, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
    encode(query, credential.failed ? "" : credential.data, false);
    inst_buf_addf(query, "&X-Amz-Date=%s&X-Amz-Expires=%d&X-Amz-SignedHeaders=host", stamp,
                  request->seconds);
    add_override(query, "response-content-disposition", request->content_disposition);
    add_override(query, "response-content-type", request->content_type);
    query->failed = query->failed || credential.failed;
    inst_buf_free(&credential);
}

/* The key of one day, region and service. */
static bool day_key(const struct inst_s3_request *request, const char stamp[STAMP],
                    uint8_t key[INST_SHA256]) {
    const char *const steps[] = {request->region, "s3", "aws4_request"};
    struct inst_buf first;
    inst_buf_init(&first);
    inst_buf_addf(&first, "AWS4%s", request->secret_key);
    bool ok = !first.failed && inst_hmac_sha256(first.data, first.len, stamp, DAY, key);
    if (!first.failed)
        inst_wipe(first.data, first.len);
    inst_buf_free(&first);
    for (int i = 0; ok && i < 3; i++)
        ok = inst_hmac_sha256(key, INST_SHA256, steps[i], strlen(steps[i]), key);
    return ok;
}

static bool sign(const struct inst_s3_request *request, const char stamp[STAMP],
                 const struct inst_buf *asked, char signature[INST_SHA256_HEX + 1]) {
    uint8_t key[INST_SHA256], digest[INST_SHA256];
    char hash[INST_SHA256_HEX + 1];
    struct inst_buf text;
    inst_sha256_hex(asked->data, asked->len, hash);
    inst_buf_init(&text);
    inst_buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n%.*s/%s/s3/aws4_request\n%s", stamp, DAY, stamp,
                  request->region, hash);
    bool ok = !text.failed && day_key(request, stamp, key) &&
              inst_hmac_sha256(key, sizeof key, text.data, text.len, digest);
    if (ok)
        inst_hex(digest, sizeof digest, signature);
    inst_wipe(key, sizeof key);
    inst_buf_free(&text);
    return ok;
}

bool inst_s3_sign(const struct inst_s3_request *request, struct inst_buf *out) {
    char stamp[STAMP], signature[INST_SHA256_HEX + 1];
    time_t seconds = (time_t)(request->now_ms / 1000);
    struct tm utc;
    struct inst_buf path, query, asked;
    inst_buf_init(&path);
    inst_buf_init(&query);
    inst_buf_init(&asked);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&seconds, &utc));
    encode(&path, request->path, true);
    write_query(&query, request, stamp);
    bool ok = !path.failed && !query.failed;
    if (ok)
        inst_buf_addf(&asked, "%s\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", request->method,
                      path.data, query.data, request->host);
    ok = ok && !asked.failed && sign(request, stamp, &asked, signature);
    if (ok)
        inst_buf_addf(out, "%s://%s%s?%s&X-Amz-Signature=%s", request->scheme, request->host,
                      path.data, query.data, signature);
    inst_buf_free(&path);
    inst_buf_free(&query);
    inst_buf_free(&asked);
    return ok && !out->failed;
}
