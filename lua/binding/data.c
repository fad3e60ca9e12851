/*
 * data.c - what lua/instant/data.lua is made of: data folders checked, copied and put in place, in
 * pieces.
 *
 *     core.data_task(kind, path [, to])   "databases", "contents", "file", "check"
 *     task:step() -> is done, progress table | nil, error
 *     task:close()
 */
#include "context.h"

#include "io/backup.h"
#include "io/content_copy.h"
#include "io/data_check.h"
#include "io/data_folder.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TASK "instant.data_task"

enum kind { DATABASES, CONTENTS, ONE_FILE, CHECK };

struct task {
    enum kind kind;
    struct inst_apps *apps; /* of databases */
    struct inst_backup *backup;
    struct inst_content_copy *contents;
    struct inst_file_copy *file;
    struct inst_data_check *check;
};

static void close_task(struct task *task) {
    inst_backup_free(task->backup);
    inst_content_copy_free(task->contents);
    inst_file_copy_free(task->file);
    inst_data_check_free(task->check);
    inst_apps_close(task->apps);
    *task = (struct task){.kind = task->kind};
}

static int task_close(lua_State *L) {
    close_task(luaL_checkudata(L, 1, TASK));
    return 0;
}

static enum inst_status open_databases(struct task *task, const struct inst_env *env,
                                       const char *path, const char *to, struct inst_err *err) {
    struct inst_sqlite_options options = {.is_existing = true};
    struct stat st;
    bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    enum inst_status status = is_folder
                                  ? inst_apps_open_dir(path, &options, env, &task->apps, err)
                                  : inst_apps_open_file(path, &options, env, &task->apps, err);
    if (status != INST_OK)
        return status;
    struct inst_backup_source source = inst_backup_offline(task->apps);
    return inst_backup_begin(&source, to, &task->backup, err);
}

static int core_data_task(lua_State *L) {
    static const char *const kinds[] = {"databases", "contents", "file", "check", NULL};
    struct inst_lua *lua = inst_lua_get(L);
    enum kind kind = (enum kind)luaL_checkoption(L, 1, NULL, kinds);
    const char *path = luaL_checkstring(L, 2);
    const char *to = kind == CHECK ? NULL : luaL_checkstring(L, 3);
    struct inst_err err = {0};
    enum inst_status status;
    struct task *task = inst_newuserdata(L, sizeof *task);
    *task = (struct task){.kind = kind};
    luaL_getmetatable(L, TASK);
    lua_setmetatable(L, -2);
    switch (kind) {
    case DATABASES:
        status = open_databases(task, inst_loop_env(lua->loop), path, to, &err);
        break;
    case CONTENTS:
        status = inst_content_copy_begin(path, to, &task->contents, &err);
        break;
    case ONE_FILE:
        status = inst_file_copy_begin(path, to, &task->file, &err);
        break;
    default:
        status = inst_data_check_begin(path, inst_loop_env(lua->loop), &task->check, &err);
    }
    if (status == INST_OK)
        return 1;
    close_task(task);
    return inst_lua_fail(L, &err);
}

/* ---- a step ---- */

static void set_number(lua_State *L, const char *key, double n) {
    lua_pushnumber(L, (lua_Number)n);
    lua_setfield(L, -2, key);
}

