/*
 * persist.h - what outlives the process (session.md 5.5): three stores of values by key.
 *
 *     owner (user, query, pending mutations, ...)
 *       └─ inst_kept ── touch ──> dirty ── after the throttle ──> save() ──┐
 *              ▲                    ▲                                     one WRITE a store in
 * flight └── loaded(value)    └─────── failed: again, later ────────┤ └──> written()
 *
 * A value on disk is {"version": 1, "user": tag, "value": ...}. Of another version, or unreadable:
 * it is set aside under another key, with a warning, and counts as absent. Of another user: absent.
 * Whoever is kept needs no load before it writes: what is in memory wins.
 *
 * querySubs and syncSubs have limits and `__meta`, which says of every key when it was written and
 * how large it is; a while after a write, what exceeds the limits goes, oldest first. What a live
 * owner keeps never goes.
 */
#ifndef INST_CLIENT_PERSIST_H
#define INST_CLIENT_PERSIST_H

#include "base/buf.h"
#include "base/value.h"
#include "client/disk.h"
#include "client/map.h"

struct inst_reactor;

/* ---- limits (the official client's, except the last two) ---- */

#define INST_PERSIST_KV_MS 100                                /* a write waits for others */
#define INST_PERSIST_CACHE_MS 1000                            /* ... of querySubs, syncSubs */
#define INST_PERSIST_GC_MS 60000                              /* after a write */
#define INST_PERSIST_MAX_AGE_MS (52LL * 7 * 24 * 3600 * 1000) /* since it was written */
#define INST_PERSIST_MAX_ENTRIES 1000                         /* of one store */
#define INST_PERSIST_MAX_SIZE 1000000                         /* triples, or entities */
#define INST_PERSIST_PRELOAD 10                               /* newest queries */
#define INST_PERSIST_RETRY_MS 1000                            /* doubles up to the next */
#define INST_PERSIST_RETRY_MAX_MS 30000
#define INST_PERSIST_START_MS 10000        /* a storage that is silent for longer is broken */
#define INST_PERSIST_MAX_VALUE (32u << 20) /* bytes; larger values are not kept (json.h) */
#define INST_PERSIST_MAX_KEY 1000
#define INST_PERSIST_BATCH (4u << 20) /* bytes in one write of results; more come with the next */

#define INST_PERSIST_META "__meta"
#define INST_PERSIST_ATTRS "__attrs" /* in querySubs: the server's attrs, once for all results */

enum inst_persist_store {
    INST_PERSIST_KV,
    INST_PERSIST_QUERIES,
    INST_PERSIST_SYNC,
    INST_PERSIST_STORES,
};

/* ---- what owners use ---- */

struct inst_kept;

struct inst_kept_ops {
    /* Adds the value as JSON; *size counts for INST_PERSIST_MAX_SIZE. False: there is nothing to
     * keep, the key goes. Running out of memory shows in out->failed. */
    bool (*save)(struct inst_reactor *r, struct inst_kept *kept, struct inst_buf *out,
                 size_t *size);
    /* What is kept; NULL: nothing, or (err) it could not be read. False: it is not understood, and
     * set aside. */
    bool (*loaded)(struct inst_reactor *r, struct inst_kept *kept, const struct inst_value *value,
                   const struct inst_err *err);
    /* What was saved last is on the disk, or (err) is not and will be tried again. May be NULL. */
    void (*written)(struct inst_reactor *r, struct inst_kept *kept, const struct inst_err *err);
};

/* Part of its owner's struct. Zero is unused, and so is everything without a storage: every
 * function here then does nothing. */
struct inst_kept {
    struct inst_kept *prev, *next; /* of its store */
    const struct inst_kept_ops *ops;
    enum inst_persist_store store;
    const char *key; /* the owner's, as long as it lives */
    bool is_of_user; /* only for whom it was written */
    bool is_loading;
    bool is_dirty;
    bool is_on_disk; /* as far as is known: absent ones need not be removed */
};

/* Once in the owner's life; ops, key and is_of_user are set. */
void inst_kept_begin(struct inst_reactor *r, struct inst_kept *kept, enum inst_persist_store store);
/* Asks for the value; `loaded` comes later, or at once when it is on its way to the disk. Of a
 * user's value only when the user is known. */
void inst_kept_load(struct inst_reactor *r, struct inst_kept *kept);
/* The value changed: it is written within the throttle. */
void inst_kept_touch(struct inst_reactor *r, struct inst_kept *kept);
/* The value changed and somebody waits for `written`. */
void inst_kept_touch_now(struct inst_reactor *r, struct inst_kept *kept);
/* The owner goes; what it had not written yet still is. No more calls. */
void inst_kept_end(struct inst_reactor *r, struct inst_kept *kept);
/* The owner goes and the key with it. */
void inst_kept_forget(struct inst_reactor *r, struct inst_kept *kept);

/* Removes everything that was kept for a user and has no live owner. */
void inst_persist_clear(struct inst_reactor *r, enum inst_persist_store store);
/* The same person, by another name: all that is of the user is written again. */
void inst_persist_retag(struct inst_reactor *r);
/* The storage was started anew. */
void inst_persist_write_all(struct inst_reactor *r);

/* ---- state of the reactor ---- */

