#include "io/app_backups_internal.h"

#include "base/json.h"
#include "io/data_folder.h"
#include "io/file_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum inst_status inst_app_backups_path(const struct inst_app_backups *backups, char out[PATH_MAX],
                                       struct inst_err *err, const char *fmt, ...) {
    va_list args;
    size_t len = (size_t)snprintf(out, PATH_MAX, "%s/", backups->root);
    va_start(args, fmt);
    int n = len < PATH_MAX ? vsnprintf(out + len, PATH_MAX - len, fmt, args) : -1;
    va_end(args);
    if (n < 0 || (size_t)n >= PATH_MAX - len)
        return inst_err_set(err, "data-file", 500, "%s: the path is too long", backups->root);
    return INST_OK;
}

/* Names of folders are uuids in their canonical spelling; everything else is passed over. */
static bool is_id(const char *name) {
    struct inst_uuid uuid;
    char plain[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(name, strlen(name), &uuid))
        return false;
    inst_uuid_print(&uuid, plain);
    return strcmp(plain, name) == 0;
}

/* ---- folders ---- */

/* Calls back for every entry of a folder, which may be missing; false stops. */
static void each_entry(const char *path, bool (*fn)(void *ctx, const char *name), void *ctx) {
    DIR *entries = opendir(path);
    struct dirent *entry;
    bool goes_on = entries != NULL;
    while (goes_on && (entry = readdir(entries)))
        goes_on = entry->d_name[0] == '.' || fn(ctx, entry->d_name);
    if (entries)
        closedir(entries);
}

struct walk {
    struct inst_app_backups *backups;
    const char *app;
    struct inst_apps *apps; /* of a sweep */
};

static bool drop_part(void *ctx, const char *name) {
    struct walk *walk = ctx;
    size_t len = strlen(name);
    char path[PATH_MAX];
    if (len > 5 && strcmp(name + len - 5, ".part") == 0 &&
        inst_app_backups_path(walk->backups, path, NULL, "%s/%s", walk->app, name) == INST_OK)
        inst_data_remove(path, NULL);
    return true;
}

static bool drop_parts(void *ctx, const char *name) {
    struct walk walk = {.backups = ctx, .app = name};
    char path[PATH_MAX];
    if (is_id(name) && inst_app_backups_path(ctx, path, NULL, "%s", name) == INST_OK)
        each_entry(path, drop_part, &walk);
    return true;
}

enum inst_status inst_app_backups_open(struct inst_loop *loop, const char *root,
                                       struct inst_app_backups **out, struct inst_err *err) {
    struct inst_app_backups *backups = calloc(1, sizeof *backups);
    if (!backups || !(backups->root = strdup(root))) {
        free(backups);
        return inst_err_nomem(err);
    }
    backups->loop = loop;
    each_entry(root, drop_parts, backups);
    *out = backups;
    return INST_OK;
}

void inst_app_backups_serve(struct inst_app_backups *backups, struct inst_server *server) {
    backups->server = server;
}

void inst_app_backups_stop(struct inst_app_backups *backups) {
    while (backups && backups->jobs)
        inst_app_backup_free(backups->jobs);
}

void inst_app_backups_free(struct inst_app_backups *backups) {
    if (!backups)
        return;
    inst_app_backups_stop(backups);
    free(backups->root);
    free(backups);
}

/* ---- one backup ---- */

static enum inst_status read_file(const char *path, struct inst_buf *out, bool *found,
                                  struct inst_err *err) {
    char piece[65536];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *found = fd >= 0;
    if (fd < 0)
        return errno == ENOENT ? INST_OK
                               : inst_err_set(err, "data-file", 500, "%s: cannot be read (%s)",
                                              path, strerror(errno));
    while ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR))
        inst_buf_add(out, piece, n > 0 ? (size_t)n : 0);
    int why = errno;
    close(fd);
    if (n < 0)
        return inst_err_set(err, "data-file", 500, "%s: cannot be read (%s)", path, strerror(why));
    return out->failed ? inst_err_nomem(err) : INST_OK;
}

/* What cannot be read now, or is no backup: the others are not to suffer for it. */
static void log_broken(const struct inst_app_backups *backups, const char *app, const char *id,
                       const struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(backups->loop);
    char line[PATH_MAX];
    snprintf(line, sizeof line, "app %s: backup %s is passed over: %s", app, id, err->message);
    if (env->log)
        env->log(env->ctx, INST_LOG_ERROR, line);
}

