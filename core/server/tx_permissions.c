#include "server/tx_permissions.h"

#include "base/json.h"
#include "base/text.h"
#include "instaml/deep_merge.h"
#include "server/engine.h"
#include "server/refusal.h"

#include <string.h>

/* One step of a subject. */
struct step_of {
    struct step_of *next;
    const struct inst_tx_step *step;
};

/* An entity under one etype, as the transaction names it. */
struct subject {
    struct inst_value etype;
    struct inst_value eid; /* uuid text or lookup, as given */
    uint32_t e;            /* 0: not there yet */
    bool exists;           /* has a triple of the etype before the transaction */
    struct step_of *steps, **steps_end;
    struct inst_value params; /* of rule-params steps, merged; UNDEFINED: none */
};

struct inst_tx_check {
    struct inst_tx_check *next;
    const struct inst_rule *rule; /* NULL: none applies */
    enum inst_rule_action action;
    bool is_after; /* once everything is written */
    struct subject *subject;
    struct subject *linked;        /* of LINK and UNLINK */
    const struct inst_value *attr; /* of an add-attr: the attr; then no subject */
};

static enum inst_status nomem(struct inst_err *err) { return inst_err_nomem(err); }

/* ---- subjects ---- */

static struct inst_table_key subject_key(const struct inst_tx *tx, const struct inst_value *eid,
                                         uint32_t e, const struct inst_value *etype, bool *ok) {
    uint64_t of_etype = inst_text_hash(etype->u.str, etype->len, tx->seed);
    struct inst_buf text;
    if (e != 0)
        return (struct inst_table_key){e, of_etype};
    inst_buf_init(&text);
    inst_json_write(&text, eid);
    *ok = *ok && !text.failed;
    uint64_t of_eid =
        text.failed ? 0 : inst_text_hash(text.data, text.len, tx->seed) | UINT64_C(1) << 63;
    inst_buf_free(&text);
    return (struct inst_table_key){of_eid, of_etype};
}

/* Its id, in place of what it was named by. */
static bool name_entity(struct inst_tx *tx, struct subject *subject) {
    struct inst_value id = tx->store->ops->entity_id(tx->store, subject->e);
    return inst_value_dup(tx->arena, &id, &subject->eid);
}

static enum inst_status find_subject(struct inst_tx *tx, const struct inst_value *eid,
                                     const struct inst_value *etype, bool is_value,
                                     struct subject **out, struct inst_err *err) {
    struct inst_tx_permit *permit = tx->permit;
    uint32_t e;
    bool ok = true;
    enum inst_status st = is_value ? inst_tx_resolve_value(tx, eid, false, &e, err)
                                   : inst_tx_resolve(tx, eid, false, &e, err);
    if (st != INST_OK)
        return st;
    struct inst_table_key key = subject_key(tx, eid, e, etype, &ok);
    if (ok && (*out = inst_table_get(&permit->known, key)) != NULL)
        return INST_OK;
    struct subject *made = inst_arena_zalloc(tx->arena, sizeof *made);
    if (!ok || made == NULL || !inst_value_dup(tx->arena, etype, &made->etype) ||
        !inst_table_put(&permit->known, key, made))
        return nomem(err);
    made->eid = *eid;
    made->e = e;
    if (e != 0 && !name_entity(tx, made))
        return nomem(err);
    made->steps_end = &made->steps;
    *out = made;
    return e == 0 ? INST_OK : inst_tx_is_of_etype(tx, &permit->kinds, e, etype, &made->exists, err);
}

static enum inst_status add_step(struct inst_tx *tx, struct subject *subject,
                                 const struct inst_tx_step *step, struct inst_err *err) {
    struct step_of *link = inst_arena_zalloc(tx->arena, sizeof *link);
    if (link == NULL)
        return nomem(err);
    link->step = step;
    *subject->steps_end = link;
    subject->steps_end = &link->next;
    return INST_OK;
}

/* Members of `more` over those of `base`. */
static bool merge(struct inst_arena *arena, const struct inst_value *base,
                  const struct inst_value *more, struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (uint32_t i = 0; base->tag == INST_OBJECT && i < base->len; i++)
        inst_object_add(&b, base->u.members[i].key, base->u.members[i].key_len,
                        base->u.members[i].value);
    for (uint32_t i = 0; more->tag == INST_OBJECT && i < more->len; i++)
        inst_object_add(&b, more->u.members[i].key, more->u.members[i].key_len,
                        more->u.members[i].value);
    return inst_object_end(&b, out);
}

