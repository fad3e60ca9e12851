#include "io/vault.h"

#include "base/digest.h"
#include "io/vault_format.h"
#include "io/vault_internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* Something put later. Owned by the vault's queue; while at work, by the loop too. */
struct job {
    uv_work_t work;
    struct job *next;
    struct inst_vault *vault; /* NULL: the vault was closed meanwhile */
    struct inst_vault_store *store;
    char *name;
    struct inst_secret secret; /* bytes NULL: remove */
    inst_vault_done_fn *done;
    void *ctx;
    enum inst_status status;
    struct inst_err err;
};

struct inst_vault {
    struct inst_loop *loop;
    struct inst_vault_store *store;
    struct job *first; /* the one at work */
    struct job *last;
    uv_mutex_t mutex; /* of is_working */
    uv_cond_t cond;
    bool is_working; /* on the other thread */
};

/* ---- memory ---- */

struct memory_store {
    struct inst_vault_store base;
    struct inst_vault_entries entries;
};

static enum inst_status memory_get(struct inst_vault_store *base, const char *name,
                                   struct inst_secret *out, struct inst_err *err) {
    const struct memory_store *store = (const struct memory_store *)base;
    const struct inst_secret *found = inst_vault_entries_find(&store->entries, name);
    if (found && !inst_secret_copy(out, found->bytes, found->len))
        return inst_err_nomem(err);
    return INST_OK;
}

static enum inst_status memory_put(struct inst_vault_store *base, const char *name,
                                   const char *bytes, size_t len, struct inst_err *err) {
    struct memory_store *store = (struct memory_store *)base;
    return inst_vault_entries_set(&store->entries, name, bytes, len, err);
}

static void memory_close(struct inst_vault_store *base) {
    struct memory_store *store = (struct memory_store *)base;
    inst_vault_entries_free(&store->entries);
    free(store);
}

static enum inst_status memory_open(struct inst_vault_store **out, struct inst_err *err) {
    static const struct inst_vault_ops ops = {memory_get, memory_put, memory_close};
    struct memory_store *store = calloc(1, sizeof *store);
    if (!store)
        return inst_err_nomem(err);
    store->base.ops = &ops;
    *out = &store->base;
    return INST_OK;
}

/* ---- opening ---- */

static enum inst_status open_store(const struct inst_vault_config *config,
                                   struct inst_vault_store **out, struct inst_err *err) {
    switch (config->kind) {
    case INST_VAULT_FILE:
        return inst_vault_file_open(config, out, err);
    case INST_VAULT_KEYCHAIN:
        return inst_vault_keychain_open(out, err);
    default:
        return memory_open(out, err);
    }
}

enum inst_status inst_vault_open(struct inst_loop *loop, const struct inst_vault_config *config,
                                 struct inst_vault **out, struct inst_err *err) {
    struct inst_vault *vault = calloc(1, sizeof *vault);
    if (!vault)
        return inst_err_nomem(err);
    enum inst_status status = open_store(config, &vault->store, err);
    if (status != INST_OK) {
        free(vault);
        return status;
    }
    vault->loop = loop;
    uv_mutex_init(&vault->mutex);
    uv_cond_init(&vault->cond);
    *out = vault;
    return INST_OK;
}

static enum inst_status check(const char *name, size_t len, struct inst_err *err) {
    size_t name_len = strlen(name);
    if (name_len == 0 || name_len > INST_VAULT_MAX_NAME)
        return inst_err_set(err, INST_VAULT_ERR, 0, "A secret's name has 1 to %u bytes",
                            INST_VAULT_MAX_NAME);
    if (len > INST_VAULT_MAX_SECRET)
        return inst_err_set(err, INST_VAULT_ERR, 0, "A secret has at most %u bytes",
                            INST_VAULT_MAX_SECRET);
    return INST_OK;
}

/* A store is used by one thread at a time. */
static enum inst_status check_idle(const struct inst_vault *vault, struct inst_err *err) {
    return vault->first ? inst_err_set(err, INST_VAULT_ERR, 0, "The vault is being written")
                        : INST_OK;
}

