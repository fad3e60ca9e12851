#include "io/app_backups_internal.h"

#include "base/json.h"
#include "io/data_folder.h"
#include "io/file_store.h"
#include "io/snapshot.h"
#include "io/sqlite_app_db.h"
#include "server/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

/* Bytes of lines that are written in one go, and the pause behind it. */
#define PIECE (256u << 10)
#define PAUSE_MS 1

struct object {
    char *name; /* owned */
    char location[INST_UUID_TEXT + 1];
    uint64_t size;
};

/* The worker's part: lives on when its job is given up. */
struct seal {
    uv_work_t work;                  /* first: the request is the seal */
    struct inst_app_backup_job *job; /* NULL: given up */
    char part[PATH_MAX], to[PATH_MAX];
    struct inst_buf info;
    enum inst_status status;
    struct inst_err err;
};

struct inst_app_backup_job {
    struct inst_app_backup_job *next;
    struct inst_app_backups *backups;
    struct inst_backup_job what;
    char title[256];
    char part[PATH_MAX];
    struct inst_timer *timer;
    /* copying */
    struct inst_app_db *held;
    struct inst_snapshot *snapshot;
    /* writing */
    struct inst_apps *apps; /* of the copy alone */
    struct inst_server *server;
    struct inst_export *exported;
    size_t shard;           /* that is being written; SIZE_MAX: not yet */
    struct object *objects; /* config.json, then the shards */
    size_t object_count;
    int fd;                    /* of the shard; -1: none */
    bool is_files;             /* the shard is that of `$files` */
    struct inst_buf locations; /* 16 bytes each */
    uint64_t files_size;
    int64_t isn;
    uint64_t pages;
    /* sealing */
    struct seal *seal;
};

const struct inst_backup_job *inst_app_backup_what(const struct inst_app_backup_job *job) {
    return &job->what;
}

struct inst_app_backup_job *inst_app_backup_next(struct inst_app_backup_job *job) {
    return job->next;
}

static int64_t now_ms(const struct inst_app_backup_job *job) {
    const struct inst_env *env = inst_loop_env(job->backups->loop);
    return env->now_ms(env->ctx);
}

static enum inst_status disk_error(struct inst_err *err, const char *path) {
    return inst_err_set(err, "data-file", 500, "%s: cannot be written (%s)", path, strerror(errno));
}

/* ---- ending ---- */

static void let_go_of_app(struct inst_app_backup_job *job) {
    inst_snapshot_free(job->snapshot);
    job->snapshot = NULL;
    if (job->held)
        inst_server_release_app(job->backups->server, job->what.app);
    job->held = NULL;
}

static void close_copy(struct inst_app_backup_job *job) {
    inst_export_free(job->exported);
    inst_server_free(job->server);
    inst_apps_close(job->apps);
    job->exported = NULL;
    job->server = NULL;
    job->apps = NULL;
}

/* Everything but what is said of it. */
static void end(struct inst_app_backup_job *job, enum inst_backup_state state) {
    let_go_of_app(job);
    close_copy(job);
    if (job->fd >= 0)
        close(job->fd);
    job->fd = -1;
    for (size_t i = 0; i < job->object_count; i++)
        free(job->objects[i].name);
    free(job->objects);
    job->objects = NULL;
    job->object_count = 0;
    inst_buf_free(&job->locations);
    inst_timer_free(job->timer);
    job->timer = NULL;
    if (job->seal)
        job->seal->job = NULL; /* its worker deletes what it may still make */
    else if (state != INST_BACKUP_COMPLETED)
        inst_data_remove(job->part, NULL);
    job->seal = NULL;
    job->what.state = state;
    job->what.updated_ms = job->what.done_ms = now_ms(job);
}

static void fail(struct inst_app_backup_job *job, const struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(job->backups->loop);
    char line[512];
    snprintf(line, sizeof line, "backup %s of app %s failed: %s", job->what.id, job->what.app,
             err->message ? err->message : "out of memory");
    env->log(env->ctx, INST_LOG_ERROR, line);
    end(job, INST_BACKUP_ERRORED);
}

void inst_app_backup_cancel(struct inst_app_backup_job *job) {
    if (job->what.state == INST_BACKUP_PROCESSING)
        end(job, INST_BACKUP_CANCELLED);
}

void inst_app_backup_free(struct inst_app_backup_job *job) {
    struct inst_app_backup_job **at = &job->backups->jobs;
    inst_app_backup_cancel(job);
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at) {
        *at = job->next;
        job->backups->job_count--;
    }
    free(job);
}

/* ---- the copy and its engine ---- */