/* Who takes which steps, before any check is made: newData needs all of an entity's. */
static enum inst_status list_subjects(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < tx->count; i++) {
        const struct inst_tx_step *step = &tx->list[i];
        struct subject *subject;
        if (step->op <= INST_TX_RETRACT) {
            struct inst_tx_attr attr = inst_tx_attr_of(tx, step->a);
            if (attr.etype == NULL)
                continue;
            st = find_subject(tx, step->e, attr.etype, false, &subject, err);
            if (st == INST_OK)
                st = add_step(tx, subject, step, err);
        } else if (step->op == INST_TX_RULE_PARAMS) {
            st = find_subject(tx, step->e, &step->raw->u.items[2], false, &subject, err);
            if (st == INST_OK &&
                !merge(tx->arena, &subject->params, &step->raw->u.items[3], &subject->params))
                st = nomem(err);
        }
    }
    return st;
}

/* ---- which checks ---- */

static struct inst_table_key check_key(const struct inst_tx *tx, const struct inst_tx_check *check,
                                       const struct inst_value *label) {
    uint64_t hash = label != NULL ? inst_text_hash(label->u.str, label->len, tx->seed) : 0;
    hash ^= (uint64_t)check->action << 1 | check->is_after;
    return (struct inst_table_key){(uint64_t)(uintptr_t)check->subject,
                                   hash * 31 + (uint64_t)(uintptr_t)check->linked};
}

static enum inst_status add_check(struct inst_tx *tx, const struct inst_tx_check *like,
                                  const struct inst_value *label, struct inst_err *err) {
    struct inst_tx_permit *permit = tx->permit;
    struct inst_table_key key = check_key(tx, like, label);
    if (like->subject != NULL && inst_table_get(&permit->done, key) != NULL)
        return INST_OK;
    struct inst_tx_check *check = inst_arena_alloc(tx->arena, sizeof *check);
    if (check == NULL || (like->subject != NULL && !inst_table_put(&permit->done, key, check)))
        return nomem(err);
    *check = *like;
    *permit->end = check;
    permit->end = &check->next;
    return INST_OK;
}

/* A check of one entity by an action without label. */
static enum inst_status check_entity(struct inst_tx *tx, struct subject *subject,
                                     enum inst_rule_action action, bool is_after,
                                     struct inst_err *err) {
    struct inst_tx_check check = {.action = action, .is_after = is_after, .subject = subject};
    enum inst_status st = inst_permissions_rule(&tx->permit->permissions, &subject->etype, action,
                                                NULL, &check.rule, err);
    return st == INST_OK ? add_check(tx, &check, NULL, err) : st;
}

static enum inst_status check_side(struct inst_tx *tx, struct subject *subject,
                                   struct subject *linked, enum inst_rule_action action,
                                   const struct inst_value *label, const struct inst_rule *rule,
                                   struct inst_err *err) {
    struct inst_tx_check check = {
        .rule = rule,
        .action = action,
        .is_after = !subject->exists,
        .subject = subject,
        .linked = linked,
    };
    /* What does not exist cannot be unlinked from. */
    if (rule == NULL || (check.is_after && action == INST_RULE_UNLINK))
        return INST_OK;
    return add_check(tx, &check, label, err);
}

/* Neither side has a rule for the link: `update` (or `create`) of this one, `view` of the other. */
static enum inst_status check_fallback(struct inst_tx *tx, struct subject *self,
                                       struct subject *other, enum inst_rule_action action,
                                       struct inst_err *err) {
    enum inst_status st = INST_OK;
    bool is_unlink = action == INST_RULE_UNLINK;
    if (self->exists)
        st = check_entity(tx, self, INST_RULE_UPDATE, false, err);
    else if (!is_unlink)
        st = check_entity(tx, self, INST_RULE_CREATE, true, err);
    if (st == INST_OK && other != NULL && (other->exists || !is_unlink))
        st = check_entity(tx, other, INST_RULE_VIEW, !other->exists, err);
    return st;
}