enum inst_persist_state {
    INST_PERSIST_OFF,      /* no storage: everything lives in memory */
    INST_PERSIST_STARTING, /* user and pending mutations are not known yet */
    INST_PERSIST_READY,
    INST_PERSIST_BROKEN, /* kv could not be read: nothing of it is written, to lose nothing */
};

/* One request, on its way to the host or being worked on. */
struct inst_disk_job {
    struct inst_disk_job *prev, *next;
    struct inst_disk_request request;
    struct inst_persist_lane *lane;
    void (*done)(struct inst_reactor *r, struct inst_disk_job *job,
                 const struct inst_disk_answer *answer);
    bool is_given;                /* to the host */
    char *key;                    /* owned; LOAD */
    struct inst_kept *kept;       /* LOAD: NULL when its owner went */
    struct inst_disk_put *puts;   /* WRITE: owned */
    struct inst_disk_pair *pairs; /* WRITE: the same for the host; owned */
};

/* A key and its text on the way to the disk. */
struct inst_disk_put {
    char *key;  /* owned */
    char *text; /* owned; NULL: removed */
    size_t len;
    size_t size;                /* for meta */
    struct inst_kept *kept;     /* whose it is; NULL when the owner went */
    struct inst_disk_put *next; /* while it waits without an owner */
};

/* What `__meta` says of one key. */
struct inst_disk_meta {
    struct inst_disk_meta *prev, *next; /* in no order */
    int64_t created, updated;
    size_t size;
    bool is_listed; /* while cleaning up */
    char key[];
};

/* One store. */
struct inst_persist_lane {
    enum inst_persist_store store;
    struct inst_kept *first, *last;
    struct inst_map kept;                        /* by key */
    struct inst_disk_put *orphans, *last_orphan; /* the owner went; oldest first */
    struct inst_disk_job *writing;               /* NULL: none in flight */
    int64_t write_at;                            /* INST_REACTOR_NEVER: nothing to write */
    unsigned failures;                           /* in a row */

    bool has_meta;      /* the store has limits */
    bool is_meta_known; /* loaded, or given up */
    bool is_meta_dirty;
    bool is_preloaded;
    struct inst_disk_put preloaded[INST_PERSIST_PRELOAD]; /* texts that nobody asked for yet */
    struct inst_map meta;                                 /* by key */
    struct inst_disk_meta *first_meta;
    int64_t gc_at;
    bool is_listing; /* for gc or clear */
    bool wants_clear;
};

struct inst_persist {
    enum inst_persist_state state;
    bool is_flushing; /* shut down: what fails now is given up */
    struct inst_persist_lane lanes[INST_PERSIST_STORES];
    struct inst_disk_job *first_job, *last_job; /* without an answer */
    struct inst_disk_job *next_job;             /* first one not given to the host */
    struct inst_map jobs;                       /* by id */
    uint64_t next_id;
    int64_t start_deadline; /* while STARTING */
    bool is_listed;         /* the keys of kv are known */
    bool are_pages_asked;
    size_t pages_left; /* of pending mutations, being loaded */
    bool are_attrs_read;
};

void inst_persist_init(struct inst_reactor *r, bool has_storage);
/* Asks for what everything else waits for. */
void inst_persist_start(struct inst_reactor *r);
void inst_persist_free(struct inst_reactor *r);
/* Goes on with starting as far as what is known allows. */
void inst_persist_advance(struct inst_reactor *r);
/* What kv holds cannot be known. */
void inst_persist_break(struct inst_reactor *r, const struct inst_err *err);
void inst_persist_tick(struct inst_reactor *r, int64_t now);
int64_t inst_persist_deadline(const struct inst_reactor *r);

/* ---- persist_meta.c: only for persist.c ---- */

void inst_meta_load(struct inst_reactor *r, struct inst_persist_lane *lane);
/* A key was written or removed. */
void inst_meta_note(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key,
                    bool is_there, size_t size);
/* Its owner was seen again: it counts as new. */
void inst_meta_used(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key);
void inst_meta_write(struct inst_persist_lane *lane, struct inst_buf *out);
void inst_meta_gc(struct inst_reactor *r, struct inst_persist_lane *lane);
/* Reads the newest results before anybody asks, once user and meta are known. */
void inst_persist_preload(struct inst_reactor *r);
void inst_meta_free(struct inst_persist_lane *lane);

/* ---- persist.c, for persist_meta.c ---- */

/* A request; done gets its answer, or an error when memory ran out. */
struct inst_disk_job *inst_persist_ask(struct inst_reactor *r, struct inst_persist_lane *lane,
                                       enum inst_disk_op op, const char *key,
                                       void (*done)(struct inst_reactor *, struct inst_disk_job *,
                                                    const struct inst_disk_answer *));
/* A text that has no owner (any more): taken. NULL: the key is removed. */
void inst_persist_put(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key,
                      char *text, size_t len, size_t size);
/* Is the key somebody's, or on its way to the disk? */
bool inst_persist_is_used(const struct inst_persist_lane *lane, const char *key);
/* The value inside a text from the disk. INST_FAILED: not ours, and why. */
enum inst_status inst_persist_open(struct inst_arena *arena, const char *text, size_t len,
                                   struct inst_value *value, const struct inst_value **user,
                                   struct inst_err *err);
void inst_persist_set_aside(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key,
                            const char *text, size_t len, const char *why);

#endif
