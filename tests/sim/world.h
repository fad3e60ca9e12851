/*
 * world.h - reactors, sessions and the SQLite engine in one process, under a clock and a network
 * that a seed drives.
 *
 *     client ── reactor ──┐  bytes, cut anywhere   ┌── session ── engine ── SQLite ── crash_vfs
 *     client ── reactor ──┼── link ── link ── link ┤                          (a disk that forgets
 *     client ── reactor ──┘                        └── session                 what was not synced)
 *
 * Nothing here is concurrent and nothing reads a clock: one random number decides what happens
 * next, so the same seed gives the same run, byte for byte. All clients but the first have a
 * storage; they die at any moment and come back. A link carries messages as a length and
 * the bytes; it delivers any number of bytes at a time and may die after any of them.
 */
#ifndef INST_TESTS_SIM_WORLD_H
#define INST_TESTS_SIM_WORLD_H

#include "base/buf.h"
#include "base/env.h"
#include "client/reactor.h"
#include "crash_vfs.h"
#include "disk.h"
#include "rooms.h"
#include "server/server.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_CLIENTS 3
#define SIM_QUERIES 10
#define SIM_ADMIN_TOKEN "5ad3f0c4-0000-4000-8000-000000000000"
#define SIM_MAX_WRITES 256

struct sim_world;

/* One direction of a link: bytes sent and not yet delivered, then bytes that do not make a whole
 * message yet. */
struct sim_pipe {
    struct inst_buf sent;
    size_t taken; /* of sent, already delivered */
    struct inst_buf partial;
};

/* A message that others overtake: a server works on several lanes at once (session.md 2.5). */
struct sim_late {
    char *bytes; /* NULL: none */
    size_t len;
    char lane[96];
};

struct sim_link {
    struct sim_link *next;
    struct sim_client *client;    /* NULL: its end is gone */
    struct inst_session *session; /* NULL: not accepted yet, or its end is gone */
    bool is_open;                 /* the client was told */
    bool is_cut;                  /* carries nothing any more */
    int64_t budget;               /* bytes until it dies by itself; negative: never */
    struct sim_pipe up, down;
    struct sim_late late; /* on its way down */
};

enum sim_outcome { SIM_PENDING, SIM_SYNCED, SIM_ENQUEUED, SIM_FAILED, SIM_UNKNOWN };

/* One transaction that a client made. It creates the entity `ops[id]`, in mode create, so whether
 * it was applied, and how often, can be read off the backend. */
struct sim_write {
    char id[37];
    char event_id[37]; /* known once its callback was called */
    enum sim_outcome outcome;
    char why[128];
    const struct sim_client *client;
};

struct sim_listener {
    struct sim_client *client;
    uint64_t id;          /* subscription; 0: none */
    struct inst_buf last; /* JSON of the last result */
    unsigned results;
};

struct sim_client {
    struct sim_world *world;
    struct inst_reactor *reactor;
    struct sim_link *link;
    struct sim_disk *disk; /* NULL: it keeps nothing */
    struct sim_listener listeners[SIM_QUERIES];
    struct sim_stay stays[SIM_ROOMS];
    uint64_t table;       /* subscription to a sync table; 0: none */
    bool is_table_loaded; /* it was there whole */
};

struct sim_world {
    uint64_t seed, random;
    int64_t now_ms;
    struct inst_env env;
    struct crash_vfs *vfs;
    struct inst_server *server; /* NULL while it is down */
    char app_id[37];
    struct sim_client clients[SIM_CLIENTS];
    struct sim_link *links;
    struct sim_write writes[SIM_MAX_WRITES];
    size_t write_count;
    unsigned crashes, cuts, restarts, stays_checked, tables_checked, overtaken, doubled;
    uint64_t topic_count; /* topic messages, numbered */
    bool is_calm;         /* nothing breaks any more */
    bool is_verbose;
    bool has_failed;
};

/* 0 .. n-1 from the seed. */
uint64_t sim_random(struct sim_world *world, uint64_t n);
/* Prints what was violated, with the seed, once. */
void sim_violation(struct sim_world *world, const char *fmt, ...) INST_PRINTF(2, 3);
void sim_log(struct sim_world *world, const char *fmt, ...) INST_PRINTF(2, 3);

bool sim_world_start(struct sim_world *world, uint64_t seed, bool is_verbose);
void sim_world_stop(struct sim_world *world);

/* One thing happens: bytes move, a turn ends, the clock goes on, something breaks (unless calm). */
void sim_step(struct sim_world *world, bool is_calm);
/* Is anything on its way? */
bool sim_is_busy(struct sim_world *world);
/* Everything works from now on; goes on until nothing is on its way and every write is settled. */
bool sim_settle(struct sim_world *world);
/* Nothing breaks any more. */
bool sim_calm_down(struct sim_world *world);
/* Starts the server if it is down. */
bool sim_server_start(struct sim_world *world);
void sim_server_crash(struct sim_world *world);

/* What is known of a write with this error: one in flight may have been applied. */
enum sim_outcome sim_outcome_of(const struct inst_reactor_error *error);
/* What this client had kept is gone: a write that was told "enqueued" may be lost if the client
 * dies before it is kept again. */
void sim_storage_lost(struct sim_world *world, const struct inst_reactor *reactor);
/* A client that connects to the world. */
bool sim_client_start(struct sim_world *world, struct sim_client *client);
void sim_client_stop(struct sim_client *client);
/* The client's process is killed, or ends in order, and another comes up on the same storage. */
void sim_client_restart(struct sim_client *client, bool is_killed);
/* Does what the reactor wants done; call after every call on the reactor. */
void sim_client_drain(struct sim_client *client);
/* The app id's data file, for looking at the end. */
enum inst_status sim_open_app(struct sim_world *world, struct inst_app_db **out,
                              struct inst_err *err);

#endif
