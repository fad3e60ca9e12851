/*
 * kept_queries.c - results on disk: {"q", "lastAccessed", "result": {"store": {"triples",
 * "version"}, "pageInfo", "aggregate", "processedTxId"}}.
 *
 * What is kept is the server's result without pending mutations. The official client keeps the
 * attrs with every result; here they are kept once (persist_start.c), and triples of attrs that are
 * not among them wait until the server has told all.
 */
#include "client/reactor_internal.h"

#include "base/json.h"

#include <stddef.h>
#include <stdlib.h>

#define STORE_VERSION 1

static struct inst_live_query *query_of(struct inst_kept *kept) {
    return (struct inst_live_query *)((char *)kept - offsetof(struct inst_live_query, kept));
}

/* ---- to the disk ---- */

struct triple_writer {
    struct inst_store *store;
    struct inst_buf *out;
    size_t count;
};

static bool write_triple(void *ctx, const struct inst_attr *attr,
                         const struct inst_triple *triple) {
    struct triple_writer *w = ctx;
    if (!attr) {
        return true;
    }
    struct inst_value id = w->store->ops->entity_id(w->store, triple->e);
    inst_buf_add_str(w->out, w->count ? ",[" : "[");
    inst_json_write_string(w->out, id.u.str, id.len);
    inst_buf_add_char(w->out, ',');
    inst_json_write_string(w->out, attr->id.u.str, attr->id.len);
    inst_buf_add_char(w->out, ',');
    inst_json_write(w->out, &triple->v);
    if (triple->t != INST_NO_TIME) {
        inst_buf_add_char(w->out, ',');
        inst_buf_add_int(w->out, triple->t);
    }
    inst_buf_add_char(w->out, ']');
    w->count++;
    return !w->out->failed;
}

static void add_part(struct inst_buf *out, const char *name, const struct inst_value *v) {
    if (v->tag != INST_UNDEFINED) {
        inst_buf_addf(out, ",\"%s\":", name);
        inst_json_write(out, v);
    }
}

static bool save(struct inst_reactor *r, struct inst_kept *kept, struct inst_buf *out,
                 size_t *size) {
    struct inst_live_query *query = query_of(kept);
    struct inst_err err = {0};
    if (!query->has_result || inst_results_bare(query, &err) != INST_OK) {
        inst_err_clear(&err);
        return false;
    }
    inst_buf_add_str(out, "{\"q\":");
    inst_json_write(out, &query->q);
    inst_buf_add_str(out, ",\"lastAccessed\":");
    inst_buf_add_int(out, inst_reactor_now(r));
    inst_buf_addf(out, ",\"result\":{\"store\":{\"version\":%d,\"triples\":", STORE_VERSION);
    if (query->raw.tag == INST_ARRAY) {
        inst_json_write(out, &query->raw);
        *size = query->raw.len;
    } else {
        struct triple_writer w = {inst_mem_store_as_store(query->store), out, 0};
        inst_buf_add_char(out, '[');
        inst_mem_store_each(query->store, write_triple, &w);
        inst_buf_add_char(out, ']');
        *size = w.count;
    }
    inst_buf_add_char(out, '}');
    add_part(out, "pageInfo", &query->page_info);
    add_part(out, "aggregate", &query->aggregate);
    if (query->processed_tx_id) {
        inst_buf_add_str(out, ",\"processedTxId\":");
        inst_buf_add_int(out, query->processed_tx_id);
    }
    inst_buf_add_str(out, "}}");
    return true;
}

/* ---- from the disk ---- */

static bool loaded(struct inst_reactor *r, struct inst_kept *kept, const struct inst_value *value,
                   const struct inst_err *err) {
    struct inst_live_query *query = query_of(kept);
    if (err) {
        inst_reactor_log(r, INST_LOG_WARN, "a kept result cannot be read: %s", err->message);
    }
    if (!value || query->has_result || !r->attrs) {
        return true;
    }
    const struct inst_value *q = inst_getz(value, "q");
    const struct inst_value *store = inst_getz(inst_getz(value, "result"), "store");
    const struct inst_value *version = inst_getz(store, "version");
    if (!q || !version || version->tag != INST_NUMBER || version->u.num != STORE_VERSION) {
        return false;
    }
    if (!inst_value_equal(q, &query->q)) {
        return true; /* another query with the same hash */
    }
    struct inst_err bad = {0};
    enum inst_status status = inst_results_restore(r, query, inst_getz(value, "result"), &bad);
    if (status == INST_OK) {
        inst_queries_touch(r, query);
    } else if (status == INST_NOMEM) {
        inst_reactor_log(r, INST_LOG_WARN, "no memory for a kept result");
    }
    inst_err_clear(&bad);
    return status != INST_FAILED;
}

static const struct inst_kept_ops query_ops = {save, loaded, NULL};

void inst_queries_keep(struct inst_reactor *r, struct inst_live_query *query) {
    query->kept.ops = &query_ops;
    query->kept.key = query->key;
    query->kept.is_of_user = true;
    inst_kept_begin(r, &query->kept, INST_PERSIST_QUERIES);
}

void inst_queries_load(struct inst_reactor *r, struct inst_live_query *query) {
    bool may_load =
        r->persist.state == INST_PERSIST_READY || r->persist.state == INST_PERSIST_BROKEN;
    if (may_load && query->subs.live && !query->has_result) {
        inst_kept_load(r, &query->kept);
    }
}

void inst_queries_load_all(struct inst_reactor *r) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        inst_queries_load(r, query);
    }
}

/* ---- while nothing may be shown yet ---- */

bool inst_queries_are_held(const struct inst_reactor *r) {
    return r->held > 0 || r->persist.state == INST_PERSIST_STARTING;
}

void inst_queries_unhold(struct inst_reactor *r) {
    for (struct inst_live_query *query = r->first_query; query; query = query->next) {
        if (query->is_held_back) {
            query->is_held_back = false;
            inst_queries_touch(r, query);
        }
    }
}
