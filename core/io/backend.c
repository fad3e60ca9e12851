#include "io/backend.h"

#include "io/apps.h"

#include <stdlib.h>

struct inst_backend {
    struct inst_loop *loop;
    struct inst_apps *apps;
    struct inst_server *server;
    struct inst_turn_hook hook;
    bool is_gathering;               /* a turn's end is put off; with the following three */
    uint64_t polls;                  /* of the loop, and */
    uint64_t received;               /* messages, when the hook last looked */
    int64_t gather_end;              /* monotonic ms */
    char app_id[INST_UUID_TEXT + 1]; /* of a file without an app: the one it will get */
};

static void send_to(void *ctx, void *connection, struct inst_shared *message) {
    struct inst_connection *to = connection;
    (void)ctx;
    to->ops->send(to, message);
}

static void close_it(void *ctx, void *connection) {
    struct inst_connection *to = connection;
    (void)ctx;
    to->ops->close(to);
}

static size_t backlog_of(void *ctx, void *connection) {
    struct inst_connection *to = connection;
    (void)ctx;
    return to->ops->backlog ? to->ops->backlog(to) : 0;
}

/* Should the turn go on, because the last poll brought messages (or there was none yet)? */
static bool gathers(struct inst_backend *backend) {
    struct inst_server_stats stats;
    uint64_t polls = inst_loop_polls(backend->loop);
    int64_t now = inst_loop_monotonic_ms(backend->loop);
    if (!backend->is_gathering) {
        backend->gather_end = now + INST_BACKEND_GATHER_MS;
    } else if (now >= backend->gather_end) {
        return false;
    } else if (polls == backend->polls) {
        return true;
    }
    inst_server_stats(backend->server, &stats);
    bool is_more = !backend->is_gathering || stats.received != backend->received;
    backend->polls = polls;
    backend->received = stats.received;
    return is_more;
}

static void turn(void *ctx) {
    struct inst_backend *backend = ctx;
    if (!inst_server_is_pending(backend->server))
        return;
    backend->is_gathering = gathers(backend);
    if (backend->is_gathering)
        inst_loop_poll_again(backend->loop);
    else
        inst_server_turn(backend->server);
}

enum inst_status inst_backend_open(struct inst_loop *loop, const char *path, bool is_file,
                                   struct inst_backend **out, struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(loop);
    struct inst_backend *backend = calloc(1, sizeof *backend);
    if (!backend)
        return inst_err_nomem(err);
    backend->loop = loop;
    backend->hook = (struct inst_turn_hook){.fn = turn, .ctx = backend};
    enum inst_status status = is_file ? inst_apps_open_file(path, NULL, env, &backend->apps, err)
                                      : inst_apps_open_dir(path, NULL, env, &backend->apps, err);
    if (status == INST_OK) {
        struct inst_server_host host = {.ctx = backend,
                                        .send = send_to,
                                        .close = close_it,
                                        .backlog = backlog_of,
                                        .apps = &inst_apps_ops,
                                        .apps_ctx = backend->apps};
        status = inst_server_new(env, &host, &backend->server, err);
    }
    if (status != INST_OK) {
        inst_apps_close(backend->apps);
        free(backend);
        return status;
    }
    inst_loop_add_hook(loop, &backend->hook);
    *out = backend;
    return INST_OK;
}

struct inst_server *inst_backend_server(struct inst_backend *backend) {
    return backend->server;
}

const char *inst_backend_app_id(struct inst_backend *backend) {
    const char *known = inst_apps_only_id(backend->apps);
    if (known[0])
        return known;
    if (!backend->app_id[0])
        inst_uuid_make_text(inst_loop_env(backend->loop), backend->app_id);
    return backend->app_id;
}

struct each {
    void (*fn)(void *ctx, const struct inst_app_info *info);
    void *ctx;
};

static bool each_app(void *ctx, const struct inst_app_info *info) {
    struct each *each = ctx;
    each->fn(each->ctx, info);
    return true;
}

enum inst_status inst_backend_each_app(struct inst_backend *backend,
                                       void (*fn)(void *ctx, const struct inst_app_info *info),
                                       void *ctx, struct inst_err *err) {
    struct each each = {fn, ctx};
    return inst_apps_each(backend->apps, each_app, &each, err);
}

void inst_backend_close(struct inst_backend *backend) {
    if (!backend)
        return;
    inst_loop_remove_hook(backend->loop, &backend->hook);
    inst_server_free(backend->server);
    inst_apps_close(backend->apps);
    free(backend);
}
