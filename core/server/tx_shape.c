#include "server/tx.h"

#include "base/json.h"
#include "base/text.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <ctype.h>
#include <stdio.h>

static const char *const op_names[INST_TX_OPS] = {
    "add-triple", "deep-merge-triple", "retract-triple", "delete-entity", "rule-params",
    "add-attr",   "update-attr",       "delete-attr",    "restore-attr",
};

/* ---- uuids in lower case, wherever they stand (transactions.md 7 step 1) ---- */

static bool is_upper_uuid(const struct inst_value *v) {
    struct inst_uuid uuid;
    bool is_upper = false;
    if (v->tag != INST_STRING || v->len != INST_UUID_TEXT)
        return false;
    for (uint32_t i = 0; i < v->len; i++)
        is_upper = is_upper || (v->u.str[i] >= 'A' && v->u.str[i] <= 'F');
    return is_upper && inst_uuid_parse(v->u.str, v->len, &uuid);
}

static bool has_upper_uuid(const struct inst_value *v) {
    if (v->tag == INST_ARRAY) {
        for (uint32_t i = 0; i < v->len; i++)
            if (has_upper_uuid(&v->u.items[i]))
                return true;
    } else if (v->tag == INST_OBJECT) {
        for (uint32_t i = 0; i < v->len; i++)
            if (has_upper_uuid(&v->u.members[i].value))
                return true;
    }
    return is_upper_uuid(v);
}

/* Copies what it changes and all that holds it. */
static bool lower_uuids(struct inst_arena *arena, struct inst_value *v) {
    if (v->tag == INST_STRING) {
        if (!is_upper_uuid(v))
            return true;
        char *text = inst_arena_dup(arena, v->u.str, v->len);
        if (text == NULL)
            return false;
        for (uint32_t i = 0; i < v->len; i++)
            text[i] = (char)tolower((unsigned char)text[i]);
        v->u.str = text;
    } else if (v->tag == INST_ARRAY) {
        struct inst_value *items = inst_arena_alloc(arena, v->len * sizeof *items);
        if (items == NULL)
            return false;
        memcpy(items, v->u.items, v->len * sizeof *items);
        for (uint32_t i = 0; i < v->len; i++)
            if (!lower_uuids(arena, &items[i]))
                return false;
        v->u.items = items;
    } else if (v->tag == INST_OBJECT) {
        struct inst_member *members = inst_arena_alloc(arena, v->len * sizeof *members);
        if (members == NULL)
            return false;
        memcpy(members, v->u.members, v->len * sizeof *members);
        for (uint32_t i = 0; i < v->len; i++)
            if (!lower_uuids(arena, &members[i].value))
                return false;
        v->u.members = members;
    }
    return true;
}

/* ---- attrs as this transaction leaves them ---- */

static struct inst_table_key id_key(const struct inst_tx *tx, const struct inst_value *id) {
    return (struct inst_table_key){inst_text_hash(id->u.str, id->len, tx->seed),
                                   inst_text_hash(id->u.str, id->len, ~tx->seed)};
}

static const struct inst_value *identity_part(const struct inst_value *attr, const char *key,
                                              uint32_t part) {
    const struct inst_value *identity = inst_getz(attr, key);
    if (identity == NULL || identity->tag != INST_ARRAY || identity->len <= part ||
        identity->u.items[part].tag != INST_STRING)
        return NULL;
    return &identity->u.items[part];
}