static enum inst_status check_link(struct inst_tx *tx, const struct inst_tx_step *step,
                                   const struct inst_tx_attr *attr, struct inst_err *err) {
    struct inst_permissions *p = &tx->permit->permissions;
    enum inst_rule_action action = step->op == INST_TX_RETRACT ? INST_RULE_UNLINK : INST_RULE_LINK;
    const struct inst_rule *rule = NULL, *reverse_rule = NULL;
    struct subject *self, *other = NULL;
    enum inst_status st = find_subject(tx, step->e, attr->etype, false, &self, err);
    if (st == INST_OK && attr->reverse_etype != NULL)
        st = find_subject(tx, step->v, attr->reverse_etype, true, &other, err);
    if (st == INST_OK)
        st = inst_permissions_rule(p, attr->etype, action, attr->label, &rule, err);
    if (st == INST_OK && attr->reverse_label != NULL)
        st = inst_permissions_rule(p, attr->reverse_etype, action, attr->reverse_label,
                                   &reverse_rule, err);
    if (st != INST_OK)
        return st;
    if (rule == NULL && reverse_rule == NULL)
        return check_fallback(tx, self, other, action, err);
    st = check_side(tx, self, other, action, attr->label, rule, err);
    if (st == INST_OK && other != NULL)
        st = check_side(tx, other, self, action, attr->reverse_label, reverse_rule, err);
    return st;
}

static enum inst_status check_add_attr(struct inst_tx *tx, const struct inst_tx_step *step,
                                       struct inst_err *err) {
    struct inst_value attrs = inst_cstring("attrs");
    struct inst_tx_check check = {.action = INST_RULE_CREATE, .is_after = true, .attr = step->v};
    enum inst_status st = inst_permissions_rule(&tx->permit->permissions, &attrs, INST_RULE_CREATE,
                                                NULL, &check.rule, err);
    return st == INST_OK ? add_check(tx, &check, NULL, err) : st;
}

static enum inst_status check_step(struct inst_tx *tx, const struct inst_tx_step *step,
                                   struct inst_err *err) {
    struct inst_tx_attr attr;
    struct subject *subject;
    enum inst_status st;
    switch (step->op) {
    case INST_TX_ADD_TRIPLE:
    case INST_TX_DEEP_MERGE:
    case INST_TX_RETRACT:
        attr = inst_tx_attr_of(tx, step->a);
        if (attr.etype == NULL)
            return INST_OK;
        if (attr.is_ref)
            return check_link(tx, step, &attr, err);
        if (step->op == INST_TX_RETRACT)
            return INST_OK;
        if ((st = find_subject(tx, step->e, attr.etype, false, &subject, err)) != INST_OK)
            return st;
        return check_entity(tx, subject, subject->exists ? INST_RULE_UPDATE : INST_RULE_CREATE,
                            !subject->exists, err);
    case INST_TX_DELETE_ENTITY: /* what is there is among the expanded ones */
        if (step->etype == NULL)
            return INST_OK;
        st = find_subject(tx, step->e, step->etype, false, &subject, err);
        if (st == INST_OK && subject->e == 0 && inst_tx_is_lookup(step->e))
            return INST_OK; /* deletes nothing */
        return st != INST_OK || subject->exists
                   ? st
                   : check_entity(tx, subject, INST_RULE_DELETE, false, err);
    case INST_TX_ADD_ATTR:
        return check_add_attr(tx, step, err);
    default:
        return INST_OK;
    }
}

static enum inst_status check_deletes(struct inst_tx *tx, struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < tx->deletes.count; i++) {
        const struct inst_tx_member *member = &tx->deletes.items[i];
        struct inst_value id = tx->store->ops->entity_id(tx->store, member->e);
        struct subject *subject;
        if (!inst_value_dup(tx->arena, &id, &id))
            return nomem(err);
        st = find_subject(tx, &id, &member->etype, false, &subject, err);
        if (st == INST_OK)
            st = check_entity(tx, subject, INST_RULE_DELETE, false, err);
    }
    return st;
}

/* ---- what a check is asked with ---- */

static void retract(struct inst_object_builder *b, const struct inst_value *label) {
    inst_object_add(b, label->u.str, label->len, inst_null());
}

