#include "io/file_sweep.h"

#include "io/file_store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folders of one app, in this order: gone, gone-remote, at/00 ... at/ff, remote/00 ...
 * remote/ff, content/00 ... content/ff. */
#define FOLDERS (2 + 3 * 256)
#define FIRST_REMOTE (2 + 256)
#define FIRST_CONTENT (2 + 2 * 256)

struct inst_file_sweep {
    struct inst_file_store *store;
    struct inst_file_sweep_config config;
    DIR *apps;
    char app[INST_UUID_TEXT + 1]; /* "" before the first */
    int folder;                   /* of the app, 0 .. FOLDERS */
    DIR *entries;                 /* of the folder; NULL: none is open */
};

static int64_t now_ms(const struct inst_file_sweep *sweep) {
    return sweep->store->env->now_ms(sweep->store->env->ctx);
}

static int64_t age_ms(const struct inst_file_sweep *sweep, const struct timespec *since) {
    return now_ms(sweep) - ((int64_t)since->tv_sec * 1000 + since->tv_nsec / 1000000);
}

/* ---- one entry ---- */

static bool is_remote(const struct inst_file_sweep *sweep) {
    return sweep->folder == 1 || (sweep->folder >= FIRST_REMOTE && sweep->folder < FIRST_CONTENT);
}

static bool path_at(const struct inst_file_sweep *sweep, const char *name, char out[PATH_MAX]) {
    return inst_file_path(sweep->store, out, NULL, "%s/%s/%.2s/%s", sweep->app,
                          is_remote(sweep) ? "remote" : "at", name, name) == INST_OK;
}

static bool path_gone(const struct inst_file_sweep *sweep, const char *name, char out[PATH_MAX]) {
    return inst_file_path(sweep->store, out, NULL, "%s/%s/%s", sweep->app,
                          is_remote(sweep) ? "gone-remote" : "gone", name) == INST_OK;
}

static void judge_location(struct inst_file_sweep *sweep, const char *name, const char *path,
                           const struct stat *st) {
    char gone[PATH_MAX];
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    int64_t now = now_ms(sweep);
    if (age_ms(sweep, &st->st_ctim) < INST_FILE_YOUNG_MS ||
        sweep->config.is_named(sweep->config.ctx, sweep->app, name) != 0 ||
        !path_gone(sweep, name, gone) || inst_file_make_parents(gone, NULL) != INST_OK)
        return;
    times[1] = (struct timespec){.tv_sec = (time_t)(now / 1000)};
    if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0)
        (void)!rename(path, gone);
}

static void judge_gone(struct inst_file_sweep *sweep, const char *name, const char *path,
                       const struct stat *st) {
    char at[PATH_MAX];
    if (age_ms(sweep, &st->st_mtim) < INST_FILE_GONE_MS)
        return;
    int is_named = sweep->config.is_named(sweep->config.ctx, sweep->app, name);
    if (is_named == 0 && is_remote(sweep))
        sweep->config.remove(sweep->config.ctx, sweep->app, name, path);
    else if (is_named == 0)
        unlink(path);
    else if (is_named == 1 && path_at(sweep, name, at) &&
             inst_file_make_parents(at, NULL) == INST_OK)
        (void)!rename(path, at);
}

/* A content with one name is nobody's: its location went. One that an upload takes up in this very
 * moment stays at its location; only what comes later no longer shares it. */
static void judge_content(struct inst_file_sweep *sweep, const char *path, const struct stat *st) {
    if (st->st_nlink == 1 && age_ms(sweep, &st->st_ctim) >= INST_FILE_YOUNG_MS)
        unlink(path);
}

static enum inst_status folder_path(const struct inst_file_sweep *sweep, char out[PATH_MAX]) {
    static const char *const kinds[] = {"at", "remote", "content"};
    unsigned shard = (unsigned)sweep->folder - 2;
    if (sweep->folder < 2)
        return inst_file_path(sweep->store, out, NULL, "%s/%s", sweep->app,
                              sweep->folder == 0 ? "gone" : "gone-remote");
    return inst_file_path(sweep->store, out, NULL, "%s/%s/%02x", sweep->app, kinds[shard / 256],
                          shard % 256);
}

static void judge(struct inst_file_sweep *sweep, const char *name) {
    char folder[PATH_MAX], path[PATH_MAX];
    struct stat st;
    if (folder_path(sweep, folder) != INST_OK ||
        snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path ||
        lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    char id[INST_UUID_TEXT + 1];
    bool is_id = inst_file_name(name, id) && strcmp(id, name) == 0;
    if (sweep->folder >= FIRST_CONTENT)
        judge_content(sweep, path, &st);
    else if (is_id && sweep->folder > 1)
        judge_location(sweep, name, path, &st);
    else if (is_id && (!is_remote(sweep) || sweep->config.remove))
        judge_gone(sweep, name, path, &st);
}

/* ---- one after the other ---- */

/* Goes on to the next app; false: there is none. */
static bool next_app(struct inst_file_sweep *sweep) {
    struct dirent *entry;
    char name[INST_UUID_TEXT + 1];
    while ((entry = readdir(sweep->apps))) {
        if (!inst_file_name(entry->d_name, name) || strcmp(name, entry->d_name) != 0)
            continue;
        memcpy(sweep->app, name, sizeof name);
        sweep->folder = 0;
        return true;
    }
    return false;
}

/* Opens the next folder that is there; false: all were seen. */
static bool next_folder(struct inst_file_sweep *sweep) {
    char path[PATH_MAX];
    for (;;) {
        if (sweep->app[0])
            sweep->folder++;
        if ((!sweep->app[0] || sweep->folder >= FOLDERS) && !next_app(sweep))
            return false;
        if (folder_path(sweep, path) == INST_OK && (sweep->entries = opendir(path)))
            return true;
    }
}

bool inst_file_sweep_step(struct inst_file_sweep *sweep) {
    if (!sweep->apps)
        return false;
    for (int i = 0; i < INST_FILE_SWEEP_SLICE; i++) {
        struct dirent *entry = sweep->entries ? readdir(sweep->entries) : NULL;
        if (entry) {
            judge(sweep, entry->d_name);
            continue;
        }
        if (sweep->entries)
            closedir(sweep->entries);
        sweep->entries = NULL;
        if (!next_folder(sweep))
            return false;
    }
    return true;
}

enum inst_status inst_file_sweep_new(struct inst_file_store *store,
                                     const struct inst_file_sweep_config *config,
                                     struct inst_file_sweep **out, struct inst_err *err) {
    struct inst_file_sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep)
        return inst_err_nomem(err);
    sweep->store = store;
    sweep->config = *config;
    if (store->root)
        sweep->apps = opendir(store->root);
    *out = sweep;
    return INST_OK;
}

void inst_file_sweep_free(struct inst_file_sweep *sweep) {
    if (!sweep)
        return;
    if (sweep->entries)
        closedir(sweep->entries);
    if (sweep->apps)
        closedir(sweep->apps);
    free(sweep);
}
