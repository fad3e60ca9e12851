#include "io/proxy.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- no_proxy ---- */

static bool same_bits(const uint8_t *a, const uint8_t *b, long bits) {
    size_t whole = (size_t)bits / 8;
    int rest = (int)(bits % 8);
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* entry: an address, or a block as ADDRESS/BITS. */
static bool is_in_block(const char *entry, const char *host) {
    static const int families[] = {AF_INET, AF_INET6};
    char text[64];
    size_t len = strcspn(entry, "/");
    if (len >= sizeof text)
        return false;
    memcpy(text, entry, len);
    text[len] = '\0';
    for (size_t i = 0; i < 2; i++) {
        uint8_t block[16], address[16];
        long most = families[i] == AF_INET ? 32 : 128, bits = most;
        if (inet_pton(families[i], text, block) != 1 || inet_pton(families[i], host, address) != 1)
            continue;
        if (entry[len] == '/') {
            char *end;
            bits = strtol(entry + len + 1, &end, 10);
            if (end == entry + len + 1 || *end != '\0' || bits < 0 || bits > most)
                return false;
        }
        return same_bits(block, address, bits);
    }
    return false;
}

/* "example.com" and ".example.com" stand for that name and all below it. */
static bool is_in_domain(const char *entry, const char *host) {
    size_t host_len = strlen(host), len;
    if (*entry == '.')
        entry++;
    len = strlen(entry);
    while (len > 0 && entry[len - 1] == '.')
        len--;
    while (host_len > 0 && host[host_len - 1] == '.')
        host_len--;
    if (len == 0 || len > host_len || strncasecmp(host + host_len - len, entry, len) != 0)
        return false;
    return len == host_len || host[host_len - len - 1] == '.';
}

static bool is_excluded(const char *list, const char *host) {
    char entry[256];
    while (list && *list) {
        size_t len = strcspn(list, ", \t");
        if (len > 0 && len < sizeof entry) {
            memcpy(entry, list, len);
            entry[len] = '\0';
            if (strcmp(entry, "*") == 0 || is_in_block(entry, host) || is_in_domain(entry, host))
                return true;
        }
        list += len + (list[len] != '\0');
    }
    return false;
}

/* ---- the proxy ---- */

static const char *first_of(const char *(*get)(const char *name), const char *const *names) {
    for (; *names; names++) {
        const char *text = get(*names);
        if (text && *text)
            return text;
    }
    return NULL;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *decoded(const char *text, size_t len) {
    char *out = malloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < len; i++) {
        if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            out[n++] = (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        } else {
            out[n++] = text[i];
        }
    }
    if (out)
        out[n] = '\0';
    return out;
}

static enum inst_status malformed(struct inst_err *err) {
    return inst_err_set(err, "param-malformed", 400,
                        "The proxy in the environment is not of the form http://host:port.");
}

static enum inst_status parse_host(const char *at, size_t len, struct inst_proxy *out,
                                   struct inst_err *err) {
    const char *end = at + len, *host = at, *host_end;
    out->port = INST_PROXY_PORT;
    if (len > 0 && *at == '[') {
        host++;
        host_end = memchr(host, ']', (size_t)(end - host));
        at = host_end ? host_end + 1 : end;
    } else {
        host_end = memchr(at, ':', len);
        host_end = host_end ? host_end : end;
        at = host_end;
    }
    if (!host_end || host_end == host)
        return malformed(err);
    if (at < end) {
        char *port_end;
        long port = *at == ':' ? strtol(at + 1, &port_end, 10) : 0;
        if (port < 1 || port > 65535 || port_end != end)
            return malformed(err);
        out->port = (int)port;
    }
    out->host = strndup(host, (size_t)(host_end - host));
    return out->host ? INST_OK : inst_err_nomem(err);
}

static enum inst_status parse(const char *text, struct inst_proxy *out, struct inst_err *err) {
    const char *scheme = strstr(text, "://");
    if (scheme && strncasecmp(text, "http://", 7) != 0)
        return inst_err_set(
            err, "param-malformed", 400,
            "WebSockets go through HTTP proxies only (http://host:port), not `%.*s`.",
            (int)(scheme - text < 20 ? scheme - text : 20), text);
    const char *at = scheme ? scheme + 3 : text;
    size_t len = strcspn(at, "/?#");
    const char *host = at;
    for (const char *mark = at; (mark = memchr(mark, '@', (size_t)(at + len - mark))); mark++)
        host = mark + 1; /* the last one: a password may hold another */
    if (host > at && !(out->auth = decoded(at, (size_t)(host - at) - 1)))
        return inst_err_nomem(err);
    return parse_host(host, len - (size_t)(host - at), out, err);
}

enum inst_status inst_proxy_find(const char *(*get)(const char *name), bool is_tls,
                                 const char *host, struct inst_proxy *out, struct inst_err *err) {
    static const char *const tls[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
    static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const excluded[] = {"no_proxy", "NO_PROXY", NULL};
    *out = (struct inst_proxy){0};
    const char *text = first_of(get, is_tls ? tls : plain);
    if (!text || is_excluded(first_of(get, excluded), host))
        return INST_OK;
    enum inst_status status = parse(text, out, err);
    if (status != INST_OK)
        inst_proxy_clear(out);
    return status;
}

void inst_proxy_clear(struct inst_proxy *proxy) {
    free(proxy->host);
    free(proxy->auth);
    *proxy = (struct inst_proxy){0};
}