/* The value as it will read: a link as the id of its target. */
static struct inst_value written(struct inst_tx *tx, const struct inst_tx_attr *attr,
                                 const struct inst_value *v) {
    uint32_t e;
    if (!attr->is_ref || v->tag != INST_ARRAY)
        return *v;
    if (inst_tx_resolve_value(tx, v, false, &e, NULL) != INST_OK || e == 0)
        return inst_null();
    struct inst_value id = tx->store->ops->entity_id(tx->store, e);
    return inst_value_dup(tx->arena, &id, &id) ? id : inst_null();
}

/* The stored record with all steps of the transaction for it. */
static enum inst_status new_record(struct inst_tx *tx, const struct subject *subject,
                                   const struct inst_value *stored, struct inst_value *out,
                                   struct inst_err *err) {
    struct inst_object_builder b;
    inst_object_begin(&b, tx->arena);
    for (uint32_t i = 0; i < stored->len; i++)
        inst_object_add(&b, stored->u.members[i].key, stored->u.members[i].key_len,
                        stored->u.members[i].value);
    for (const struct step_of *of = subject->steps; of != NULL; of = of->next) {
        const struct inst_tx_step *step = of->step;
        const struct inst_attr *known = inst_tx_attr_by_id(tx, step->a);
        struct inst_tx_attr attr = inst_tx_attr_of(tx, step->a);
        struct inst_value v, now = inst_undefined();
        if (attr.etype == NULL || (known != NULL && known->is_many))
            continue;
        if (step->op == INST_TX_RETRACT) {
            retract(&b, attr.label);
            continue;
        }
        v = written(tx, &attr, step->v);
        if (step->op == INST_TX_DEEP_MERGE) {
            for (uint32_t i = 0; i < b.count; i++)
                if (b.members[i].key_len == attr.label->len &&
                    memcmp(b.members[i].key, attr.label->u.str, attr.label->len) == 0)
                    now = b.members[i].value;
            if (!inst_deep_merge(tx->arena, &now, step->v, &v))
                return nomem(err);
        }
        inst_object_add(&b, attr.label->u.str, attr.label->len, v);
    }
    return inst_object_end(&b, out) ? INST_OK : nomem(err);
}

/* Labels of all add and merge steps but `id`, each once (permissions.md 3.4). */
static enum inst_status modified_fields(struct inst_tx *tx, const struct subject *subject,
                                        struct inst_value *out, struct inst_err *err) {
    struct inst_array_builder b;
    inst_array_begin(&b, tx->arena);
    for (const struct step_of *of = subject->steps; of != NULL; of = of->next) {
        struct inst_tx_attr attr = inst_tx_attr_of(tx, of->step->a);
        bool is_known = attr.label == NULL || inst_is_string(attr.label, "id");
        for (uint32_t i = 0; !is_known && i < b.count; i++)
            is_known = inst_value_equal(&b.items[i], attr.label);
        if (!is_known && of->step->op != INST_TX_RETRACT)
            inst_array_add(&b, *attr.label);
    }
    return inst_array_end(&b, out) ? INST_OK : nomem(err);
}

static struct inst_value actions_of(struct inst_tx *tx, const struct inst_tx_check *check) {
    struct inst_object_builder b;
    struct inst_value out = inst_null();
    inst_object_begin(&b, tx->arena);
    inst_object_addz(&b, "data", inst_cstring(check->subject->exists ? "update" : "create"));
    if (check->linked != NULL)
        inst_object_addz(&b, "linkedData",
                         inst_cstring(check->linked->exists ? "update" : "create"));
    return inst_object_end(&b, &out) ? out : inst_null();
}

/* Values that an input points to. */
struct inputs {
    struct inst_value new_data, fields, actions, params;
};

static enum inst_status fill_linked(struct inst_tx *tx, const struct inst_tx_check *check,
                                    struct inputs *values, struct inst_rule_input *input,
                                    struct inst_err *err) {
    const struct subject *linked = check->linked;
    values->actions = actions_of(tx, check);
    input->actions = &values->actions;
    if (linked == NULL)
        return INST_OK;
    input->linked_etype = linked->etype;
    input->linked_e = linked->e;
    if (linked->params.tag == INST_OBJECT) {
        if (!merge(tx->arena, &linked->params, &check->subject->params, &values->params))
            return nomem(err);
        input->rule_params = &values->params;
    }
    if (linked->e == 0 || (!check->is_after && !linked->exists))
        return INST_OK; /* without a value */
    return inst_rule_data_record(&tx->permit->permissions.data, &linked->etype, linked->e,
                                 &input->linked_data, err);
}