static void no_message(void *ctx, void *connection, struct inst_shared *message) {
    (void)ctx, (void)connection, (void)message;
}

static void no_close(void *ctx, void *connection) { (void)ctx, (void)connection; }

static enum inst_status open_copy(struct inst_app_backup_job *job, struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(job->backups->loop);
    struct inst_sqlite_options existing = {.is_existing = true};
    struct inst_app_db *db;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/copy.db", (int)sizeof path - 16, job->part);
    enum inst_status status = inst_sqlite_app_db_open(path, &existing, &db, err);
    if (status != INST_OK)
        return status;
    job->isn = db->db_ops->last_tx_id(db);
    /* A folder has its apps' titles elsewhere. */
    status = inst_sqlite_app_db_set_meta(db, "title", job->title, strlen(job->title), err);
    db->db_ops->close(db);
    if (status == INST_OK)
        status = inst_apps_open_file(path, &existing, env, &job->apps, err);
    if (status == INST_OK) {
        struct inst_server_host host = {
            .send = no_message, .close = no_close, .apps = &inst_apps_ops, .apps_ctx = job->apps};
        status = inst_server_new(env, &host, &job->server, err);
    }
    if (status == INST_OK)
        status = inst_export_begin(job->server, job->what.app, &job->exported, err);
    return status;
}

/* ---- objects ---- */

static enum inst_status add_object(struct inst_app_backup_job *job, const char *name, size_t len,
                                   struct inst_err *err) {
    const struct inst_env *env = inst_loop_env(job->backups->loop);
    struct object object = {.name = malloc(len + 1)};
    if (!object.name)
        return inst_err_nomem(err);
    memcpy(object.name, name, len);
    object.name[len] = '\0';
    inst_uuid_make_text(env, object.location);
    job->objects[job->object_count++] = object;
    return INST_OK;
}

static void object_path(const struct inst_app_backup_job *job, char out[PATH_MAX]) {
    snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - INST_UUID_TEXT - 2, job->part,
             job->objects[job->object_count - 1].location);
}

static enum inst_status write_config(struct inst_app_backup_job *job, struct inst_err *err) {
    static const char name[] = "config.json";
    struct inst_buf text;
    char path[PATH_MAX];
    size_t shards = inst_export_etypes(job->exported);
    for (size_t i = 0; i < shards; i++)
        job->what.work_estimate += inst_export_entities(job->exported, i);
    job->objects = calloc(shards + 1, sizeof *job->objects);
    if (!job->objects)
        return inst_err_nomem(err);
    inst_buf_init(&text);
    enum inst_status status = inst_export_config(job->exported, &text, err);
    if (status == INST_OK)
        status = add_object(job, name, sizeof name - 1, err);
    if (status == INST_OK) {
        object_path(job, path);
        job->objects[0].size = text.len;
        status = inst_data_write(path, text.data, text.len, err);
    }
    inst_buf_free(&text);
    return status;
}

static enum inst_status begin_shard(struct inst_app_backup_job *job, struct inst_err *err) {
    const struct inst_value *etype = inst_export_etype(job->exported, job->shard);
    struct inst_buf name;
    char path[PATH_MAX];
    inst_buf_init(&name);
    inst_buf_add_str(&name, "entities/");
    inst_buf_add(&name, etype->u.str, etype->len);
    inst_buf_add_str(&name, ".jsonl");
    enum inst_status status =
        name.failed ? inst_err_nomem(err) : add_object(job, name.data, name.len, err);
    inst_buf_free(&name);
    if (status != INST_OK)
        return status;
    job->is_files = inst_is_string(etype, "$files");
    object_path(job, path);
    job->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return job->fd < 0 ? disk_error(err, path) : inst_export_shard(job->exported, job->shard, err);
}

/* What the lines of `$files` say of contents. */
static enum inst_status note_contents(struct inst_app_backup_job *job, const struct inst_buf *lines,
                                      struct inst_err *err) {
    struct inst_arena arena;
    enum inst_status status = INST_OK;
    inst_arena_init(&arena);
    for (size_t at = 0; status == INST_OK && at < lines->len;) {
        const char *line = lines->data + at, *end = memchr(line, '\n', lines->len - at);
        size_t len = end ? (size_t)(end - line) : lines->len - at;
        struct inst_value row;
        struct inst_uuid uuid;
        inst_arena_reset(&arena);
        status = inst_json_parse(&arena, line, len, &row, err);
        const struct inst_value *entity = status == INST_OK ? inst_getz(&row, "entity") : NULL;
        const struct inst_value *location = entity ? inst_get_string(entity, "location-id") : NULL;
        const struct inst_value *size = entity ? inst_getz(entity, "size") : NULL;
        if (location && inst_uuid_parse(location->u.str, location->len, &uuid)) {
            inst_buf_add(&job->locations, (const char *)&uuid, sizeof uuid);
            job->files_size += size && size->tag == INST_NUMBER ? (uint64_t)size->u.num : 0;
        }
        at += len + 1;
    }
    inst_arena_free(&arena);
    return status == INST_OK && job->locations.failed ? inst_err_nomem(err) : status;
}

