#include "client/reactor_internal.h"

#include <stdlib.h>

/* ---- from message to store (instaql.md 3.1) ---- */

static bool is_triple(const struct inst_value *v) {
    return v->tag == INST_ARRAY && v->len >= 3 && v->u.items[0].tag == INST_STRING &&
           v->u.items[1].tag == INST_STRING;
}

struct collected {
    struct inst_array_builder triples;
    const struct inst_attrs *attrs;
    bool has_unknown; /* some triple's attr is not in attrs */
    size_t odd;       /* what was no triple */
};

static void collect_rows(struct collected *c, const struct inst_value *rows) {
    for (uint32_t i = 0; i < rows->len; i++) {
        const struct inst_value *row = &rows->u.items[i];
        if (row->tag != INST_ARRAY) {
            c->odd++;
            continue;
        }
        for (uint32_t k = 0; k < row->len; k++) {
            const struct inst_value *triple = &row->u.items[k];
            if (!is_triple(triple)) {
                c->odd++;
                continue;
            }
            const struct inst_value *attr = &triple->u.items[1];
            c->has_unknown = c->has_unknown || !inst_attrs_by_id(c->attrs, attr->u.str, attr->len);
            inst_array_add(&c->triples, *triple);
        }
    }
}

/* Depth first. The JSON reader bounds the depth (INST_JSON_MAX_DEPTH). */
static void collect_nodes(struct collected *c, const struct inst_value *nodes) {
    if (!nodes || nodes->tag != INST_ARRAY) {
        return;
    }
    for (uint32_t i = 0; i < nodes->len; i++) {
        const struct inst_value *node = &nodes->u.items[i];
        const struct inst_value *rows =
            inst_getz(inst_getz(inst_getz(node, "data"), "datalog-result"), "join-rows");
        if (rows && rows->tag == INST_ARRAY) {
            collect_rows(c, rows);
        } else {
            c->odd++;
        }
        collect_nodes(c, inst_getz(node, "child-nodes"));
    }
}

static bool copy_object(struct inst_arena *arena, const struct inst_value *v,
                        struct inst_value *out) {
    if (!v || v->tag != INST_OBJECT) {
        *out = inst_undefined();
        return true;
    }
    return inst_value_dup(arena, v, out);
}

static enum inst_status load(struct inst_reactor *r, const struct inst_value *triples,
                             struct inst_mem_store **out, uint64_t *base, struct inst_err *err) {
    struct inst_mem_options options = {r->use_date_objects};
    struct inst_mem_store *store = NULL;
    enum inst_status status = inst_mem_store_new(r->attrs, options, &store, err);
    if (status == INST_OK) {
        status = inst_mem_store_load(store, triples, err);
    }
    if (status == INST_OK) {
        *base = inst_mem_store_mark(store);
        status = *base ? INST_OK : inst_err_nomem(err);
    }
    if (status != INST_OK) {
        inst_mem_store_free(store);
        return status;
    }
    *out = store;
    return INST_OK;
}

/* The store now stands on the server's attrs and nothing is layered on it. */
static void replace_store(struct inst_reactor *r, struct inst_live_query *query,
                          struct inst_mem_store *store, uint64_t base) {
    inst_mem_store_free(query->store);
    query->store = store;
    query->base = base;
    inst_attrs_unref(query->layer_attrs);
    query->layer_attrs = inst_attrs_ref(r->attrs);
    query->layer_epoch = 0;
    query->layered_seq = 0;
}

/* The result becomes these triples, with what belongs to them (NULL: nothing); all is copied. */
static enum inst_status adopt(struct inst_reactor *r, struct inst_live_query *query,
                              const struct inst_value *triples, bool has_unknown,
                              const struct inst_value *page_info,
                              const struct inst_value *aggregate, int64_t processed_tx_id,
                              struct inst_err *err) {
    struct inst_mem_store *store = NULL;
    uint64_t base = 0;
    enum inst_status status = load(r, triples, &store, &base, err);
    struct inst_arena kept;
    inst_arena_init(&kept);
    struct inst_value own_page_info, own_aggregate, raw = inst_undefined();
    if (status == INST_OK && (!copy_object(&kept, page_info, &own_page_info) ||
                              !copy_object(&kept, aggregate, &own_aggregate) ||
                              (has_unknown && !inst_value_dup(&kept, triples, &raw)))) {
        status = inst_err_nomem(err);
    }
    if (status != INST_OK) {
        inst_mem_store_free(store);
        inst_arena_free(&kept);
        return status;
    }
    inst_arena_free(&query->result_arena);
    query->result_arena = kept;
    query->page_info = own_page_info;
    query->aggregate = own_aggregate;
    query->raw = raw;
    query->processed_tx_id = processed_tx_id;
    query->has_result = true;
    replace_store(r, query, store, base);
    return INST_OK;
}