static enum inst_status fill_input(struct inst_tx *tx, const struct inst_tx_check *check,
                                   struct inputs *values, struct inst_rule_input *input,
                                   struct inst_err *err) {
    struct inst_rule_data *data = &tx->permit->permissions.data;
    const struct subject *subject = check->subject;
    bool is_write = check->action == INST_RULE_CREATE || check->action == INST_RULE_UPDATE;
    bool is_link = check->action == INST_RULE_LINK || check->action == INST_RULE_UNLINK;
    *input = (struct inst_rule_input){0};
    if (subject == NULL) {
        input->etype = inst_cstring("attrs");
        input->data = input->new_data = check->attr;
        return INST_OK;
    }
    input->etype = subject->etype;
    input->e = subject->e;
    if (subject->params.tag == INST_OBJECT)
        input->rule_params = &subject->params;
    enum inst_status st =
        inst_rule_data_record(data, &subject->etype, subject->e, &input->data, err);
    if (st == INST_OK && (is_write || is_link)) {
        if (check->is_after)
            values->new_data = *input->data;
        else
            st = new_record(tx, subject, input->data, &values->new_data, err);
        input->new_data = &values->new_data;
    }
    if (st == INST_OK && input->data->len == 0)
        input->data = NULL; /* nothing is there: all keys read as null */
    if (st == INST_OK && is_write &&
        (st = modified_fields(tx, subject, &values->fields, err)) == INST_OK)
        input->modified_fields = &values->fields;
    return st == INST_OK && is_link ? fill_linked(tx, check, values, input, err) : st;
}

/* ---- the phases ---- */

static enum inst_status run_check(struct inst_tx *tx, struct inst_tx_check *check, bool *is_allowed,
                                  struct inst_err *err) {
    struct inst_tx_permit *permit = tx->permit;
    struct inputs values;
    struct inst_tx_verdict verdict = {
        .rule = check->rule,
        .action = check->action,
        .is_attr = check->subject == NULL,
        .etype = check->subject != NULL ? check->subject->etype : inst_cstring("attrs"),
        .eid = check->subject != NULL ? check->subject->eid : inst_null(),
        .value = inst_cel_bool(true),
        .is_allowed = true,
    };
    *is_allowed = true;
    if (check->rule == NULL && permit->report == NULL)
        return INST_OK;
    enum inst_status st = fill_input(tx, check, &values, &verdict.input, err);
    if (st == INST_OK && check->rule != NULL) {
        st = inst_permissions_evaluate(&permit->permissions, check->rule, &verdict.input,
                                       &verdict.value, err);
        verdict.is_allowed = *is_allowed = inst_cel_allows(&verdict.value);
    }
    if (st == INST_OK && permit->report != NULL) {
        *is_allowed = true;
        st = permit->report(permit->report_ctx, &verdict, err);
    }
    return st;
}

static enum inst_status refuse(const struct inst_tx_check *check, struct inst_err *err) {
    if (check->subject == NULL)
        return inst_refuse_permission(err, "attrs", "attr");
    char etype[256];
    size_t len =
        check->subject->etype.len < sizeof etype ? check->subject->etype.len : sizeof etype - 1;
    memcpy(etype, check->subject->etype.u.str, len);
    etype[len] = '\0';
    return inst_refuse_permission(err, etype, "object");
}

static enum inst_status run_phase(struct inst_tx *tx, bool is_after, struct inst_err *err) {
    struct inst_tx_check *denied = NULL;
    for (struct inst_tx_check *check = tx->permit->first; check != NULL; check = check->next) {
        bool is_allowed;
        if (check->is_after != is_after)
            continue;
        enum inst_status st = run_check(tx, check, &is_allowed, err);
        if (st != INST_OK)
            return st;
        if (!is_allowed && denied == NULL)
            denied = check;
    }
    return denied != NULL ? refuse(denied, err) : INST_OK;
}

