#include "io/backup.h"

#include "io/snapshot.h"
#include "io/sqlite_app_db.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inst_backup {
    struct inst_backup_source source;
    char *to;
    char (*ids)[INST_UUID_TEXT + 1]; /* of the apps */
    size_t count, cap;
    size_t at;       /* the app that is next, or being copied */
    bool has_system; /* a folder: its system.db comes first */
    bool is_system_done;
    struct inst_app_db *held;
    struct inst_snapshot *snapshot;
    bool is_nomem;
};

static bool note_app(void *ctx, const struct inst_app_info *info) {
    struct inst_backup *backup = ctx;
    if (backup->count == backup->cap) {
        size_t cap = backup->cap ? backup->cap * 2 : 16;
        void *ids = realloc(backup->ids, cap * sizeof *backup->ids);
        if (!ids) {
            backup->is_nomem = true;
            return false;
        }
        backup->ids = ids;
        backup->cap = cap;
    }
    memcpy(backup->ids[backup->count++], info->id, INST_UUID_TEXT + 1);
    return true;
}

enum inst_status inst_backup_begin(const struct inst_backup_source *source, const char *to,
                                   struct inst_backup **out, struct inst_err *err) {
    struct inst_backup *backup = calloc(1, sizeof *backup);
    if (!backup) {
        return inst_err_nomem(err);
    }
    backup->source = *source;
    backup->to = strdup(to);
    backup->has_system = inst_apps_system(source->apps) != NULL;
    enum inst_status status = backup->to ? INST_OK : inst_err_nomem(err);
    if (status == INST_OK) {
        status = inst_apps_each(source->apps, note_app, backup, err);
    }
    if (status == INST_OK && backup->is_nomem) {
        status = inst_err_nomem(err);
    }
    if (status == INST_OK && backup->has_system) {
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%s/apps", to);
        status = inst_make_private_dir(folder, err);
    }
    if (status != INST_OK) {
        inst_backup_free(backup);
        return status;
    }
    *out = backup;
    return INST_OK;
}

static enum inst_status path_too_long(const char *path, struct inst_err *err) {
    return inst_err_set(err, "data-file", 500, "%s: the path is too long", path);
}

static enum inst_status begin_system(struct inst_backup *backup, struct inst_err *err) {
    char to[PATH_MAX];
    if (snprintf(to, sizeof to, "%s/system.db", backup->to) >= (int)sizeof to) {
        return path_too_long(backup->to, err);
    }
    return inst_snapshot_begin(inst_apps_system(backup->source.apps), "system.db", to,
                               &backup->snapshot, err);
}

static void let_go(struct inst_backup *backup) {
    inst_snapshot_free(backup->snapshot);
    backup->snapshot = NULL;
    if (backup->held) {
        backup->source.let_go(backup->source.ctx, backup->ids[backup->at], backup->held);
        backup->held = NULL;
    }
}

static enum inst_status begin_app(struct inst_backup *backup, struct inst_err *err) {
    char to[PATH_MAX];
    const char *id = backup->ids[backup->at];
    int n = backup->has_system ? snprintf(to, sizeof to, "%s/apps/%s.db", backup->to, id)
                               : snprintf(to, sizeof to, "%s", backup->to);
    if (n >= (int)sizeof to) {
        return path_too_long(backup->to, err);
    }
    enum inst_status status = backup->source.hold(backup->source.ctx, id, &backup->held, err);
    return status != INST_OK ? status
                             : inst_snapshot_begin(inst_sqlite_app_db_connection(backup->held), id,
                                                   to, &backup->snapshot, err);
}

enum inst_status inst_backup_step(struct inst_backup *backup, bool *is_done, struct inst_err *err) {
    bool is_system = backup->has_system && !backup->is_system_done, is_copied = false;
    *is_done = !is_system && backup->at == backup->count;
    if (*is_done) {
        return INST_OK;
    }
    if (!backup->snapshot) {
        return is_system ? begin_system(backup, err) : begin_app(backup, err);
    }
    enum inst_status status = inst_snapshot_step(backup->snapshot, &is_copied, err);
    if (status == INST_OK && is_copied) {
        let_go(backup);
        backup->at += !is_system;
        backup->is_system_done = true;
    }
    return status;
}

void inst_backup_show(const struct inst_backup *backup, struct inst_backup_progress *out) {
    bool is_system = backup->has_system && !backup->is_system_done;
    *out = (struct inst_backup_progress){
        .name = is_system                    ? "system.db"
                : backup->at < backup->count ? backup->ids[backup->at]
                                             : "",
        .file = backup->at + backup->is_system_done + 1,
        .files = backup->count + backup->has_system,
    };
    if (out->file > out->files) {
        out->file = out->files;
    }
    if (backup->snapshot) {
        inst_snapshot_progress(backup->snapshot, &out->pages, &out->page_count);
    }
}

void inst_backup_free(struct inst_backup *backup) {
    if (!backup) {
        return;
    }
    let_go(backup);
    free(backup->ids);
    free(backup->to);
    free(backup);
}

/* ---- without a server ---- */

static enum inst_status open_app(void *ctx, const char *app_id, struct inst_app_db **out,
                                 struct inst_err *err) {
    return inst_apps_ops.open(ctx, app_id, out, err);
}

static void close_app(void *ctx, const char *app_id, struct inst_app_db *db) {
    (void)ctx;
    (void)app_id;
    db->db_ops->close(db);
}

struct inst_backup_source inst_backup_offline(struct inst_apps *apps) {
    return (struct inst_backup_source){
        .apps = apps, .hold = open_app, .let_go = close_app, .ctx = apps};
}
