#include "io/netlink.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

/* Reads of one turn; what is left brings the next turn. */
#define MAX_READS 64

struct inst_netlink {
    uv_poll_t poll; /* first: the handle is the whole */
    struct inst_loop *loop;
    struct inst_deferred look;
    struct inst_network_listener *listeners;
    struct inst_network_listener *next; /* to be told, while they are being told */
    int fd;
    bool is_online;
};

/* ---- the rule ---- */

static bool is_reachable_v4(const struct sockaddr *address) {
    uint32_t ip = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
    bool is_loopback = ip >> 24 == 127, is_link_local = ip >> 16 == 0xa9fe;
    return ip != 0 && !is_loopback && !is_link_local;
}

static bool is_reachable_v6(const struct sockaddr *address) {
    const struct in6_addr *ip = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return !IN6_IS_ADDR_LOOPBACK(ip) && !IN6_IS_ADDR_LINKLOCAL(ip) && !IN6_IS_ADDR_UNSPECIFIED(ip);
}

bool inst_network_is_usable(const struct ifaddrs *list) {
    const unsigned needed = IFF_UP | IFF_RUNNING;
    for (; list; list = list->ifa_next) {
        const struct sockaddr *address = list->ifa_addr;
        if (!address || (list->ifa_flags & IFF_LOOPBACK) || (list->ifa_flags & needed) != needed)
            continue;
        if ((address->sa_family == AF_INET && is_reachable_v4(address)) ||
            (address->sa_family == AF_INET6 && is_reachable_v6(address)))
            return true;
    }
    return false;
}

static bool look_at_network(void) {
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0)
        return true;
    bool is_usable = inst_network_is_usable(list);
    freeifaddrs(list);
    return is_usable;
}

/* ---- telling ---- */

static void look(void *ctx) {
    struct inst_netlink *netlink = ctx;
    bool is_online = look_at_network();
    if (is_online == netlink->is_online)
        return;
    netlink->is_online = is_online;
    /* A listener may go, and take any other with it, even the last one: netlink itself stays until
     * libuv's close callback. */
    for (struct inst_network_listener *at = netlink->listeners; at; at = netlink->next) {
        netlink->next = at->next;
        at->fn(at->ctx, is_online);
    }
}

static void on_message(uv_poll_t *poll, int status, int events) {
    struct inst_netlink *netlink = (struct inst_netlink *)poll;
    char sink[8192];
    (void)status;
    (void)events;
    for (int i = 0; i < MAX_READS; i++) {
        ssize_t n = recv(netlink->fd, sink, sizeof sink, MSG_DONTWAIT);
        /* ENOBUFS: some were lost, which is a sign as well. */
        if (n <= 0 && errno != EINTR && errno != ENOBUFS)
            break;
    }
    inst_loop_defer(netlink->loop, &netlink->look);
}

/* ---- life ---- */

static int open_socket(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups =
                                      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int failed = errno;
        close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}

static enum inst_status make(struct inst_loop *loop, struct inst_netlink **out,
                             struct inst_err *err) {
    struct inst_netlink *netlink = calloc(1, sizeof *netlink);
    if (!netlink)
        return inst_err_nomem(err);
    netlink->fd = open_socket();
    if (netlink->fd < 0 || uv_poll_init(inst_loop_uv(loop), &netlink->poll, netlink->fd) != 0) {
        if (netlink->fd >= 0)
            close(netlink->fd);
        free(netlink);
        return inst_err_set(err, "io-error", 0, "The kernel does not tell of the network: %s.",
                            strerror(errno));
    }
    netlink->loop = loop;
    netlink->look = (struct inst_deferred){.fn = look, .ctx = netlink};
    uv_poll_start(&netlink->poll, UV_READABLE, on_message);
    netlink->is_online = look_at_network();
    *out = netlink;
    return INST_OK;
}

static void free_netlink(uv_handle_t *handle) { free(handle); }

static void end(struct inst_netlink *netlink) {
    *inst_loop_netlink(netlink->loop) = NULL;
    inst_loop_undefer(netlink->loop, &netlink->look);
    uv_poll_stop(&netlink->poll);
    close(netlink->fd);
    uv_close((uv_handle_t *)&netlink->poll, free_netlink);
}

enum inst_status inst_network_listen(struct inst_loop *loop, struct inst_network_listener *listener,
                                     bool *is_online, struct inst_err *err) {
    struct inst_netlink **netlink = inst_loop_netlink(loop);
    if (!*netlink) {
        enum inst_status status = make(loop, netlink, err);
        if (status != INST_OK)
            return status;
    }
    listener->netlink = *netlink;
    listener->prev = NULL;
    listener->next = (*netlink)->listeners;
    if (listener->next)
        listener->next->prev = listener;
    (*netlink)->listeners = listener;
    *is_online = (*netlink)->is_online;
    return INST_OK;
}

void inst_network_unlisten(struct inst_network_listener *listener) {
    struct inst_netlink *netlink = listener->netlink;
    if (!netlink)
        return;
    listener->netlink = NULL;
    if (netlink->next == listener)
        netlink->next = listener->next;
    if (listener->prev)
        listener->prev->next = listener->next;
    else
        netlink->listeners = listener->next;
    if (listener->next)
        listener->next->prev = listener->prev;
    if (!netlink->listeners)
        end(netlink);
}
