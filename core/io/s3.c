#include "io/s3.h"

#include "base/digest.h"
#include "io/curl_api.h"
#include "io/s3_sign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_S 3600 /* how long an address of ours is good: uploads have to begin in it */
#define CONNECT_MS 15000
#define STALL_S 60

struct inst_s3 {
    int refs; /* changed on the loop only */
    const struct inst_env *env;
    struct inst_curl curl;
    const char *scheme;
    char *host, *bucket, *region, *access_key, *secret_key, *ca_file; /* owned */
};

/* ---- configuration ---- */

static bool is_made_of(const char *text, const char *more) {
    for (; *text; text++) {
        bool is_letter = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
                         (*text >= 'A' && *text <= 'Z');
        if (!is_letter && !strchr(more, *text))
            return false;
    }
    return true;
}

static enum inst_status refuse(struct inst_err *err, const char *what) {
    return inst_err_set(err, "param-malformed", 400, "S3: %s.", what);
}

static enum inst_status check(const struct inst_s3_config *config, struct inst_err *err) {
    if (!config->bucket || !config->bucket[0] || !is_made_of(config->bucket, "-._"))
        return refuse(err, "the bucket's name is missing or malformed");
    if (!config->access_key || !config->access_key[0] || !config->secret_key ||
        !config->secret_key[0])
        return refuse(err, "access key and secret key are missing");
    if (config->region && (!config->region[0] || !is_made_of(config->region, "-_")))
        return refuse(err, "the region is malformed");
    return INST_OK;
}

/* The scheme and the host as it stands in the Host header. */
static const char *read_endpoint(const char *endpoint, const char **scheme, size_t *len) {
    static const struct {
        const char *begin, *scheme, *port;
    } kinds[] = {{"https://", "https", ":443"}, {"http://", "http", ":80"}};
    for (size_t i = 0; i < 2; i++) {
        size_t begin = strlen(kinds[i].begin), port = strlen(kinds[i].port);
        if (strncmp(endpoint, kinds[i].begin, begin) != 0)
            continue;
        const char *host = endpoint + begin;
        *scheme = kinds[i].scheme;
        *len = strcspn(host, "/");
        if (host[*len] != '\0' && host[*len + 1] != '\0')
            return NULL; /* a path behind it: what should it be a part of? */
        if (*len > port && memcmp(host + *len - port, kinds[i].port, port) == 0)
            *len -= port;
        return *len > 0 ? host : NULL;
    }
    return NULL;
}

enum inst_status inst_s3_new(const struct inst_env *env, const struct inst_s3_config *config,
                             struct inst_s3 **out, struct inst_err *err) {
    const char *scheme = NULL;
    size_t len = 0;
    const char *host = config->endpoint ? read_endpoint(config->endpoint, &scheme, &len) : NULL;
    if (!host)
        return refuse(err, "the endpoint must be https://HOST or http://HOST:PORT");
    enum inst_status status = check(config, err);
    if (status != INST_OK)
        return status;
    struct inst_s3 *s3 = calloc(1, sizeof *s3);
    if (!s3)
        return inst_err_nomem(err);
    s3->refs = 1;
    s3->env = env;
    s3->scheme = scheme;
    s3->host = strndup(host, len);
    s3->bucket = strdup(config->bucket);
    s3->region = strdup(config->region ? config->region : "us-east-1");
    s3->access_key = strdup(config->access_key);
    s3->secret_key = strdup(config->secret_key);
    s3->ca_file = config->ca_file ? strdup(config->ca_file) : NULL;
    if (!s3->host || !s3->bucket || !s3->region || !s3->access_key || !s3->secret_key ||
        (config->ca_file && !s3->ca_file))
        status = inst_err_nomem(err);
    if (status == INST_OK)
        status = inst_curl_load(&s3->curl, NULL, err);
    if (status != INST_OK) {
        inst_s3_free(s3);
        return status;
    }
    *out = s3;
    return INST_OK;
}

struct inst_s3 *inst_s3_ref(struct inst_s3 *s3) {
    s3->refs++;
    return s3;
}

void inst_s3_free(struct inst_s3 *s3) {
    if (!s3 || --s3->refs > 0)
        return;
    if (s3->secret_key)
        inst_wipe(s3->secret_key, strlen(s3->secret_key));
    free(s3->host);
    free(s3->bucket);
    free(s3->region);
    free(s3->access_key);
    free(s3->secret_key);
    free(s3->ca_file);
    free(s3);
}

/* ---- addresses ---- */

