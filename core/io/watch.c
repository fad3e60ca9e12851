#include "io/watch.h"

#include <stdlib.h>
#include <uv.h>

struct inst_watch {
    union {
        uv_fs_event_t path;
        uv_poll_t fd;
        uv_handle_t handle;
    } uv;
    inst_watch_fn *fn;
    void *ctx;
};

static void free_handle(uv_handle_t *handle) { free(handle); }

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status) {
    struct inst_watch *watch = (struct inst_watch *)handle;
    (void)events;
    if (status == 0)
        watch->fn(watch->ctx, name);
}

static void on_readable(uv_poll_t *handle, int status, int events) {
    struct inst_watch *watch = (struct inst_watch *)handle;
    (void)events;
    (void)status; /* whoever reads finds out */
    watch->fn(watch->ctx, NULL);
}

static struct inst_watch *make(inst_watch_fn *fn, void *ctx) {
    struct inst_watch *watch = calloc(1, sizeof *watch);
    if (watch) {
        watch->fn = fn;
        watch->ctx = ctx;
    }
    return watch;
}

static enum inst_status started(struct inst_watch *watch, int failed, const char *what,
                                struct inst_watch **out, struct inst_err *err) {
    if (failed) {
        uv_close(&watch->uv.handle, free_handle);
        return inst_err_set(err, "io-error", 0, "Cannot watch %s: %s.", what, uv_strerror(failed));
    }
    *out = watch;
    return INST_OK;
}

enum inst_status inst_watch_path(struct inst_loop *loop, const char *path, inst_watch_fn *fn,
                                 void *ctx, struct inst_watch **out, struct inst_err *err) {
    struct inst_watch *watch = make(fn, ctx);
    if (!watch)
        return inst_err_nomem(err);
    uv_fs_event_init(inst_loop_uv(loop), &watch->uv.path);
    return started(watch, uv_fs_event_start(&watch->uv.path, on_event, path, 0), path, out, err);
}

enum inst_status inst_watch_fd(struct inst_loop *loop, int fd, inst_watch_fn *fn, void *ctx,
                               struct inst_watch **out, struct inst_err *err) {
    struct inst_watch *watch = make(fn, ctx);
    if (!watch)
        return inst_err_nomem(err);
    int failed = uv_poll_init(inst_loop_uv(loop), &watch->uv.fd, fd);
    if (failed) {
        free(watch); /* libuv did not take it */
        return inst_err_set(err, "io-error", 0, "Cannot watch descriptor %d: %s.", fd,
                            uv_strerror(failed));
    }
    return started(watch, uv_poll_start(&watch->uv.fd, UV_READABLE, on_readable), "a descriptor",
                   out, err);
}

void inst_watch_free(struct inst_watch *watch) {
    if (watch)
        uv_close(&watch->uv.handle, free_handle);
}