struct inst_tx_attr inst_tx_attr_of(const struct inst_tx *tx, const struct inst_value *attr_id) {
    struct inst_tx_attr out = {0};
    bool is_ref = false;
    if (attr_id == NULL || attr_id->tag != INST_STRING)
        return out;
    const struct inst_attr *attr =
        inst_attrs_by_id(tx->catalog->attrs, attr_id->u.str, attr_id->len);
    if (attr != NULL) {
        out.etype = &attr->forward.etype;
        out.label = &attr->forward.label;
        is_ref = attr->is_ref;
        if (attr->reverse.etype.tag == INST_STRING) {
            out.reverse_etype = &attr->reverse.etype;
            out.reverse_label = &attr->reverse.label;
        }
        out.is_system = attr->is_system;
    }
    const struct inst_value *step =
        tx->attr_steps.count > 0 ? inst_table_get(&tx->attr_steps, id_key(tx, attr_id)) : NULL;
    if (step == NULL) {
        out.is_ref = is_ref;
        if (!is_ref)
            out.reverse_etype = out.reverse_label = NULL;
        return out;
    }
    if (step->tag != INST_OBJECT) /* delete-attr */
        return (struct inst_tx_attr){0};
    if (identity_part(step, "forward-identity", 2) != NULL) {
        out.etype = identity_part(step, "forward-identity", 1);
        out.label = identity_part(step, "forward-identity", 2);
    }
    if (identity_part(step, "reverse-identity", 1) != NULL)
        out.reverse_etype = identity_part(step, "reverse-identity", 1);
    if (identity_part(step, "reverse-identity", 2) != NULL)
        out.reverse_label = identity_part(step, "reverse-identity", 2);
    const struct inst_value *type = inst_getz(step, "value-type");
    if (type != NULL && type->tag == INST_STRING)
        is_ref = inst_is_string(type, "ref");
    out.is_ref = is_ref;
    if (!is_ref)
        out.reverse_etype = out.reverse_label = NULL;
    return out;
}

/* ---- shape ---- */

bool inst_tx_is_lookup(const struct inst_value *v) { return v->tag == INST_ARRAY; }

static bool is_uuid(const struct inst_value *v) {
    struct inst_uuid uuid;
    return v != NULL && v->tag == INST_STRING && inst_uuid_parse(v->u.str, v->len, &uuid);
}

bool inst_tx_is_value_lookup(const struct inst_value *v) {
    return v->tag == INST_ARRAY && v->len == 2 && is_uuid(&v->u.items[0]);
}

static enum inst_status refuse_shape(const struct inst_tx *tx, struct inst_err *err,
                                     const char *expected, const char *in) {
    struct inst_buf more;
    inst_buf_init(&more);
    inst_buf_addf(&more, "\"expected\":%s,\"in\":%s", expected, in);
    enum inst_status st =
        more.failed ? inst_err_nomem(err)
                    : inst_refuse_validation(err, "tx-steps", &tx->steps, more.data, NULL);
    inst_buf_free(&more);
    return st;
}

/* As refuse_shape with `in` of up to three parts; part2 is JSON text or NULL. */
static enum inst_status refuse_at(const struct inst_tx *tx, struct inst_err *err,
                                  const char *expected, size_t step, int part1, const char *part2) {
    char in[160];
    if (part1 < 0)
        snprintf(in, sizeof in, "[%zu]", step);
    else if (part2 == NULL)
        snprintf(in, sizeof in, "[%zu,%d]", step, part1);
    else
        snprintf(in, sizeof in, "[%zu,%d,%s]", step, part1, part2);
    return refuse_shape(tx, err, expected, in);
}

static bool find_op(const struct inst_value *name, enum inst_tx_op *op) {
    for (int i = 0; i < INST_TX_OPS; i++) {
        if (inst_is_string(name, op_names[i])) {
            *op = (enum inst_tx_op)i;
            return true;
        }
    }
    return false;
}