static bool sign(struct inst_s3 *s3, const char *method, const char *key, int seconds,
                 const char *content_type, const char *content_disposition, struct inst_buf *out) {
    char path[512];
    snprintf(path, sizeof path, "/%s/%s", s3->bucket, key);
    struct inst_s3_request request = {.method = method,
                                      .scheme = s3->scheme,
                                      .host = s3->host,
                                      .path = path,
                                      .region = s3->region,
                                      .access_key = s3->access_key,
                                      .secret_key = s3->secret_key,
                                      .now_ms = s3->env->now_ms(s3->env->ctx),
                                      .seconds = seconds,
                                      .content_type = content_type,
                                      .content_disposition = content_disposition};
    return inst_s3_sign(&request, out);
}

enum inst_status inst_s3_address(struct inst_s3 *s3, const char *method, const char *key,
                                 const char *content_type, const char *content_disposition,
                                 struct inst_buf *out, struct inst_err *err) {
    return sign(s3, method, key, INST_S3_READ_S, content_type, content_disposition, out)
               ? INST_OK
               : inst_err_nomem(err);
}

/* ---- requests ---- */

struct answer {
    char text[512]; /* the beginning of the body: what went wrong, in XML */
    size_t len;
};

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx) {
    struct answer *answer = ctx;
    size_t n = size * count, room = sizeof answer->text - 1 - answer->len;
    memcpy(answer->text + answer->len, bytes, n < room ? n : room);
    answer->len += n < room ? n : room;
    return n;
}

static size_t on_read(char *to, size_t size, size_t count, void *ctx) {
    return fread(to, 1, size * count, ctx);
}

static void set_common(struct inst_s3 *s3, CURL *easy, const char *url, struct answer *answer) {
    const struct inst_curl *curl = &s3->curl;
    curl->easy_setopt(easy, CURLOPT_URL, url);
    curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl->easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)INST_S3_RATE_MIN);
    curl->easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    if (s3->ca_file)
        curl->easy_setopt(easy, CURLOPT_CAINFO, s3->ca_file);
}

/* The signed address is as good as a password for an hour: it never gets into an error. */
static enum inst_status perform(struct inst_s3 *s3, CURL *easy, const struct answer *answer,
                                const char *method, const char *key, bool may_be_missing,
                                struct inst_err *err) {
    long status = 0;
    CURLcode failed = s3->curl.easy_perform(easy);
    if (failed != CURLE_OK)
        return inst_err_set(err, "data-file", 500, "S3: %s %s/%s at %s failed: %s", method,
                            s3->bucket, key, s3->host, s3->curl.easy_strerror(failed));
    s3->curl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 2 || (may_be_missing && status == 404))
        return INST_OK;
    return inst_err_set(err, "data-file", 500, "S3: %s %s/%s at %s was refused with %ld: %.200s",
                        method, s3->bucket, key, s3->host, status, answer->text);
}

enum inst_status inst_s3_put(struct inst_s3 *s3, const char *key, const char *path, uint64_t size,
                             struct inst_err *err) {
    struct inst_buf url;
    struct answer answer = {0};
    enum inst_status status = INST_OK;
    inst_buf_init(&url);
    FILE *file = fopen(path, "re");
    CURL *easy = s3->curl.easy_init();
    if (!file)
        status = inst_err_set(err, "data-file", 500, "%s: cannot be read", path);
    else if (!easy || !sign(s3, "PUT", key, WRITE_S, NULL, NULL, &url))
        status = inst_err_nomem(err);
    if (status == INST_OK) {
        set_common(s3, easy, url.data, &answer);
        /* Without: libcurl waits a second for a 100 that not everybody sends. */
        struct curl_slist *fields = s3->curl.slist_append(NULL, "Expect:");
        s3->curl.easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        s3->curl.easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        s3->curl.easy_setopt(easy, CURLOPT_READDATA, file);
        s3->curl.easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
        s3->curl.easy_setopt(easy, CURLOPT_HTTPHEADER, fields);
        status = perform(s3, easy, &answer, "PUT", key, false, err);
        s3->curl.slist_free_all(fields);
    }
    if (file)
        fclose(file);
    if (easy)
        s3->curl.easy_cleanup(easy);
    inst_buf_free(&url);
    return status;
}

enum inst_status inst_s3_remove(struct inst_s3 *s3, const char *key, struct inst_err *err) {
    struct inst_buf url;
    struct answer answer = {0};
    inst_buf_init(&url);
    CURL *easy = s3->curl.easy_init();
    enum inst_status status =
        easy && sign(s3, "DELETE", key, WRITE_S, NULL, NULL, &url) ? INST_OK : inst_err_nomem(err);
    if (status == INST_OK) {
        set_common(s3, easy, url.data, &answer);
        s3->curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
        status = perform(s3, easy, &answer, "DELETE", key, true, err);
    }
    if (easy)
        s3->curl.easy_cleanup(easy);
    inst_buf_free(&url);
    return status;
}
