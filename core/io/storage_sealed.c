#include "io/storage_sealed.h"

#include "base/digest.h"
#include "base/json.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KV "kv"
#define NAME_MAX_BYTES 160

/* What holds a token: the user, and what was set aside as no user that is understood. */
static const char *const private_keys[] = {"currentUser", "__aside_currentUser"};
#define PRIVATE_KEYS (sizeof private_keys / sizeof private_keys[0])

enum place { NOWHERE, IN_KEYCHAIN, IN_FILE };

struct kept {
    enum place place;
    char name[NAME_MAX_BYTES]; /* there */
    struct inst_secret text;   /* as read at the start, until it is asked for */
};

struct sealed {
    struct inst_storage base;
    struct inst_storage *inner;
    struct inst_vault *keychain, *file; /* NULL: not opened so far */
    bool is_without_keychain;           /* it did not answer in this run */
    char app_id[40];
    struct kept kept[PRIVATE_KEYS];
};

/* ---- warnings ---- */

/* Takes both; out of memory loses one of them. */
static char *joined(char *a, char *b) {
    struct inst_buf both;
    if (!a || !b)
        return a ? a : b;
    inst_buf_init(&both);
    inst_buf_addf(&both, "%s\n%s", a, b);
    free(a);
    free(b);
    return inst_buf_take(&both, NULL);
}

static void warn(struct sealed *s, const char *text, const struct inst_err *cause) {
    struct inst_buf whole;
    inst_buf_init(&whole);
    inst_buf_addf(&whole, "%s: %s", text, cause ? cause->message : "it was removed there");
    s->base.warning = joined(s->base.warning, inst_buf_take(&whole, NULL));
}

/* What the storage behind has to say is said here. */
static void pass_on(struct sealed *s) {
    s->base.warning = joined(s->base.warning, s->inner->warning);
    s->inner->warning = NULL;
    s->base.is_anew = s->base.is_anew || s->inner->is_anew;
    s->inner->is_anew = false;
}

/* ---- notes ---- */

/* Whether it is one; what is none leaves *out. Fails only without memory. */
static enum inst_status read_note(const struct inst_buf *text, struct kept *out, bool *is_one,
                                  struct inst_err *err) {
    struct inst_arena arena;
    struct inst_value whole;
    struct inst_err cause = {0};
    inst_arena_init(&arena);
    enum inst_status status = inst_json_parse(&arena, text->data, text->len, &whole, &cause);
    *is_one = false;
    if (status == INST_OK && whole.tag == INST_OBJECT) {
        const struct inst_value *place = inst_get_string(&whole, "keptIn");
        const struct inst_value *name = inst_get_string(&whole, "name");
        bool is_chain = place && inst_is_string(place, "keychain");
        *is_one = place && (is_chain || inst_is_string(place, "file")) && name && name->len > 0 &&
                  name->len < sizeof out->name;
        if (*is_one) {
            out->place = is_chain ? IN_KEYCHAIN : IN_FILE;
            snprintf(out->name, sizeof out->name, "%.*s", (int)name->len, name->u.str);
        }
    }
    inst_err_clear(&cause);
    inst_arena_free(&arena);
    return status == INST_NOMEM ? inst_err_nomem(err) : INST_OK;
}

static void write_note(const struct kept *kept, struct inst_buf *out) {
    inst_buf_addf(out, "{\"version\":1,\"keptIn\":\"%s\",\"name\":",
                  kept->place == IN_KEYCHAIN ? "keychain" : "file");
    inst_json_write_string(out, kept->name, strlen(kept->name));
    inst_buf_add_char(out, '}');
}

/* A keychain serves all storages of its user: the name tells them apart. */
static void make_name(struct sealed *s, size_t key, enum place place, char out[NAME_MAX_BYTES]) {
    uint8_t bytes[8] = {0};
    char hex[2 * sizeof bytes + 1] = "";
    if (place == IN_KEYCHAIN && RAND_bytes(bytes, sizeof bytes) == 1)
        inst_hex(bytes, sizeof bytes, hex);
    snprintf(out, NAME_MAX_BYTES, "Instant %s of %s%s%s", private_keys[key], s->app_id,
             hex[0] ? " " : "", hex);
}