/* A lookup on an id attr needs a uuid value. */
static enum inst_status check_id_lookup(const struct inst_tx *tx, const struct inst_value *lookup,
                                        const struct inst_value *step, size_t index, int part,
                                        struct inst_err *err) {
    if (lookup->len == 0)
        return INST_OK;
    struct inst_tx_attr attr = inst_tx_attr_of(tx, &lookup->u.items[0]);
    if (attr.label == NULL || !inst_is_string(attr.label, "id"))
        return INST_OK;
    if (lookup->len > 1 && is_uuid(&lookup->u.items[1]))
        return INST_OK;
    struct inst_buf text, more;
    inst_buf_init(&text);
    inst_buf_init(&more);
    inst_write_readable(&text, lookup);
    inst_buf_addf(&more, "\"in\":[%zu,%d]", index, part);
    enum inst_status st =
        text.failed || more.failed
            ? inst_err_nomem(err)
            : inst_refuse_validation(err, "tx-steps", step, more.data,
                                     "Invalid lookup '%s'. The lookup attribute is '%.*s.%.*s', "
                                     "but the lookup value is not a valid UUID.",
                                     text.data, (int)attr.etype->len, attr.etype->u.str,
                                     (int)attr.label->len, attr.label->u.str);
    inst_buf_free(&text);
    inst_buf_free(&more);
    return st;
}

static enum inst_status check_entity_id(const struct inst_tx *tx, size_t index,
                                        struct inst_err *err) {
    const struct inst_value *step = &tx->steps.u.items[index];
    enum inst_tx_op op;
    if (step->len < 2 || !find_op(&step->u.items[0], &op) || op > INST_TX_DELETE_ENTITY)
        return INST_OK;
    const struct inst_value *e = &step->u.items[1];
    if (!is_uuid(e) && !inst_tx_is_lookup(e)) {
        struct inst_buf text, more;
        inst_buf_init(&text);
        inst_buf_init(&more);
        inst_write_readable(&text, e);
        inst_buf_addf(&more, "\"in\":[%zu,1]", index);
        enum inst_status st =
            text.failed || more.failed
                ? inst_err_nomem(err)
                : inst_refuse_validation(err, "tx-steps", &tx->steps, more.data,
                                         "Invalid entity ID '%s'. Entity IDs must be UUIDs. Use "
                                         "id() or lookup() to generate a valid UUID.",
                                         text.data);
        inst_buf_free(&text);
        inst_buf_free(&more);
        return st;
    }
    enum inst_status st = INST_OK;
    if (inst_tx_is_lookup(e))
        st = check_id_lookup(tx, e, step, index, 1, err);
    if (st == INST_OK && step->len > 3 && op != INST_TX_DELETE_ENTITY &&
        inst_tx_is_value_lookup(&step->u.items[3]))
        st = check_id_lookup(tx, &step->u.items[3], step, index, 3, err);
    return st;
}

static enum inst_status check_lookup(const struct inst_tx *tx, const struct inst_value *e,
                                     size_t index, struct inst_err *err) {
    if (e->tag != INST_ARRAY)
        return is_uuid(e) ? INST_OK : refuse_at(tx, err, "\"uuid?\"", index, 1, NULL);
    if (e->len != 2)
        return refuse_at(tx, err, "\"(= (count %) 2)\"", index, 1, NULL);
    if (!is_uuid(&e->u.items[0]))
        return refuse_at(tx, err, "\"uuid?\"", index, 1, "0");
    return INST_OK;
}

static enum inst_status check_opts(const struct inst_tx *tx, const struct inst_value *opts,
                                   size_t index, struct inst_tx_step *out, struct inst_err *err) {
    if (inst_is_nullish(opts))
        return INST_OK;
    if (opts->tag != INST_OBJECT)
        return refuse_at(tx, err, "\"map?\"", index, 4, NULL);
    const struct inst_value *mode = inst_getz(opts, "mode");
    if (mode == NULL)
        return INST_OK;
    if (inst_is_string(mode, "create"))
        out->mode = INST_TX_CREATE;
    else if (inst_is_string(mode, "update"))
        out->mode = INST_TX_UPDATE;
    else if (!inst_is_string(mode, "upsert"))
        return refuse_at(tx, err, "[\"create\",\"update\",\"upsert\"]", index, 4, "\"mode\"");
    return INST_OK;
}