static double number_of(const struct inst_value *info, const char *name) {
    const struct inst_value *v = inst_getz(info, name);
    return v && v->tag == INST_NUMBER ? v->u.num : 0;
}

/* What backup.json says, on arena. */
static enum inst_status read_info(struct inst_app_backups *backups, const char *app, const char *id,
                                  struct inst_arena *arena, struct inst_value *out, bool *found,
                                  struct inst_err *err) {
    char path[PATH_MAX];
    struct inst_buf text;
    enum inst_status status =
        inst_app_backups_path(backups, path, err, "%s/%s/backup.json", app, id);
    if (status != INST_OK)
        return status;
    inst_buf_init(&text);
    status = read_file(path, &text, found, err);
    if (status == INST_OK && *found)
        status = inst_json_parse(arena, text.data, text.len, out, err);
    inst_buf_free(&text);
    return status;
}

static bool is_over(const struct inst_app_backups *backups, const struct inst_value *info) {
    const struct inst_env *env = inst_loop_env(backups->loop);
    return number_of(info, "expires") <= (double)env->now_ms(env->ctx);
}

static void fill_in(const struct inst_value *info, const char *id, struct inst_backup_info *out) {
    const struct inst_value *description = inst_get_string(info, "description");
    *out = (struct inst_backup_info){
        .isn = (int64_t)number_of(info, "isn"),
        .at_ms = (int64_t)number_of(info, "at"),
        .expires_ms = (int64_t)number_of(info, "expires"),
        .files_size = (uint64_t)number_of(info, "filesSize"),
        .db_size = (uint64_t)number_of(info, "dbSize"),
        .uncompressed_size = (uint64_t)number_of(info, "uncompressedSize"),
    };
    snprintf(out->id, sizeof out->id, "%s", id);
    if (description)
        snprintf(out->description, sizeof out->description, "%.*s", (int)description->len,
                 description->u.str);
}

/* ---- listing ---- */

struct list {
    struct inst_app_backups *backups;
    const char *app;
    struct inst_backup_info *items;
    size_t count;
    enum inst_status status;
    struct inst_err *err;
};

static bool add_to_list(void *ctx, const char *name) {
    struct list *list = ctx;
    struct inst_arena arena;
    struct inst_value info;
    struct inst_err err = {0};
    bool found;
    if (!is_id(name))
        return true;
    inst_arena_init(&arena);
    enum inst_status status =
        read_info(list->backups, list->app, name, &arena, &info, &found, &err);
    if (status == INST_NOMEM)
        list->status = inst_err_nomem(list->err);
    else if (status != INST_OK)
        log_broken(list->backups, list->app, name, &err);
    if (status == INST_OK && found && !is_over(list->backups, &info)) {
        void *items = realloc(list->items, (list->count + 1) * sizeof *list->items);
        if (items) {
            list->items = items;
            fill_in(&info, name, &list->items[list->count++]);
        } else {
            list->status = inst_err_nomem(list->err);
        }
    }
    inst_err_clear(&err);
    inst_arena_free(&arena);
    return list->status == INST_OK;
}

static int newest_first(const void *a, const void *b) {
    const struct inst_backup_info *x = a, *y = b;
    return x->at_ms != y->at_ms ? (x->at_ms < y->at_ms) - (x->at_ms > y->at_ms)
                                : strcmp(x->id, y->id);
}

static enum inst_status each(void *ctx, const char *app_id,
                             bool (*fn)(void *ctx, const struct inst_backup_info *info),
                             void *fn_ctx, struct inst_err *err) {
    struct list list = {.backups = ctx, .app = app_id, .err = err};
    char path[PATH_MAX];
    list.status = inst_app_backups_path(ctx, path, err, "%s", app_id);
    if (list.status == INST_OK)
        each_entry(path, add_to_list, &list);
    if (list.count > 1)
        qsort(list.items, list.count, sizeof *list.items, newest_first);
    for (size_t i = 0; list.status == INST_OK && i < list.count; i++)
        if (!fn(fn_ctx, &list.items[i]))
            break;
    free(list.items);
    return list.status;
}

