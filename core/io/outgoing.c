#include "io/outgoing.h"

#include "io/http_client.h"
#include "io/mailer.h"
#include "io/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct allowed {
    struct allowed *next;
    char host[]; /* with or without a port */
};

struct call {
    struct call *next, *previous;
    struct inst_outgoing *outgoing;
    struct inst_http_call *http;
    inst_outgoing_done_fn *done;
    void *done_ctx;
    size_t first_bytes; /* 0: all of the body */
    int status;         /* when only those are wanted: what came before the request was ended */
    struct inst_buf first;
};

struct inst_outgoing {
    struct inst_loop *loop;
    struct inst_http_client *client; /* NULL until the first request */
    bool is_open;
    struct allowed *allowed;
    struct call *calls;
    struct inst_mailer *mailer; /* NULL: nobody said how mail is sent */
};

/* ---- addresses ---- */

/* Blocks that are not public, of IPv4. */
static bool is_public_v4(uint32_t ip) {
    static const struct {
        uint32_t block;
        unsigned bits;
    } blocks[] = {
        {0x00000000, 8},  /* this network */
        {0x0a000000, 8},  /* private */
        {0x64400000, 10}, /* of carriers */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local, and the metadata of clouds */
        {0xac100000, 12}, /* private */
        {0xc0000000, 24}, /* protocol assignments */
        {0xc0000200, 24}, /* documentation */
        {0xc0586300, 24}, /* 6to4 relays */
        {0xc0a80000, 16}, /* private */
        {0xc6120000, 15}, /* benchmarks */
        {0xc6336400, 24}, /* documentation */
        {0xcb007100, 24}, /* documentation */
        {0xe0000000, 3},  /* multicast, reserved, broadcast */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if ((ip ^ blocks[i].block) >> (32 - blocks[i].bits) == 0)
            return false;
    return true;
}

static uint32_t v4_at(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Only what is global unicast; what carries an IPv4 address within is judged by that. */
static bool is_public_v6(const uint8_t ip[16]) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    if (memcmp(ip, mapped, sizeof mapped) == 0 || memcmp(ip, nat64, sizeof nat64) == 0)
        return is_public_v4(v4_at(ip + 12));
    if ((ip[0] & 0xe0) != 0x20)
        return false;
    if (ip[0] == 0x20 && ip[1] == 0x02) /* 6to4 */
        return is_public_v4(v4_at(ip + 2));
    bool is_special = ip[0] == 0x20 && ip[1] == 0x01 && ip[2] < 0x02; /* Teredo and others */
    bool is_example = ip[0] == 0x20 && ip[1] == 0x01 && ip[2] == 0x0d && ip[3] == 0xb8;
    bool is_example_too = ip[0] == 0x3f && ip[1] == 0xff && ip[2] < 0x10;
    return !is_special && !is_example && !is_example_too;
}

bool inst_outgoing_is_public(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return is_public_v4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return is_public_v6(v6.sin6_addr.s6_addr);
    }
    return false;
}

static bool may_connect(void *ctx, const struct sockaddr *address) {
    (void)ctx;
    return inst_outgoing_is_public(address);
}

/* The "host:port" of an address, "" when it has none. */
static void host_of(const char *url, char out[300]) {
    const char *host = strstr(url, "//");
    size_t len = host ? strcspn(host + 2, "/?#\\") : 0;
    out[0] = '\0';
    if (len == 0 || len >= 300 || memchr(host + 2, '@', len))
        return;
    memcpy(out, host + 2, len);
    out[len] = '\0';
}

static bool is_allowed(const struct inst_outgoing *outgoing, const char *host) {
    size_t bare = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (outgoing->is_open)
        return true;
    for (const struct allowed *at = outgoing->allowed; at; at = at->next)
        if (strcasecmp(at->host, host) == 0 ||
            (strlen(at->host) == bare && strncasecmp(at->host, host, bare) == 0))
            return true;
    return false;
}

