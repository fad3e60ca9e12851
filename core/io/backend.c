#include "io/backend.h"

#include "io/app_backups.h"
#include "io/apps.h"
#include "io/file_keep.h"
#include "io/file_sweep.h"
#include "io/outgoing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

struct inst_backend {
    struct inst_loop *loop;
    struct inst_apps *apps;
    struct inst_server *server;
    bool is_file;
    struct inst_file_store *files;
    struct inst_s3 *s3; /* NULL: files are here */
    struct inst_file_keeper *keeper;
    struct inst_outgoing *outgoing;
    struct inst_app_backups *backups; /* NULL: of one file there are none */
    struct inst_file_sweep *sweep;    /* NULL: none is under way */
    struct inst_timer *sweep_timer;   /* to the next slice, or sweep */
    struct inst_timer *day_timer;     /* to the next day */
    struct inst_timer *expiry;        /* of apps; NULL: there is one app, which stays */
    struct inst_timer *resume_timer;  /* to the next app, while some are not resumed */
    char (*resumes)[INST_UUID_TEXT + 1];
    size_t resume_count, resume_cap;
    struct inst_timer *due_timer; /* to the engine's next deadline, and */
    int64_t due_ms;               /* the one it was set for; INT64_MAX: none */
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

/* The loop's hook looks again behind it. */
static void on_due(void *ctx) {
    struct inst_backend *backend = ctx;
    backend->due_ms = INT64_MAX;
}

static void wait_for_due(struct inst_backend *backend) {
    const struct inst_env *env = inst_loop_env(backend->loop);
    int64_t due = inst_server_due_ms(backend->server), now;
    if (due == backend->due_ms)
        return;
    backend->due_ms = due;
    if (due == INT64_MAX) {
        inst_timer_stop(backend->due_timer);
        return;
    }
    now = env->now_ms(env->ctx);
    inst_timer_start(backend->due_timer, due > now ? due - now : 0, 0);
}

static void take_turn(struct inst_backend *backend) {
    if (!inst_server_is_pending(backend->server))
        return;
    backend->is_gathering = gathers(backend);
    if (!backend->is_gathering)
        inst_server_turn(backend->server);
    /* What goes on in pieces (jobs, snapshots) lets what arrives come in between. */
    if (backend->is_gathering || inst_server_is_pending(backend->server))
        inst_loop_poll_again(backend->loop);
}

static void turn(void *ctx) {
    struct inst_backend *backend = ctx;
    take_turn(backend);
    wait_for_due(backend);
}

/* ---- files ---- */

static enum inst_status file_key(void *ctx, uint8_t out[INST_SERVER_FILES_KEY],
                                 struct inst_err *err) {
    struct inst_backend *backend = ctx;
    return inst_file_store_key(backend->files, out, err);
}

static enum inst_status keep_file(void *ctx, const char *app, const char *location,
                                  char *bytes_take, size_t len, inst_files_kept_fn *kept,
                                  void *kept_ctx, struct inst_err *err) {
    struct inst_backend *backend = ctx;
    return inst_file_keeper_add(backend->keeper, app, location, bytes_take, len, kept, kept_ctx,
                                err);
}

static const struct inst_files_ops files_ops = {.key = file_key, .keep = keep_file};

/* Asking a file without an app for one would make it that app's. */
static int is_named(void *ctx, const char *app, const char *location) {
    struct inst_backend *backend = ctx;
    if (backend->is_file && strcmp(inst_apps_only_id(backend->apps), app) != 0)
        return -1;
    if (backend->backups && inst_app_backups_name(backend->backups, app, location))
        return 1;
    return inst_server_names_file(backend->server, app, location);
}

/* ---- a bucket ---- */

static enum inst_status put_object(void *ctx, const char *key, const char *path, uint64_t size,
                                   struct inst_err *err) {
    return inst_s3_put(ctx, key, path, size, err);
}

enum inst_status inst_backend_use_s3(struct inst_backend *backend,
                                     const struct inst_s3_config *config, struct inst_err *err) {
    enum inst_status status = inst_s3_new(inst_loop_env(backend->loop), config, &backend->s3, err);
    struct inst_file_remote remote = {.ctx = backend->s3, .put = put_object};
    if (status == INST_OK)
        inst_file_store_set_remote(backend->files, &remote);
    return status;
}

/* The value of a header line; NULL: there is none. Copied into value. Only ASCII: not all of them
 * take more in an answer's head. */
static const char *header_of(const struct inst_buf *headers, const char *name, char value[1024]) {
    const char *at = headers->len ? strstr(headers->data, name) : NULL;
    if (!at || (at > headers->data && at[-1] != '\n'))
        return NULL;
    snprintf(value, 1024, "%.*s", (int)strcspn(at + strlen(name), "\r"), at + strlen(name));
    for (char *c = value; *c; c++)
        if ((unsigned char)*c > 0x7e)
            *c = '_';
    return value;
}

bool inst_backend_locate(struct inst_backend *backend, const struct inst_http_file *file,
                         const char *method, const struct inst_buf *headers, struct inst_buf *out) {
    char key[INST_FILE_KEY_TEXT + 1], type[1024], disposition[1024];
    return backend->s3 && !file->backup[0] &&
           inst_file_store_is_remote(backend->files, file->app, file->location, key) &&
           inst_s3_address(backend->s3, method, key, header_of(headers, "Content-Type: ", type),
                           header_of(headers, "Content-Disposition: ", disposition), out,
                           NULL) == INST_OK;
}

/* One content that nobody needs, on its way out of the bucket. */
struct removal {
    uv_work_t work; /* first: the request is the removal */
    struct inst_s3 *s3;
    char key[INST_FILE_KEY_TEXT + 1];
    char path[]; /* its mark, here */
};

static void do_removal(uv_work_t *work) {
    struct removal *removal = (struct removal *)work;
    /* What fails is tried again with the next sweep. */
    if (inst_s3_remove(removal->s3, removal->key, NULL) == INST_OK)
        unlink(removal->path);
}

static void removal_done(uv_work_t *work, int cancelled) {
    struct removal *removal = (struct removal *)work;
    (void)cancelled;
    inst_s3_free(removal->s3);
    free(removal);
}

static void remove_remote(void *ctx, const char *app, const char *location, const char *path) {
    struct inst_backend *backend = ctx;
    size_t len = strlen(path) + 1;
    struct removal *removal = malloc(sizeof *removal + len);
    if (!removal)
        return;
    removal->s3 = inst_s3_ref(backend->s3);
    snprintf(removal->key, sizeof removal->key, "%s/%s", app, location);
    memcpy(removal->path, path, len);
    if (uv_queue_work(inst_loop_uv(backend->loop), &removal->work, do_removal, removal_done) != 0)
        removal_done(&removal->work, 0);
}

static void sweep(void *ctx) {
    struct inst_backend *backend = ctx;
    struct inst_file_sweep_config config = {
        .ctx = backend, .is_named = is_named, .remove = backend->s3 ? remove_remote : NULL};
    bool is_more = backend->sweep ||
                   inst_file_sweep_new(backend->files, &config, &backend->sweep, NULL) == INST_OK;
    is_more = is_more && inst_file_sweep_step(backend->sweep);
    if (!is_more) {
        inst_file_sweep_free(backend->sweep);
        backend->sweep = NULL;
    }
    inst_timer_start(backend->sweep_timer,
                     is_more ? INST_BACKEND_SWEEP_PAUSE_MS : INST_BACKEND_SWEEP_EVERY_MS, 0);
}

/* A little behind the day's beginning, so that a clock that is set back a little does not count. */
static void wait_for_day(struct inst_backend *backend) {
    const struct inst_env *env = inst_loop_env(backend->loop);
    const int64_t day = 24ll * 60 * 60 * 1000;
    inst_timer_start(backend->day_timer, day - env->now_ms(env->ctx) % day + 1000, 0);
}

/* ---- apps that have something to do from before ---- */

static void note_resume(void *ctx, const struct inst_app_info *info) {
    struct inst_backend *backend = ctx;
    if (backend->resume_count == backend->resume_cap) {
        size_t cap = backend->resume_cap ? backend->resume_cap * 2 : 64;
        void *resumes = realloc(backend->resumes, cap * sizeof *backend->resumes);
        if (!resumes) /* the others go on when somebody asks for them */
            return;
        backend->resumes = resumes;
        backend->resume_cap = cap;
    }
    memcpy(backend->resumes[backend->resume_count++], info->id, sizeof info->id);
}

/* One app at a time, so that a start with many of them answers meanwhile. */
static void resume(void *ctx) {
    struct inst_backend *backend = ctx;
    if (!backend->resumes && inst_backend_each_app(backend, note_resume, backend, NULL) != INST_OK)
        return;
    if (backend->resume_count == 0)
        return;
    inst_server_resume_app(backend->server, backend->resumes[--backend->resume_count], NULL);
    if (backend->resume_count > 0)
        inst_timer_start(backend->resume_timer, INST_BACKEND_RESUME_PAUSE_MS, 0);
}

static void day_begins(void *ctx) {
    struct inst_backend *backend = ctx;
    inst_server_renew_urls(backend->server);
    wait_for_day(backend);
}

/* ---- apps that expire ---- */

static void expire(void *ctx) {
    struct inst_backend *backend = ctx;
    inst_server_expire(backend->server);
    inst_apps_purge(backend->apps, NULL);
    inst_app_backups_sweep(backend->backups, backend->apps);
}

static enum inst_status open_backups(struct inst_backend *backend, const char *path,
                                     struct inst_err *err) {
    size_t len = strlen(path) + sizeof "/backups";
    char *root = malloc(len);
    if (!root)
        return inst_err_nomem(err);
    snprintf(root, len, "%s/backups", path);
    enum inst_status status = inst_app_backups_open(backend->loop, root, &backend->backups, err);
    free(root);
    return status;
}

static enum inst_status open_expiry(struct inst_backend *backend, struct inst_err *err) {
    enum inst_status status = inst_timer_new(backend->loop, expire, backend, &backend->expiry, err);
    if (status == INST_OK)
        inst_timer_start(backend->expiry, 0, INST_BACKEND_EXPIRE_MS);
    return status;
}

/* ---- opening and closing files ---- */

static enum inst_status open_files(struct inst_backend *backend, const char *path, bool is_file,
                                   struct inst_err *err) {
    bool is_memory = is_file && strcmp(path, ":memory:") == 0;
    size_t len = strlen(path) + sizeof "-files";
    char *root = malloc(len + 1);
    if (!root)
        return inst_err_nomem(err);
    snprintf(root, len + 1, "%s%s", path, is_file ? "-files" : "/files");
    enum inst_status status = inst_file_store_open(
        is_memory ? NULL : root, NULL, inst_loop_env(backend->loop), &backend->files, err);
    free(root);
    if (status == INST_OK)
        status = inst_file_keeper_new(backend->loop, backend->files, &backend->keeper, err);
    if (status == INST_OK)
        status = inst_timer_new(backend->loop, sweep, backend, &backend->sweep_timer, err);
    if (status == INST_OK)
        status = inst_timer_new(backend->loop, day_begins, backend, &backend->day_timer, err);
    if (status == INST_OK)
        status = inst_timer_new(backend->loop, on_due, backend, &backend->due_timer, err);
    if (status == INST_OK)
        status = inst_timer_new(backend->loop, resume, backend, &backend->resume_timer, err);
    if (status != INST_OK)
        return status;
    inst_timer_start(backend->sweep_timer, INST_BACKEND_SWEEP_FIRST_MS, 0);
    if (!is_file) /* a file's app is opened by whoever has the file */
        inst_timer_start(backend->resume_timer, INST_BACKEND_RESUME_FIRST_MS, 0);
    wait_for_day(backend);
    return INST_OK;
}

static void close_files(struct inst_backend *backend) {
    inst_timer_free(backend->sweep_timer);
    inst_timer_free(backend->day_timer);
    inst_timer_free(backend->due_timer);
    inst_timer_free(backend->resume_timer);
    free(backend->resumes);
    inst_file_sweep_free(backend->sweep);
    inst_file_keeper_free(backend->keeper);
    inst_file_store_close(backend->files);
    inst_s3_free(backend->s3);
}

struct inst_file_store *inst_backend_files(struct inst_backend *backend) {
    return backend->files;
}

enum inst_status inst_backend_set_origin(struct inst_backend *backend, const char *origin,
                                         bool is_guess, struct inst_err *err) {
    return inst_server_set_origin(backend->server, origin, is_guess, err);
}

enum inst_status inst_backend_open_content(struct inst_backend *backend,
                                           const struct inst_http_file *file, int *fd,
                                           uint64_t *size, struct inst_err *err) {
    enum inst_status status =
        file->backup[0]
            ? inst_app_backups_read(backend->backups, file->app, file->backup, file->location, fd,
                                    size, err)
            : inst_file_store_read(backend->files, file->app, file->location, fd, size, err);
    if (status != INST_OK || *fd >= 0)
        return status;
    return inst_err_set(err, "data-file", 500, "app %s: the content of file location %s is missing",
                        file->app, file->location);
}

/* Addresses in this process begin as the `apiURI` that leads to its file. */
static enum inst_status set_local_origin(struct inst_backend *backend, const char *path,
                                         struct inst_err *err) {
    struct inst_buf origin;
    inst_buf_init(&origin);
    inst_buf_addf(&origin, "local:%s", path);
    enum inst_status status =
        origin.failed ? inst_err_nomem(err)
                      : inst_server_set_origin(backend->server, origin.data, false, err);
    inst_buf_free(&origin);
    return status;
}

enum inst_status inst_backend_allow_host(struct inst_backend *backend, const char *host,
                                         struct inst_err *err) {
    return inst_outgoing_allow(backend->outgoing, host, err);
}

void inst_backend_allow_ephemeral(struct inst_backend *backend, bool is_allowed) {
    inst_server_allow_ephemeral(backend->server, is_allowed);
}

enum inst_status inst_backend_set_mail(struct inst_backend *backend, const char *how,
                                       struct inst_err *err) {
    return inst_outgoing_set_mail(backend->outgoing, how, err);
}

/* ---- life ---- */

enum inst_status inst_backend_open(struct inst_loop *loop, const char *path, bool is_file,
                                   struct inst_backend **out, struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(loop);
    struct inst_backend *backend = calloc(1, sizeof *backend);
    if (!backend)
        return inst_err_nomem(err);
    backend->loop = loop;
    backend->is_file = is_file;
    backend->due_ms = INT64_MAX;
    backend->hook = (struct inst_turn_hook){.fn = turn, .ctx = backend};
    enum inst_status status = is_file ? inst_apps_open_file(path, NULL, env, &backend->apps, err)
                                      : inst_apps_open_dir(path, NULL, env, &backend->apps, err);
    if (status == INST_OK)
        status = open_files(backend, path, is_file, err);
    if (status == INST_OK && !is_file)
        status = open_backups(backend, path, err);
    if (status == INST_OK) /* who opens a file owns it, and may ask whom they like */
        status = inst_outgoing_new(loop, is_file, &backend->outgoing, err);
    if (status == INST_OK) {
        struct inst_server_host host = {.ctx = backend,
                                        .send = send_to,
                                        .close = close_it,
                                        .backlog = backlog_of,
                                        .apps = &inst_apps_ops,
                                        .apps_ctx = backend->apps,
                                        .files = &files_ops,
                                        .files_ctx = backend,
                                        .outgoing = &inst_outgoing_ops,
                                        .outgoing_ctx = backend->outgoing,
                                        .backups = is_file ? NULL : &inst_app_backups_ops,
                                        .backups_ctx = backend->backups};
        status = inst_server_new(env, &host, &backend->server, err);
    }
    if (status == INST_OK && !is_file)
        inst_app_backups_serve(backend->backups, backend->server);
    if (status == INST_OK)
        status = is_file ? set_local_origin(backend, path, err) : open_expiry(backend, err);
    if (status != INST_OK) {
        inst_timer_free(backend->expiry);
        inst_outgoing_free(backend->outgoing);
        inst_server_free(backend->server);
        inst_app_backups_free(backend->backups);
        close_files(backend);
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

struct inst_apps *inst_backend_apps(struct inst_backend *backend) {
    return backend->apps;
}

struct inst_app_backups *inst_backend_app_backups(struct inst_backend *backend) {
    return backend->backups;
}

struct inst_loop *inst_backend_loop(struct inst_backend *backend) {
    return backend->loop;
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
    /* What a stream's writer that was cut off had sent is kept, before the rows' file is closed. */
    inst_file_keeper_finish(backend->keeper);
    inst_timer_free(backend->expiry);
    inst_app_backups_stop(backend->backups);
    inst_outgoing_free(backend->outgoing);
    inst_server_free(backend->server);
    inst_app_backups_free(backend->backups);
    close_files(backend);
    inst_apps_close(backend->apps);
    free(backend);
}
