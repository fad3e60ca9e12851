/*
 * client.h - a client of the binding and its listeners, for the files that add methods to it.
 *
 *     client userdata ── inst_lua_client ── listeners: {reactor's id, callback ref}
 *                                              └── listener userdata (to stop it)
 *
 * A client lives until it is shut down or the state ends: what is subscribed goes on without
 * anybody holding the userdata. Every listener that watches holds the loop, and so does a client
 * whose writes are not confirmed yet.
 *
 * A file of methods, client_<area>.c, has one inst_lua_add_<area>(L), which adds its methods to the
 * table on top; inst_lua_open_client calls it.
 */
#ifndef INST_LUA_CLIENT_H
#define INST_LUA_CLIENT_H

#include "context.h"
#include "io/client.h"

#define INST_LUA_CLIENT "instant.client"
#define INST_LUA_LISTENER "instant.listener"

struct inst_lua_carrier;

struct inst_lua_listener {
    struct inst_lua_listener *next;
    struct inst_lua_listener *prev;
    struct inst_lua_client *owner;
    struct inst_lua_listener **box; /* the userdata, NULL when there is none */
    uint64_t id;                    /* the reactor's; 0: called once, cannot be stopped */
    int ref;
    bool holds;  /* the loop runs for it */
    bool is_own; /* it listens to the client's own connection */
};

struct inst_lua_client {
    struct inst_lua_client *next;
    struct inst_lua *lua;
    struct inst_lua_client **box; /* the userdata, NULL when that was collected */
    struct inst_client *client;
    struct inst_local_backend *backend; /* NULL: over the network */
    struct inst_lua_listener *listeners;
    struct inst_deferred bury;        /* frees the reactor once nothing of it is on the stack */
    struct inst_lua_disk *disk;       /* the app's own storage; NULL: none, or closed */
    struct inst_lua_carrier *carrier; /* NULL: sockets of our own */
    struct inst_timer *patience;      /* how long its end is waited for; NULL: not waiting */
    bool is_overdue;
    bool is_shut;
};

/* The client at index 1; raises when it was shut down. */
struct inst_lua_client *inst_lua_check_client(lua_State *L);
/* Pushes the error object. */
void inst_lua_push_problem(lua_State *L, const struct inst_reactor_error *error);
/* Sets field name of the table on top; nothing when value is NULL. */
void inst_lua_set_part(lua_State *L, const char *name, const struct inst_value *value);

/* ---- listeners ---- */

/* What a subscribing function of the reactor looks like behind its own arguments. */
typedef enum inst_status inst_lua_subscribe_fn(struct inst_lua_client *client,
                                               struct inst_lua_listener *listener, lua_State *L,
                                               struct inst_err *err);

enum inst_lua_listening {
    INST_LUA_WATCH,  /* called again and again: a reason to go on */
    INST_LUA_LISTEN, /* the same, no reason */
    INST_LUA_ONCE,
};

/* client, ..., function at fn_index -> listener, or nil and an error. */
int inst_lua_subscribe(lua_State *L, int fn_index, inst_lua_subscribe_fn *fn,
                       enum inst_lua_listening kind);
/* Calls a listener that is called once, which is gone before its function runs. */
void inst_lua_call_once(struct inst_lua_listener *listener, inst_lua_push_fn *push,
                        const void *args);
void inst_lua_stop_listener(struct inst_lua_listener *listener);
/* Only its own end: the reactor is not told. unref: also the function's reference. */
void inst_lua_free_listener(struct inst_lua_listener *listener, bool unref);
/* Registers the listener's metatable. */
void inst_lua_open_listener(lua_State *L);

/* ---- methods of a client ---- */

void inst_lua_add_calls(lua_State *L);
void inst_lua_add_rooms(lua_State *L);
void inst_lua_add_sync(lua_State *L); /* sync tables */
void inst_lua_add_streams(lua_State *L);
void inst_lua_add_network(lua_State *L);
void inst_lua_add_user(lua_State *L);    /* who is signed in */
void inst_lua_add_storage(lua_State *L); /* local ids, answers of an app's own storage */

/* ---- connections that Lua carries ---- */

/* Calls fn(op, link[, bytes]); ref is taken. NULL when out of memory. */
struct inst_lua_carrier *inst_lua_carrier_new(struct inst_lua *lua, int ref);
struct inst_carrier *inst_lua_carrier_base(struct inst_lua_carrier *carrier);
/* Calls nothing any more. NULL is fine, here and below. */
void inst_lua_carrier_mute(struct inst_lua_carrier *carrier);
/* After the client. */
void inst_lua_carrier_free(struct inst_lua_carrier *carrier);
/* Registers the metatable of links. */
void inst_lua_open_carrier(lua_State *L);

/* ---- an app's own storage ---- */

/* Longest wait for it at the end. */
#define INST_LUA_DISK_MS 5000

/* Calls fn(id, op, store, ...) for every request; ref is taken. NULL when out of memory. */
struct inst_disk *inst_lua_disk_new(struct inst_lua_client *client, int ref);
/* Calls nothing of the app any more. */
void inst_lua_disk_mute(struct inst_lua_client *client);

#endif