static enum inst_status write_all(int fd, const char *bytes, size_t len, struct inst_err *err) {
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR)
            return disk_error(err, "a backup");
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return INST_OK;
}

static size_t line_count(const struct inst_buf *lines) {
    size_t count = 0;
    for (size_t i = 0; i < lines->len; i++)
        count += lines->data[i] == '\n';
    return count;
}

static enum inst_status write_piece(struct inst_app_backup_job *job, struct inst_err *err) {
    struct inst_buf lines;
    bool more;
    inst_buf_init(&lines);
    enum inst_status status = inst_export_lines(job->exported, PIECE, &lines, &more, err);
    if (status == INST_OK)
        status = write_all(job->fd, lines.data, lines.len, err);
    if (status == INST_OK && job->is_files)
        status = note_contents(job, &lines, err);
    job->objects[job->object_count - 1].size += lines.len;
    job->what.work_completed += line_count(&lines);
    inst_buf_free(&lines);
    if (status == INST_OK && !more) {
        close(job->fd);
        job->fd = -1;
        job->shard++;
    }
    return status;
}

/* ---- its name ---- */

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, sizeof(struct inst_uuid)); }

static void write_info(const struct inst_app_backup_job *job, struct inst_buf *out) {
    const struct inst_backup_job *what = &job->what;
    uint64_t uncompressed = 0;
    struct stat st;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/copy.db", (int)sizeof path - 16, job->part);
    for (size_t i = 0; i < job->object_count; i++)
        uncompressed += job->objects[i].size;
    inst_buf_addf(out, "{\"id\":\"%s\",\"isn\":%lld,\"at\":%lld,\"expires\":%lld", what->id,
                  (long long)job->isn, (long long)what->created_ms,
                  (long long)(what->created_ms + INST_BACKUPS_KEPT_MS));
    inst_buf_addf(out, ",\"filesSize\":%llu,\"dbSize\":%llu,\"uncompressedSize\":%llu",
                  (unsigned long long)job->files_size,
                  (unsigned long long)(stat(path, &st) == 0 ? st.st_size : 0),
                  (unsigned long long)uncompressed);
    inst_buf_add_str(out, ",\"description\":");
    inst_json_write_string(out, what->description, strlen(what->description));
    inst_buf_add_str(out, ",\"objects\":[");
    for (size_t i = 0; i < job->object_count; i++) {
        const struct object *object = &job->objects[i];
        inst_buf_add_str(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        inst_json_write_string(out, object->name, strlen(object->name));
        inst_buf_addf(out, ",\"location\":\"%s\",\"size\":%llu}", object->location,
                      (unsigned long long)object->size);
    }
    inst_buf_add_str(out, "]}\n");
}

static void do_seal(uv_work_t *work) {
    struct seal *seal = (struct seal *)work;
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/copy.db", seal->part);
    seal->status = inst_data_remove(path, &seal->err);
    snprintf(path, sizeof path, "%s/copy.db-wal", seal->part);
    if (seal->status == INST_OK)
        seal->status = inst_data_remove(path, &seal->err);
    snprintf(path, sizeof path, "%s/backup.json", seal->part);
    if (seal->status == INST_OK)
        seal->status = inst_data_write(path, seal->info.data, seal->info.len, &seal->err);
    if (seal->status == INST_OK)
        seal->status = inst_data_seal(seal->part, seal->to, NULL, &seal->err);
}

static void sealed(uv_work_t *work, int cancelled) {
    struct seal *seal = (struct seal *)work;
    struct inst_app_backup_job *job = seal->job;
    if (job)
        job->seal = NULL;
    if (job && (cancelled || seal->status != INST_OK))
        fail(job, &seal->err);
    else if (job)
        end(job, INST_BACKUP_COMPLETED);
    if (!job) {
        inst_data_remove(seal->part, NULL);
        inst_data_remove(seal->to, NULL);
    }
    inst_buf_free(&seal->info);
    inst_err_clear(&seal->err);
    free(seal);
}

static enum inst_status begin_seal(struct inst_app_backup_job *job, struct inst_err *err) {
    char path[PATH_MAX];
    size_t count = job->locations.len / sizeof(struct inst_uuid);
    if (count > 0)
        qsort(job->locations.data, count, sizeof(struct inst_uuid), by_bytes);
    snprintf(path, sizeof path, "%.*s/locations", (int)sizeof path - 16, job->part);
    enum inst_status status = inst_data_write(path, job->locations.data, job->locations.len, err);
    struct seal *seal = status == INST_OK ? calloc(1, sizeof *seal) : NULL;
    if (!seal)
        return status == INST_OK ? inst_err_nomem(err) : status;
    inst_buf_init(&seal->info);
    write_info(job, &seal->info);
    close_copy(job);
    memcpy(seal->part, job->part, sizeof seal->part);
    status =
        inst_app_backups_path(job->backups, seal->to, err, "%s/%s", job->what.app, job->what.id);
    if (status == INST_OK && seal->info.failed)
        status = inst_err_nomem(err);
    if (status == INST_OK &&
        uv_queue_work(inst_loop_uv(job->backups->loop), &seal->work, do_seal, sealed) != 0)
        status = inst_err_set(err, "io-error", 500, "No thread names the backup.");
    if (status != INST_OK) {
        inst_buf_free(&seal->info);
        free(seal);
        return status;
    }
    seal->job = job;
    job->seal = seal;
    return INST_OK;
}

/* ---- piece by piece ---- */

static enum inst_status copy_piece(struct inst_app_backup_job *job, struct inst_err *err) {
    bool is_done;
    size_t done, total;
    enum inst_status status = inst_snapshot_step(job->snapshot, &is_done, err);
    inst_snapshot_progress(job->snapshot, &done, &total);
    if (total > 0)
        job->pages = total;
    job->what.work_completed = is_done ? job->pages : done;
    job->what.work_estimate = job->pages;
    if (status != INST_OK || !is_done)
        return status;
    let_go_of_app(job);
    if ((status = open_copy(job, err)) == INST_OK)
        status = write_config(job, err);
    return status;
}

static void step(void *ctx) {
    struct inst_app_backup_job *job = ctx;
    struct inst_err err = {0};
    enum inst_status status;
    if (job->snapshot)
        status = copy_piece(job, &err);
    else if (job->fd >= 0)
        status = write_piece(job, &err);
    else if (job->shard < inst_export_etypes(job->exported))
        status = begin_shard(job, &err);
    else
        status = begin_seal(job, &err);
    job->what.updated_ms = now_ms(job);
    if (status != INST_OK)
        fail(job, &err);
    else if (!job->seal)
        inst_timer_start(job->timer, PAUSE_MS, 0);
    inst_err_clear(&err);
}

static enum inst_status begin_copy(struct inst_app_backup_job *job, struct inst_err *err) {
    char path[PATH_MAX];
    enum inst_status status = inst_app_backups_path(job->backups, job->part, err, "%s/%s.part",
                                                    job->what.app, job->what.id);
    if (status == INST_OK && strlen(job->part) > PATH_MAX - 2 * INST_UUID_TEXT)
        status = inst_err_set(err, "data-file", 500, "%s: the path is too long", job->part);
    if (status == INST_OK)
        status = inst_data_make_folder(job->part, err);
    if (status == INST_OK)
        status = inst_server_hold_app(job->backups->server, job->what.app, &job->held, err);
    if (status != INST_OK)
        return status;
    snprintf(path, sizeof path, "%.*s/copy.db", (int)sizeof path - 16, job->part);
    return inst_snapshot_begin(inst_sqlite_app_db_connection(job->held), job->what.app, path,
                               &job->snapshot, err);
}

enum inst_status inst_app_backup_begin(struct inst_app_backups *backups,
                                       const struct inst_backup_job *what, const char *title,
                                       struct inst_err *err) {
    struct inst_app_backup_job *job = calloc(1, sizeof *job);
    if (!job)
        return inst_err_nomem(err);
    job->backups = backups;
    job->what = *what;
    job->fd = -1;
    inst_buf_init(&job->locations);
    snprintf(job->title, sizeof job->title, "%s", title);
    enum inst_status status = inst_timer_new(backups->loop, step, job, &job->timer, err);
    if (status == INST_OK)
        status = begin_copy(job, err);
    if (status != INST_OK) {
        end(job, INST_BACKUP_ERRORED);
        free(job);
        return status;
    }
    struct inst_app_backup_job **last = &backups->jobs;
    while (*last)
        last = &(*last)->next;
    *last = job;
    backups->job_count++;
    inst_timer_start(job->timer, PAUSE_MS, 0);
    return INST_OK;
}
