#include "io/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

/* libuv closes handles later: this lives until the last of them is. */
struct inst_process {
    uv_process_t uv;
    uv_pipe_t pipes[3]; /* stdin, stdout, stderr of the child */
    bool is_open[3];
    uv_timer_t linger;
    struct inst_loop *loop;
    struct inst_process_events events;
    struct inst_deferred ending;
    size_t handles; /* not closed yet */
    size_t writing; /* writes under way */
    int64_t code;
    int signum;
    bool wants_end; /* of the input, once nothing is being written */
    bool has_exited;
    bool is_freed;
};

struct write {
    uv_write_t uv;
    struct inst_process *process;
    char bytes[];
};

static void on_closed(uv_handle_t *handle) {
    struct inst_process *process = handle->data;
    if (--process->handles == 0 && process->is_freed)
        free(process);
}

static void open_handle(struct inst_process *process, uv_handle_t *handle) {
    handle->data = process;
    process->handles++;
}

static void close_pipe(struct inst_process *process, int n) {
    if (!process->is_open[n])
        return;
    process->is_open[n] = false;
    uv_close((uv_handle_t *)&process->pipes[n], on_closed);
}

/* ---- the end ---- */

static void end(void *ctx) {
    struct inst_process *process = ctx;
    process->events.end(process->events.ctx, process->code, process->signum);
}

static void end_when_done(struct inst_process *process) {
    if (process->has_exited && !process->is_open[1] && !process->is_open[2] && !process->is_freed)
        inst_loop_defer(process->loop, &process->ending);
}

static void stop_reading(struct inst_process *process, int n) {
    if (!process->is_open[n])
        return;
    close_pipe(process, n);
    process->events.output(process->events.ctx, n, NULL, 0);
}

static void on_linger(uv_timer_t *timer) {
    struct inst_process *process = timer->data;
    uv_timer_stop(timer);
    for (int n = 1; n <= 2 && !process->is_freed; n++)
        stop_reading(process, n);
    end_when_done(process);
}

static void on_ended(uv_process_t *uv, int64_t code, int signum) {
    struct inst_process *process = uv->data;
    process->has_exited = true;
    process->code = code;
    process->signum = signum;
    close_pipe(process, 0);
    if (process->is_open[1] || process->is_open[2])
        uv_timer_start(&process->linger, on_linger, INST_PROCESS_LINGER_MS, INST_PROCESS_LINGER_MS);
    end_when_done(process);
}

/* ---- output ---- */

static void alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)handle;
    buf->base = malloc(suggested);
    buf->len = buf->base ? suggested : 0;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    struct inst_process *process = stream->data;
    int n = stream == (uv_stream_t *)&process->pipes[1] ? 1 : 2;
    if (count > 0) {
        /* It still talks: whoever holds the pipe is no leftover. */
        if (process->has_exited && !process->is_freed)
            uv_timer_again(&process->linger);
        process->events.output(process->events.ctx, n, buf->base, (size_t)count);
    } else if (count < 0) {
        stop_reading(process, n);
        end_when_done(process);
    }
    free(buf->base);
}

/* ---- input ---- */

static void on_written(uv_write_t *uv, int status) {
    struct write *write = (struct write *)uv;
    struct inst_process *process = write->process;
    (void)status; /* a child that reads no more */
    free(write);
    process->writing--;
    if (process->is_freed)
        return;
    if (process->writing == 0 && process->wants_end)
        close_pipe(process, 0);
    if (process->writing == 0)
        process->events.written(process->events.ctx);
}

enum inst_status inst_process_write(struct inst_process *process, const char *bytes, size_t len,
                                    struct inst_err *err) {
    if (!process->is_open[0] || process->wants_end)
        return inst_err_set(err, "io-error", 0, "The process' input is closed.");
    struct write *write = malloc(sizeof *write + len);
    if (!write)
        return inst_err_nomem(err);
    memcpy(write->bytes, bytes, len);
    write->process = process;
    uv_buf_t buf = uv_buf_init(write->bytes, (unsigned)len);
    int failed = uv_write(&write->uv, (uv_stream_t *)&process->pipes[0], &buf, 1, on_written);
    if (failed) {
        free(write);
        return inst_err_set(err, "io-error", 0, "Cannot write to the process: %s.",
                            uv_strerror(failed));
    }
    process->writing++;
    return INST_OK;
}

void inst_process_close_input(struct inst_process *process) {
    process->wants_end = true;
    if (process->writing == 0)
        close_pipe(process, 0);
}

/* ---- life ---- */

static void set_stdio(struct inst_process *process, uv_stdio_container_t *stdio, int n,
                      bool inherits) {
    if (inherits) {
        stdio->flags = UV_INHERIT_FD;
        stdio->data.fd = n;
        return;
    }
    uv_pipe_init(inst_loop_uv(process->loop), &process->pipes[n], 0);
    open_handle(process, (uv_handle_t *)&process->pipes[n]);
    process->is_open[n] = true;
    stdio->flags = UV_CREATE_PIPE | (n == 0 ? UV_READABLE_PIPE : UV_WRITABLE_PIPE);
    stdio->data.stream = (uv_stream_t *)&process->pipes[n];
}

enum inst_status inst_process_spawn(struct inst_loop *loop,
                                    const struct inst_process_options *options,
                                    const struct inst_process_events *events,
                                    struct inst_process **out, struct inst_err *err) {
    struct inst_process *process = calloc(1, sizeof *process);
    if (!process)
        return inst_err_nomem(err);
    uv_stdio_container_t stdio[3];
    uv_process_options_t uv = {.exit_cb = on_ended,
                               .file = options->args[0],
                               .args = (char **)options->args,
                               .env = (char **)options->env,
                               .cwd = options->cwd,
                               .stdio_count = 3,
                               .stdio = stdio};
    process->loop = loop;
    process->events = *events;
    process->ending = (struct inst_deferred){.fn = end, .ctx = process};
    set_stdio(process, &stdio[0], 0, options->inherits_in);
    set_stdio(process, &stdio[1], 1, options->inherits_out);
    set_stdio(process, &stdio[2], 2, options->inherits_err);
    uv_timer_init(inst_loop_uv(loop), &process->linger);
    open_handle(process, (uv_handle_t *)&process->linger);
    process->linger.data = process;
    int failed = uv_spawn(inst_loop_uv(loop), &process->uv, &uv);
    open_handle(process, (uv_handle_t *)&process->uv);
    inst_loop_hold(loop);
    if (failed) {
        process->has_exited = true; /* there is nothing to kill */
        inst_process_free(process);
        return inst_err_set(err, "io-error", 0, "Cannot run %s: %s.", options->args[0],
                            uv_strerror(failed));
    }
    for (int n = 1; n <= 2; n++)
        if (process->is_open[n])
            uv_read_start((uv_stream_t *)&process->pipes[n], alloc, on_read);
    *out = process;
    return INST_OK;
}

int inst_process_pid(const struct inst_process *process) { return process->uv.pid; }

bool inst_process_kill(struct inst_process *process, int signum) {
    return !process->has_exited && uv_process_kill(&process->uv, signum) == 0;
}

void inst_process_free(struct inst_process *process) {
    if (!process || process->is_freed)
        return;
    inst_process_kill(process, SIGKILL);
    process->is_freed = true;
    inst_loop_undefer(process->loop, &process->ending);
    inst_loop_release(process->loop);
    for (int n = 0; n < 3; n++)
        close_pipe(process, n);
    uv_close((uv_handle_t *)&process->linger, on_closed);
    uv_close((uv_handle_t *)&process->uv, on_closed);
}
