#include "io/loop.h"

#include "io/http_client.h"
#include "io/lws_limits.h"

#include <assert.h>
#include <errno.h>
#include <libwebsockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <uv.h>

struct inst_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* end of turn, before the poll */
    uv_check_t check;     /* end of turn, behind the poll */
    uv_idle_t idle;       /* running while the poll must not block */
    uv_timer_t limit;     /* of inst_loop_wait */
    struct lws_context *lws;
    struct inst_http_client *http; /* NULL: nobody asked yet */
    struct inst_netlink *netlink;
    struct inst_driver *drivers;
    struct inst_storage_file *storage_files;
    struct inst_env env;
    enum inst_log_level log_level;
    bool logs_json;
    inst_log_fn *log; /* NULL: to stderr */
    void *log_ctx;
    struct inst_deferred *first; /* queue of deferred calls */
    struct inst_deferred *last;
    struct inst_turn_hook *hooks;
    size_t holds;
    bool is_stopped;
    bool is_single; /* inst_loop_turn: whoever waits looks again once something was done */
    bool did_work;  /* in this turn */
    bool is_ending;
    uint64_t polls;
    bool polls_again;     /* a hook does not want the next poll to wait */
    bool in_turn;         /* the end of a turn is being worked off */
    inst_loop_fn *wanted; /* NULL: nobody is told */
    void *wanted_ctx;
    bool is_stepping;
    uint64_t step_end; /* uv_hrtime at which the step is to come to its end; 0: no such time */
};

struct inst_timer {
    uv_timer_t uv;
    inst_loop_fn *fn;
    void *ctx;
};

struct inst_signal {
    uv_signal_t uv;
    inst_loop_fn *fn;
    void *ctx;
};

/* ---- environment ---- */

