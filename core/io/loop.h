/*
 * loop.h - one event loop per process (or Lua state): time, signals, deferred calls, the turn.
 *
 *     timers ── end of turn ── poll (sockets, signals) ── end of turn ── ...
 *                   │
 *                   └─ deferred calls, then turn hooks (the backend commits there); again while
 *                      that deferred something new, at most INST_LOOP_MAX_ROUNDS times
 *
 * Whatever arrived in one poll is handled before the hooks run: all of it shares one commit. A hook
 * may put its work off until another poll, which does not wait, has shown whether more is coming.
 * Nothing runs a callback of a user from inside a call that the user made: it is deferred.
 *
 * The loop runs until nobody holds it (inst_loop_hold) or it is told to stop: libuv's own count of
 * handles does not decide, because libwebsockets keeps timers of its own.
 *
 * Not thread-safe, one thread. Built on libuv; libwebsockets sits on the same libuv loop.
 */
#ifndef INST_IO_LOOP_H
#define INST_IO_LOOP_H

#include "base/env.h"
#include "base/err.h"
#include "io/log.h"

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct lws_context;
struct lws_limits;
struct inst_driver;

struct inst_loop;
typedef void inst_loop_fn(void *ctx);

#define INST_LOOP_MAX_ROUNDS 64

enum inst_status inst_loop_new(struct inst_loop **out, struct inst_err *err);
/* Everything made on the loop must have been freed. NULL is fine. */
void inst_loop_free(struct inst_loop *loop);

/* The real clock, the kernel's randomness, a log that writes to stderr. Lives as long as the loop.
 */
const struct inst_env *inst_loop_env(struct inst_loop *loop);
/* Lines above this level are dropped; INST_LOG_WARN at first. */
void inst_loop_log_level(struct inst_loop *loop, enum inst_log_level level);
typedef void inst_log_fn(void *ctx, enum inst_log_level level, const char *line);
/* Where they go instead of stderr; NULL: there again. */
void inst_loop_log_to(struct inst_loop *loop, inst_log_fn *fn, void *ctx);
/* One JSON object a line instead of text, when they go to stderr (log.h). */
void inst_loop_log_json(struct inst_loop *loop, bool is_json);
bool inst_loop_logs_json(const struct inst_loop *loop);
/* Does a line of this level get anywhere? */
bool inst_loop_logs(const struct inst_loop *loop, enum inst_log_level level);
/* A line with fields; where a function takes the lines it is one text. */
void inst_loop_log_event(struct inst_loop *loop, enum inst_log_level level, const char *message,
                         const struct inst_log_field *fields, size_t count);
/* Milliseconds of a clock that never steps, for time-outs. */
int64_t inst_loop_monotonic_ms(struct inst_loop *loop);

struct uv_loop_s *inst_loop_uv(struct inst_loop *loop);
/* The libwebsockets context, made at the first call; NULL when that fails. */
struct lws_context *inst_loop_lws(struct inst_loop *loop, struct inst_err *err);
/* What makes HTTP requests, likewise made at the first call. */
struct inst_http_client *inst_loop_http(struct inst_loop *loop, struct inst_err *err);
/* Where netlink.c keeps what it shares; NULL while nobody listens. */
struct inst_netlink **inst_loop_netlink(struct inst_loop *loop);
/* The connections that clients may join, a list that is driver.c's. */
struct inst_driver **inst_loop_drivers(struct inst_loop *loop);

/* Where the storage files open on this loop are listed (storage_sqlite.c). */
struct inst_storage_file **inst_loop_storage_files(struct inst_loop *loop);

/* Inside inst_loop_free: libwebsockets' objects are going by themselves. */
bool inst_loop_is_ending(const struct inst_loop *loop);

/* Counts what the program still waits for. */
void inst_loop_hold(struct inst_loop *loop);
void inst_loop_release(struct inst_loop *loop);
bool inst_loop_is_held(const struct inst_loop *loop);

/* Runs until nobody holds the loop, or inst_loop_stop. */
void inst_loop_run(struct inst_loop *loop);
/* One turn, waiting for something to happen; false, without waiting, when nobody holds the loop. */
bool inst_loop_turn(struct inst_loop *loop);
/* The same, waiting no longer than ms. */
bool inst_loop_wait(struct inst_loop *loop, int64_t ms);
/* Does what is ready without waiting, for hosts with a loop of their own. */
void inst_loop_step(struct inst_loop *loop);
/* ... again and again while something is, for about budget_us; true when something still is. A
 * round is cut short when the time is up, behind the first deferred call and between those after.
 */
bool inst_loop_step_for(struct inst_loop *loop, int64_t budget_us);
/* Inside such a step: whoever can is to put the rest of its work off. */
bool inst_loop_is_time_up(const struct inst_loop *loop);
/* Told, between steps, that there is something for the next one: a call was deferred or a timer
 * started. fn only notes it; NULL: nobody is told. */
void inst_loop_on_wanted(struct inst_loop *loop, inst_loop_fn *fn, void *ctx);
/* What such a host polls for reading, and for how many milliseconds at most (-1: for ever). */
int inst_loop_fd(const struct inst_loop *loop);
int inst_loop_timeout(struct inst_loop *loop);
/* Makes the running inst_loop_run return after this turn. */
void inst_loop_stop(struct inst_loop *loop);

/* ---- timers ---- */
struct inst_timer;
/* Not running yet. */
enum inst_status inst_timer_new(struct inst_loop *loop, inst_loop_fn *fn, void *ctx,
                                struct inst_timer **out, struct inst_err *err);
/* Calls back once after delay_ms, then every repeat_ms unless that is 0. Restarts when running. */
void inst_timer_start(struct inst_timer *timer, int64_t delay_ms, int64_t repeat_ms);
void inst_timer_stop(struct inst_timer *timer);
/* Also from inside its own callback. NULL is fine. */
void inst_timer_free(struct inst_timer *timer);

/* ---- signals ---- */
struct inst_signal;
enum inst_status inst_signal_new(struct inst_loop *loop, int signum, inst_loop_fn *fn, void *ctx,
                                 struct inst_signal **out, struct inst_err *err);
void inst_signal_free(struct inst_signal *signal);

/* ---- deferred calls ---- */
/* Part of its owner's struct: deferring never fails. Zero it, then set fn and ctx. */
struct inst_deferred {
    struct inst_deferred *next; /* in the loop's queue */
    inst_loop_fn *fn;
    void *ctx;
    bool is_queued;
};
/* Calls back at the end of this turn, in the order of the calls; once when already queued. */
void inst_loop_defer(struct inst_loop *loop, struct inst_deferred *deferred);
/* Takes it out again, before its owner is freed. */
void inst_loop_undefer(struct inst_loop *loop, struct inst_deferred *deferred);

/* ---- turn hooks ---- */
/* Called at the end of every round of a turn, in the order of adding. Part of its owner's struct.
 */
struct inst_turn_hook {
    struct inst_turn_hook *next;
    inst_loop_fn *fn;
    void *ctx;
};
void inst_loop_add_hook(struct inst_loop *loop, struct inst_turn_hook *hook);
void inst_loop_remove_hook(struct inst_loop *loop, struct inst_turn_hook *hook);
/* From a hook: the next poll does not wait, so that the hook is soon called again. */
void inst_loop_poll_again(struct inst_loop *loop);
/* Polls so far; hooks are called before and behind each. */
uint64_t inst_loop_polls(const struct inst_loop *loop);

#endif
