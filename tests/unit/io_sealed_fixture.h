/*
 * io_sealed_fixture.h - a storage in a scratch folder, opened as a client opens it, and what is on
 * the disk of it.
 */
#ifndef INST_TESTS_IO_SEALED_FIXTURE_H
#define INST_TESTS_IO_SEALED_FIXTURE_H

#include "io/storage_sealed.h"
#include "io_vault_fixture.h"

#define APP "0f0c3b1e-6f3c-4c56-9f7a-2f1b0a9d8c7e"
#define TOKEN "11111111-2222-4333-8444-555555555555"
#define ANN "{\"version\":1,\"value\":{\"id\":\"ann\",\"refresh_token\":\"" TOKEN "\"}}"
#define BOB "{\"version\":1,\"value\":{\"id\":\"bob\",\"refresh_token\":\"" TOKEN "-b\"}}"

struct keep {
    struct fixture *f;
    char spec[160];
    char beside[256]; /* "....vault", "....key" are there */
    struct inst_loop *loop;
    struct inst_storage *storage; /* sealed, but for keep_open_plain */
};

static inline void keep_open_plain(struct keep *k) {
    must(inst_storage_open(k->loop, k->spec, APP, &k->storage, &k->f->err), &k->f->err);
}

static inline enum inst_status keep_try(struct keep *k) {
    keep_open_plain(k);
    struct inst_storage *inner = k->storage;
    k->storage = NULL;
    return inst_storage_seal(inner, APP, &k->storage, &k->f->err);
}

static inline void keep_open(struct keep *k) { must(keep_try(k), &k->f->err); }

/* Refused with a vault error that says `part`. */
static inline void keep_refuses(struct keep *k, const char *part) {
    assert_int_equal(keep_try(k), INST_FAILED);
    assert_string_equal(k->f->err.type, "vault");
    if (!strstr(k->f->err.message, part))
        fail_msg("\"%s\" says nothing of \"%s\"", k->f->err.message, part);
    inst_err_clear(&k->f->err);
}

static inline void keep_close(struct keep *k) {
    if (k->storage)
        k->storage->ops->close(k->storage);
    k->storage = NULL;
}

static inline void keep_begin(struct keep *k, struct fixture *f, const char *kind) {
    *k = (struct keep){.f = f};
    snprintf(k->spec, sizeof k->spec, "%s:%s/keep", kind, f->dir);
    snprintf(k->beside, sizeof k->beside,
             strcmp(kind, "file") == 0 ? "%s/keep/" APP "/user" : "%s/keep-user", f->dir);
    must(inst_loop_new(&k->loop, &f->err), &f->err);
}

static inline void keep_end(struct keep *k) {
    keep_close(k);
    inst_loop_free(k->loop);
}

static inline enum inst_status keep_try_write(struct keep *k, const char *key, const char *text) {
    struct inst_disk_pair pair = {key, text, text ? strlen(text) : 0};
    return k->storage->ops->write(k->storage, "kv", &pair, 1, true, &k->f->err);
}

static inline void keep_write(struct keep *k, const char *key, const char *text) {
    must(keep_try_write(k, key, text), &k->f->err);
}

/* expected NULL: nothing is there. */
static inline void keep_expect(struct keep *k, const char *key, const char *expected) {
    struct inst_buf text;
    bool is_there;
    inst_buf_init(&text);
    must(k->storage->ops->load(k->storage, "kv", key, &text, &is_there, &k->f->err), &k->f->err);
    inst_buf_add(&text, "", 1);
    assert_int_equal(is_there, expected != NULL);
    if (expected)
        assert_string_equal(text.data, expected);
    inst_buf_free(&text);
}

/* The last warning says `part`; NULL: there was none. */
static inline void keep_warned(struct keep *k, const char *part) {
    char *warning = k->storage->warning;
    k->storage->warning = NULL;
    if (!part)
        assert_null(warning);
    else if (!warning || !strstr(warning, part))
        fail_msg("\"%s\" says nothing of \"%s\"", warning ? warning : "", part);
    free(warning);
}

/* Is the text in any file of the folder? To be asked while the storage is closed. */
static inline bool on_disk(struct fixture *f, const char *text) {
    char command[256];
    snprintf(command, sizeof command, "grep -raqF -e '%s' '%s'", text, f->dir);
    return system(command) == 0;
}

static inline bool is_private(const char *head, const char *tail) {
    char path[300];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", head, tail);
    return stat(path, &st) == 0 && (st.st_mode & 07777) == 0600;
}

static inline bool has_file(const char *head, const char *tail) {
    char path[300];
    snprintf(path, sizeof path, "%s%s", head, tail);
    return access(path, F_OK) == 0;
}

#endif