static enum inst_status shape_triple(struct inst_tx *tx, const struct inst_value *step,
                                     size_t index, struct inst_tx_step *out, struct inst_err *err) {
    enum inst_status st;
    uint32_t most = out->op == INST_TX_RETRACT ? 4 : 5;
    if (step->len < 2)
        return refuse_at(tx, err, "\"instant.db.model.triple/lookup\"", index, -1, NULL);
    if ((st = check_lookup(tx, &step->u.items[1], index, err)) != INST_OK)
        return st;
    if (step->len < 3)
        return refuse_at(tx, err, "\"instant.db.model.triple/attr-id\"", index, -1, NULL);
    if (!is_uuid(&step->u.items[2]))
        return refuse_at(tx, err, "\"uuid?\"", index, 2, NULL);
    if (step->len < 4)
        return refuse_at(tx, err, "\"instant.db.model.triple/value\"", index, -1, NULL);
    if (step->len > most)
        return refuse_at(tx, err, "\"cat\"", index, (int)most, NULL);
    out->e = &step->u.items[1];
    out->a = &step->u.items[2];
    out->v = &step->u.items[3];
    return step->len == 5 ? check_opts(tx, &step->u.items[4], index, out, err) : INST_OK;
}

static enum inst_status shape_entity(struct inst_tx *tx, const struct inst_value *step,
                                     size_t index, struct inst_tx_step *out, struct inst_err *err) {
    bool has_params = out->op == INST_TX_RULE_PARAMS;
    enum inst_status st;
    if (step->len < 2)
        return refuse_at(tx, err, "\"instant.db.model.triple/lookup\"", index, -1, NULL);
    if ((st = check_lookup(tx, &step->u.items[1], index, err)) != INST_OK)
        return st;
    out->e = &step->u.items[1];
    uint32_t next = 2;
    if (step->len > next && step->u.items[next].tag == INST_STRING)
        out->etype = &step->u.items[next++];
    else if (!has_params && step->len > next && inst_is_nullish(&step->u.items[next]))
        next++; /* clients without an etype send null */
    if (has_params) {
        if (step->len <= next || step->u.items[next].tag != INST_OBJECT)
            return refuse_at(tx, err, "\"map?\"", index, (int)next, NULL);
        out->v = &step->u.items[next++];
    }
    if (step->len > next)
        return refuse_at(tx, err, next == 2 ? "\"string?\"" : "\"cat\"", index, (int)next, NULL);
    return INST_OK;
}

static enum inst_status check_identity(const struct inst_tx *tx, const struct inst_value *identity,
                                       const char *key, size_t index, struct inst_err *err) {
    char in[64];
    snprintf(in, sizeof in, "\"%s\"", key);
    static const char *const parts[] = {"\"uuid?\"", "\"instant.db.model.attr/etype\"",
                                        "\"instant.db.model.attr/label\""};
    if (identity->tag != INST_ARRAY)
        return refuse_at(tx, err, "\"coll?\"", index, 1, in);
    for (uint32_t i = 0; i < 3; i++) {
        const struct inst_value *part = i < identity->len ? &identity->u.items[i] : NULL;
        bool is_right =
            i == 0 ? is_uuid(part) : part != NULL && part->tag == INST_STRING && part->len > 0;
        if (!is_right)
            return refuse_at(tx, err, parts[i], index, 1, in);
    }
    return identity->len == 3 ? INST_OK : refuse_at(tx, err, "\"cat\"", index, 1, in);
}

static bool is_one_of(const struct inst_value *v, const char *const *words) {
    for (; *words != NULL; words++)
        if (inst_is_string(v, *words))
            return true;
    return false;
}

/* One named member of an attr: absent is fine unless it is needed. */
static enum inst_status check_member(const struct inst_tx *tx, const struct inst_value *attr,
                                     const char *key, bool is_needed, const char *const *words,
                                     const char *expected, size_t index, struct inst_err *err) {
    const struct inst_value *v = inst_getz(attr, key);
    char text[96];
    if (v == NULL || (!is_needed && v->tag == INST_NULL)) {
        if (!is_needed)
            return INST_OK;
        snprintf(text, sizeof text, "\"(contains? %% :%s)\"", key);
        return refuse_at(tx, err, text, index, 1, NULL);
    }
    bool is_right =
        words != NULL ? is_one_of(v, words) : v->tag == INST_TRUE || v->tag == INST_FALSE;
    if (is_right)
        return INST_OK;
    snprintf(text, sizeof text, "\"%s\"", key);
    return refuse_at(tx, err, expected, index, 1, text);
}

