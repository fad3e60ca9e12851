/*
 * driver.h - one connection of an app: a reactor with its transport and its clock, for one or more
 * clients (client.h).
 *
 *     client 1 ─┐
 *     client 2 ─┼──calls──> inst_reactor ──outputs──> transport (WebSocket, server-sent events,
 *     client 3 ─┘             ▲  │  │                 or in-process pipe)
 *                             │  │  └── deadline ──> timer ── tick
 *                             │  └── disk requests ──> disk (a storage on a thread, or the app's)
 *                             └──── opened, message, closed, disk_done
 *
 * Whatever may have made the reactor want something queues the driver, which drains the reactor's
 * output at the end of the round: an app calls the reactor and need not think of the network. While
 * writes or topic messages are not confirmed it holds the loop.
 */
#ifndef INST_IO_DRIVER_H
#define INST_IO_DRIVER_H

#include "client/reactor.h"
#include "io/backend.h"
#include "io/carrier.h"
#include "io/disk.h"
#include "io/loop.h"
#include "io/vault.h"

/* Bytes handed to a transport that it has not sent; beyond, output stays in the reactor. */
#define INST_CLIENT_HIGH_WATER (1u << 20)

/* Writes and their answers, each of which may ask for another, when a driver ends. */
#define INST_DRIVER_LAST_ROUNDS 8

struct inst_driver;

struct inst_client_config {
    struct inst_reactor_config reactor; /* env is filled in from the loop */
    const char *websocket_uri;          /* without the app_id query; NULL: carrier or backend */
    struct inst_carrier *carrier;       /* borrowed, must outlive the client. Not shared */
    /* For the fallback on server-sent events; NULL: there is none. http:// or https://. */
    const char *api_uri;
    const char *ca_file;          /* for TLS; NULL: the system's roots */
    int64_t open_ms;              /* longest time to open a connection; 0: the transport's own */
    struct inst_backend *backend; /* in-process; borrowed, must outlive the client */
    bool has_own_connection;      /* shares it with no other client */
    bool watches_network;         /* pauses and resumes as the kernel says (netlink.h); else the
                                   * network is taken for there until inst_client_set_online */
    const char *storage;          /* "memory", "file:..." (io/storage.h); NULL: memory */
    struct inst_disk *disk;       /* instead of storage; taken, also by a failure. Not shared */
    /* With awaits_user: who will hold the user, and its name for where the app is. What a storage
     * knows of the user is moved there. Borrowed for the call. NULL: a storage keeps the user in a
     * vault that it chooses (storage_sealed.h). */
    struct inst_vault *vault;
    const char *vault_scope;
};

/* What a vault knows the user of this app as; scope is "local" or the address. */
void inst_client_vault_name(const char *app_id, const char *scope, char *out, size_t size);

/* The driver on this loop that was made from an equal configuration, unless that or this one is not
 * to be shared; else a new one. The caller becomes a user of it. */
enum inst_status inst_driver_join(struct inst_loop *loop, const struct inst_client_config *config,
                                  struct inst_driver **out, uint64_t *instance,
                                  struct inst_err *err);
/* A new one for the same app and user, with one user and for nobody else. */
enum inst_status inst_driver_sibling(struct inst_driver *driver, struct inst_driver **out,
                                     struct inst_err *err);
/* Get it anew for every call, which is what makes the driver look for output. */
struct inst_reactor *inst_driver_reactor(struct inst_driver *driver);
/* Makes the caller, its one user, the only one forever; false when there are others. */
bool inst_driver_seclude(struct inst_driver *driver);
/* Does it keep what it knows in a storage, the user among it? */
bool inst_driver_has_storage(const struct inst_driver *driver);
/* The user stops using it: its instance ends, or with the last one the reactor is shut down. */
void inst_driver_leave(struct inst_driver *driver, uint64_t instance);
/* The same, calling none of the user's callbacks; not from inside a callback of the reactor. */
void inst_driver_forget(struct inst_driver *driver, uint64_t instance);
/* Nobody uses it, and nothing is left to write. */
bool inst_driver_is_finished(const struct inst_driver *driver);
/* Frees it when all who joined have released it, having written what is to be kept: an app's own
 * disk is not waited for. Who waited for that after leaving is told. Not from inside a callback of
 * the reactor. */
void inst_driver_release(struct inst_driver *driver);

#endif