static void set_text(lua_State *L, const char *key, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static void push_progress(lua_State *L, const struct task *task) {
    lua_createtable(L, 0, 6);
    if (task->backup) {
        struct inst_backup_progress shown;
        inst_backup_show(task->backup, &shown);
        set_number(L, "file", (double)shown.file);
        set_number(L, "files", (double)shown.files);
        set_number(L, "pages", (double)shown.pages);
        set_number(L, "of", (double)shown.page_count);
    } else if (task->contents) {
        struct inst_content_progress shown;
        inst_content_copy_show(task->contents, &shown);
        set_number(L, "contents", (double)shown.files);
        set_number(L, "bytes", (double)shown.bytes);
        set_number(L, "damaged", (double)shown.damaged);
        set_text(L, "firstDamaged", shown.first_damaged);
    } else if (task->file) {
        uint64_t done, total;
        inst_file_copy_show(task->file, &done, &total);
        set_number(L, "bytes", (double)done);
        set_number(L, "of", (double)total);
    } else if (task->check) {
        struct inst_data_check_progress shown;
        inst_data_check_show(task->check, &shown);
        set_text(L, "name", shown.name);
        set_number(L, "file", (double)shown.file);
        set_number(L, "files", (double)shown.files);
        set_number(L, "contents", (double)shown.contents);
        set_number(L, "problems", (double)shown.problems);
        set_text(L, "text", shown.text);
    }
}

static enum inst_status step(struct task *task, bool *is_done, struct inst_err *err) {
    if (task->backup)
        return inst_backup_step(task->backup, is_done, err);
    if (task->contents)
        return inst_content_copy_step(task->contents, is_done, err);
    if (task->file)
        return inst_file_copy_step(task->file, is_done, err);
    if (task->check)
        return inst_data_check_step(task->check, is_done, err);
    return inst_err_set(err, "data-file", 500, "this was closed");
}

static int task_step(lua_State *L) {
    struct task *task = luaL_checkudata(L, 1, TASK);
    struct inst_err err = {0};
    bool is_done = false;
    if (step(task, &is_done, &err) != INST_OK) {
        close_task(task);
        return inst_lua_fail(L, &err);
    }
    lua_pushboolean(L, is_done);
    push_progress(L, task);
    return 2;
}

/* ---- files and folders ---- */

static int answer(lua_State *L, enum inst_status status, struct inst_err *err) {
    if (status != INST_OK)
        return inst_lua_fail(L, err);
    lua_pushboolean(L, 1);
    return 1;
}

static int core_data_make_folder(lua_State *L) {
    struct inst_err err = {0};
    return answer(L, inst_data_make_folder(luaL_checkstring(L, 1), &err), &err);
}

static int core_data_write(lua_State *L) {
    struct inst_err err = {0};
    size_t len;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &len);
    return answer(L, inst_data_write(path, text, len, &err), &err);
}

static int core_data_seal(lua_State *L) {
    struct inst_err err = {0};
    const char *part = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
    return answer(L, inst_data_seal(part, to, luaL_optstring(L, 3, NULL), &err), &err);
}

static int core_data_remove(lua_State *L) {
    struct inst_err err = {0};
    return answer(L, inst_data_remove(luaL_checkstring(L, 1), &err), &err);
}

/* (path) -> "folder", "file", "other" or nil */
static int core_data_kind(lua_State *L) {
    struct stat st;
    if (lstat(luaL_checkstring(L, 1), &st) != 0 ||
        (S_ISLNK(st.st_mode) && stat(lua_tostring(L, 1), &st) != 0)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushstring(L, S_ISDIR(st.st_mode) ? "folder" : S_ISREG(st.st_mode) ? "file" : "other");
    return 1;
}

/* (path) -> names of what is in the folder */
static int core_data_list(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    lua_createtable(L, 16, 0);
    DIR *folder = opendir(path);
    struct dirent *entry;
    /* Names are short: no push of this size can fail but for want of memory, which ends the state.
     */
    for (int n = 0; folder && (entry = readdir(folder));) {
        lua_pushstring(L, entry->d_name);
        lua_rawseti(L, -2, ++n);
    }
    if (folder)
        closedir(folder);
    return 1;
}

/* (path) -> the full path of it, which need not be there */
static int core_data_full_path(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    char here[4096];
    if (path[0] == '/' || !getcwd(here, sizeof here))
        lua_pushstring(L, path);
    else
        lua_pushfstring(L, "%s/%s", here, path);
    return 1;
}

void inst_lua_open_data(lua_State *L) {
    static const luaL_Reg methods[] = {{"step", task_step}, {"close", task_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"data_task", core_data_task},
        {"data_make_folder", core_data_make_folder},
        {"data_write", core_data_write},
        {"data_seal", core_data_seal},
        {"data_remove", core_data_remove},
        {"data_kind", core_data_kind},
        {"data_full_path", core_data_full_path},
        {"data_list", core_data_list},
        {NULL, NULL},
    };
    luaL_newmetatable(L, TASK);
    lua_pushcfunction(L, task_close);
    lua_setfield(L, -2, "__gc");
    lua_createtable(L, 0, 2);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