/* ---- vaults ---- */

static enum inst_status open_file(const char *beside, struct inst_vault **out,
                                  struct inst_err *err) {
    struct inst_buf file, key;
    inst_buf_init(&file);
    inst_buf_init(&key);
    inst_buf_addf(&file, "%s.vault", beside);
    inst_buf_addf(&key, "%s.key", beside);
    struct inst_vault_config config = {
        .kind = INST_VAULT_FILE, .file = file.data, .key_file = key.data};
    enum inst_status status =
        file.failed || key.failed ? inst_err_nomem(err) : inst_vault_open(NULL, &config, out, err);
    inst_buf_free(&file);
    inst_buf_free(&key);
    return status;
}

/* Stays open. */
static enum inst_status vault_of(struct sealed *s, enum place place, struct inst_vault **out,
                                 struct inst_err *err) {
    static const struct inst_vault_config keychain = {.kind = INST_VAULT_KEYCHAIN};
    struct inst_vault **at = place == IN_KEYCHAIN ? &s->keychain : &s->file;
    enum inst_status status = INST_OK;
    if (!*at)
        status = place == IN_KEYCHAIN ? inst_vault_open(NULL, &keychain, at, err)
                                      : open_file(s->inner->beside, at, err);
    *out = *at;
    return status;
}

static enum inst_status fetch(struct sealed *s, const struct kept *kept, struct inst_secret *out,
                              struct inst_err *err) {
    struct inst_vault *vault;
    enum inst_status status = vault_of(s, kept->place, &vault, err);
    return status == INST_OK ? inst_vault_get(vault, kept->name, out, err) : status;
}

/* *was_opened tells a vault that cannot be used from one that cannot be written just now. */
static enum inst_status put_into(struct sealed *s, size_t key, enum place place, const char *text,
                                 size_t len, bool *was_opened, struct inst_err *err) {
    struct kept *kept = &s->kept[key];
    struct inst_vault *vault;
    char name[NAME_MAX_BYTES];
    enum inst_status status = vault_of(s, place, &vault, err);
    *was_opened = status == INST_OK;
    if (status != INST_OK)
        return status;
    if (kept->place == place)
        memcpy(name, kept->name, sizeof name);
    else
        make_name(s, key, place, name);
    status = inst_vault_put(vault, name, text, len, err);
    if (status == INST_OK) {
        kept->place = place;
        memcpy(kept->name, name, sizeof name);
    }
    return status;
}

/* INST_FAILED: it is not there, or was left for good. */
static enum inst_status try_keychain(struct sealed *s, size_t key, const char *text, size_t len,
                                     struct inst_err *err) {
    bool had_it = s->kept[key].place == IN_KEYCHAIN, was_opened;
    struct inst_err cause = {0};
    if (s->kept[key].place == IN_FILE || (s->is_without_keychain && !had_it))
        return INST_FAILED;
    enum inst_status status = put_into(s, key, IN_KEYCHAIN, text, len, &was_opened, &cause);
    if (status == INST_FAILED) {
        s->is_without_keychain = true;
        if (had_it || was_opened)
            warn(s, "The signed-in user is kept in an encrypted file from now on", &cause);
    }
    inst_err_clear(&cause);
    return status == INST_NOMEM ? inst_err_nomem(err) : status;
}

/* *is_usable: what failed may work another time. */
static enum inst_status keep_anywhere(struct sealed *s, size_t key, const char *text, size_t len,
                                      bool *is_usable, struct inst_err *err) {
    enum inst_status status = try_keychain(s, key, text, len, err);
    *is_usable = true;
    return status == INST_FAILED ? put_into(s, key, IN_FILE, text, len, is_usable, err) : status;
}