static enum inst_status shape_attr(struct inst_tx *tx, const struct inst_value *step, size_t index,
                                   struct inst_tx_step *out, struct inst_err *err) {
    static const char *const value_types[] = {"blob", "ref", NULL};
    static const char *const cardinalities[] = {"one", "many", NULL};
    static const char *const checked[] = {"string", "number", "boolean", "date", NULL};
    static const char *const cascades[] = {"cascade", NULL};
    const char *const boolean = "\"boolean?\"";
    bool is_new = out->op == INST_TX_ADD_ATTR;
    if (step->len < 2 || step->u.items[1].tag != INST_OBJECT)
        return refuse_at(tx, err, "\"map?\"", index, step->len < 2 ? -1 : 1, NULL);
    if (step->len > 2)
        return refuse_at(tx, err, "\"cat\"", index, 2, NULL);
    const struct inst_value *attr = out->v = &step->u.items[1];
    const struct inst_value *id = out->a = inst_getz(attr, "id");
    const struct inst_value *forward = inst_getz(attr, "forward-identity");
    const struct inst_value *reverse = inst_getz(attr, "reverse-identity");
    enum inst_status st;
    if (is_new && !is_one_of(inst_getz(attr, "value-type") != NULL ? inst_getz(attr, "value-type")
                                                                   : &tx->steps,
                             value_types))
        return refuse_at(tx, err, "\"instant.db.model.attr/value-type\"", index, 1, NULL);
    if (id == NULL)
        return refuse_at(tx, err, "\"(contains? % :id)\"", index, 1, NULL);
    if (!is_uuid(id))
        return refuse_at(tx, err, "\"uuid?\"", index, 1, "\"id\"");
    if (is_new && forward == NULL)
        return refuse_at(tx, err, "\"(contains? % :forward-identity)\"", index, 1, NULL);
    if (forward != NULL && (is_new || forward->tag != INST_NULL) &&
        (st = check_identity(tx, forward, "forward-identity", index, err)) != INST_OK)
        return st;
    bool is_ref = inst_getz(attr, "value-type") != NULL &&
                  inst_is_string(inst_getz(attr, "value-type"), "ref");
    if (is_new && is_ref && (reverse == NULL || reverse->tag == INST_NULL))
        return refuse_at(tx, err, "\"(contains? % :reverse-identity)\"", index, 1, NULL);
    if (reverse != NULL && reverse->tag != INST_NULL &&
        (st = check_identity(tx, reverse, "reverse-identity", index, err)) != INST_OK)
        return st;
    if ((st = check_member(tx, attr, "value-type", is_new, value_types, "[\"blob\",\"ref\"]", index,
                           err)) != INST_OK ||
        (st = check_member(tx, attr, "cardinality", is_new, cardinalities, "[\"one\",\"many\"]",
                           index, err)) != INST_OK ||
        (st = check_member(tx, attr, "unique?", is_new, NULL, boolean, index, err)) != INST_OK ||
        (st = check_member(tx, attr, "index?", is_new, NULL, boolean, index, err)) != INST_OK ||
        (st = check_member(tx, attr, "required?", false, NULL, boolean, index, err)) != INST_OK ||
        (st = check_member(tx, attr, "checked-data-type", false, checked,
                           "[\"string\",\"number\",\"boolean\",\"date\"]", index, err)) !=
            INST_OK ||
        (st = check_member(tx, attr, "on-delete", false, cascades, "[\"cascade\"]", index, err)) !=
            INST_OK ||
        (st = check_member(tx, attr, "on-delete-reverse", false, cascades, "[\"cascade\"]", index,
                           err)) != INST_OK)
        return st;
    return INST_OK;
}