enum inst_status inst_results_set(struct inst_reactor *r, struct inst_live_query *query,
                                  const struct inst_value *nodes, int64_t processed_tx_id,
                                  struct inst_err *err) {
    if (!r->attrs) {
        return inst_err_set(err, "param-malformed", 0, "A result came before any attrs.");
    }
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct collected c = {.attrs = r->attrs};
    inst_array_begin(&c.triples, &arena);
    collect_nodes(&c, nodes);
    struct inst_value triples;
    const struct inst_value *data = inst_getz(nodes->len ? &nodes->u.items[0] : NULL, "data");
    enum inst_status status = inst_array_end(&c.triples, &triples) ? INST_OK : inst_err_nomem(err);
    if (status == INST_OK) {
        status = adopt(r, query, &triples, c.has_unknown, inst_getz(data, "page-info"),
                       inst_getz(data, "aggregate"), processed_tx_id, err);
    }
    if (status == INST_OK) {
        inst_kept_touch(r, &query->kept);
        if (c.odd) {
            inst_reactor_log(r, INST_LOG_WARN, "%zu parts of a result are no triples", c.odd);
        }
    }
    inst_arena_free(&arena);
    return status;
}

enum inst_status inst_results_restore(struct inst_reactor *r, struct inst_live_query *query,
                                      const struct inst_value *result, struct inst_err *err) {
    const struct inst_value *triples = inst_getz(inst_getz(result, "store"), "triples");
    const struct inst_value *processed = inst_getz(result, "processedTxId");
    if (!triples || triples->tag != INST_ARRAY) {
        return inst_err_set(err, "storage-failed", 0, "it has no triples");
    }
    bool has_unknown = false;
    for (uint32_t i = 0; i < triples->len; i++) {
        const struct inst_value *triple = &triples->u.items[i];
        if (!is_triple(triple)) {
            return inst_err_set(err, "storage-failed", 0, "it holds what is no triple");
        }
        const struct inst_value *attr = &triple->u.items[1];
        has_unknown = has_unknown || !inst_attrs_by_id(r->attrs, attr->u.str, attr->len);
    }
    return adopt(r, query, triples, has_unknown, inst_getz(result, "pageInfo"),
                 inst_getz(result, "aggregate"), inst_messages_tx_id(processed), err);
}

void inst_results_clear(struct inst_live_query *query) {
    inst_mem_store_free(query->store);
    query->store = NULL;
    inst_attrs_unref(query->layer_attrs);
    query->layer_attrs = NULL;
    inst_arena_free(&query->result_arena);
    inst_arena_init(&query->result_arena);
    query->page_info = query->aggregate = query->raw = inst_undefined();
    query->processed_tx_id = 0;
    query->has_result = false;
}

void inst_results_move(struct inst_live_query *to, struct inst_live_query *from) {
    inst_results_clear(to);
    inst_arena_free(&to->result_arena);
    to->result_arena = from->result_arena;
    inst_arena_init(&from->result_arena);
    to->store = from->store;
    to->base = from->base;
    to->page_info = from->page_info;
    to->aggregate = from->aggregate;
    to->raw = from->raw;
    to->processed_tx_id = from->processed_tx_id;
    to->layer_attrs = from->layer_attrs;
    to->layer_epoch = to->layered_seq = 0;
    to->has_result = from->has_result;
    from->store = NULL;
    from->layer_attrs = NULL;
    inst_results_clear(from);
}

void inst_results_attrs_changed(struct inst_reactor *r, struct inst_live_query *query) {
    if (!query->has_result || query->raw.tag != INST_ARRAY) {
        return;
    }
    struct inst_mem_store *store;
    uint64_t base;
    struct inst_err err = {0};
    if (load(r, &query->raw, &store, &base, &err) == INST_OK) {
        replace_store(r, query, store, base);
    } else {
        inst_reactor_log(r, INST_LOG_ERROR, "cannot build a result again: %s", err.message);
    }
    inst_err_clear(&err);
}

/* ---- layers ---- */

/* New attrs come first and by themselves. Steps with a mode are judged by the store as it was
 * before their transaction, where a new attr is unknown and its entity counts as missing: the
 * official client does not show the first value of a new attr of a known entity until the server
 * has it. */
static enum inst_status apply_attrs(struct inst_reactor *r, struct inst_live_query *query,
                                    const struct inst_mutation *m, struct inst_err *err) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_array_builder b;
    inst_array_begin(&b, &arena);
    for (uint32_t i = 0; i < m->steps.len; i++) {
        const struct inst_value *step = &m->steps.u.items[i];
        if (step->tag == INST_ARRAY && step->len && inst_is_string(&step->u.items[0], "add-attr")) {
            inst_array_add(&b, *step);
        }
    }
    struct inst_value steps;
    enum inst_status status =
        inst_array_end(&b, &steps)
            ? inst_transact(query->store, &steps, &r->env, &r->created_at, err)
            : inst_err_nomem(err);
    inst_arena_free(&arena);
    return status;
}

