/*
 * disk.h - who answers a client's disk requests (client/disk.h).
 *
 *     client ── submit ──> a storage on another thread (storage.h), or the app's own code
 *            <── done ──── on the loop's thread, in any order
 */
#ifndef INST_IO_DISK_H
#define INST_IO_DISK_H

#include "client/disk.h"
#include "io/loop.h"

struct inst_disk;
struct inst_storage;

struct inst_disk_events {
    void *ctx;
    void (*done)(void *ctx, uint64_t id, const struct inst_disk_answer *answer);
};

struct inst_disk_ops {
    /* The request is borrowed until it is answered. */
    void (*submit)(struct inst_disk *disk, const struct inst_disk_request *request);
    /* Waits until all is answered, if it can: only then true. */
    bool (*finish)(struct inst_disk *disk);
    /* Nothing is answered any more. Frees it. */
    void (*close)(struct inst_disk *disk);
};

/* First member of every implementation. */
struct inst_disk {
    const struct inst_disk_ops *ops;
    struct inst_disk_events events; /* set by the client */
};

/* Runs the storage, which is taken, on libuv's threads: one operation at a time, in order. */
enum inst_status inst_disk_on_thread(struct inst_loop *loop, struct inst_storage *storage,
                                     struct inst_disk **out, struct inst_err *err);

#endif