static enum inst_status each_object(void *ctx, const char *app_id, const char *id,
                                    bool (*fn)(void *ctx, const struct inst_backup_object *object),
                                    void *fn_ctx, bool *found, struct inst_err *err) {
    struct inst_arena arena;
    struct inst_value info;
    inst_arena_init(&arena);
    enum inst_status status = read_info(ctx, app_id, id, &arena, &info, found, err);
    *found = *found && status == INST_OK && !is_over(ctx, &info);
    const struct inst_value *objects = *found ? inst_getz(&info, "objects") : NULL;
    for (uint32_t i = 0; objects && objects->tag == INST_ARRAY && i < objects->len; i++) {
        const struct inst_value *item = &objects->u.items[i];
        const struct inst_value *name = inst_get_string(item, "name");
        const struct inst_value *location = inst_get_string(item, "location");
        if (!name || !location || location->len != INST_UUID_TEXT)
            continue;
        struct inst_backup_object object = {.name = inst_arena_dup(&arena, name->u.str, name->len),
                                            .size = (uint64_t)number_of(item, "size")};
        memcpy(object.location, location->u.str, INST_UUID_TEXT);
        if (!object.name)
            status = inst_err_nomem(err);
        if (status != INST_OK || !fn(fn_ctx, &object))
            break;
    }
    inst_arena_free(&arena);
    return status;
}

static enum inst_status read_object(void *ctx, const char *app_id, const char *id,
                                    const char *location, struct inst_buf *out,
                                    struct inst_err *err) {
    char path[PATH_MAX];
    bool found;
    enum inst_status status =
        inst_app_backups_path(ctx, path, err, "%s/%s/%s", app_id, id, location);
    if (status == INST_OK)
        status = read_file(path, out, &found, err);
    if (status == INST_OK && !found)
        status = inst_err_set(err, "data-file", 500, "%s: is missing", path);
    return status;
}

static enum inst_status remove_backup(void *ctx, const char *app_id, const char *id, bool *found,
                                      struct inst_err *err) {
    char path[PATH_MAX];
    enum inst_status status = inst_app_backups_path(ctx, path, err, "%s/%s", app_id, id);
    if (status != INST_OK)
        return status;
    *found = access(path, F_OK) == 0;
    return *found ? inst_data_remove(path, err) : INST_OK;
}

/* ---- jobs ---- */

static enum inst_status begin(void *ctx, const struct inst_backup_job *what, const char *title,
                              bool *is_busy, struct inst_err *err) {
    struct inst_app_backups *backups = ctx;
    struct inst_app_backup_job *oldest_done = NULL;
    *is_busy = false;
    for (struct inst_app_backup_job *job = backups->jobs; job; job = inst_app_backup_next(job)) {
        const struct inst_backup_job *other = inst_app_backup_what(job);
        bool is_done = other->state != INST_BACKUP_PROCESSING;
        *is_busy = *is_busy || (!is_done && strcmp(other->app, what->app) == 0);
        if (is_done && !oldest_done)
            oldest_done = job;
    }
    if (*is_busy)
        return INST_OK;
    if (backups->job_count >= INST_APP_BACKUPS_MAX_DONE && oldest_done)
        inst_app_backup_free(oldest_done);
    return inst_app_backup_begin(backups, what, title, err);
}

static void each_job(void *ctx, const char *app_id,
                     bool (*fn)(void *ctx, const struct inst_backup_job *job), void *fn_ctx) {
    struct inst_app_backups *backups = ctx;
    for (struct inst_app_backup_job *job = backups->jobs; job; job = inst_app_backup_next(job)) {
        const struct inst_backup_job *what = inst_app_backup_what(job);
        if (strcmp(what->app, app_id) == 0 && !fn(fn_ctx, what))
            return;
    }
}

static bool cancel(void *ctx, const char *app_id, const char *id) {
    struct inst_app_backups *backups = ctx;
    for (struct inst_app_backup_job *job = backups->jobs; job; job = inst_app_backup_next(job)) {
        const struct inst_backup_job *what = inst_app_backup_what(job);
        if (what->state != INST_BACKUP_PROCESSING || strcmp(what->app, app_id) != 0 ||
            strcmp(what->id, id) != 0)
            continue;
        inst_app_backup_cancel(job);
        return true;
    }
    return false;
}

const struct inst_backups_ops inst_app_backups_ops = {
    .begin = begin,
    .each_job = each_job,
    .cancel = cancel,
    .each = each,
    .each_object = each_object,
    .read = read_object,
    .remove = remove_backup,
};

/* ---- contents and objects ---- */

