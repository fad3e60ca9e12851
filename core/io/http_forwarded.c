#include "io/http_forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool print_ip6(const struct in6_addr *ip, char out[INST_IP_TEXT]) {
    if (IN6_IS_ADDR_V4MAPPED(ip)) /* how a socket for both kinds shows IPv4 */
        return inet_ntop(AF_INET, ip->s6_addr + 12, out, INST_IP_TEXT) != NULL;
    return inet_ntop(AF_INET6, ip, out, INST_IP_TEXT) != NULL;
}

void inst_http_peer_ip(int fd, char out[INST_IP_TEXT]) {
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    out[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return;
    if (peer.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, out, INST_IP_TEXT);
    else if (peer.ss_family == AF_INET6)
        print_ip6(&((struct sockaddr_in6 *)&peer)->sin6_addr, out);
}

/* The entries of all fields of that name, as one list: the n-th from the right, or, when there are
 * fewer, the first, with false. */
static bool nth_entry(const struct inst_http_head *head, const char *name, unsigned n,
                      struct inst_slice *out) {
    for (size_t i = head->field_count; i-- > 0;) {
        const struct inst_slice *list = &head->fields[i].value;
        if (!inst_slice_is(&head->fields[i].name, name))
            continue;
        const char *end = list->str + list->len;
        for (;;) {
            const char *from = end;
            while (from > list->str && from[-1] != ',')
                from--;
            *out = (struct inst_slice){from, (size_t)(end - from)};
            if (--n == 0)
                return true;
            if (from == list->str)
                break;
            end = from - 1;
        }
    }
    return false;
}

static void trim(struct inst_slice *entry) {
    while (entry->len && (*entry->str == ' ' || *entry->str == '\t'))
        entry->str++, entry->len--;
    while (entry->len && (entry->str[entry->len - 1] == ' ' || entry->str[entry->len - 1] == '\t'))
        entry->len--;
}

/* An address, also with a port as some proxies write it: 1.2.3.4:5, [::1], [::1]:5. */
static bool read_ip(struct inst_slice entry, char out[INST_IP_TEXT]) {
    char text[INST_IP_TEXT];
    struct in_addr ip4;
    struct in6_addr ip6;
    trim(&entry);
    const char *colon = memchr(entry.str, ':', entry.len), *end = entry.str + entry.len;
    if (entry.len && entry.str[0] == '[') {
        const char *close = memchr(entry.str, ']', entry.len);
        entry = (struct inst_slice){entry.str + 1, close ? (size_t)(close - entry.str) - 1 : 0};
    } else if (colon && !memchr(colon + 1, ':', (size_t)(end - colon) - 1)) {
        entry.len = (size_t)(colon - entry.str);
    }
    if (entry.len >= sizeof text)
        return false;
    memcpy(text, entry.str, entry.len);
    text[entry.len] = '\0';
    if (inet_pton(AF_INET, text, &ip4) == 1)
        return inet_ntop(AF_INET, &ip4, out, INST_IP_TEXT) != NULL;
    return inet_pton(AF_INET6, text, &ip6) == 1 && print_ip6(&ip6, out);
}

void inst_http_client_ip(const struct inst_http_head *head, unsigned hops,
                         const char peer_ip[INST_IP_TEXT], char out[INST_IP_TEXT]) {
    struct inst_slice entry;
    if (hops == 0 || !nth_entry(head, "x-forwarded-for", hops, &entry) || !read_ip(entry, out))
        memmove(out, peer_ip, INST_IP_TEXT);
}

/* Most proxies put one word in place of what was there, so there are often fewer than hops. */
const char *inst_http_client_scheme(const struct inst_http_head *head, unsigned hops) {
    struct inst_slice entry = {0};
    if (hops == 0)
        return NULL;
    nth_entry(head, "x-forwarded-proto", hops, &entry);
    trim(&entry);
    if (inst_slice_is(&entry, "https"))
        return "https";
    return inst_slice_is(&entry, "http") ? "http" : NULL;
}
