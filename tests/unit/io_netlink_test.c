/* Whether there is a network, over made-up interfaces, and listeners that come and go. What the
 * kernel says is tried in tests/e2e/network.test.mjs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/netlink.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct entry {
    struct ifaddrs entry;
    struct sockaddr_storage address;
};

static struct ifaddrs *interface(struct entry *entry, unsigned flags, const char *address) {
    memset(entry, 0, sizeof *entry);
    entry->entry.ifa_flags = flags;
    if (!address)
        return &entry->entry;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&entry->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&entry->address;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1)
        v4->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1)
        v6->sin6_family = AF_INET6;
    entry->entry.ifa_addr = (struct sockaddr *)&entry->address;
    return &entry->entry;
}

static void what_counts(void **state) {
    (void)state;
    enum { ON = IFF_UP | IFF_RUNNING };
    static const struct {
        unsigned flags;
        const char *address;
        bool is_usable;
    } cases[] = {
        {ON, "192.168.1.2", true},
        {ON, "2001:db8::1", true},
        {ON, "fd00::1", true},
        {ON | IFF_LOOPBACK, "10.0.0.1", false},
        {IFF_UP, "192.168.1.2", false}, /* no carrier */
        {IFF_RUNNING, "192.168.1.2", false},
        {0, "192.168.1.2", false},
        {ON, "127.0.0.1", false},
        {ON, "169.254.7.7", false},
        {ON, "169.255.7.7", true},
        {ON, "0.0.0.0", false},
        {ON, "fe80::1", false},
        {ON, "::1", false},
        {ON, "::", false},
        {ON, NULL, false},
        {ON, "neither", false}, /* of another family */
    };
    struct entry one, two;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ifaddrs *list = interface(&one, cases[i].flags, cases[i].address);
        assert_int_equal(inst_network_is_usable(list), cases[i].is_usable);
        /* among others that do not count */
        struct ifaddrs *loopback = interface(&two, ON | IFF_LOOPBACK, "127.0.0.1");
        loopback->ifa_next = list;
        assert_int_equal(inst_network_is_usable(loopback), cases[i].is_usable);
    }
    assert_false(inst_network_is_usable(NULL));
}

static void ignore(void *ctx, bool is_online) {
    (void)ctx;
    (void)is_online;
}

static void listeners_share_one_socket(void **state) {
    (void)state;
    struct inst_loop *loop;
    struct inst_err err = {0};
    struct inst_network_listener all[3] = {{.fn = ignore}, {.fn = ignore}, {.fn = ignore}};
    bool is_online, again;
    assert_int_equal(inst_loop_new(&loop, &err), INST_OK);
    inst_network_unlisten(&all[0]); /* not listening */
    assert_null(*inst_loop_netlink(loop));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(inst_network_listen(loop, &all[0], &is_online, &err), INST_OK);
        struct inst_netlink *netlink = *inst_loop_netlink(loop);
        assert_non_null(netlink);
        for (int i = 1; i < 3; i++) {
            assert_int_equal(inst_network_listen(loop, &all[i], &again, &err), INST_OK);
            assert_int_equal(again, is_online);
            assert_ptr_equal(*inst_loop_netlink(loop), netlink);
        }
        inst_network_unlisten(&all[1]);
        inst_network_unlisten(&all[1]);
        inst_network_unlisten(&all[0]);
        assert_ptr_equal(*inst_loop_netlink(loop), netlink);
        inst_network_unlisten(&all[2]);
        assert_null(*inst_loop_netlink(loop));
        inst_loop_step(loop);
    }
    inst_loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts),
        cmocka_unit_test(listeners_share_one_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
