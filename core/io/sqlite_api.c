#include "io/sqlite_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

/* Debian's name of the library's binary interface, which has not changed since 2004. */
#define LIBRARY "libsqlite3.so.0"

const sqlite3_api_routines *inst_sqlite_api;

static pthread_once_t once = PTHREAD_ONCE_INIT;

typedef void entry_fn(void);

/* SQLite calls it for a new connection, as it calls any extension. */
static int take_api(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
    (void)db;
    (void)message;
    inst_sqlite_api = api;
    return SQLITE_OK;
}

/* The table has no name of its own; an extension is given it. */
static void load(void) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        return;
    }
    int (*add)(entry_fn *) = (int (*)(entry_fn *))dlsym(library, "sqlite3_auto_extension");
    int (*cancel)(entry_fn *) =
        (int (*)(entry_fn *))dlsym(library, "sqlite3_cancel_auto_extension");
    int (*open)(const char *, sqlite3 **) =
        (int (*)(const char *, sqlite3 **))dlsym(library, "sqlite3_open");
    int (*close)(sqlite3 *) = (int (*)(sqlite3 *))dlsym(library, "sqlite3_close");
    entry_fn *entry = (entry_fn *)take_api;
    if (!add || !cancel || !open || !close || add(entry) != SQLITE_OK) {
        return;
    }
    sqlite3 *db = NULL;
    open(":memory:", &db);
    close(db);
    cancel(entry);
}

enum inst_status inst_sqlite_load(struct inst_err *err) {
    pthread_once(&once, load);
    if (inst_sqlite_api) {
        return INST_OK;
    }
    return inst_err_set(err, "data-file", 500,
                        "SQLite cannot be loaded: %s is missing or has no extensions; install it "
                        "(on Debian: apt-get install libsqlite3-0)",
                        LIBRARY);
}