/* Does a proxy stand between us and the host? Then it resolves the name. */
static bool is_behind_proxy(const char *host) {
    char name[300];
    struct inst_proxy proxy = {0};
    size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    memcpy(name, host[0] == '[' ? host + 1 : host, len);
    name[host[0] == '[' && len > 0 ? len - 1 : len] = '\0';
    bool is_there = inst_proxy_find((const char *(*)(const char *))getenv, true, name, &proxy,
                                    NULL) == INST_OK &&
                    proxy.host;
    inst_proxy_clear(&proxy);
    return is_there;
}

/* ---- requests ---- */

static void free_call(struct call *call) {
    if (call->previous)
        call->previous->next = call->next;
    else
        call->outgoing->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;
    inst_buf_free(&call->first);
    free(call);
}

static void on_head(void *ctx, const struct inst_http_result *head) {
    ((struct call *)ctx)->status = head->status;
}

static bool on_data(void *ctx, const char *bytes, size_t len) {
    struct call *call = ctx;
    size_t room = call->first_bytes - call->first.len;
    inst_buf_add(&call->first, bytes, len < room ? len : room);
    return call->first.len < call->first_bytes && !call->first.failed;
}

static void on_done(void *ctx, const struct inst_http_result *result, const struct inst_err *err) {
    struct call *call = ctx;
    inst_outgoing_done_fn *done = call->done;
    void *done_ctx = call->done_ctx;
    struct inst_buf first = call->first;
    int status = err ? call->status : result->status;
    bool is_first = call->first_bytes > 0, is_full = is_first && first.len == call->first_bytes;
    inst_buf_init(&call->first);
    free_call(call);
    if (err && !is_full) {
        done(done_ctx, NULL, err);
        inst_buf_free(&first);
        return;
    }
    if (is_first) {
        struct inst_outgoing_response cut = {
            .status = status, .body = first.data ? first.data : "", .body_len = first.len};
        done(done_ctx, &cut, NULL);
        inst_buf_free(&first);
        return;
    }
    struct inst_outgoing_response response = {.status = result->status,
                                              .fields = result->fields,
                                              .field_count = result->field_count,
                                              .body = result->body,
                                              .body_len = result->body_len};
    done(done_ctx, &response, NULL);
}

static enum inst_status start(struct inst_outgoing *outgoing,
                              const struct inst_http_options *options, size_t first_bytes,
                              inst_outgoing_done_fn *done, void *done_ctx, struct inst_err *err) {
    enum inst_status status =
        outgoing->client ? INST_OK : inst_http_client_new(outgoing->loop, &outgoing->client, err);
    if (status != INST_OK)
        return status;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return inst_err_nomem(err);
    *call = (struct call){.next = outgoing->calls,
                          .outgoing = outgoing,
                          .done = done,
                          .done_ctx = done_ctx,
                          .first_bytes = first_bytes};
    inst_buf_init(&call->first);
    if (call->next)
        call->next->previous = call;
    outgoing->calls = call;
    struct inst_http_options with = *options;
    with.ctx = call;
    with.done = on_done;
    if (first_bytes > 0) {
        with.head = on_head;
        with.data = on_data;
    }
    status = inst_http_start(outgoing->client, &with, &call->http, err);
    if (status != INST_OK)
        free_call(call);
    return status;
}

static enum inst_status outgoing_http(void *ctx, const struct inst_outgoing_request *request,
                                      inst_outgoing_done_fn *done, void *done_ctx,
                                      struct inst_err *err) {
    struct inst_outgoing *outgoing = ctx;
    char host[300];
    host_of(request->url, host);
    bool is_allowed_host = host[0] && is_allowed(outgoing, host);
    if (!host[0] || (!is_allowed_host && strncasecmp(request->url, "https://", 8) != 0))
        return inst_err_set(err, "param-malformed", 400,
                            "%s is asked over https only (or name it with --allow-host).",
                            host[0] ? host : "An address without a host");
    bool is_guarded = !is_allowed_host && !is_behind_proxy(host);
    struct inst_http_options options = {
        .method = request->method,
        .url = request->url,
        .fields = request->fields,
        .field_count = request->field_count,
        .body = request->body,
        .body_len = request->body_len,
        .timeout_ms = request->timeout_ms ? request->timeout_ms : INST_OUTGOING_TIMEOUT_MS,
        .max_response = request->max_response ? request->max_response : INST_OUTGOING_MAX_RESPONSE,
        .may_connect = is_guarded ? may_connect : NULL};
    return start(outgoing, &options, request->first_bytes, done, done_ctx, err);
}