/* Where the text went is in kept; NOWHERE: only the program's memory has it. */
static enum inst_status keep(struct sealed *s, size_t key, const char *text, size_t len,
                             struct inst_err *err) {
    bool is_usable;
    struct inst_err cause = {0};
    enum inst_status status = keep_anywhere(s, key, text, len, &is_usable, &cause);
    if (status == INST_NOMEM || (status != INST_OK && is_usable)) {
        *err = cause;
        return status;
    }
    if (status != INST_OK) {
        warn(s,
             "The signed-in user is kept in memory only, the next start of the program begins "
             "signed out",
             &cause);
        s->kept[key].place = NOWHERE;
    }
    inst_err_clear(&cause);
    return INST_OK;
}

/* The note goes in any case: whoever signed out is not signed in again by what could not be
 * removed.
 */
static void forget(struct sealed *s, struct kept *kept) {
    struct inst_vault *vault;
    struct inst_err cause = {0};
    enum inst_status status = INST_OK;
    if (kept->place != NOWHERE)
        status = vault_of(s, kept->place, &vault, &cause);
    if (kept->place != NOWHERE && status == INST_OK)
        status = inst_vault_put(vault, kept->name, NULL, 0, &cause);
    if (status != INST_OK)
        warn(s, "What was kept of a user who signed out could not be removed", &cause);
    inst_err_clear(&cause);
    kept->place = NOWHERE;
}

/* ---- writing ---- */

static int private_key(const char *store, const char *key) {
    for (size_t i = 0; i < PRIVATE_KEYS && strcmp(store, KV) == 0; i++) {
        if (strcmp(private_keys[i], key) == 0)
            return (int)i;
    }
    return -1;
}

/* What goes to the storage in this pair's place; its text is out's. */
static enum inst_status replace(struct sealed *s, size_t key, struct inst_disk_pair *pair,
                                struct inst_buf *out, struct inst_err *err) {
    struct kept *kept = &s->kept[key];
    enum inst_status status = INST_OK;
    inst_secret_free(&kept->text); /* it is not what holds any more */
    if (pair->value)
        status = keep(s, key, pair->value, pair->len, err);
    else
        forget(s, kept);
    pair->value = NULL;
    if (status == INST_OK && kept->place != NOWHERE) {
        write_note(kept, out);
        pair->value = out->data;
        pair->len = out->len;
        status = out->failed ? inst_err_nomem(err) : INST_OK;
    }
    return status;
}

static enum inst_status sealed_write(struct inst_storage *base, const char *store,
                                     const struct inst_disk_pair *pairs, size_t count,
                                     bool is_durable, struct inst_err *err) {
    struct sealed *s = (struct sealed *)base;
    struct inst_buf notes[PRIVATE_KEYS];
    struct inst_disk_pair *copy = malloc((count + 1) * sizeof *copy);
    enum inst_status status = copy ? INST_OK : inst_err_nomem(err);
    for (size_t i = 0; i < PRIVATE_KEYS; i++)
        inst_buf_init(&notes[i]);
    for (size_t i = 0; i < count && status == INST_OK; i++) {
        int key = private_key(store, pairs[i].key);
        copy[i] = pairs[i];
        if (key >= 0)
            status = replace(s, (size_t)key, &copy[i], &notes[key], err);
    }
    if (status == INST_OK)
        status = s->inner->ops->write(s->inner, store, copy, count, is_durable, err);
    for (size_t i = 0; i < PRIVATE_KEYS; i++)
        inst_buf_free(&notes[i]);
    free(copy);
    pass_on(s);
    return status;
}

/* ---- reading ---- */

static enum inst_status sealed_load(struct inst_storage *base, const char *store, const char *key,
                                    struct inst_buf *out, bool *is_there, struct inst_err *err) {
    struct sealed *s = (struct sealed *)base;
    int which = private_key(store, key);
    enum inst_status status = INST_OK;
    if (which < 0) {
        status = s->inner->ops->load(s->inner, store, key, out, is_there, err);
        pass_on(s);
        return status;
    }
    struct kept *kept = &s->kept[which];
    if (!kept->text.bytes && kept->place != NOWHERE)
        status = fetch(s, kept, &kept->text, err);
    *is_there = kept->text.bytes != NULL;
    if (*is_there)
        inst_buf_add(out, kept->text.bytes, kept->text.len);
    inst_secret_free(&kept->text);
    return status;
}