enum inst_status inst_vault_get(struct inst_vault *vault, const char *name, struct inst_secret *out,
                                struct inst_err *err) {
    *out = (struct inst_secret){0};
    enum inst_status status = check_idle(vault, err);
    if (status == INST_OK)
        status = check(name, 0, err);
    return status == INST_OK ? vault->store->ops->get(vault->store, name, out, err) : status;
}

enum inst_status inst_vault_put(struct inst_vault *vault, const char *name, const char *bytes,
                                size_t len, struct inst_err *err) {
    enum inst_status status = check_idle(vault, err);
    if (status == INST_OK)
        status = check(name, len, err);
    return status == INST_OK ? vault->store->ops->put(vault->store, name, bytes, len, err) : status;
}

/* ---- later ---- */

static void free_job(struct job *job) {
    inst_secret_free(&job->secret);
    inst_err_clear(&job->err);
    free(job->name);
    free(job);
}

static void run(struct job *job) {
    job->status =
        job->store->ops->put(job->store, job->name, job->secret.bytes, job->secret.len, &job->err);
}

static void work(uv_work_t *request) {
    struct job *job = request->data;
    struct inst_vault *vault = job->vault;
    run(job);
    OPENSSL_thread_stop(); /* what it keeps for a thread would outlive libuv's */
    uv_mutex_lock(&vault->mutex);
    vault->is_working = false;
    uv_cond_signal(&vault->cond);
    uv_mutex_unlock(&vault->mutex);
}

static void after_work(uv_work_t *request, int failed);

/* Gives the first job to another thread. */
static void start(struct inst_vault *vault) {
    struct job *job = vault->first;
    vault->is_working = true;
    job->work.data = job;
    uv_queue_work(inst_loop_uv(vault->loop), &job->work, work, after_work);
}

static void after_work(uv_work_t *request, int failed) {
    struct job *job = request->data;
    struct inst_vault *vault = job->vault;
    (void)failed; /* nobody cancels it */
    if (!vault) {
        free_job(job);
        return;
    }
    struct inst_loop *loop = vault->loop;
    vault->first = job->next;
    if (vault->first)
        start(vault);
    else
        vault->last = NULL;
    job->done(job->ctx, job->status == INST_OK ? NULL : &job->err);
    inst_loop_release(loop);
    free_job(job);
}

enum inst_status inst_vault_put_later(struct inst_vault *vault, const char *name, const char *bytes,
                                      size_t len, inst_vault_done_fn *done, void *ctx,
                                      struct inst_err *err) {
    enum inst_status status = check(name, len, err);
    if (status != INST_OK)
        return status;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return inst_err_nomem(err);
    job->name = strdup(name);
    if (!job->name || (bytes && !inst_secret_copy(&job->secret, bytes, len))) {
        free_job(job);
        return inst_err_nomem(err);
    }
    job->vault = vault;
    job->store = vault->store;
    job->done = done;
    job->ctx = ctx;
    inst_loop_hold(vault->loop);
    if (vault->last)
        vault->last->next = job;
    else
        vault->first = job;
    vault->last = job;
    if (vault->first == job)
        start(vault);
    return INST_OK;
}

bool inst_vault_is_busy(const struct inst_vault *vault) { return vault->first != NULL; }

/* The job at work is freed by the loop, which still knows it. */
static void finish(struct inst_vault *vault) {
    struct job *job = vault->first;
    if (!job)
        return;
    uv_mutex_lock(&vault->mutex);
    while (vault->is_working)
        uv_cond_wait(&vault->cond, &vault->mutex);
    uv_mutex_unlock(&vault->mutex);
    struct job *next = job->next;
    job->vault = NULL;
    inst_loop_release(vault->loop);
    while ((job = next)) {
        next = job->next;
        run(job);
        inst_loop_release(vault->loop);
        free_job(job);
    }
}

void inst_vault_close(struct inst_vault *vault) {
    if (!vault)
        return;
    finish(vault);
    vault->store->ops->close(vault->store);
    uv_cond_destroy(&vault->cond);
    uv_mutex_destroy(&vault->mutex);
    free(vault);
}