static enum inst_status shape_step(struct inst_tx *tx, size_t index, struct inst_tx_step *out,
                                   struct inst_err *err) {
    const struct inst_value *step = &tx->steps.u.items[index];
    *out = (struct inst_tx_step){.raw = step};
    if (step->len == 0 || !find_op(&step->u.items[0], &out->op))
        return refuse_at(tx, err, "[\"restore-attr\"]", index, 0, NULL);
    switch (out->op) {
    case INST_TX_ADD_TRIPLE:
    case INST_TX_DEEP_MERGE:
    case INST_TX_RETRACT:
        return shape_triple(tx, step, index, out, err);
    case INST_TX_DELETE_ENTITY:
    case INST_TX_RULE_PARAMS:
        return shape_entity(tx, step, index, out, err);
    case INST_TX_ADD_ATTR:
    case INST_TX_UPDATE_ATTR:
        return shape_attr(tx, step, index, out, err);
    default:
        if (step->len < 2 || !is_uuid(&step->u.items[1]))
            return refuse_at(tx, err, "\"uuid?\"", index, step->len < 2 ? -1 : 1, NULL);
        if (step->len > 2)
            return refuse_at(tx, err, "\"cat\"", index, 2, NULL);
        out->a = &step->u.items[1];
        return INST_OK;
    }
}

/* Remembers what add-, update- and delete-attr steps will make of their attrs. */
static bool note_attr_steps(struct inst_tx *tx) {
    for (uint32_t i = 0; i < tx->steps.len; i++) {
        const struct inst_value *step = &tx->steps.u.items[i];
        enum inst_tx_op op;
        if (step->tag != INST_ARRAY || step->len < 2 || !find_op(&step->u.items[0], &op))
            continue;
        const struct inst_value *v = &step->u.items[1];
        const struct inst_value *id = v;
        if (op == INST_TX_ADD_ATTR || op == INST_TX_UPDATE_ATTR)
            id = v->tag == INST_OBJECT ? inst_getz(v, "id") : NULL;
        else if (op != INST_TX_DELETE_ATTR)
            continue;
        if (id == NULL || id->tag != INST_STRING)
            continue;
        if (!inst_table_put(&tx->attr_steps, id_key(tx, id), (void *)v))
            return false;
    }
    return true;
}

enum inst_status inst_tx_shape(struct inst_tx *tx, const struct inst_value *steps,
                               struct inst_err *err) {
    tx->steps = steps != NULL ? *steps : inst_null();
    if (tx->steps.tag != INST_ARRAY)
        return refuse_shape(tx, err, "\"coll?\"", "[]");
    if (tx->steps.len > INST_SERVER_MAX_STEPS)
        return inst_refuse_too_many_steps(err, tx->steps.len);
    if (has_upper_uuid(&tx->steps) && !lower_uuids(tx->arena, &tx->steps))
        return inst_err_nomem(err);
    for (uint32_t i = 0; i < tx->steps.len; i++)
        if (tx->steps.u.items[i].tag != INST_ARRAY)
            return refuse_at(tx, err, "\"coll?\"", i, -1, NULL);
    if (!note_attr_steps(tx))
        return inst_err_nomem(err);
    enum inst_status st;
    for (uint32_t i = 0; i < tx->steps.len; i++)
        if ((st = check_entity_id(tx, i, err)) != INST_OK)
            return st;
    tx->list = inst_arena_alloc(tx->arena, (tx->steps.len + 1) * sizeof *tx->list);
    if (tx->list == NULL)
        return inst_err_nomem(err);
    for (uint32_t i = 0; i < tx->steps.len; i++)
        if ((st = shape_step(tx, i, &tx->list[i], err)) != INST_OK)
            return st;
    tx->count = tx->steps.len;
    return INST_OK;
}
