#include "server/view.h"

#include "base/text.h"
#include "server/engine.h"

struct view_filter {
    struct inst_filter *filter; /* NULL: none */
    bool is_exact;
    bool needs_id; /* it follows refs, which lead nowhere from what has no id */
    bool is_made;
};

void inst_view_init(struct inst_view *view, struct inst_app *app, struct inst_rules *rules,
                    const struct inst_viewer *viewer, const struct inst_value *rule_params,
                    struct inst_store *store, struct inst_arena *arena) {
    inst_permissions_init(&view->permissions, app, rules != NULL ? rules : app->rules, viewer,
                          store, arena);
    view->permissions.rule_params = rule_params;
    inst_table_init(&view->seen);
    inst_table_init(&view->filters);
}

void inst_view_release(struct inst_view *view) {
    for (size_t i = 0; i < view->filters.cap; i++) {
        const struct view_filter *own = view->filters.slots[i].value;
        if (own != NULL)
            inst_filter_free(own->filter);
    }
    inst_permissions_release(&view->permissions);
    inst_table_free(&view->seen);
    inst_table_free(&view->filters);
}

/* Without rules only the system's namespaces are watched. */
static bool is_open(const struct inst_view *view, const struct inst_value *etype) {
    bool is_system = etype->len > 0 && etype->u.str[0] == '$';
    return !is_system && inst_rules_code(view->permissions.rules)->len == 0;
}

static struct inst_table_key key_of(const struct inst_view *view, const struct inst_value *etype,
                                    uint32_t e) {
    uint64_t seed = view->permissions.data.seed;
    return (struct inst_table_key){e, inst_text_hash(etype->u.str, etype->len, seed)};
}

/* ---- filters ---- */

static enum inst_status make_filter(struct inst_view *view, const struct inst_value *etype,
                                    struct view_filter *own, struct inst_err *err) {
    struct inst_permissions *p = &view->permissions;
    const struct inst_rule *rule;
    struct inst_cel_where where;
    struct inst_err why = {0};
    enum inst_status st = inst_permissions_rule(p, etype, INST_RULE_VIEW, NULL, &rule, err);
    if (st != INST_OK || rule == NULL)
        return st;
    if ((st = inst_permissions_where(p, rule, etype, &where, err)) != INST_OK)
        return st;
    if (where.kind == INST_CEL_WHERE_NONE || where.kind == INST_CEL_WHERE_ALWAYS)
        return INST_OK;
    own->is_exact = where.is_exact;
    own->needs_id = where.has_refs;
    st = inst_filter_new(etype, where.kind == INST_CEL_WHERE_NEVER ? NULL : &where.where,
                         p->data.store, &own->filter, &why);
    if (st == INST_NOMEM)
        inst_err_move(err, &why);
    inst_err_clear(&why); /* what a query may not ask the rule is asked about, row by row */
    return st == INST_NOMEM ? st : INST_OK;
}

static enum inst_status filter_of(struct inst_view *view, const struct inst_value *etype,
                                  struct view_filter **out, struct inst_err *err) {
    struct inst_table_key key = key_of(view, etype, 0);
    struct view_filter *own = inst_table_get(&view->filters, key);
    if (own == NULL) {
        own = inst_arena_zalloc(view->permissions.data.arena, sizeof *own);
        if (own == NULL || !inst_table_put(&view->filters, key, own))
            return inst_err_nomem(err);
    }
    *out = own;
    if (own->is_made || is_open(view, etype))
        return INST_OK;
    own->is_made = true;
    return make_filter(view, etype, own, err);
}

enum inst_status inst_view_filter(void *ctx, const struct inst_value *etype,
                                  struct inst_filter **out, struct inst_err *err) {
    struct view_filter *own = NULL;
    *out = NULL;
    if (etype->tag != INST_STRING)
        return INST_OK;
    enum inst_status st = filter_of(ctx, etype, &own, err);
    if (st == INST_OK)
        *out = own->filter;
    return st;
}

static bool keep(struct inst_view *view, struct inst_table_key key, bool shows) {
    return inst_table_put(&view->seen, key, inst_table_pack((uintptr_t)shows + 1));
}

enum inst_status inst_view_found(void *ctx, const struct inst_value *etype, uint32_t e,
                                 struct inst_err *err) {
    struct inst_view *view = ctx;
    const struct view_filter *own = inst_table_get(&view->filters, key_of(view, etype, 0));
    if (own == NULL || !own->is_exact)
        return INST_OK;
    if (own->needs_id) {
        enum inst_presence presence = INST_MISSING;
        struct inst_store *store = view->permissions.data.store;
        const struct inst_attr *id = inst_attrs_id_attr(store->attrs, etype->u.str, etype->len);
        enum inst_status st =
            id != NULL ? store->ops->presence(store, e, id, false, &presence, err) : INST_OK;
        if (st != INST_OK || presence != INST_PRESENT)
            return st; /* the rule is asked */
    }
    return keep(view, key_of(view, etype, e), true) ? INST_OK : inst_err_nomem(err);
}

/* ---- asking ---- */

/* 1, 0, -1. */
static int ask(struct inst_view *view, enum inst_rule_action action, const struct inst_attr *attr,
               uint32_t e, struct inst_err *err) {
    struct inst_permissions *p = &view->permissions;
    struct inst_rule_input input = {.etype = attr->forward.etype, .e = e};
    const struct inst_rule *rule;
    struct inst_cel_value value;
    const struct inst_value *label = action == INST_RULE_FIELD ? &attr->forward.label : NULL;
    enum inst_status st = inst_permissions_rule(p, &input.etype, action, label, &rule, err);
    if (st != INST_OK || rule == NULL)
        return st == INST_OK ? 1 : -1;
    st = inst_rule_data_record(&p->data, &input.etype, e, &input.data, err);
    if (st == INST_OK)
        st = inst_permissions_evaluate(p, rule, &input, &value, err);
    return st != INST_OK ? -1 : inst_cel_allows(&value);
}

int inst_view_shows(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple,
                    struct inst_err *err) {
    struct inst_view *view = ctx;
    const struct inst_value *etype = &attr->forward.etype;
    if (is_open(view, etype))
        return 1;
    struct inst_table_key key = key_of(view, etype, triple->e);
    uintptr_t known = inst_table_unpack(inst_table_get(&view->seen, key));
    int shows = (int)known - 1;
    if (known == 0) {
        shows = ask(view, INST_RULE_VIEW, attr, triple->e, err);
        if (shows >= 0 && !keep(view, key, shows == 1))
            return inst_err_nomem(err) == INST_OK ? 0 : -1;
    }
    return shows == 1 ? ask(view, INST_RULE_FIELD, attr, triple->e, err) : shows;
}