static int64_t env_now_ms(void *ctx) {
    struct timespec now;
    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void env_random(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    while (len > 0) {
        ssize_t n = getrandom(out, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort(); /* ids that can be guessed are worse than no program */
        out += n;
        len -= (size_t)n;
    }
}

bool inst_loop_logs(const struct inst_loop *loop, enum inst_log_level level) {
    return level <= loop->log_level;
}

void inst_loop_log_event(struct inst_loop *loop, enum inst_log_level level, const char *message,
                         const struct inst_log_field *fields, size_t count) {
    struct inst_buf line;
    if (!inst_loop_logs(loop, level))
        return;
    if (loop->log && count == 0) {
        loop->log(loop->log_ctx, level, message);
        return;
    }
    inst_buf_init(&line);
    inst_log_write(&line, loop->logs_json && !loop->log, env_now_ms(NULL), level, message, fields,
                   count);
    if (!line.failed && loop->log) {
        line.data[line.len - 1] = '\0';
        loop->log(loop->log_ctx, level, line.data);
    } else if (!line.failed) {
        fwrite(line.data, 1, line.len, stderr); /* in one piece: lines of threads never mix */
    }
    inst_buf_free(&line);
}

static void env_log(void *ctx, enum inst_log_level level, const char *line) {
    inst_loop_log_event(ctx, level, line, NULL, 0);
}

void inst_loop_log_json(struct inst_loop *loop, bool is_json) { loop->logs_json = is_json; }

bool inst_loop_logs_json(const struct inst_loop *loop) { return loop->logs_json; }

const struct inst_env *inst_loop_env(struct inst_loop *loop) { return &loop->env; }

void inst_loop_log_level(struct inst_loop *loop, enum inst_log_level level) {
    loop->log_level = level;
}

void inst_loop_log_to(struct inst_loop *loop, inst_log_fn *fn, void *ctx) {
    loop->log = fn;
    loop->log_ctx = ctx;
}

int64_t inst_loop_monotonic_ms(struct inst_loop *loop) {
    (void)loop;
    return (int64_t)(uv_hrtime() / 1000000);
}

struct uv_loop_s *inst_loop_uv(struct inst_loop *loop) {
    return &loop->uv;
}

/* ---- the turn ---- */

static void drain_deferred(struct inst_loop *loop) {
    /* Only what is queued now: what these calls defer belongs to the next round. */
    struct inst_deferred *end = loop->last;
    while (loop->first) {
        struct inst_deferred *d = loop->first;
        bool is_end = d == end;
        loop->first = d->next;
        if (!loop->first)
            loop->last = NULL;
        d->next = NULL;
        d->is_queued = false;
        d->fn(d->ctx);
        if (is_end || inst_loop_is_time_up(loop))
            break;
    }
}

static void call_hooks(struct inst_loop *loop) {
    struct inst_turn_hook *next;
    for (struct inst_turn_hook *hook = loop->hooks; hook; hook = next) {
        next = hook->next;
        hook->fn(hook->ctx);
    }
}

static void idle_cb(uv_idle_t *idle) { (void)idle; }

static void end_turn(struct inst_loop *loop) {
    if (loop->in_turn || loop->is_ending)
        return;
    loop->in_turn = true;
    int rounds = 0;
    do {
        loop->did_work = loop->did_work || loop->first;
        drain_deferred(loop);
        call_hooks(loop);
    } while (loop->first && ++rounds < INST_LOOP_MAX_ROUNDS && !inst_loop_is_time_up(loop));
    loop->in_turn = false;
    if (loop->first || loop->polls_again)
        uv_idle_start(&loop->idle, idle_cb);
    else
        uv_idle_stop(&loop->idle);
    if (loop->is_stopped || loop->holds == 0 || (loop->is_single && loop->did_work))
        uv_stop(&loop->uv);
}

static void prepare_cb(uv_prepare_t *handle) { end_turn(handle->data); }

static void check_cb(uv_check_t *handle) {
    struct inst_loop *loop = handle->data;
    loop->polls++;
    loop->polls_again = false;
    end_turn(loop);
}

/* What a step finds by itself needs no telling. */
static void want(struct inst_loop *loop) {
    if (loop->wanted && !loop->is_stepping)
        loop->wanted(loop->wanted_ctx);
}

void inst_loop_on_wanted(struct inst_loop *loop, inst_loop_fn *fn, void *ctx) {
    loop->wanted = fn;
    loop->wanted_ctx = ctx;
}

void inst_loop_defer(struct inst_loop *loop, struct inst_deferred *deferred) {
    if (deferred->is_queued)
        return;
    deferred->is_queued = true;
    deferred->next = NULL;
    if (loop->last)
        loop->last->next = deferred;
    else
        loop->first = deferred;
    loop->last = deferred;
    want(loop);
}

void inst_loop_undefer(struct inst_loop *loop, struct inst_deferred *deferred) {
    if (!deferred->is_queued)
        return;
    struct inst_deferred *before = NULL;
    for (struct inst_deferred *d = loop->first; d; before = d, d = d->next) {
        if (d != deferred)
            continue;
        if (before)
            before->next = d->next;
        else
            loop->first = d->next;
        if (loop->last == d)
            loop->last = before;
        break;
    }
    deferred->is_queued = false;
    deferred->next = NULL;
}

void inst_loop_add_hook(struct inst_loop *loop, struct inst_turn_hook *hook) {
    struct inst_turn_hook **end = &loop->hooks;
    while (*end)
        end = &(*end)->next;
    hook->next = NULL;
    *end = hook;
}

void inst_loop_remove_hook(struct inst_loop *loop, struct inst_turn_hook *hook) {
    for (struct inst_turn_hook **at = &loop->hooks; *at; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            return;
        }
    }
}

void inst_loop_poll_again(struct inst_loop *loop) { loop->polls_again = true; }

uint64_t inst_loop_polls(const struct inst_loop *loop) { return loop->polls; }

/* ---- running ---- */

bool inst_loop_is_ending(const struct inst_loop *loop) { return loop->is_ending; }

void inst_loop_hold(struct inst_loop *loop) { loop->holds++; }

void inst_loop_release(struct inst_loop *loop) {
    assert(loop->holds > 0);
    loop->holds--;
}

bool inst_loop_is_held(const struct inst_loop *loop) { return loop->holds > 0; }

void inst_loop_run(struct inst_loop *loop) {
    loop->is_stopped = false;
    end_turn(loop);
    while (!loop->is_stopped && (loop->holds > 0 || loop->first))
        uv_run(&loop->uv, UV_RUN_ONCE);
}

bool inst_loop_turn(struct inst_loop *loop) {
    loop->is_stopped = false;
    if (loop->holds == 0 && !loop->first)
        return false;
    loop->is_single = true;
    loop->did_work = false;
    uv_run(&loop->uv, UV_RUN_ONCE);
    loop->is_single = false;
    return true;
}

static void limit_cb(uv_timer_t *timer) { (void)timer; /* the poll ends, that is all */ }

bool inst_loop_wait(struct inst_loop *loop, int64_t ms) {
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->limit, limit_cb, ms > 0 ? (uint64_t)ms : 0, 0);
    bool is_held = inst_loop_turn(loop);
    uv_timer_stop(&loop->limit);
    return is_held;
}

