#include "server/checks.h"

#include "base/json.h"
#include "base/text.h"
#include "instaml/deep_merge.h"
#include "server/table.h"

#include <string.h>

struct inst_checks_entity {
    struct inst_checks_entity *next;
    struct inst_value eid; /* uuid text, or a lookup pair that finds nothing yet */
    struct inst_value etype;
    bool exists;
    struct inst_value before; /* its record; UNDEFINED when it does not exist */
    struct inst_object_builder after;
    struct inst_value params; /* of rule-params steps, merged; UNDEFINED: none */
    struct inst_array_builder fields;
};

/* ---- records ---- */

static int first_triple(struct inst_store *store, const struct inst_scan *scan,
                        struct inst_arena *arena, struct inst_triple *out, struct inst_err *err) {
    struct inst_cursor cursor;
    if (store->ops->scan(store, scan, &cursor, err) != INST_OK)
        return -1;
    int got = store->ops->next(&cursor, out, err);
    if (got == 1 && out->ref != 0)
        out->v = store->ops->entity_id(store, out->ref);
    if (got == 1 && !inst_value_dup(arena, &out->v, &out->v)) {
        inst_err_nomem(err);
        got = -1;
    }
    store->ops->close(&cursor);
    return got;
}

enum inst_status inst_checks_record(struct inst_store *store, const struct inst_value *etype,
                                    uint32_t e, struct inst_arena *arena, struct inst_value *out,
                                    struct inst_err *err) {
    const struct inst_attr *const *attrs;
    size_t count = inst_attrs_of(store->attrs, etype->u.str, etype->len, &attrs);
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    for (size_t i = 0; e != 0 && i < count; i++) {
        const struct inst_value *label = &attrs[i]->forward.label;
        struct inst_scan scan = {.attr = attrs[i], .e = e};
        struct inst_triple triple;
        if (attrs[i]->is_many)
            continue;
        int got = first_triple(store, &scan, arena, &triple, err);
        if (got < 0)
            return INST_FAILED;
        if (got == 1)
            inst_object_add(&b, label->u.str, label->len, triple.v);
    }
    return inst_object_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

/* ---- what applies without rules (permissions.md 2.1) ---- */

#define OWN_ROW                                                                                    \
    "auth.id == data.id || (data.linkedPrimaryUser != null && auth.id == data.linkedPrimaryUser)"

static bool is_action(const char *action, const char *const *names) {
    for (; *names != NULL; names++)
        if (strcmp(action, *names) == 0)
            return true;
    return false;
}

static const char *system_rule(const struct inst_value *etype, const char *action) {
    static const char *const own[] = {"view", "update", NULL};
    if (etype->len == 0 || etype->u.str[0] != '$')
        return NULL;
    if (!inst_is_string(etype, "$users"))
        return "false";
    return is_action(action, own) ? OWN_ROW : strcmp(action, "create") == 0 ? "true" : "false";
}

void inst_checks_write_program(struct inst_buf *buf, const struct inst_value *etype,
                               const char *action) {
    static const char *const files[] = {"view", "create", "update", "delete", NULL};
    const char *code = system_rule(etype, action);
    if (code == NULL) {
        inst_buf_add_str(buf, "{}");
        return;
    }
    bool is_named =
        strcmp(code, "false") != 0 || (inst_is_string(etype, "$files") && is_action(action, files));
    inst_buf_addf(buf, "{\"code\":\"%s\",\"display-code\":", code);
    if (is_named)
        inst_buf_addf(buf, "\"%s\"", code);
    else
        inst_buf_addf(buf, "\"disallow_%s_on_system_tables\"", action);
    inst_buf_add_str(buf, ",\"etype\":");
    inst_json_write(buf, etype);
    inst_buf_addf(buf, ",\"action\":\"%s\"}", action);
}

bool inst_checks_allow(const struct inst_viewer *viewer, const struct inst_value *etype,
                       const char *action, const struct inst_value *record) {
    const char *code = system_rule(etype, action);
    if (code == NULL || strcmp(code, "true") == 0)
        return true;
    if (strcmp(code, "false") == 0 || viewer->user[0] == '\0')
        return false;
    const struct inst_value *id = inst_get_string(record, "id");
    const struct inst_value *primary = inst_get_string(record, "linkedPrimaryUser");
    return (id != NULL && inst_is_string(id, viewer->user)) ||
           (primary != NULL && inst_is_string(primary, viewer->user));
}

/* ---- entities ---- */

static struct inst_table_key key_of(const struct inst_value *a, const struct inst_value *b,
                                    const char *word, bool *failed) {
    struct inst_buf text;
    struct inst_table_key key = {0, 0};
    inst_buf_init(&text);
    inst_buf_addf(&text, "%s ", word);
    inst_json_write(&text, a);
    inst_json_write(&text, b);
    if (text.failed)
        *failed = true;
    else
        key = (struct inst_table_key){inst_text_hash(text.data, text.len, 1),
                                      inst_text_hash(text.data, text.len, 2)};
    inst_buf_free(&text);
    return key;
}

static uint32_t entity_of_text(struct inst_store *store, const struct inst_value *id) {
    return id->tag == INST_STRING ? store->ops->entity(store, id->u.str, id->len) : 0;
}

/* The entity that stands in a step, 0 when there is none (yet); *eid is its id once it exists. */
static enum inst_status find_entity(struct inst_checks *checks, const struct inst_value *given,
                                    struct inst_value *eid, uint32_t *e, struct inst_err *err) {
    struct inst_store *store = checks->store;
    struct inst_triple triple;
    *eid = *given;
    *e = entity_of_text(store, given);
    if (given->tag != INST_ARRAY || given->len != 2 || given->u.items[0].tag != INST_STRING)
        return INST_OK;
    const struct inst_attr *attr =
        inst_attrs_by_id(store->attrs, given->u.items[0].u.str, given->u.items[0].len);
    if (attr == NULL) /* the transaction makes it */
        return INST_OK;
    const struct inst_value *v = &given->u.items[1];
    struct inst_scan scan = {.attr = attr};
    if (attr->is_ref || inst_is_string(&attr->forward.label, "id")) {
        scan.ref = entity_of_text(store, v);
        if (scan.ref == 0)
            return INST_OK;
    } else {
        if (v->tag == INST_ARRAY || v->tag == INST_OBJECT)
            return INST_OK;
        scan.has_v = true;
        scan.v = *v;
    }
    int got = first_triple(store, &scan, checks->arena, &triple, err);
    if (got < 0)
        return INST_FAILED;
    if (got == 0)
        return INST_OK;
    *e = triple.e;
    struct inst_value id = store->ops->entity_id(store, triple.e);
    return inst_value_dup(checks->arena, &id, eid) ? INST_OK : inst_err_nomem(err);
}

static enum inst_status entity(struct inst_checks *checks, const struct inst_value *given,
                               const struct inst_value *etype, struct inst_checks_entity **out,
                               struct inst_err *err) {
    struct inst_value eid, record;
    uint32_t e;
    bool failed = false;
    enum inst_status st = find_entity(checks, given, &eid, &e, err);
    if (st != INST_OK)
        return st;
    struct inst_table_key key = key_of(&eid, etype, "entity", &failed);
    if (!failed && (*out = inst_table_get(&checks->known, key)) != NULL)
        return INST_OK;
    struct inst_checks_entity *made = inst_arena_zalloc(checks->arena, sizeof *made);
    if (failed || made == NULL || !inst_table_put(&checks->known, key, made))
        return inst_err_nomem(err);
    if ((st = inst_checks_record(checks->store, etype, e, checks->arena, &record, err)) != INST_OK)
        return st;
    made->eid = eid;
    made->etype = *etype;
    made->exists = record.len > 0;
    if (made->exists)
        made->before = record;
    inst_object_begin(&made->after, checks->arena);
    inst_array_begin(&made->fields, checks->arena);
    for (uint32_t i = 0; i < record.len; i++)
        inst_object_add(&made->after, record.u.members[i].key, record.u.members[i].key_len,
                        record.u.members[i].value);
    *out = made;
    return INST_OK;
}

/* ---- steps ---- */

struct inst_checks_step {
    const struct inst_value *op;
    const struct inst_attr *attr; /* of a triple; else NULL */
    struct inst_checks_entity *self;
    struct inst_checks_entity *other; /* of a link's value; else NULL */
    const struct inst_value *value;
};

static bool is_op(const struct inst_checks_step *step, const char *name) {
    return inst_is_string(step->op, name);
}

static bool is_triple(const struct inst_checks_step *step) {
    return is_op(step, "add-triple") || is_op(step, "deep-merge-triple") ||
           is_op(step, "retract-triple");
}

static const struct inst_value *part(const struct inst_value *step, uint32_t i) {
    static const struct inst_value none;
    return step->len > i ? &step->u.items[i] : &none;
}

static enum inst_status read_step(struct inst_checks *checks, const struct inst_value *raw,
                                  struct inst_checks_step *out, struct inst_err *err) {
    enum inst_status st = INST_OK;
    *out = (struct inst_checks_step){.op = part(raw, 0), .value = part(raw, 3)};
    if (is_triple(out)) {
        const struct inst_value *id = part(raw, 2);
        out->attr = inst_attrs_by_id(checks->attrs, id->u.str, id->len);
        if (out->attr == NULL)
            return INST_OK;
        st = entity(checks, part(raw, 1), &out->attr->forward.etype, &out->self, err);
        if (st == INST_OK && out->attr->is_ref)
            st = entity(checks, out->value, &out->attr->reverse.etype, &out->other, err);
    } else if (is_op(out, "delete-entity") || is_op(out, "rule-params")) {
        st = entity(checks, part(raw, 1), part(raw, 2), &out->self, err);
    } else {
        out->value = part(raw, 1);
    }
    return st;
}

static bool has_field(const struct inst_checks_entity *self, const struct inst_value *label) {
    for (uint32_t i = 0; i < self->fields.count; i++)
        if (inst_value_same(&self->fields.items[i], label))
            return true;
    return false;
}

/* What the entity comes to, as far as rules are shown it. */
static enum inst_status apply(struct inst_checks *checks, const struct inst_checks_step *step,
                              struct inst_err *err) {
    struct inst_checks_entity *self = step->self;
    if (self == NULL)
        return INST_OK;
    if (is_op(step, "rule-params")) {
        if (self->params.tag == INST_OBJECT &&
            !inst_deep_merge(checks->arena, &self->params, step->value, &self->params))
            return inst_err_nomem(err);
        self->params = self->params.tag == INST_OBJECT ? self->params : *step->value;
        return INST_OK;
    }
    if (step->attr == NULL || is_op(step, "retract-triple"))
        return INST_OK;
    const struct inst_value *label = &step->attr->forward.label;
    struct inst_value v = *step->value;
    if (is_op(step, "deep-merge-triple")) {
        struct inst_value now = inst_undefined();
        for (uint32_t i = 0; i < self->after.count; i++)
            if (self->after.members[i].key_len == label->len &&
                memcmp(self->after.members[i].key, label->u.str, label->len) == 0)
                now = self->after.members[i].value;
        if (!inst_deep_merge(checks->arena, &now, step->value, &v))
            return inst_err_nomem(err);
    }
    inst_object_add(&self->after, label->u.str, label->len, v);
    if (!inst_is_string(label, "id") && !has_field(self, label))
        inst_array_add(&self->fields, *label);
    return self->after.failed || self->fields.failed ? inst_err_nomem(err) : INST_OK;
}

/* ---- checks ---- */

static void write_or_null(struct inst_buf *buf, const struct inst_value *v) {
    if (v->tag == INST_UNDEFINED)
        inst_buf_add_str(buf, "null");
    else
        inst_json_write(buf, v);
}

static void write_bindings(struct inst_buf *buf, const struct inst_checks_entity *self,
                           const char *action, const struct inst_value *record) {
    struct inst_value after = inst_object(self->after.members, self->after.count);
    inst_buf_add_str(buf, "{\"data\":");
    write_or_null(buf, record);
    if (strcmp(action, "delete") != 0) {
        inst_buf_add_str(buf, ",\"new-data\":");
        inst_json_write(buf, &after);
    }
    inst_buf_add_str(buf, ",\"rule-params\":");
    write_or_null(buf, &self->params);
    if (strcmp(action, "update") == 0 || strcmp(action, "create") == 0) {
        struct inst_value fields = inst_array(self->fields.items, self->fields.count);
        inst_buf_add_str(buf, ",\"modified-fields\":");
        inst_json_write(buf, &fields);
    }
    inst_buf_add_char(buf, '}');
}

static enum inst_status add_check(struct inst_checks *checks, struct inst_checks_entity *self,
                                  const char *action, const struct inst_value *eid,
                                  const struct inst_value *record, struct inst_err *err) {
    struct inst_buf *buf = &checks->json;
    bool failed = false;
    struct inst_table_key key = key_of(&self->eid, &self->etype, action, &failed);
    if (!failed && inst_table_get(&checks->known, key) != NULL)
        return INST_OK; /* each check once */
    if (failed || !inst_table_put(&checks->known, key, checks))
        return inst_err_nomem(err);
    bool is_allowed = inst_checks_allow(checks->viewer, &self->etype, action, record);
    checks->all_ok = checks->all_ok && is_allowed;
    if (checks->count++ > 0)
        inst_buf_add_char(buf, ',');
    inst_buf_addf(buf, "{\"scope\":\"object\",\"action\":\"%s\",\"etype\":", action);
    inst_json_write(buf, &self->etype);
    inst_buf_add_str(buf, ",\"eid\":");
    inst_json_write(buf, eid);
    inst_buf_add_str(buf, ",\"program\":");
    inst_checks_write_program(buf, &self->etype, action);
    inst_buf_add_str(buf, ",\"bindings\":");
    write_bindings(buf, self, action, record);
    inst_buf_addf(buf, ",\"check-result\":%s,\"check-pass?\":%s}", is_allowed ? "true" : "false",
                  is_allowed ? "true" : "false");
    return buf->failed ? inst_err_nomem(err) : INST_OK;
}

/* Attrs may be made by everybody, and changed by admins, whom nobody checks. */
static enum inst_status add_attr_check(struct inst_checks *checks,
                                       const struct inst_checks_step *step, struct inst_err *err) {
    struct inst_buf *buf = &checks->json;
    bool is_made = is_op(step, "add-attr");
    checks->all_ok = checks->all_ok && is_made;
    if (checks->count++ > 0)
        inst_buf_add_char(buf, ',');
    inst_buf_addf(buf, "{\"scope\":\"attr\",\"action\":\"%s\",\"etype\":\"attrs\",\"program\":{}",
                  is_made ? "create" : "delete");
    if (is_made) {
        inst_buf_add_str(buf, ",\"bindings\":{\"data\":");
        inst_json_write(buf, step->value);
        inst_buf_add_char(buf, '}');
    }
    inst_buf_addf(buf, ",\"check-result\":%s,\"check-pass?\":%s}", is_made ? "true" : "false",
                  is_made ? "true" : "false");
    return buf->failed ? inst_err_nomem(err) : INST_OK;
}

static enum inst_status check_before(struct inst_checks *checks,
                                     const struct inst_checks_step *step, struct inst_err *err) {
    struct inst_checks_entity *self = step->self, *other = step->other;
    enum inst_status st = INST_OK;
    if (is_op(step, "delete-attr"))
        return add_attr_check(checks, step, err);
    if (self == NULL || is_op(step, "rule-params"))
        return INST_OK;
    if (is_op(step, "delete-entity"))
        return add_check(checks, self, "delete", &self->eid, &self->before, err);
    if (self->exists && (other != NULL || !is_op(step, "retract-triple")))
        st = add_check(checks, self, "update", &self->eid, &self->before, err);
    if (st == INST_OK && other != NULL && other->exists)
        st = add_check(checks, other, "view", &other->eid, &other->before, err);
    return st;
}

/* The id of what a lookup made, with the transaction's writes in the store. */
static enum inst_status made_id(struct inst_checks *checks, const struct inst_checks_entity *self,
                                struct inst_value *id, struct inst_err *err) {
    uint32_t e;
    *id = self->eid;
    return self->eid.tag == INST_STRING ? INST_OK : find_entity(checks, &self->eid, id, &e, err);
}

static enum inst_status check_new(struct inst_checks *checks, struct inst_checks_entity *self,
                                  const char *action, struct inst_err *err) {
    struct inst_value id;
    enum inst_status st = made_id(checks, self, &id, err);
    if (st != INST_OK)
        return st;
    inst_object_addz(&self->after, "id", id);
    if (self->after.failed)
        return inst_err_nomem(err);
    struct inst_value record = inst_object(self->after.members, self->after.count);
    return add_check(checks, self, action, &id, &record, err);
}

static enum inst_status check_after(struct inst_checks *checks, const struct inst_checks_step *step,
                                    struct inst_err *err) {
    enum inst_status st = INST_OK;
    if (is_op(step, "add-attr"))
        return add_attr_check(checks, step, err);
    if (step->attr == NULL || step->self == NULL || is_op(step, "retract-triple"))
        return INST_OK;
    if (!step->self->exists)
        st = check_new(checks, step->self, "create", err);
    if (st == INST_OK && step->other != NULL && !step->other->exists)
        st = check_new(checks, step->other, "view", err);
    return st;
}

/* ---- the whole ---- */

static void add_attrs(struct inst_checks *checks) {
    for (uint32_t i = 0; i < checks->steps->len; i++) {
        const struct inst_value *step = &checks->steps->u.items[i];
        struct inst_attrs *next;
        /* What is wrong with an attr the transaction says better. */
        if (!inst_is_string(part(step, 0), "add-attr") ||
            inst_attrs_put(checks->attrs, part(step, 1), &next, NULL) != INST_OK)
            continue;
        inst_attrs_unref(checks->attrs);
        checks->attrs = next;
    }
}

static enum inst_status read_steps(struct inst_checks *checks, struct inst_err *err) {
    enum inst_status st = INST_OK;
    uint32_t count = checks->steps->len;
    checks->list = inst_arena_alloc(checks->arena, ((size_t)count + 1) * sizeof *checks->list);
    if (checks->list == NULL)
        return inst_err_nomem(err);
    for (uint32_t i = 0; st == INST_OK && i < count; i++)
        st = read_step(checks, &checks->steps->u.items[i], &checks->list[i], err);
    return st;
}

static enum inst_status each_step(struct inst_checks *checks,
                                  enum inst_status (*fn)(struct inst_checks *checks,
                                                         const struct inst_checks_step *step,
                                                         struct inst_err *err),
                                  struct inst_err *err) {
    enum inst_status st = INST_OK;
    for (uint32_t i = 0; st == INST_OK && i < checks->steps->len; i++)
        st = fn(checks, &checks->list[i], err);
    return st;
}

enum inst_status inst_checks_begin(struct inst_checks *checks, struct inst_store *store,
                                   const struct inst_value *steps, const struct inst_viewer *viewer,
                                   struct inst_arena *arena, struct inst_err *err) {
    *checks = (struct inst_checks){.arena = arena,
                                   .store = store,
                                   .attrs = inst_attrs_ref(store->attrs),
                                   .steps = steps,
                                   .viewer = viewer,
                                   .all_ok = true};
    inst_buf_init(&checks->json);
    inst_table_init(&checks->known);
    add_attrs(checks);
    enum inst_status st = read_steps(checks, err);
    if (st == INST_OK)
        st = each_step(checks, apply, err);
    return st == INST_OK ? each_step(checks, check_before, err) : st;
}

enum inst_status inst_checks_end(struct inst_checks *checks, struct inst_err *err) {
    return each_step(checks, check_after, err);
}

void inst_checks_release(struct inst_checks *checks) {
    inst_attrs_unref(checks->attrs);
    inst_table_free(&checks->known);
    inst_buf_free(&checks->json);
}
