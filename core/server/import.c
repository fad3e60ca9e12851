#include "server/import.h"

#include "base/json.h"
#include "server/app_settings.h"
#include "server/files.h"
#include "server/refusal.h"
#include "server/tx.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTE "import"

struct inst_import {
    struct inst_app *app;
    struct inst_tx tx; /* of what is not committed yet */
    bool is_open;      /* tx is */
    bool drop_sessions;
    void (*problem)(void *ctx, const char *message);
    void *ctx;
    struct inst_arena kept; /* tx's */
    struct inst_arena line; /* the line at hand */
    struct inst_buf rest;   /* of a line that is not whole yet */
    struct inst_buf etype;
    const struct inst_attr *id_attr; /* of the shard; NULL: unknown or not wanted */
    bool is_skipped;                 /* the shard's lines are not wanted */
    uint64_t fed;                    /* bytes of the shard */
    uint64_t line_number;
    struct inst_buf position;
    struct inst_import_counts counts;
};

/* ---- what could not be taken ---- */

static void report(struct inst_import *import, const char *where, const char *message) {
    struct inst_buf text;
    import->counts.problems++;
    if (import->problem == NULL)
        return;
    inst_buf_init(&text);
    inst_buf_add(&text, import->etype.data, import->etype.len);
    if (where != NULL)
        inst_buf_addf(&text, " %s: %s", where, message);
    else
        inst_buf_addf(&text, " line %llu: %s", (unsigned long long)import->line_number, message);
    if (!text.failed)
        import->problem(import->ctx, text.data);
    inst_buf_free(&text);
}