/* A host that names itself, or an address that is not public. */
static bool is_inside(const char *host) {
    char name[300];
    size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    const char *from = host[0] == '[' ? host + 1 : host;
    snprintf(name, sizeof name, "%.*s", (int)(host + len - from), from);
    size_t name_len = strlen(name);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (name_len > 0 && name[name_len - 1] == '.')
        name[--name_len] = '\0';
    if (inet_pton(AF_INET, name, &v4.sin_addr) == 1)
        return !inst_outgoing_is_public((struct sockaddr *)&v4);
    if (inet_pton(AF_INET6, name, &v6.sin6_addr) == 1)
        return !inst_outgoing_is_public((struct sockaddr *)&v6);
    return strcasecmp(name, "localhost") == 0 ||
           (name_len > 10 && strcasecmp(name + name_len - 10, ".localhost") == 0);
}

static enum inst_outgoing_fault outgoing_fault(void *ctx, const char *url) {
    char host[300];
    host_of(url, host);
    bool is_https = strncasecmp(url, "https://", 8) == 0;
    if (!host[0] || strpbrk(url, " \t\r\n") || (!is_https && strncasecmp(url, "http://", 7) != 0))
        return INST_OUTGOING_BAD_URL;
    if (is_allowed(ctx, host))
        return INST_OUTGOING_FINE;
    return !is_https         ? INST_OUTGOING_NOT_HTTPS
           : is_inside(host) ? INST_OUTGOING_NOT_PUBLIC
                             : INST_OUTGOING_FINE;
}

/* ---- mail ---- */

static bool has_mail(void *ctx) { return ((struct inst_outgoing *)ctx)->mailer != NULL; }

static enum inst_status outgoing_mail(void *ctx, const struct inst_outgoing_mail *mail,
                                      inst_outgoing_done_fn *done, void *done_ctx,
                                      struct inst_err *err) {
    struct inst_outgoing *outgoing = ctx;
    return inst_mailer_send(outgoing->mailer, mail, done, done_ctx, err);
}

const struct inst_outgoing_ops inst_outgoing_ops = {
    .http = outgoing_http, .fault = outgoing_fault, .has_mail = has_mail, .mail = outgoing_mail};

/* ---- life ---- */

enum inst_status inst_outgoing_new(struct inst_loop *loop, bool is_open, struct inst_outgoing **out,
                                   struct inst_err *err) {
    struct inst_outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (!outgoing)
        return inst_err_nomem(err);
    outgoing->loop = loop;
    outgoing->is_open = is_open;
    *out = outgoing;
    return INST_OK;
}

enum inst_status inst_outgoing_allow(struct inst_outgoing *outgoing, const char *host,
                                     struct inst_err *err) {
    size_t len = strlen(host);
    if (len == 0 || len >= 300 || strpbrk(host, "/@ \t?#\\"))
        return inst_err_set(err, "param-malformed", 400, "`%s` is no host, as in NAME[:PORT].",
                            host);
    struct allowed *allowed = malloc(sizeof *allowed + len + 1);
    if (!allowed)
        return inst_err_nomem(err);
    memcpy(allowed->host, host, len + 1);
    allowed->next = outgoing->allowed;
    outgoing->allowed = allowed;
    return INST_OK;
}

enum inst_status inst_outgoing_set_mail(struct inst_outgoing *outgoing, const char *how,
                                        struct inst_err *err) {
    struct inst_mailer *mailer;
    enum inst_status status = inst_mailer_new(outgoing->loop, how, &mailer, err);
    if (status != INST_OK)
        return status;
    inst_mailer_free(outgoing->mailer);
    outgoing->mailer = mailer;
    return INST_OK;
}

void inst_outgoing_free(struct inst_outgoing *outgoing) {
    if (!outgoing)
        return;
    inst_mailer_free(outgoing->mailer);
    inst_http_client_free(outgoing->client);
    while (outgoing->calls)
        free_call(outgoing->calls);
    while (outgoing->allowed) {
        struct allowed *allowed = outgoing->allowed;
        outgoing->allowed = allowed->next;
        free(allowed);
    }
    free(outgoing);
}
