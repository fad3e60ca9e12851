/*
 * The desktop's secret service (GNOME Keyring, KWallet, KeePassXC), through libsecret.
 *
 * The library is loaded when the first keychain is opened, never before and never unloaded: GLib
 * cannot be. Its calls wait for D-Bus, and for the user when the keychain is locked, so each runs
 * on a thread of its own that is told to give up after INST_VAULT_PROMPT_MS.
 *
 * A locked keychain looks empty to libsecret's lookup functions once its user closes the prompt.
 * Hence search, which gives the item and whether it is locked: nobody is signed out by a prompt.
 */
#include "io/vault_internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define LIBRARY "libsecret-1.so.0"

/* ---- libsecret's and GLib's interface, as far as it is used ---- */

struct glib_error {
    uint32_t domain;
    int code;
    char *message;
};

struct glib_list {
    void *data;
    struct glib_list *next, *prev;
};

/* SecretSchema */
struct schema {
    const char *name;
    int flags;
    struct {
        const char *name;
        int type; /* 0: string */
    } attributes[32];
    int reserved;
    void *reserved_pointers[7];
};

enum { SEARCH_UNLOCK = 1 << 2, SEARCH_LOAD_SECRETS = 1 << 3 };
enum { SERVICE_OPEN_SESSION = 1 << 1 };

struct library {
    void *(*secret_service_get_sync)(int flags, void *cancellable, struct glib_error **error);
    void (*secret_service_disconnect)(void);
    struct glib_list *(*secret_service_search_sync)(void *service, const struct schema *schema,
                                                    void *attributes, int flags, void *cancellable,
                                                    struct glib_error **error);
    int (*secret_service_store_sync)(void *service, const struct schema *schema, void *attributes,
                                     const char *collection, const char *label, void *value,
                                     void *cancellable, struct glib_error **error);
    int (*secret_service_clear_sync)(void *service, const struct schema *schema, void *attributes,
                                     void *cancellable, struct glib_error **error);
    int (*secret_item_get_locked)(void *item);
    void *(*secret_item_get_secret)(void *item);
    void *(*secret_value_new)(const char *secret, ssize_t length, const char *content_type);
    const char *(*secret_value_get)(void *value, size_t *length);
    void (*secret_value_unref)(void *value);
    void *(*g_hash_table_new)(void *hash, void *equal);
    int (*g_hash_table_insert)(void *table, void *key, void *value);
    void (*g_hash_table_unref)(void *table);
    void *g_str_hash;
    void *g_str_equal;
    void (*g_object_unref)(void *object);
    void (*g_list_free)(struct glib_list *list);
    void (*g_error_free)(struct glib_error *error);
    void *(*g_cancellable_new)(void);
    void (*g_cancellable_cancel)(void *cancellable);
    void *(*g_dbus_proxy_get_connection)(void *proxy);
    void (*g_dbus_connection_set_exit_on_close)(void *connection, int exits);
};

/* GNOME Keyring does not find locked items by their schema's name, only by attributes: the name is
 * left out of searches, and the first attribute stands in for it. */
#define DONT_MATCH_NAME (1 << 1)
static const struct schema schema = {
    .name = "instant.lua.Vault",
    .flags = DONT_MATCH_NAME,
    .attributes = {{"application", 0}, {"name", 0}},
};

static enum inst_status load_library(struct library *out, struct inst_err *err) {
    const struct {
        const char *name;
        void *at;
    } symbols[] = {
#define SYMBOL(name) {#name, &out->name}
        SYMBOL(secret_service_get_sync),
        SYMBOL(secret_service_disconnect),
        SYMBOL(secret_service_search_sync),
        SYMBOL(secret_service_store_sync),
        SYMBOL(secret_service_clear_sync),
        SYMBOL(secret_item_get_locked),
        SYMBOL(secret_item_get_secret),
        SYMBOL(secret_value_new),
        SYMBOL(secret_value_get),
        SYMBOL(secret_value_unref),
        SYMBOL(g_hash_table_new),
        SYMBOL(g_hash_table_insert),
        SYMBOL(g_hash_table_unref),
        SYMBOL(g_str_hash),
        SYMBOL(g_str_equal),
        SYMBOL(g_object_unref),
        SYMBOL(g_list_free),
        SYMBOL(g_error_free),
        SYMBOL(g_cancellable_new),
        SYMBOL(g_cancellable_cancel),
        SYMBOL(g_dbus_proxy_get_connection),
        SYMBOL(g_dbus_connection_set_exit_on_close),
#undef SYMBOL
    };
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        return inst_err_set(err, INST_VAULT_ERR, 0,
                            "The keychain needs libsecret, which is not here (on Debian: apt-get "
                            "install libsecret-1-0), or use a vault file");
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *symbol = dlsym(handle, symbols[i].name);
        if (!symbol)
            return inst_err_set(err, INST_VAULT_ERR, 0,
                                "The keychain's libsecret has no %s; use a vault file",
                                symbols[i].name);
        memcpy(symbols[i].at, &symbol, sizeof symbol);
    }
    return INST_OK;
}

