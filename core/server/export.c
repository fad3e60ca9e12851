#include "server/export.h"

#include "base/date.h"
#include "base/json.h"
#include "schema/api_schema.h"
#include "server/app_settings.h"
#include "server/files.h"

#include <stdlib.h>

struct shard {
    const struct inst_attr *id_attr;
    uint64_t count;
};

struct inst_export {
    struct inst_app *app;
    struct inst_catalog *catalog; /* a reference: what the shards point into */
    struct shard *shards;
    size_t count;
    struct inst_cursor cursor; /* over the id triples of the shard at hand */
    bool is_reading;
    const struct inst_attr *id_attr;
};

/* ---- beginning ---- */

static int by_name(const void *a, const void *b) {
    const struct inst_value *x = &((const struct shard *)a)->id_attr->forward.etype;
    const struct inst_value *y = &((const struct shard *)b)->id_attr->forward.etype;
    size_t common = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->u.str, y->u.str, common);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static uint64_t count_of(struct inst_app *app, const struct inst_attr *attr) {
    struct inst_scan scan = {.attr = attr};
    return app->db->store.ops->estimate(&app->db->store, &scan, SIZE_MAX);
}

static enum inst_status find_shards(struct inst_export *exported, struct inst_err *err) {
    struct inst_attrs *attrs = exported->catalog->attrs;
    size_t attr_count = inst_attrs_count(attrs);
    exported->shards = calloc(attr_count + 1, sizeof *exported->shards);
    if (exported->shards == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < attr_count; i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        if (!inst_attr_is_id(attr))
            continue;
        uint64_t count = count_of(exported->app, attr);
        if (!attr->is_system || count > 0)
            exported->shards[exported->count++] = (struct shard){attr, count};
    }
    qsort(exported->shards, exported->count, sizeof *exported->shards, by_name);
    return INST_OK;
}

enum inst_status inst_export_begin(struct inst_server *server, const char *app_id,
                                   struct inst_export **out, struct inst_err *err) {
    struct inst_app *app;
    enum inst_status st = inst_app_get(server, app_id, &app, err);
    if (st != INST_OK)
        return st;
    inst_app_commit(app);
    struct inst_export *exported = calloc(1, sizeof *exported);
    if (exported == NULL)
        return inst_err_nomem(err);
    exported->app = app;
    exported->catalog = inst_catalog_ref(app->catalog);
    if ((st = find_shards(exported, err)) != INST_OK) {
        inst_export_free(exported);
        return st;
    }
    *out = exported;
    return INST_OK;
}

/* ---- config.json ---- */

static void write_counts(const struct inst_export *exported, struct inst_buf *out) {
    inst_buf_add_str(out, ",\"counts\":{");
    for (size_t i = 0; i < exported->count; i++) {
        inst_buf_add_str(out, i > 0 ? "," : "");
        inst_json_write(out, &exported->shards[i].id_attr->forward.etype);
        inst_buf_addf(out, ":%llu", (unsigned long long)exported->shards[i].count);
    }
    inst_buf_add_char(out, '}');
}

static uint64_t triples(const struct inst_export *exported) {
    uint64_t sum = 0;
    for (size_t i = 0; i < inst_attrs_count(exported->catalog->attrs); i++)
        sum += count_of(exported->app, inst_attrs_at(exported->catalog->attrs, i));
    return sum;
}

enum inst_status inst_export_config(struct inst_export *exported, struct inst_buf *out,
                                    struct inst_err *err) {
    struct inst_app *app = exported->app;
    struct inst_arena *scratch = &app->server->scratch;
    struct inst_rules *rules;
    struct inst_value api, schema,
        title = inst_cstring(app->info.title),
        at = inst_date((double)app->server->env->now_ms(app->server->env->ctx));
    enum inst_status st;
    if ((st = inst_app_rules(app, &rules, err)) != INST_OK ||
        (st = inst_api_schema(scratch, exported->catalog->attrs, INST_REF_KEY_LIST, &api, err)) !=
            INST_OK ||
        (st = inst_api_schema_read(scratch, &api, &schema, err)) != INST_OK)
        return st;
    inst_buf_add_str(out, "{\"title\":");
    inst_json_write(out, &title);
    inst_buf_addf(out, ",\"appId\":\"%s\",\"backupAt\":", app->info.id);
    inst_json_write(out, &at);
    inst_buf_addf(out, ",\"isn\":\"%lld\",\"description\":null", (long long)app->last_tx);
    write_counts(exported, out);
    inst_buf_addf(out, ",\"tripleCount\":%llu,\"schema\":", (unsigned long long)triples(exported));
    inst_json_write(out, &schema);
    inst_buf_add_str(out, ",\"rules\":");
    inst_json_write(out, inst_rules_code(rules));
    inst_buf_add_char(out, ',');
    st = inst_settings_write(app, out, err);
    inst_buf_add_char(out, '}');
    return st == INST_OK && out->failed ? inst_err_nomem(err) : st;
}

