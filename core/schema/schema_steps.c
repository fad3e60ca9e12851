#include "base/uuid.h"
#include "schema/schema_diff.h"
#include "schema/validation.h"

/* ---- txs to steps ---- */

struct maker {
    struct inst_arena *arena;
    const struct inst_env *env;
    const struct inst_value *attrs;
    struct inst_array_builder steps;
    bool failed; /* out of memory */
};

static struct inst_value new_id(struct maker *m) {
    char *text = inst_arena_alloc(m->arena, INST_UUID_TEXT + 1);
    if (!text) {
        m->failed = true;
        return inst_undefined();
    }
    inst_uuid_make_text(m->env, text);
    return inst_string(text, INST_UUID_TEXT);
}

static struct inst_value list(struct maker *m, const struct inst_value *items, size_t count) {
    struct inst_array_builder b;
    struct inst_value out = inst_undefined();
    inst_array_begin(&b, m->arena);
    for (size_t i = 0; i < count; i++) {
        inst_array_add(&b, items[i]);
    }
    m->failed = !inst_array_end(&b, &out) || m->failed;
    return out;
}

static struct inst_value end_object(struct maker *m, struct inst_object_builder *b) {
    struct inst_value out = inst_undefined();
    m->failed = !inst_object_end(b, &out) || m->failed;
    return out;
}

static void add_step(struct maker *m, const struct inst_value *op, struct inst_value params) {
    struct inst_value step[2] = {*op, params};
    inst_array_add(&m->steps, list(m, step, 2));
}

/* [id, namespace, label] of a {namespace, attrName}; null when there is no name. */
static struct inst_value identity(struct maker *m, struct inst_value id,
                                  const struct inst_value *name) {
    if (!name || name->tag != INST_OBJECT) {
        return inst_null();
    }
    struct inst_value parts[3] = {id, *inst_getz(name, "namespace"), *inst_getz(name, "attrName")};
    return list(m, parts, 3);
}

static const struct inst_value *attr_of(struct maker *m, const struct inst_value *name) {
    const struct inst_value *etype = inst_getz(name, "namespace");
    const struct inst_value *label = inst_getz(name, "attrName");
    for (uint32_t i = 0; m->attrs->tag == INST_ARRAY && i < m->attrs->len; i++) {
        const struct inst_value *attr = &m->attrs->u.items[i];
        const struct inst_value *ident = inst_getz(attr, "forward-identity");
        if (ident && ident->tag == INST_ARRAY && ident->len == 3 &&
            inst_value_same(&ident->u.items[1], etype) &&
            inst_value_same(&ident->u.items[2], label) && inst_get_string(attr, "id")) {
            return attr;
        }
    }
    return NULL;
}

static void copy(struct inst_object_builder *to, const struct inst_value *from, const char *key) {
    const struct inst_value *v = inst_getz(from, key);
    if (v) {
        inst_object_addz(to, key, *v);
    }
}

/* The job that switches a constraint on, for an attr that this plan makes. */
static void add_job(struct maker *m, const struct inst_value *tx, const char *flag, const char *job,
                    struct inst_value id, struct inst_value forward) {
    struct inst_object_builder b;
    struct inst_value op = inst_cstring(job);
    if (!inst_get_true(tx, flag)) {
        return;
    }
    inst_object_begin(&b, m->arena);
    inst_object_addz(&b, "attr-id", id);
    inst_object_addz(&b, "forward-identity", forward);
    add_step(m, &op, end_object(m, &b));
}

/* A new attr comes without its constraints, which existing data has to be checked against. */
static void add_attr(struct maker *m, const struct inst_value *tx) {
    struct inst_object_builder b;
    struct inst_value id = new_id(m);
    struct inst_value forward = identity(m, id, inst_getz(tx, "identifier"));
    const struct inst_value *reverse = inst_getz(tx, "reverse-identity");
    inst_object_begin(&b, m->arena);
    inst_object_addz(&b, "forward-identity", forward);
    inst_object_addz(&b, "reverse-identity",
                     reverse ? identity(m, new_id(m), reverse) : inst_null());
    inst_object_addz(&b, "inferred-types", inst_null());
    copy(&b, tx, "value-type");
    inst_object_addz(&b, "id", id);
    copy(&b, tx, "cardinality");
    inst_object_addz(&b, "index?", inst_bool(false));
    inst_object_addz(&b, "required?", inst_bool(false));
    inst_object_addz(&b, "unique?", inst_bool(false));
    inst_object_addz(&b, "catalog", inst_cstring("user"));
    copy(&b, tx, "on-delete");
    copy(&b, tx, "on-delete-reverse");
    copy(&b, tx, "checked-data-type");
    add_step(m, inst_getz(tx, "type"), end_object(m, &b));
    add_job(m, tx, "unique?", "unique", id, forward);
    add_job(m, tx, "required?", "required", id, forward);
    add_job(m, tx, "index?", "index", id, forward);
}

static void update_attr(struct maker *m, const struct inst_value *tx,
                        const struct inst_value *attr) {
    static const char *const names[] = {"forward-identity", "reverse-identity"};
    const struct inst_value *partial = inst_getz(tx, "partialAttr");
    const struct inst_value *id = inst_get_string(attr, "id");
    struct inst_object_builder b;
    inst_object_begin(&b, m->arena);
    inst_object_addz(&b, "id", *id);
    for (size_t i = 0; i < 2; i++) {
        const struct inst_value *name = inst_getz(partial, names[i]);
        if (name) {
            inst_object_addz(&b, names[i], identity(m, *id, name));
        }
    }
    copy(&b, partial, "cardinality");
    copy(&b, partial, "on-delete");
    copy(&b, partial, "on-delete-reverse");
    add_step(m, inst_getz(tx, "type"), end_object(m, &b));
}