/* ---- calls with a limit ---- */

struct keychain_store {
    struct inst_vault_store base;
    struct library lib;
};

struct call;
typedef enum inst_status call_fn(struct keychain_store *store, struct call *call);

struct call {
    struct keychain_store *store;
    call_fn *fn;
    void *cancellable;
    const char *name;
    const char *bytes;
    size_t len;
    struct inst_secret *out;
    struct inst_err *err;
    enum inst_status status;
    bool may_be_stale; /* what failed may be left from a daemon that is gone */
    uv_mutex_t mutex;  /* of is_done */
    uv_cond_t cond;
    bool is_done;
};

static void run(void *ctx) {
    struct call *call = ctx;
    call->status = call->fn(call->store, call);
    uv_mutex_lock(&call->mutex);
    call->is_done = true;
    uv_cond_signal(&call->cond);
    uv_mutex_unlock(&call->mutex);
}

static void wait_or_cancel(struct call *call) {
    uint64_t now = uv_hrtime(), end = now + (uint64_t)INST_VAULT_PROMPT_MS * 1000000;
    uv_mutex_lock(&call->mutex);
    for (; !call->is_done && now < end; now = uv_hrtime())
        uv_cond_timedwait(&call->cond, &call->mutex, end - now);
    if (!call->is_done)
        call->store->lib.g_cancellable_cancel(call->cancellable);
    uv_mutex_unlock(&call->mutex);
}

static void run_once(struct keychain_store *store, struct call *call) {
    uv_thread_t thread;
    call->store = store;
    call->cancellable = store->lib.g_cancellable_new();
    call->is_done = call->may_be_stale = false;
    call->status = INST_OK;
    uv_mutex_init(&call->mutex);
    uv_cond_init(&call->cond);
    if (uv_thread_create(&thread, run, call) == 0) {
        wait_or_cancel(call);
        uv_thread_join(&thread);
    } else {
        call->status = inst_err_set(call->err, INST_VAULT_ERR, 0, "No thread for the keychain");
    }
    uv_cond_destroy(&call->cond);
    uv_mutex_destroy(&call->mutex);
    store->lib.g_object_unref(call->cancellable);
    if (call->status != INST_OK)
        store->lib.secret_service_disconnect(); /* the next call starts afresh */
}

static enum inst_status run_call(struct keychain_store *store, struct call *call) {
    run_once(store, call);
    if (call->may_be_stale)
        run_once(store, call);
    return call->status;
}

/* Takes the error. */
static enum inst_status refused(struct call *call, const char *what, struct glib_error *error) {
    enum inst_status status =
        inst_err_set(call->err, INST_VAULT_ERR, 0,
                     "The keychain %s: %s (is a keychain running and unlocked? "
                     "else use a vault file)",
                     what, error ? error->message : "it was not unlocked");
    if (error)
        call->store->lib.g_error_free(error);
    call->may_be_stale = error != NULL;
    return status;
}

static void *attributes_of(struct keychain_store *store, const char *name) {
    const struct library *lib = &store->lib;
    void *table = lib->g_hash_table_new(lib->g_str_hash, lib->g_str_equal);
    lib->g_hash_table_insert(table, (void *)"application", (void *)"instant-lua");
    lib->g_hash_table_insert(table, (void *)"name", (void *)name);
    return table;
}

static void free_items(struct keychain_store *store, struct glib_list *items) {
    for (struct glib_list *at = items; at; at = at->next)
        store->lib.g_object_unref(at->data);
    store->lib.g_list_free(items);
}

static enum inst_status locked(struct call *call) {
    return inst_err_set(call->err, INST_VAULT_ERR, 0,
                        "The keychain is locked; unlock it and try again (nothing was changed)");
}

/* ---- the calls ---- */