/* Was it the data that is at fault, and not the disk? */
static bool is_refusal(const struct inst_err *err) {
    static const char *const types[] = {"validation-failed", "record-not-unique"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (err->type != NULL && strcmp(err->type, types[i]) == 0)
            return true;
    return false;
}

/* ---- beginning ---- */

static void use_catalog(struct inst_import *import) {
    struct inst_app *app = import->app;
    import->tx = (struct inst_tx){
        .env = app->server->env,
        .db = app->db,
        .store = &app->db->store,
        .arena = &import->kept,
        .catalog = inst_catalog_ref(app->catalog),
        .changes = &app->changes,
        .is_admin = true,
        .now = app->server->env->now_ms(app->server->env->ctx),
        .seed = app->changes.seed,
    };
}

static enum inst_status open_batch(struct inst_import *import, struct inst_err *err) {
    struct inst_app *app = import->app;
    if (import->is_open)
        return INST_OK;
    enum inst_status st = app->db->db_ops->begin(app->db, err);
    if (st != INST_OK)
        return st;
    use_catalog(import);
    import->is_open = true;
    return INST_OK;
}

static void close_batch(struct inst_import *import) {
    inst_tx_release(&import->tx);
    inst_catalog_unref(import->tx.catalog);
    inst_changes_clear(&import->app->changes);
    inst_arena_reset(&import->kept);
    import->is_open = false;
}

/* The app is there: may this import go on where another one ended? */
static enum inst_status resume(struct inst_import *import, struct inst_err *err) {
    struct inst_app *app = import->app;
    bool found = false;
    enum inst_status st = app->db->db_ops->get_note(app->db, NOTE, &import->position, &found, err);
    if (st == INST_OK && import->position.failed)
        return inst_err_nomem(err);
    if (st == INST_OK && !found)
        return inst_err_set(err, "validation-failed", 400,
                            "An app with the id %s is already here. Import under another id.",
                            app->info.id);
    return st;
}

static enum inst_status make(struct inst_import *import, struct inst_server *server,
                             const struct inst_import_config *config,
                             char token[INST_UUID_TEXT + 1], struct inst_err *err) {
    struct inst_app_info info = {0};
    enum inst_status st;
    if (config->app_id != NULL)
        snprintf(info.id, sizeof info.id, "%s", config->app_id);
    if (config->rules != NULL && config->rules->tag != INST_NULL &&
        (st = inst_check_rules(config->rules, &server->scratch, err)) != INST_OK)
        return st;
    if ((st = inst_server_create_app_as(server, config->title, config->schema, &info, token,
                                        err)) != INST_OK ||
        (st = inst_app_get(server, info.id, &import->app, err)) != INST_OK)
        return st;
    /* From here on a broken import is known as one. */
    if ((st = inst_app_set_note(import->app, NOTE, "", 0, err)) != INST_OK)
        return st;
    if (config->rules != NULL && config->rules->tag != INST_NULL &&
        (st = inst_app_set_rules(import->app, config->rules, err)) != INST_OK)
        return st;
    return inst_app_set_status(import->app, INST_APP_DISABLED, err);
}

/* Asked to make it first: a data file that has no app yet becomes the first one that is asked for.
 */
static enum inst_status make_or_resume(struct inst_import *import, struct inst_server *server,
                                       const struct inst_import_config *config,
                                       char token[INST_UUID_TEXT + 1], struct inst_err *err) {
    struct inst_err why = {0};
    enum inst_status st = make(import, server, config, token, &why);
    if (st == INST_OK)
        return st;
    if (why.type == NULL || strcmp(why.type, "record-not-unique") != 0 || config->app_id == NULL) {
        inst_err_move(err, &why);
        return st;
    }
    inst_err_clear(&why);
    token[0] = 0;
    st = inst_app_get(server, config->app_id, &import->app, err);
    return st == INST_OK ? resume(import, err) : st;
}

enum inst_status inst_import_begin(struct inst_server *server,
                                   const struct inst_import_config *config,
                                   struct inst_import **out, char token[INST_UUID_TEXT + 1],
                                   struct inst_err *err) {
    struct inst_import *import = calloc(1, sizeof *import);
    if (import == NULL)
        return inst_err_nomem(err);
    import->problem = config->problem;
    import->ctx = config->ctx;
    import->drop_sessions = config->drop_sessions;
    inst_arena_init(&import->kept);
    inst_arena_init(&import->line);
    inst_buf_init(&import->rest);
    inst_buf_init(&import->etype);
    inst_buf_init(&import->position);
    enum inst_status st = make_or_resume(import, server, config, token, err);
    inst_arena_reset(&server->scratch);
    if (st != INST_OK) {
        inst_import_free(import);
        return st;
    }
    *out = import;
    return INST_OK;
}

const char *inst_import_app_id(const struct inst_import *import) { return import->app->info.id; }

const char *inst_import_position(const struct inst_import *import) {
    return import->position.data != NULL ? import->position.data : "";
}

/* ---- one entity ---- */

/* Does an entity without a value have a null (transactions.md 8.1)? */
static bool wants_null(const struct inst_attr *attr) {
    return attr->is_indexed && !attr->is_system && !attr->is_ref && !inst_attr_is_id(attr);
}

static enum inst_status load(struct inst_import *import, uint32_t e, const char *id,
                             const struct inst_attr *attr, const struct inst_value *v, uint32_t ref,
                             int64_t t, struct inst_err *err) {
    static const struct inst_value null = {.tag = INST_NULL};
    struct inst_err why = {0};
    enum inst_status st = inst_tx_load(&import->tx, e, attr, v, ref, t, &why);
    if (st == INST_OK) {
        import->counts.triples++;
        return INST_OK;
    }
    if (!is_refusal(&why)) {
        inst_err_move(err, &why);
        return st;
    }
    report(import, id, why.message);
    inst_err_clear(&why);
    return wants_null(attr) && v->tag != INST_NULL ? load(import, e, id, attr, &null, 0, t, err)
                                                   : INST_OK;
}

static enum inst_status load_link(struct inst_import *import, uint32_t e, const char *id,
                                  const struct inst_attr *attr, const struct inst_value *target,
                                  int64_t t, struct inst_err *err) {
    struct inst_uuid uuid;
    uint32_t ref;
    bool is_new;
    if (target->tag != INST_STRING || !inst_uuid_parse(target->u.str, target->len, &uuid)) {
        report(import, id, "a link must be the id of an entity");
        return INST_OK;
    }
    enum inst_status st =
        import->app->db->db_ops->make_entity(import->app->db, &uuid, &ref, &is_new, err);
    return st == INST_OK ? load(import, e, id, attr, target, ref, t, err) : st;
}

static enum inst_status load_links(struct inst_import *import, uint32_t e, const char *id,
                                   const struct inst_attr *attr, const struct inst_value *v,
                                   int64_t t, struct inst_err *err) {
    if (v->tag == INST_NULL)
        return INST_OK;
    if (v->tag != INST_ARRAY)
        return load_link(import, e, id, attr, v, t, err);
    if (!attr->is_many && v->len > 1) {
        report(import, id, "more than one link where one may be");
        return INST_OK;
    }
    enum inst_status st = INST_OK;
    for (uint32_t i = 0; i < v->len && st == INST_OK; i++)
        st = load_link(import, e, id, attr, &v->u.items[i], t, err);
    return st;
}

/* Of the other server: encrypted with its key. */
static bool is_foreign_secret(const struct inst_import *import, const struct inst_member *field) {
    static const char secret[] = "encryptedClientSecret";
    return strcmp(import->etype.data, "$oauthClients") == 0 &&
           field->key_len == sizeof secret - 1 && memcmp(field->key, secret, field->key_len) == 0;
}

static enum inst_status load_field(struct inst_import *import, uint32_t e, const char *id,
                                   const struct inst_member *field, int64_t t,
                                   struct inst_err *err) {
    char message[128];
    const struct inst_attr *attr =
        inst_attrs_forward(import->tx.catalog->attrs, import->etype.data, import->etype.len,
                           field->key, field->key_len);
    if (attr == import->id_attr)
        return INST_OK;
    if (is_foreign_secret(import, field)) {
        report(import, id, "its client secret has to be entered again");
        return INST_OK;
    }
    if (attr == NULL) {
        snprintf(message, sizeof message, "no attribute %.*s",
                 field->key_len < 80 ? (int)field->key_len : 80, field->key);
        report(import, id, message);
        return INST_OK;
    }
    return attr->is_ref ? load_links(import, e, id, attr, &field->value, t, err)
                        : load(import, e, id, attr, &field->value, 0, t, err);
}

/* Nulls for what it does not have. */
static enum inst_status load_nulls(struct inst_import *import, uint32_t e, const char *id,
                                   const struct inst_value *entity, int64_t t,
                                   struct inst_err *err) {
    const struct inst_attr *const *blobs;
    size_t count =
        inst_attrs_blobs(import->tx.catalog->attrs, import->etype.data, import->etype.len, &blobs);
    struct inst_value null = inst_null();
    enum inst_status st = INST_OK;
    for (size_t i = 0; i < count && st == INST_OK; i++) {
        const struct inst_attr *attr = blobs[i];
        if (wants_null(attr) &&
            inst_get(entity, attr->forward.label.u.str, attr->forward.label.len) == NULL)
            st = load(import, e, id, attr, &null, 0, t, err);
    }
    return st;
}

static enum inst_status load_entity(struct inst_import *import, const struct inst_uuid *uuid,
                                    const struct inst_value *entity, int64_t t,
                                    struct inst_err *err) {
    struct inst_app_db *db = import->app->db;
    char id[INST_UUID_TEXT + 1];
    uint32_t e;
    bool is_new, is_known = false;
    struct inst_triple triple;
    inst_uuid_print(uuid, id);
    enum inst_status st = db->db_ops->make_entity(db, uuid, &e, &is_new, err);
    if (st == INST_OK && !is_new) /* a link named it before, or it is of another etype too */
        st = inst_tx_read(&import->tx, e, import->id_attr, &triple, &is_known, err);
    if (st != INST_OK)
        return st;
    if (is_known) {
        report(import, id, "there twice; the first one stays");
        return INST_OK;
    }
    struct inst_value text = inst_cstring(id);
    if ((st = load(import, e, id, import->id_attr, &text, e, t, err)) != INST_OK)
        return st;
    for (uint32_t i = 0; i < entity->len && st == INST_OK; i++)
        st = load_field(import, e, id, &entity->u.members[i], t, err);
    if (st == INST_OK)
        st = load_nulls(import, e, id, entity, t, err);
    import->counts.entities++;
    return st;
}

static enum inst_status take_line(struct inst_import *import, const char *bytes, size_t len,
                                  struct inst_err *err) {
    struct inst_value line, *no_object = NULL;
    struct inst_err why = {0};
    struct inst_uuid uuid;
    import->line_number++;
    while (len > 0 && (bytes[len - 1] == '\r' || bytes[len - 1] == ' '))
        len--;
    if (len == 0 || import->is_skipped)
        return INST_OK;
    inst_arena_reset(&import->line);
    if (inst_json_parse(&import->line, bytes, len, &line, &why) != INST_OK) {
        report(import, NULL, why.message);
        inst_err_clear(&why);
        return INST_OK;
    }
    const struct inst_value *entity =
        line.tag == INST_OBJECT ? inst_getz(&line, "entity") : no_object;
    const struct inst_value *id = entity != NULL ? inst_get_string(entity, "id") : NULL;
    const struct inst_value *at = entity != NULL ? inst_getz(&line, "createdAt") : NULL;
    if (id == NULL || !inst_uuid_parse(id->u.str, id->len, &uuid)) {
        report(import, NULL, "no entity with an id");
        return INST_OK;
    }
    int64_t t = at != NULL && at->tag == INST_NUMBER && fabs(at->u.num) < 9007199254740992.0
                    ? (int64_t)at->u.num
                    : import->tx.now;
    return load_entity(import, &uuid, entity, t, err);
}

/* ---- a shard ---- */

static bool is_expired(const char *etype) {
    static const char *const names[] = {"$magicCodes", "$oauthCodes", "$oauthRedirects"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(etype, names[i]) == 0)
            return true;
    return false;
}

enum inst_status inst_import_shard(struct inst_import *import, const char *etype, size_t len,
                                   struct inst_err *err) {
    enum inst_status st = open_batch(import, err);
    if (st != INST_OK)
        return st;
    inst_buf_clear(&import->etype);
    inst_buf_add(&import->etype, etype, len);
    inst_buf_clear(&import->rest);
    import->fed = 0;
    import->line_number = 0;
    if (import->etype.failed || import->etype.data == NULL)
        return inst_err_nomem(err);
    import->is_skipped =
        is_expired(import->etype.data) ||
        (import->drop_sessions && strcmp(import->etype.data, "$userRefreshTokens") == 0);
    import->id_attr = inst_attrs_id_attr(import->tx.catalog->attrs, etype, len);
    if (import->id_attr == NULL && !import->is_skipped) {
        report(import, "", "a namespace that the schema does not have; none of it was taken");
        import->is_skipped = true;
    }
    return INST_OK;
}

static enum inst_status keep_rest(struct inst_import *import, const char *bytes, size_t len,
                                  struct inst_err *err) {
    if (import->rest.len + len > INST_JSON_MAX_BYTES)
        return inst_err_set(err, "validation-failed", 400, "%s line %llu is longer than %u bytes.",
                            import->etype.data, (unsigned long long)import->line_number + 1,
                            INST_JSON_MAX_BYTES);
    inst_buf_add(&import->rest, bytes, len);
    return import->rest.failed ? inst_err_nomem(err) : INST_OK;
}

/* An attr that changed its catalog (the kinds of values seen) is another struct. */
static void find_id_attr(struct inst_import *import) {
    if (import->id_attr != NULL)
        import->id_attr =
            inst_attrs_id_attr(import->tx.catalog->attrs, import->etype.data, import->etype.len);
}

enum inst_status inst_import_feed(struct inst_import *import, const char *bytes, size_t len,
                                  struct inst_err *err) {
    bool was_open = import->is_open;
    enum inst_status st = open_batch(import, err);
    if (st == INST_OK && !was_open)
        find_id_attr(import);
    import->fed += len;
    while (st == INST_OK && len > 0) {
        const char *end = memchr(bytes, '\n', len);
        size_t piece = end != NULL ? (size_t)(end - bytes) : len;
        if (end == NULL || import->rest.len > 0)
            st = keep_rest(import, bytes, piece, err);
        if (st == INST_OK && end != NULL) {
            bool is_whole = import->rest.len == 0;
            st = take_line(import, is_whole ? bytes : import->rest.data,
                           is_whole ? piece : import->rest.len, err);
            inst_buf_clear(&import->rest);
            piece++;
        }
        bytes += piece;
        len -= piece;
    }
    return st;
}

enum inst_status inst_import_end(struct inst_import *import, struct inst_err *err) {
    return import->rest.len > 0 ? inst_import_feed(import, "\n", 1, err) : INST_OK;
}

uint64_t inst_import_taken(const struct inst_import *import) {
    return import->fed - import->rest.len;
}

enum inst_status inst_import_names_file(struct inst_import *import, const char *location, bool *out,
                                        struct inst_err *err) {
    struct inst_file_row row;
    enum inst_status st = inst_files_find(import->app, "location-id", location, &row, err);
    *out = st == INST_OK && row.e != 0;
    inst_arena_reset(&import->app->server->scratch);
    return st;
}

enum inst_status inst_import_files(struct inst_import *import,
                                   bool (*fn)(void *ctx, const char *location), void *ctx,
                                   struct inst_err *err) {
    return inst_files_locations(import->app, fn, ctx, err);
}

/* ---- the end of a batch, and of all ---- */

enum inst_status inst_import_commit(struct inst_import *import, const char *position, size_t len,
                                    struct inst_err *err) {
    struct inst_app *app = import->app;
    const struct inst_app_db_ops *ops = app->db->db_ops;
    enum inst_status st = open_batch(import, err);
    if (st != INST_OK)
        return st;
    if ((st = inst_tx_save_kinds(&import->tx, err)) != INST_OK ||
        (st = ops->set_note(app->db, NOTE, position, len, err)) != INST_OK ||
        (st = ops->commit(app->db, err)) != INST_OK)
        return st;
    inst_app_loaded(app, import->tx.catalog);
    close_batch(import);
    inst_buf_clear(&import->position);
    inst_buf_add(&import->position, position, len);
    return import->position.failed ? inst_err_nomem(err) : INST_OK;
}

void inst_import_counts(const struct inst_import *import, struct inst_import_counts *out) {
    *out = import->counts;
}

static void on_setting(void *ctx, const char *message) {
    struct inst_import *import = ctx;
    import->counts.problems++;
    if (import->problem != NULL)
        import->problem(import->ctx, message);
}

enum inst_status inst_import_settings(struct inst_import *import, const struct inst_value *config,
                                      struct inst_err *err) {
    return inst_settings_read(import->app, config, on_setting, import, err);
}

enum inst_status inst_import_finish(struct inst_import *import, struct inst_err *err) {
    enum inst_status st = inst_import_commit(import, "", 0, err);
    if (st == INST_OK)
        st = inst_app_set_status(import->app, INST_APP_ACTIVE, err);
    if (st == INST_OK)
        st = inst_app_set_note(import->app, NOTE, NULL, 0, err);
    return st;
}

void inst_import_free(struct inst_import *import) {
    if (import == NULL)
        return;
    if (import->is_open) {
        struct inst_app *app = import->app;
        app->db->db_ops->rollback(app->db);
        close_batch(import);
        app->db->store.attrs = app->catalog->attrs;
    }
    inst_arena_free(&import->kept);
    inst_arena_free(&import->line);
    inst_buf_free(&import->rest);
    inst_buf_free(&import->etype);
    inst_buf_free(&import->position);
    free(import);
}