void inst_loop_step(struct inst_loop *loop) {
    loop->is_stepping = true;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    loop->is_stepping = false;
}

/* ---- inside another loop ---- */

int inst_loop_fd(const struct inst_loop *loop) { return uv_backend_fd(&loop->uv); }

int inst_loop_timeout(struct inst_loop *loop) {
    if (loop->first || loop->polls_again)
        return 0;
    uv_update_time(&loop->uv);
    return uv_backend_timeout(&loop->uv);
}

static bool is_ready(struct inst_loop *loop) {
    struct pollfd fd = {.fd = inst_loop_fd(loop), .events = POLLIN};
    return inst_loop_timeout(loop) == 0 || poll(&fd, 1, 0) > 0;
}

bool inst_loop_is_time_up(const struct inst_loop *loop) {
    return loop->step_end && uv_hrtime() >= loop->step_end;
}

bool inst_loop_step_for(struct inst_loop *loop, int64_t budget_us) {
    loop->step_end = uv_hrtime() + (budget_us > 0 ? (uint64_t)budget_us * 1000 : 0);
    bool has_more;
    do {
        inst_loop_step(loop);
        has_more = is_ready(loop);
    } while (has_more && !inst_loop_is_time_up(loop));
    loop->step_end = 0;
    return has_more;
}

void inst_loop_stop(struct inst_loop *loop) {
    loop->is_stopped = true;
    uv_stop(&loop->uv);
}

/* ---- timers and signals ---- */

static void free_handle(uv_handle_t *handle) { free(handle); }

static void timer_cb(uv_timer_t *handle) {
    struct inst_timer *timer = (struct inst_timer *)handle;
    timer->fn(timer->ctx);
}

enum inst_status inst_timer_new(struct inst_loop *loop, inst_loop_fn *fn, void *ctx,
                                struct inst_timer **out, struct inst_err *err) {
    struct inst_timer *timer = malloc(sizeof *timer);
    if (!timer)
        return inst_err_nomem(err);
    uv_timer_init(&loop->uv, &timer->uv);
    timer->fn = fn;
    timer->ctx = ctx;
    *out = timer;
    return INST_OK;
}

void inst_timer_start(struct inst_timer *timer, int64_t delay_ms, int64_t repeat_ms) {
    /* libuv counts from its cached time, which is old when the turn took long. */
    uv_update_time(timer->uv.loop);
    uv_timer_start(&timer->uv, timer_cb, delay_ms > 0 ? (uint64_t)delay_ms : 0,
                   repeat_ms > 0 ? (uint64_t)repeat_ms : 0);
    want((struct inst_loop *)timer->uv.loop); /* its first member */
}

void inst_timer_stop(struct inst_timer *timer) { uv_timer_stop(&timer->uv); }

void inst_timer_free(struct inst_timer *timer) {
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, free_handle);
}

static void signal_cb(uv_signal_t *handle, int signum) {
    struct inst_signal *sig = (struct inst_signal *)handle;
    (void)signum;
    sig->fn(sig->ctx);
}