static void change_attr(struct maker *m, const struct inst_value *tx,
                        const struct inst_value *attr) {
    struct inst_object_builder b;
    inst_object_begin(&b, m->arena);
    inst_object_addz(&b, "attr-id", *inst_getz(attr, "id"));
    copy(&b, tx, "checked-data-type");
    copy(&b, attr, "forward-identity");
    add_step(m, inst_getz(tx, "type"), end_object(m, &b));
}

static enum inst_status add_tx(struct maker *m, const struct inst_value *tx, struct inst_err *err) {
    const struct inst_value *type = inst_getz(tx, "type"), *name = inst_getz(tx, "identifier");
    if (inst_is_string(type, "add-attr")) {
        add_attr(m, tx);
        return INST_OK;
    }
    const struct inst_value *attr = attr_of(m, name);
    if (!attr) {
        return inst_err_set(err, "validation-failed", 400, "Attribute %.*s.%.*s not found",
                            INST_TEXT(inst_getz(name, "namespace")),
                            INST_TEXT(inst_getz(name, "attrName")));
    }
    if (inst_is_string(type, "delete-attr")) {
        add_step(m, type, *inst_getz(attr, "id"));
    } else if (inst_is_string(type, "update-attr")) {
        update_attr(m, tx, attr);
    } else {
        change_attr(m, tx, attr);
    }
    return INST_OK;
}

enum inst_status inst_schema_steps(struct inst_arena *arena, const struct inst_value *txs,
                                   const struct inst_value *attrs, const struct inst_env *env,
                                   struct inst_value *out, struct inst_err *err) {
    struct maker m = {.arena = arena, .env = env, .attrs = attrs};
    enum inst_status status = INST_OK;
    inst_array_begin(&m.steps, arena);
    for (uint32_t i = 0; status == INST_OK && i < txs->len; i++) {
        status = add_tx(&m, &txs->u.items[i], err);
    }
    if (status == INST_OK && (!inst_array_end(&m.steps, out) || m.failed)) {
        status = inst_err_nomem(err);
    }
    return status;
}

/* ---- steps in sentences ---- */

/* `posts.title` of [id, "posts", "title"]; false when it is none. */
static bool add_name(struct inst_buf *buf, const struct inst_value *ident) {
    if (!ident || ident->tag != INST_ARRAY || ident->len != 3 ||
        ident->u.items[1].tag != INST_STRING || ident->u.items[2].tag != INST_STRING) {
        return false;
    }
    inst_buf_add(buf, ident->u.items[1].u.str, ident->u.items[1].len);
    inst_buf_add_char(buf, '.');
    inst_buf_add(buf, ident->u.items[2].u.str, ident->u.items[2].len);
    return true;
}

static void add_name_of(struct inst_buf *buf, const struct inst_value *attrs,
                        const struct inst_value *id) {
    for (uint32_t i = 0; attrs->tag == INST_ARRAY && i < attrs->len; i++) {
        const struct inst_value *own = inst_get_string(&attrs->u.items[i], "id");
        if (own && inst_value_same(own, id) &&
            add_name(buf, inst_getz(&attrs->u.items[i], "forward-identity"))) {
            return;
        }
    }
    if (id->tag == INST_STRING) {
        inst_buf_add(buf, id->u.str, id->len);
    }
}

static void describe_add(struct inst_buf *buf, const struct inst_value *attr) {
    const struct inst_value *forward = inst_getz(attr, "forward-identity");
    const struct inst_value *reverse = inst_getz(attr, "reverse-identity");
    const struct inst_value *type = inst_getz(attr, "value-type");
    bool is_ref = type && inst_is_string(type, "ref");
    bool is_id = forward && forward->tag == INST_ARRAY && forward->len == 3 &&
                 inst_is_string(&forward->u.items[2], "id");
    inst_buf_add_str(buf, is_ref ? "Link " : is_id ? "Create new entity " : "Add attribute ");
    add_name(buf, forward);
    if (is_ref) {
        inst_buf_add_str(buf, " to ");
        add_name(buf, reverse);
    }
}

void inst_schema_describe(struct inst_buf *buf, const struct inst_value *step,
                          const struct inst_value *attrs) {
    static const struct {
        const char *op, *before, *after;
    } sentences[] = {
        {"index", "Add index to ", ""},
        {"remove-index", "Remove index from ", ""},
        {"unique", "Ensure that ", " is unique"},
        {"remove-unique", "Remove uniqueness constraint from ", ""},
        {"required", "Make ", " a required attribute"},
        {"remove-required", "Allow ", " to be missing or null"},
        {"check-data-type", "Enforce data type of ", " as type "},
        {"remove-data-type", "Stop enforcing data type of ", ""},
        {"update-attr", "Update attribute ", ""},
        {"delete-attr", "Delete attribute ", ""},
    };
    static const struct inst_value none = {0};
    const struct inst_value *op = &step->u.items[0], *params = &step->u.items[1];
    if (inst_is_string(op, "add-attr")) {
        describe_add(buf, params);
    }
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++) {
        if (!inst_is_string(op, sentences[i].op)) {
            continue;
        }
        inst_buf_add_str(buf, sentences[i].before);
        if (!add_name(buf, inst_getz(params, "forward-identity"))) {
            const struct inst_value *id =
                params->tag == INST_STRING ? params : inst_getz(params, "id");
            add_name_of(buf, attrs, id ? id : &none);
        }
        inst_buf_add_str(buf, sentences[i].after);
    }
    const struct inst_value *type = inst_get_string(params, "checked-data-type");
    if (type && inst_is_string(op, "check-data-type")) {
        inst_buf_add(buf, type->u.str, type->len);
    }
    inst_buf_add_char(buf, '.');
}