static enum inst_status sealed_list(struct inst_storage *base, const char *store,
                                    struct inst_buf *out, struct inst_err *err) {
    struct sealed *s = (struct sealed *)base;
    enum inst_status status = s->inner->ops->list(s->inner, store, out, err);
    pass_on(s);
    return status;
}

/* ---- the start ---- */

static enum inst_status write_one(struct inst_storage *storage, size_t key, const char *text,
                                  size_t len, struct inst_err *err) {
    struct inst_disk_pair pair = {private_keys[key], text, len};
    return storage->ops->write(storage, KV, &pair, 1, true, err);
}

/* The vault must give back what it was given before the plain text goes. */
static enum inst_status check_kept(struct sealed *s, size_t key, const struct inst_buf *plain,
                                   struct inst_err *err) {
    struct inst_secret back = {0};
    enum inst_status status = fetch(s, &s->kept[key], &back, err);
    if (status == INST_OK && (back.len != plain->len || !back.bytes ||
                              !inst_secret_equal(back.bytes, plain->data, plain->len)))
        status = inst_err_set(err, "vault", 0, "it does not give back what it was given");
    inst_secret_free(&back);
    return status;
}

/* From plain text. Who cannot be moved stays, and stays signed in. */
static enum inst_status move_in(struct sealed *s, size_t key, const struct inst_buf *plain,
                                struct inst_err *err) {
    struct kept *kept = &s->kept[key];
    struct inst_buf note;
    struct inst_err cause = {0};
    bool is_usable;
    if (!inst_secret_copy(&kept->text, plain->data, plain->len))
        return inst_err_nomem(err);
    inst_buf_init(&note);
    enum inst_status status = keep_anywhere(s, key, plain->data, plain->len, &is_usable, &cause);
    if (status == INST_OK)
        status = check_kept(s, key, plain, &cause);
    write_note(kept, &note);
    if (status == INST_OK && note.failed)
        status = inst_err_nomem(&cause);
    if (status == INST_OK)
        status = write_one(s->inner, key, note.data, note.len, &cause);
    if (status != INST_OK) {
        warn(s, "The signed-in user is in plain text in the storage, and cannot be moved", &cause);
        kept->place = NOWHERE;
    }
    inst_err_clear(&cause);
    inst_buf_free(&note);
    return INST_OK;
}

static enum inst_status read_one(struct sealed *s, size_t key, struct inst_err *err) {
    struct kept *kept = &s->kept[key];
    struct inst_buf text;
    bool is_there = false, is_noted = false;
    inst_buf_init(&text);
    enum inst_status status =
        s->inner->ops->load(s->inner, KV, private_keys[key], &text, &is_there, err);
    if (status == INST_OK && is_there && text.failed)
        status = inst_err_nomem(err);
    if (status == INST_OK && is_there)
        status = read_note(&text, kept, &is_noted, err);
    if (status == INST_OK && is_noted) {
        status = fetch(s, kept, &kept->text, err);
        if (status == INST_OK && !kept->text.bytes && key == 0)
            warn(s,
                 kept->place == IN_KEYCHAIN
                     ? "The signed-in user is not in the keychain any more, nobody is signed in"
                     : "The signed-in user is not in the vault file any more, nobody is signed in",
                 NULL);
    } else if (status == INST_OK && is_there && text.len > 0) {
        status = move_in(s, key, &text, err);
    }
    inst_wipe(text.data, text.len);
    inst_buf_free(&text);
    return status;
}

static void sealed_close(struct inst_storage *base) {
    struct sealed *s = (struct sealed *)base;
    for (size_t i = 0; i < PRIVATE_KEYS; i++)
        inst_secret_free(&s->kept[i].text);
    inst_vault_close(s->keychain);
    inst_vault_close(s->file);
    s->inner->ops->close(s->inner);
    free(base->warning);
    free(s);
}