/* Also reads something, for the service may be known from before and be gone. */
static enum inst_status do_connect(struct keychain_store *store, struct call *call) {
    const struct library *lib = &store->lib;
    struct glib_error *error = NULL;
    void *service = lib->secret_service_get_sync(SERVICE_OPEN_SESSION, call->cancellable, &error);
    if (!service)
        return refused(call, "cannot be reached", error);
    /* GLib would end the process when the bus goes. */
    lib->g_dbus_connection_set_exit_on_close(lib->g_dbus_proxy_get_connection(service), 0);
    void *attributes = attributes_of(store, "nothing");
    free_items(store, lib->secret_service_search_sync(service, &schema, attributes, 0,
                                                      call->cancellable, &error));
    lib->g_hash_table_unref(attributes);
    lib->g_object_unref(service);
    return error ? refused(call, "cannot be reached", error) : INST_OK;
}

static enum inst_status read_item(struct keychain_store *store, struct call *call, void *item) {
    if (store->lib.secret_item_get_locked(item))
        return locked(call);
    void *value = store->lib.secret_item_get_secret(item);
    if (!value)
        return refused(call, "gave no secret", NULL);
    size_t len;
    const char *bytes = store->lib.secret_value_get(value, &len);
    enum inst_status status = INST_OK;
    if (call->out && !inst_secret_copy(call->out, bytes, len))
        status = inst_err_nomem(call->err);
    store->lib.secret_value_unref(value);
    return status;
}

static enum inst_status do_get(struct keychain_store *store, struct call *call) {
    struct glib_error *error = NULL;
    void *attributes = attributes_of(store, call->name);
    struct glib_list *items = store->lib.secret_service_search_sync(
        NULL, &schema, attributes, SEARCH_UNLOCK | SEARCH_LOAD_SECRETS, call->cancellable, &error);
    store->lib.g_hash_table_unref(attributes);
    if (error)
        return refused(call, "cannot be read", error);
    enum inst_status status = items ? read_item(store, call, items->data) : INST_OK;
    free_items(store, items);
    return status;
}

static enum inst_status do_put(struct keychain_store *store, struct call *call) {
    struct glib_error *error = NULL;
    const struct library *lib = &store->lib;
    void *attributes = attributes_of(store, call->name);
    void *value = lib->secret_value_new(call->bytes, (ssize_t)call->len, "text/plain");
    int is_kept = lib->secret_service_store_sync(NULL, &schema, attributes, "default", call->name,
                                                 value, call->cancellable, &error);
    lib->secret_value_unref(value);
    lib->g_hash_table_unref(attributes);
    return is_kept ? INST_OK : refused(call, "cannot be written", error);
}

/* Clearing skips what is locked, without a word: whether it is gone is looked at first. */
static enum inst_status do_remove(struct keychain_store *store, struct call *call) {
    struct glib_error *error = NULL;
    enum inst_status status = do_get(store, call);
    if (status != INST_OK)
        return status;
    void *attributes = attributes_of(store, call->name);
    store->lib.secret_service_clear_sync(NULL, &schema, attributes, call->cancellable, &error);
    store->lib.g_hash_table_unref(attributes);
    return error ? refused(call, "cannot be written", error) : INST_OK;
}

/* ---- the ops ---- */

static enum inst_status keychain_get(struct inst_vault_store *base, const char *name,
                                     struct inst_secret *out, struct inst_err *err) {
    struct call call = {.fn = do_get, .name = name, .out = out, .err = err};
    return run_call((struct keychain_store *)base, &call);
}

static enum inst_status keychain_put(struct inst_vault_store *base, const char *name,
                                     const char *bytes, size_t len, struct inst_err *err) {
    struct call call = {
        .fn = bytes ? do_put : do_remove, .name = name, .bytes = bytes, .len = len, .err = err};
    return run_call((struct keychain_store *)base, &call);
}

static void keychain_close(struct inst_vault_store *base) { free(base); }

enum inst_status inst_vault_keychain_open(struct inst_vault_store **out, struct inst_err *err) {
    static const struct inst_vault_ops ops = {keychain_get, keychain_put, keychain_close};
    struct keychain_store *store = calloc(1, sizeof *store);
    if (!store)
        return inst_err_nomem(err);
    store->base.ops = &ops;
    struct call call = {.fn = do_connect, .err = err};
    enum inst_status status = load_library(&store->lib, err);
    if (status == INST_OK)
        status = run_call(store, &call);
    if (status != INST_OK) {
        free(store);
        return status;
    }
    *out = &store->base;
    return INST_OK;
}
