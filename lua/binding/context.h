/*
 * context.h - what the binding keeps for one Lua state.
 *
 *     registry ── context ── loop
 *                    ├────── clients ── listeners ── callback refs
 *                    ├────── servers, local backends (one per file, shared by all clients)
 *                    ├────── HTTP requests under way, event streams of local backends
 *                    └────── timers
 *
 * Rules. A resource is acquired into a userdata that exists already, never the other way round.
 * Callbacks are registry references owned by the C handle. They run on the state that called into
 * the binding last, on the main one from the loop; each is protected: a failing one is reported
 * with its traceback and stops nobody else. `close` and `__gc` may both run, in any order.
 * What may sit below a callback on the C stack (a client) is freed at the end of the turn.
 */
#ifndef INST_LUA_CONTEXT_H
#define INST_LUA_CONTEXT_H

#include "base/arena.h"
#include "base/err.h"
#include "compat.h"
#include "io/local_backend.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct inst_lua_client;
struct inst_lua_event_stream;
struct inst_lua_http;
struct inst_lua_later;
struct inst_lua_process;
struct inst_lua_server;
struct inst_lua_timer;
struct inst_lua_upload;
struct inst_lua_watch;

/* A signal that a function watches, to the end of the state. */
struct inst_lua_signal {
    struct inst_lua_signal *next;
    struct inst_lua *lua;
    struct inst_signal *signal;
    int ref;
};

struct inst_lua {
    lua_State *main;
    lua_State *current; /* where callbacks run */
    struct inst_loop *loop;
    struct inst_arena scratch; /* values on their way in; see inst_lua_begin */
    size_t scratch_users;
    struct inst_local_backend *backends; /* in this process, by the files they serve */
    struct inst_lua_client *clients;
    struct inst_lua_server *servers;
    struct inst_lua_timer *timers;
    struct inst_lua_process *processes;
    struct inst_lua_watch *watches;
    struct inst_lua_http *https;
    uint64_t http_count; /* requests ever started */
    struct inst_lua_event_stream *event_streams;
    struct inst_lua_upload *uploads; /* to local backends */
    struct inst_lua_later *laters;   /* their answers that are waited for */
    struct inst_lua_signal *signals;
    lua_State *volatile runs; /* the coroutine that a task runs in now; read by signal handlers */
    volatile uint64_t run_count; /* how often that changed */
    struct inst_deferred wake;   /* runs the scheduler of lua/instant/task.lua */
    int on_wake;                 /* its function; LUA_NOREF at first */
    int on_wanted;               /* told that a step is wanted; LUA_NOREF: nobody */
    bool is_running;             /* inside the loop */
};

/* The context of this state, made at the first call. Raises when it cannot be made. */
struct inst_lua *inst_lua_get(lua_State *L);

/* ---- calling out ---- */
typedef int inst_lua_push_fn(lua_State *L, const void *args); /* how many it pushed */
/* Calls the function behind ref with what push pushes; never raises. */
void inst_lua_call(struct inst_lua *lua, int ref, inst_lua_push_fn *push, const void *args);

/* ---- around calls into an engine that may call back ---- */
struct inst_lua_scope {
    lua_State *before;
    struct inst_arena_mark mark;
};
/* Between the two nothing may raise. */
struct inst_lua_scope inst_lua_begin(struct inst_lua *lua, lua_State *L);
void inst_lua_end(struct inst_lua *lua, struct inst_lua_scope scope);

/* ---- errors ---- */
/* Pushes the error object {type, message, hint, status, traceId}; err is left as it is. */
void inst_lua_push_err(lua_State *L, const struct inst_err *err, const char *trace_id);
/* Pushes nil and the error object, clears err; returns 2. */
int inst_lua_fail(lua_State *L, struct inst_err *err);

/* Makes the metatable of this name. */
void inst_lua_class(lua_State *L, const char *name, lua_CFunction gc, const luaL_Reg *methods);

/* ---- parts of the module ---- */
void inst_lua_open_client(lua_State *L); /* each adds its functions to the table on top */
void inst_lua_open_server(lua_State *L);
void inst_lua_open_timer(lua_State *L);
void inst_lua_open_check(lua_State *L);
void inst_lua_open_schema(lua_State *L);
void inst_lua_open_http(lua_State *L);
void inst_lua_open_backend(lua_State *L);
void inst_lua_open_event_stream(lua_State *L);
void inst_lua_open_vault(lua_State *L);
/* Of what core.vault gave; borrowed. NULL when it was closed. */
struct inst_vault *inst_lua_vault(lua_State *L, int index);
void inst_lua_open_zip(lua_State *L);
void inst_lua_open_archive(lua_State *L);
void inst_lua_open_data(lua_State *L);
void inst_lua_open_process(lua_State *L);
void inst_lua_open_watch(lua_State *L);

/* End of the state: everything goes, nobody is called. */
void inst_lua_free_clients(struct inst_lua *lua);
void inst_lua_free_servers(struct inst_lua *lua);
void inst_lua_free_timers(struct inst_lua *lua);
void inst_lua_free_https(struct inst_lua *lua);
void inst_lua_free_event_streams(struct inst_lua *lua);
void inst_lua_free_uploads(struct inst_lua *lua);
void inst_lua_free_laters(struct inst_lua *lua);
void inst_lua_free_processes(struct inst_lua *lua); /* which are killed */
void inst_lua_free_watches(struct inst_lua *lua);
/* Ctrl-C: clients are shut down, servers close their connections, timers stop, requests fail. */
void inst_lua_stop_clients(struct inst_lua *lua);
void inst_lua_stop_servers(struct inst_lua *lua);
void inst_lua_stop_timers(struct inst_lua *lua);
void inst_lua_stop_https(struct inst_lua *lua);
void inst_lua_stop_event_streams(struct inst_lua *lua);
void inst_lua_stop_uploads(struct inst_lua *lua);
void inst_lua_stop_processes(struct inst_lua *lua); /* SIGTERM */

/* Calls the function behind ref, which is taken, whenever the signal comes. */
enum inst_status inst_lua_watch_signal(struct inst_lua *lua, int signum, int ref,
                                       struct inst_err *err);

/* The backend of a local file, opened or shared. */
enum inst_status inst_lua_backend_open(struct inst_lua *lua, const char *path,
                                       struct inst_local_backend **out, struct inst_err *err);
void inst_lua_backend_release(struct inst_lua *lua, struct inst_local_backend *backend);

/* An event stream of a backend, for the function at index fn; its userdata is pushed. Raises when
 * out of memory. */
struct inst_lua_event_stream *inst_lua_event_stream_new(lua_State *L,
                                                        struct inst_local_backend *backend, int fn);
/* What a request may answer to with a stream. */
struct inst_connection *inst_lua_event_stream_connection(struct inst_lua_event_stream *stream);
/* The answer: the stream's session, or NULL when it is none; then the stream is gone. */
bool inst_lua_event_stream_begin(struct inst_lua_event_stream *stream,
                                 struct inst_session *session);

#endif