static const struct inst_storage_ops sealed_ops = {sealed_load, sealed_write, sealed_list,
                                                   sealed_close};

static struct sealed *make(struct inst_storage *inner, const char *app_id) {
    struct sealed *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->base.ops = &sealed_ops;
    s->inner = inner;
    snprintf(s->app_id, sizeof s->app_id, "%s", app_id);
    return s;
}

enum inst_status inst_storage_seal(struct inst_storage *inner, const char *app_id,
                                   struct inst_storage **out, struct inst_err *err) {
    struct sealed *s = make(inner, app_id);
    enum inst_status status = INST_OK;
    if (!s) {
        inner->ops->close(inner);
        return inst_err_nomem(err);
    }
    for (size_t i = 0; i < PRIVATE_KEYS && status == INST_OK; i++)
        status = read_one(s, i, err);
    pass_on(s);
    if (status != INST_OK) {
        sealed_close(&s->base);
        return status;
    }
    *out = &s->base;
    return INST_OK;
}

/* ---- a vault of the program's own ---- */

/* The record itself: what a vault of the program's own holds has no envelope. */
static enum inst_status put_record(struct inst_vault *vault, const char *name, const char *text,
                                   size_t len, struct inst_err *err) {
    struct inst_arena arena;
    struct inst_value whole;
    struct inst_buf record;
    inst_arena_init(&arena);
    inst_buf_init(&record);
    enum inst_status status = inst_json_parse(&arena, text, len, &whole, err);
    const struct inst_value *value = status == INST_OK ? inst_getz(&whole, "value") : NULL;
    if (value && value->tag == INST_OBJECT) {
        inst_json_write(&record, value);
        status = record.failed ? inst_err_nomem(err)
                               : inst_vault_put(vault, name, record.data, record.len, err);
    } else if (status == INST_OK) {
        status = inst_err_set(err, "storage-failed", 0,
                              "The storage holds no user where one should be; remove "
                              "kv/currentUser from it and sign in again");
    }
    inst_wipe(record.data, record.len);
    inst_buf_free(&record);
    inst_arena_free(&arena);
    return status;
}

static enum inst_status move_out(struct sealed *s, struct inst_vault *vault, const char *name,
                                 struct inst_err *err) {
    struct inst_secret has = {0}, text = {0};
    struct inst_buf plain;
    bool is_there = false, is_noted = false;
    inst_buf_init(&plain);
    enum inst_status status =
        s->inner->ops->load(s->inner, KV, private_keys[0], &plain, &is_there, err);
    if (status == INST_OK && is_there && plain.failed)
        status = inst_err_nomem(err);
    if (status == INST_OK && is_there)
        status = read_note(&plain, &s->kept[0], &is_noted, err);
    if (status == INST_OK && is_there)
        status = inst_vault_get(vault, name, &has, err);
    if (status == INST_OK && is_there && !has.bytes) {
        if (is_noted)
            status = fetch(s, &s->kept[0], &text, err);
        else if (!inst_secret_copy(&text, plain.data, plain.len))
            status = inst_err_nomem(err);
        if (status == INST_OK && text.bytes)
            status = put_record(vault, name, text.bytes, text.len, err);
    }
    if (status == INST_OK && is_there) {
        forget(s, &s->kept[0]);
        status = write_one(s->inner, 0, NULL, 0, err);
    }
    inst_wipe(plain.data, plain.len);
    inst_buf_free(&plain);
    inst_secret_free(&has);
    inst_secret_free(&text);
    return status;
}

enum inst_status inst_storage_move_user(struct inst_storage *storage, struct inst_vault *vault,
                                        const char *name, struct inst_err *err) {
    struct sealed *s = make(storage, "");
    if (!s)
        return inst_err_nomem(err);
    enum inst_status status = move_out(s, vault, name, err);
    storage->warning = joined(storage->warning, s->base.warning);
    inst_vault_close(s->keychain);
    inst_vault_close(s->file);
    free(s);
    return status;
}