/* Looks for a uuid among sorted ones. */
static bool has_location(const char *path, const struct inst_uuid *wanted) {
    struct inst_uuid at;
    struct stat st;
    int order = 1, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t low = 0, high = fstat(fd, &st) == 0 ? (size_t)st.st_size / sizeof at : 0;
    while (order != 0 && low < high) {
        size_t middle = low + (high - low) / 2;
        if (pread(fd, &at, sizeof at, (off_t)(middle * sizeof at)) != sizeof at)
            break;
        order = memcmp(wanted, &at, sizeof at);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    close(fd);
    return order == 0;
}

struct naming {
    struct inst_app_backups *backups;
    const char *app;
    struct inst_uuid wanted;
    bool found;
};

static bool look_into(void *ctx, const char *name) {
    struct naming *naming = ctx;
    char path[PATH_MAX];
    naming->found = is_id(name) &&
                    inst_app_backups_path(naming->backups, path, NULL, "%s/%s/locations",
                                          naming->app, name) == INST_OK &&
                    has_location(path, &naming->wanted);
    return !naming->found;
}

bool inst_app_backups_name(struct inst_app_backups *backups, const char *app,
                           const char *location) {
    struct naming naming = {.backups = backups, .app = app};
    char path[PATH_MAX];
    if (inst_uuid_parse(location, strlen(location), &naming.wanted) &&
        inst_app_backups_path(backups, path, NULL, "%s", app) == INST_OK)
        each_entry(path, look_into, &naming);
    return naming.found;
}

enum inst_status inst_app_backups_read(struct inst_app_backups *backups, const char *app,
                                       const char *backup, const char *location, int *fd,
                                       uint64_t *size, struct inst_err *err) {
    char path[PATH_MAX];
    struct stat st;
    *fd = -1;
    if (!is_id(app) || !is_id(backup) || !is_id(location))
        return INST_OK;
    enum inst_status status =
        inst_app_backups_path(backups, path, err, "%s/%s/%s", app, backup, location);
    if (status != INST_OK)
        return status;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd >= 0 && fstat(*fd, &st) == 0)
        *size = (uint64_t)st.st_size;
    return INST_OK;
}

/* ---- the sweep ---- */

/* What does not say when its time is over is as old as its folder. */
static bool is_old(const struct inst_app_backups *backups, const char *app, const char *id) {
    const struct inst_env *env = inst_loop_env(backups->loop);
    char path[PATH_MAX];
    struct stat st;
    return inst_app_backups_path(backups, path, NULL, "%s/%s", app, id) == INST_OK &&
           stat(path, &st) == 0 &&
           (int64_t)st.st_mtime * 1000 + INST_BACKUPS_KEPT_MS <= env->now_ms(env->ctx);
}

static bool drop_if_over(void *ctx, const char *name) {
    struct walk *walk = ctx;
    struct inst_arena arena;
    struct inst_value info;
    bool found;
    if (!is_id(name))
        return true;
    inst_arena_init(&arena);
    enum inst_status status =
        read_info(walk->backups, walk->app, name, &arena, &info, &found, NULL);
    bool is_useless = status == INST_OK
                          ? !found || is_over(walk->backups, &info)
                          : status != INST_NOMEM && is_old(walk->backups, walk->app, name);
    if (is_useless)
        remove_backup(walk->backups, walk->app, name, &found, NULL);
    inst_arena_free(&arena);
    return true;
}

static bool sweep_app(void *ctx, const char *name) {
    struct walk *walk = ctx;
    struct inst_app_info info;
    struct inst_err err = {0};
    char path[PATH_MAX];
    walk->app = name;
    if (!is_id(name) || inst_app_backups_path(walk->backups, path, NULL, "%s", name) != INST_OK)
        return true;
    /* Of a removed app they stay as long as its data file. */
    if (inst_apps_ops.find(walk->apps, name, &info, &err) == INST_OK ||
        strcmp(err.type ? err.type : "", "record-not-found") != 0 ||
        inst_apps_is_removed(walk->apps, name))
        each_entry(path, drop_if_over, walk);
    else
        inst_data_remove(path, NULL);
    inst_err_clear(&err);
    return true;
}

void inst_app_backups_sweep(struct inst_app_backups *backups, struct inst_apps *apps) {
    struct walk walk = {.backups = backups, .apps = apps};
    each_entry(backups->root, sweep_app, &walk);
}