/* A mutation that cannot be applied here (a merge of a link, an unknown step) is left to the
 * server, which will refuse it. */
static enum inst_status apply(struct inst_reactor *r, struct inst_live_query *query,
                              const struct inst_mutation *m, struct inst_err *err) {
    struct inst_err why = {0};
    enum inst_status status = INST_OK;
    if (m->has_attr_steps) {
        status = apply_attrs(r, query, m, &why);
    }
    if (status == INST_OK) {
        status = inst_transact(query->store, &m->steps, &r->env, &r->created_at, &why);
    }
    if (status == INST_NOMEM) {
        inst_err_move(err, &why);
        return status;
    }
    if (status != INST_OK) {
        inst_reactor_log(r, INST_LOG_DEBUG, "not applied locally: %s", why.message);
    }
    inst_err_clear(&why);
    return INST_OK;
}

/* Back to the server's result, as seen through its present attrs. */
static enum inst_status rebase(struct inst_reactor *r, struct inst_live_query *query,
                               struct inst_err *err) {
    enum inst_status status = inst_mem_store_rollback(query->store, query->base, err);
    if (status != INST_OK) {
        return status;
    }
    query->layered_seq = 0;
    query->layer_epoch = 0;
    if (inst_mem_store_as_store(query->store)->attrs != r->attrs) {
        status = inst_mem_store_set_attrs(query->store, r->attrs, false, err);
        if (status != INST_OK) {
            return status;
        }
    }
    if (query->layer_attrs != r->attrs) {
        inst_attrs_unref(query->layer_attrs);
        query->layer_attrs = inst_attrs_ref(r->attrs);
    }
    query->layer_epoch = r->epoch;
    return INST_OK;
}

enum inst_status inst_results_bare(struct inst_live_query *query, struct inst_err *err) {
    if (!query->layered_seq && !query->layer_epoch) {
        return INST_OK;
    }
    query->layered_seq = 0;
    query->layer_epoch = 0;
    return inst_mem_store_rollback(query->store, query->base, err);
}

enum inst_status inst_results_layer(struct inst_reactor *r, struct inst_live_query *query,
                                    struct inst_err *err) {
    enum inst_status status = INST_OK;
    if (query->layer_epoch != r->epoch || query->layer_attrs != r->attrs) {
        status = rebase(r, query, err);
    }
    struct inst_mutation *m = r->last;
    while (m && m->prev && m->prev->seq > query->layered_seq) {
        m = m->prev;
    }
    for (; m && status == INST_OK; m = m->next) {
        if (m->seq <= query->layered_seq) {
            continue;
        }
        if (inst_mutations_apply_to(m, query)) {
            status = apply(r, query, m, err);
        }
        query->layered_seq = m->seq;
    }
    if (status != INST_OK) {
        query->layer_epoch = 0; /* try from the base next time */
    }
    return status;
}

/* ---- from store to result ---- */

void inst_shown_unref(struct inst_shown *shown) {
    if (shown && --shown->refs == 0) {
        inst_arena_free(&shown->arena);
        free(shown);
    }
}

static struct inst_shown *make_shown(const struct inst_value *result) {
    struct inst_shown *shown = malloc(sizeof(*shown));
    if (!shown) {
        return NULL;
    }
    shown->refs = 1;
    inst_arena_init(&shown->arena);
    if (!inst_value_dup(&shown->arena, result, &shown->result)) {
        inst_shown_unref(shown);
        return NULL;
    }
    return shown;
}

enum inst_status inst_results_show(struct inst_reactor *r, struct inst_live_query *query,
                                   struct inst_shown **shown, struct inst_err *err) {
    enum inst_status status = inst_results_layer(r, query, err);
    if (status == INST_OK && !r->collator) {
        status = inst_collator_new(&r->collator, err);
    }
    if (status != INST_OK) {
        return status;
    }
    struct inst_eval_options options = {
        .page_info = query->page_info.tag == INST_OBJECT ? &query->page_info : NULL,
        .aggregate = query->aggregate.tag == INST_OBJECT ? &query->aggregate : NULL,
        .singular_links = r->singular_links.tag == INST_OBJECT ? &r->singular_links : NULL,
        .collator = r->collator,
    };
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value result;
    struct inst_store *store =
        inst_read_attrs_over(&query->reads, inst_mem_store_as_store(query->store));
    status = inst_query_eval(query->prepared, store, &options, &arena, &result, err);
    query->reads.is_all = query->reads.is_all || status != INST_OK;
    if (status == INST_OK) {
        if (query->shown && inst_value_equal(&query->shown->result, &result)) {
            query->shown->refs++;
            *shown = query->shown;
        } else if (!(*shown = make_shown(&result))) {
            status = inst_err_nomem(err);
        }
    }
    inst_arena_free(&arena);
    return status;
}