enum inst_status inst_signal_new(struct inst_loop *loop, int signum, inst_loop_fn *fn, void *ctx,
                                 struct inst_signal **out, struct inst_err *err) {
    struct inst_signal *sig = malloc(sizeof *sig);
    if (!sig)
        return inst_err_nomem(err);
    sig->fn = fn;
    sig->ctx = ctx;
    int failed = uv_signal_init(&loop->uv, &sig->uv);
    if (failed) {
        free(sig);
        return inst_err_set(err, "io-error", 500, "Cannot watch signals: %s.", uv_strerror(failed));
    }
    failed = uv_signal_start(&sig->uv, signal_cb, signum);
    if (failed) {
        uv_close((uv_handle_t *)&sig->uv, free_handle);
        return inst_err_set(err, "io-error", 500, "Cannot watch signal %d: %s.", signum,
                            uv_strerror(failed));
    }
    *out = sig;
    return INST_OK;
}

void inst_signal_free(struct inst_signal *sig) {
    if (sig)
        uv_close((uv_handle_t *)&sig->uv, free_handle);
}

/* ---- libwebsockets ---- */

struct lws_context *inst_loop_lws(struct inst_loop *loop, struct inst_err *err) {
    if (loop->lws)
        return loop->lws;
    void *foreign[1] = {&loop->uv};
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.port = CONTEXT_PORT_NO_LISTEN;
    /* Not LWS_SERVER_OPTION_VALIDATE_UTF8: when a client refuses a text by itself libwebsockets
     * reads on, and writes past its buffer (4.1.6). We look at texts ourselves. */
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = foreign;
    info.pcontext = &loop->lws;
    info.max_http_header_data = INST_LWS_HEADER_BYTES;
    info.max_http_header_pool2 = INST_LWS_HEADER_POOL;
    info.pt_serv_buf_size = INST_LWS_SERVICE_BYTES;
    lws_set_log_level(0, NULL);
    loop->lws = lws_create_context(&info);
    if (!loop->lws)
        inst_err_set(err, "io-error", 500,
                     "Cannot start the network library (is libwebsockets' libuv plug-in there?).");
    return loop->lws;
}

struct inst_storage_file **inst_loop_storage_files(struct inst_loop *loop) {
    return &loop->storage_files;
}

/* ---- HTTP requests ---- */

struct inst_http_client *inst_loop_http(struct inst_loop *loop, struct inst_err *err) {
    if (!loop->http)
        inst_http_client_new(loop, &loop->http, err);
    return loop->http;
}

struct inst_driver **inst_loop_drivers(struct inst_loop *loop) {
    return &loop->drivers;
}

struct inst_netlink **inst_loop_netlink(struct inst_loop *loop) {
    return &loop->netlink;
}

/* ---- life ---- */

enum inst_status inst_loop_new(struct inst_loop **out, struct inst_err *err) {
    struct inst_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return inst_err_nomem(err);
    int failed = uv_loop_init(&loop->uv);
    if (failed) {
        free(loop);
        return inst_err_set(err, "io-error", 500, "Cannot make an event loop: %s.",
                            uv_strerror(failed));
    }
    loop->log_level = INST_LOG_WARN;
    loop->env =
        (struct inst_env){.ctx = loop, .now_ms = env_now_ms, .random = env_random, .log = env_log};
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->limit);
    loop->prepare.data = loop->check.data = loop;
    uv_prepare_start(&loop->prepare, prepare_cb);
    uv_check_start(&loop->check, check_cb);
    *out = loop;
    return INST_OK;
}

/* Runs what closing handles still need; bounded, in case somebody left one open. */
static void run_down(struct inst_loop *loop) {
    for (int i = 0; i < 1000 && uv_run(&loop->uv, UV_RUN_NOWAIT); i++)
        ;
}

void inst_loop_free(struct inst_loop *loop) {
    if (!loop)
        return;
    assert(!loop->hooks);
    inst_http_client_free(loop->http);
    loop->is_ending = true;
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->limit, NULL);
    if (loop->lws) {
        /* On a loop that is not its own libwebsockets first closes its handles, over some turns;
         * the second call frees it, and zeroes loop->lws (pcontext). */
        lws_context_destroy(loop->lws);
        run_down(loop);
        drain_deferred(loop);
        lws_context_destroy(loop->lws);
    }
    run_down(loop);
    if (uv_loop_close(&loop->uv) == 0)
        free(loop);
    /* Else a name is still being resolved on another thread, which will look at the loop: the
     * process is about to end, and the memory with it. */
}