/* Without rules only the system's namespaces are watched. */
static bool has_nothing_to_check(const struct inst_tx *tx) {
    if (tx->permit->report != NULL || inst_rules_code(tx->permit->permissions.rules)->len > 0 ||
        tx->deletes.count > 0)
        return false;
    for (size_t i = 0; i < tx->count; i++) {
        const struct inst_tx_step *step = &tx->list[i];
        struct inst_tx_attr attr = inst_tx_attr_of(tx, step->a);
        if (step->op <= INST_TX_RETRACT && inst_tx_is_lookup(step->e))
            return false; /* it has to name an entity in the end */
        const struct inst_value *etypes[] = {attr.etype, attr.reverse_etype, step->etype};
        for (size_t k = 0; k < 3; k++)
            if (etypes[k] != NULL && etypes[k]->tag == INST_STRING && etypes[k]->len > 0 &&
                etypes[k]->u.str[0] == '$')
                return false;
    }
    return true;
}

enum inst_status inst_tx_permit_before(struct inst_tx *tx, struct inst_err *err) {
    struct inst_tx_permit *permit = tx->permit;
    enum inst_status st = INST_OK;
    if (permit == NULL)
        return INST_OK;
    permit->end = &permit->first;
    if (has_nothing_to_check(tx))
        return INST_OK;
    st = list_subjects(tx, err);
    for (size_t i = 0; st == INST_OK && i < tx->count; i++)
        st = check_step(tx, &tx->list[i], err);
    if (st == INST_OK)
        st = check_deletes(tx, err);
    return st == INST_OK ? run_phase(tx, false, err) : st;
}

/* What a lookup names once everything is written: a step may have retracted the value that it looks
 * for, and then the entity that it made is not found (transactions.md 10.3). */
static enum inst_status find_made(struct inst_tx *tx, struct subject *subject,
                                  struct inst_err *err) {
    const struct inst_value *lookup = &subject->eid;
    enum inst_status st;
    if (!inst_tx_is_lookup(lookup)) {
        st = inst_tx_resolve(tx, lookup, false, &subject->e, err);
    } else {
        const struct inst_attr *attr = inst_tx_attr_by_id(tx, &lookup->u.items[0]);
        st = attr != NULL && attr->is_unique
                 ? inst_tx_find(tx, attr, &lookup->u.items[1], &subject->e, err)
                 : INST_OK;
    }
    return st == INST_OK && subject->e != 0 && !name_entity(tx, subject) ? nomem(err) : st;
}

/* All of a phase's lookups are looked at before its first rule is asked. */
static enum inst_status refuse_lost(const struct inst_tx *tx, struct inst_err *err) {
    for (const struct inst_tx_check *check = tx->permit->first; check != NULL;
         check = check->next) {
        const struct subject *subject = check->subject;
        if (check->is_after && subject != NULL && subject->e == 0 && subject->steps != NULL &&
            inst_tx_is_lookup(&subject->eid))
            return inst_refuse_validation(err, "lookup", &subject->eid, NULL,
                                          "Could not find the entity for this lookup");
    }
    return INST_OK;
}

enum inst_status inst_tx_permit_after(struct inst_tx *tx, struct inst_err *err) {
    struct inst_tx_permit *permit = tx->permit;
    if (permit == NULL || permit->first == NULL)
        return INST_OK;
    inst_rule_data_forget(&permit->permissions.data);
    for (struct inst_tx_check *check = permit->first; check != NULL; check = check->next) {
        struct subject *both[] = {check->subject, check->linked};
        for (size_t i = 0; i < 2; i++) {
            if (both[i] == NULL || both[i]->e != 0)
                continue;
            enum inst_status st = find_made(tx, both[i], err);
            if (st != INST_OK)
                return st;
        }
    }
    enum inst_status st = refuse_lost(tx, err);
    return st == INST_OK ? run_phase(tx, true, err) : st;
}

void inst_tx_permit_init(struct inst_tx_permit *permit, struct inst_app *app,
                         struct inst_rules *rules, const struct inst_viewer *viewer,
                         struct inst_store *store, struct inst_arena *arena) {
    *permit = (struct inst_tx_permit){0};
    inst_permissions_init(&permit->permissions, app, rules, viewer, store, arena);
    inst_table_init(&permit->known);
    inst_table_init(&permit->done);
    inst_table_init(&permit->kinds);
}

void inst_tx_permit_release(struct inst_tx_permit *permit) {
    inst_permissions_release(&permit->permissions);
    inst_table_free(&permit->known);
    inst_table_free(&permit->done);
    inst_table_free(&permit->kinds);
}