/* ---- shards ---- */

size_t inst_export_etypes(const struct inst_export *exported) { return exported->count; }

const struct inst_value *inst_export_etype(const struct inst_export *exported, size_t i) {
    return &exported->shards[i].id_attr->forward.etype;
}

uint64_t inst_export_entities(const struct inst_export *exported, size_t i) {
    return exported->shards[i].count;
}

static void stop_reading(struct inst_export *exported) {
    if (exported->is_reading)
        exported->app->db->store.ops->close(&exported->cursor);
    exported->is_reading = false;
}

enum inst_status inst_export_shard(struct inst_export *exported, size_t i, struct inst_err *err) {
    struct inst_store *store = &exported->app->db->store;
    stop_reading(exported);
    exported->id_attr = exported->shards[i].id_attr;
    struct inst_scan scan = {.attr = exported->id_attr};
    enum inst_status st = store->ops->scan(store, &scan, &exported->cursor, err);
    exported->is_reading = st == INST_OK;
    return st;
}

/* One entity on its way: its triples come sorted by attr. */
struct line {
    struct inst_export *exported;
    struct inst_buf *out;
    const struct inst_attr *list; /* whose links are being written; NULL: none */
};

static void write_id(struct inst_export *exported, struct inst_buf *out, uint32_t e) {
    struct inst_store *store = &exported->app->db->store;
    struct inst_value id = store->ops->entity_id(store, e);
    inst_json_write(out, &id);
}

static bool write_field(void *ctx, uint32_t row, const struct inst_triple *triple) {
    struct line *line = ctx;
    struct inst_export *exported = line->exported;
    const struct inst_attr *attr = inst_catalog_at_row(exported->catalog, row);
    if (attr == NULL || attr == exported->id_attr ||
        !inst_value_equal(&attr->forward.etype, &exported->id_attr->forward.etype))
        return true;
    bool goes_on = line->list == attr;
    if (line->list != NULL && !goes_on) {
        inst_buf_add_char(line->out, ']');
        line->list = NULL;
    }
    inst_buf_add_char(line->out, ',');
    if (!goes_on) {
        inst_json_write(line->out, &attr->forward.label);
        inst_buf_add_str(line->out, attr->is_ref && attr->is_many ? ":[" : ":");
        line->list = attr->is_ref && attr->is_many ? attr : NULL;
    }
    if (attr->is_ref)
        write_id(exported, line->out, triple->ref);
    else
        inst_json_write(line->out, &triple->v);
    return true;
}

static enum inst_status write_line(struct inst_export *exported, uint32_t e, int64_t t,
                                   struct inst_buf *out, struct inst_err *err) {
    struct inst_app_db *db = exported->app->db;
    struct line line = {.exported = exported, .out = out};
    inst_buf_add_str(out, "{\"entity\":{\"id\":");
    write_id(exported, out, e);
    enum inst_status st = db->db_ops->each_of(db, e, write_field, &line, err);
    inst_buf_addf(out, "%s},\"createdAt\":%lld}\n", line.list != NULL ? "]" : "", (long long)t);
    return st != INST_OK ? st : out->failed ? inst_err_nomem(err) : INST_OK;
}

enum inst_status inst_export_lines(struct inst_export *exported, size_t about, struct inst_buf *out,
                                   bool *more, struct inst_err *err) {
    struct inst_app_db *db = exported->app->db;
    size_t end = out->len + about;
    enum inst_status st = INST_OK;
    struct inst_triple triple;
    *more = exported->is_reading;
    while (st == INST_OK && *more && out->len < end) {
        int found = db->store.ops->next(&exported->cursor, &triple, err);
        if (found < 0)
            return INST_FAILED;
        if (found == 1)
            st = write_line(exported, triple.e, triple.t, out, err);
        else
            stop_reading(exported);
        *more = exported->is_reading;
    }
    db->db_ops->trim(db);
    return st;
}

/* ---- files ---- */

enum inst_status inst_export_files(struct inst_export *exported,
                                   bool (*fn)(void *ctx, const char *location), void *ctx,
                                   struct inst_err *err) {
    return inst_files_locations(exported->app, fn, ctx, err);
}

void inst_export_free(struct inst_export *exported) {
    if (exported == NULL)
        return;
    stop_reading(exported);
    inst_catalog_unref(exported->catalog);
    free(exported->shards);
    free(exported);
}
