#include "server/admin_steps.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/uuid.h"
#include "instaml/chunks.h"
#include "instaml/missing_attrs.h"
#include "instaml/transform.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <stdio.h>
#include <string.h>

struct reader {
    struct inst_arena *arena;
    const struct inst_admin_steps *context;
    const struct inst_value *steps; /* all of them: the input that errors name */
    struct inst_err *err;
};

/* ---- shape ---- */

enum kind {
    KIND_OBJECT,
    KIND_CREATE,
    KIND_LINK,
    KIND_DELETE,
    KIND_PARAMS,
    KIND_ATTR,
    KIND_ATTR_ID
};

static const struct {
    const char *action;
    enum kind kind;
} actions[] = {
    {"create", KIND_CREATE},       {"update", KIND_OBJECT}, {"merge", KIND_OBJECT},
    {"link", KIND_LINK},           {"unlink", KIND_LINK},   {"delete", KIND_DELETE},
    {"ruleParams", KIND_PARAMS},   {"add-attr", KIND_ATTR}, {"update-attr", KIND_ATTR},
    {"delete-attr", KIND_ATTR_ID},
};

static bool kind_of(const struct inst_value *step, enum kind *kind) {
    if (step->tag != INST_ARRAY || step->len == 0)
        return false;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (inst_is_string(&step->u.items[0], actions[i].action)) {
            *kind = actions[i].kind;
            return true;
        }
    }
    return false;
}

static bool has_eid(enum kind kind) { return kind <= KIND_PARAMS; }

/* in: JSON text of the path. */
static enum inst_status refuse_in(struct reader *r, const char *expected, const char *in) {
    struct inst_buf more;
    inst_buf_init(&more);
    inst_buf_addf(&more, "\"expected\":%s,\"in\":%s", expected, in);
    enum inst_status st = more.failed
                              ? inst_err_nomem(r->err)
                              : inst_refuse_validation(r->err, "steps", r->steps, more.data, NULL);
    inst_buf_free(&more);
    return st;
}

/* part < 0: the step as a whole. */
static enum inst_status refuse_at(struct reader *r, const char *expected, uint32_t step, int part) {
    char in[48];
    if (part < 0)
        snprintf(in, sizeof in, "[%u]", (unsigned)step);
    else
        snprintf(in, sizeof in, "[%u,%d]", (unsigned)step, part);
    return refuse_in(r, expected, in);
}

static bool is_uuid(const struct inst_value *v) {
    struct inst_uuid uuid;
    return v->tag == INST_STRING && inst_uuid_parse(v->u.str, v->len, &uuid);
}

static bool is_encoded(const struct inst_value *v) {
    return v->tag == INST_STRING && inst_lookup_is_text(v->u.str, v->len);
}

static bool is_lookup(const struct inst_value *v) {
    return is_encoded(v) || v->tag == INST_OBJECT ||
           (v->tag == INST_ARRAY && v->len == 2 && v->u.items[0].tag == INST_STRING);
}

/* `path` is the beginning of a JSON array: what it lacks is what the problem adds. */
static enum inst_status check_eid(struct reader *r, const struct inst_value *eid,
                                  const char *path) {
    struct inst_buf in;
    if (is_uuid(eid) || is_lookup(eid))
        return INST_OK;
    inst_buf_init(&in);
    bool is_pair = eid->tag == INST_ARRAY && eid->len == 2;
    inst_buf_addf(&in, "%s%s]", path, is_pair ? ",0" : "");
    enum inst_status st =
        in.failed
            ? inst_err_nomem(r->err)
            : refuse_in(r, is_pair ? "\"string?\"" : "\"instant.admin.model/lookup?\"", in.data);
    inst_buf_free(&in);
    return st;
}

static enum inst_status check_link_value(struct reader *r, const struct inst_member *m,
                                         uint32_t step) {
    struct inst_buf path;
    enum inst_status st = INST_OK;
    bool is_list = m->value.tag == INST_ARRAY && !is_lookup(&m->value);
    inst_buf_init(&path);
    inst_buf_addf(&path, "[%u,3,", (unsigned)step);
    inst_json_write_string(&path, m->key, m->key_len);
    inst_buf_add_str(&path, ",1");
    if (path.failed)
        st = inst_err_nomem(r->err);
    else if (!is_list)
        st = check_eid(r, &m->value, path.data);
    size_t len = path.len;
    for (uint32_t i = 0; is_list && st == INST_OK && i < m->value.len; i++) {
        path.len = len;
        inst_buf_addf(&path, ",%u", (unsigned)i);
        st = path.failed ? inst_err_nomem(r->err) : check_eid(r, &m->value.u.items[i], path.data);
    }
    inst_buf_free(&path);
    return st;
}

static enum inst_status check_links(struct reader *r, const struct inst_value *args,
                                    uint32_t step) {
    enum inst_status st = INST_OK;
    for (uint32_t i = 0; st == INST_OK && i < args->len; i++)
        st = check_link_value(r, &args->u.members[i], step);
    return st;
}

static enum inst_status check_opts(struct reader *r, const struct inst_value *opts, uint32_t step) {
    char in[48];
    if (inst_is_nullish(opts))
        return INST_OK;
    if (opts->tag != INST_OBJECT)
        return refuse_at(r, "\"map?\"", step, 4);
    const struct inst_value *upsert = inst_getz(opts, "upsert");
    if (upsert == NULL || inst_is_nullish(upsert) || upsert->tag == INST_TRUE ||
        upsert->tag == INST_FALSE)
        return INST_OK;
    snprintf(in, sizeof in, "[%u,4,\"upsert\"]", (unsigned)step);
    return refuse_in(r, "\"boolean?\"", in);
}

static enum inst_status check_attr_step(struct reader *r, const struct inst_value *step,
                                        enum kind kind, uint32_t index) {
    const char *expected =
        kind == KIND_ATTR ? "\"map?\"" : "\"instant.admin.model/coercible-uuid?\"";
    if (step->len < 2)
        return refuse_at(r, expected, index, -1);
    const struct inst_value *arg = &step->u.items[1];
    if (kind == KIND_ATTR ? arg->tag != INST_OBJECT : !is_uuid(arg))
        return refuse_at(r, expected, index, 1);
    return step->len == 2 ? INST_OK : refuse_at(r, "\"cat\"", index, 2);
}

static enum inst_status check_step(struct reader *r, uint32_t index) {
    const struct inst_value *step = &r->steps->u.items[index];
    char path[32];
    enum kind kind;
    enum inst_status st;
    if (step->tag != INST_ARRAY)
        return refuse_at(r, "\"sequential?\"", index, -1);
    if (!kind_of(step, &kind))
        return refuse_at(r, "[\"delete-attr\"]", index, step->len == 0 ? -1 : 0);
    if (!has_eid(kind))
        return check_attr_step(r, step, kind, index);
    if (step->len < 2)
        return refuse_at(r, "\"string?\"", index, -1);
    if (step->u.items[1].tag != INST_STRING)
        return refuse_at(r, "\"string?\"", index, 1);
    if (step->len < 3)
        return refuse_at(r, "\"instant.admin.model/lookup\"", index, -1);
    snprintf(path, sizeof path, "[%u,2", (unsigned)index);
    if ((st = check_eid(r, &step->u.items[2], path)) != INST_OK || kind == KIND_DELETE)
        return st;
    if (step->len < 4)
        return refuse_at(r, "\"map?\"", index, -1);
    if (step->u.items[3].tag != INST_OBJECT)
        return refuse_at(r, "\"map?\"", index, 3);
    if (kind == KIND_LINK && (st = check_links(r, &step->u.items[3], index)) != INST_OK)
        return st;
    if (step->len > (kind == KIND_OBJECT ? 5u : 4u))
        return refuse_at(r, "\"cat\"", index, kind == KIND_OBJECT ? 5 : 4);
    return step->len == 5 ? check_opts(r, &step->u.items[4], index) : INST_OK;
}

/* What cannot be an entity at all is said plainly, before anything else that is wrong. */
static enum inst_status check_entity_ids(struct reader *r) {
    for (uint32_t i = 0; i < r->steps->len; i++) {
        const struct inst_value *step = &r->steps->u.items[i];
        enum kind kind;
        if (!kind_of(step, &kind) || !has_eid(kind) || step->len < 3)
            continue;
        const struct inst_value *eid = &step->u.items[2];
        if (is_uuid(eid) || is_encoded(eid) || eid->tag == INST_ARRAY || eid->tag == INST_OBJECT)
            continue;
        struct inst_buf text, more;
        inst_buf_init(&text);
        inst_buf_init(&more);
        inst_write_readable(&text, eid);
        inst_buf_addf(&more, "\"in\":[%u,2]", (unsigned)i);
        enum inst_status st =
            text.failed || more.failed
                ? inst_err_nomem(r->err)
                : inst_refuse_validation(r->err, "steps", r->steps, more.data,
                                         "Invalid entity ID '%s'. Entity IDs must be UUIDs or "
                                         "lookup references.",
                                         text.data);
        inst_buf_free(&text);
        inst_buf_free(&more);
        return st;
    }
    return INST_OK;
}

static enum inst_status check_shape(struct reader *r) {
    enum inst_status st;
    if (r->steps->tag != INST_ARRAY)
        return refuse_in(r, "\"coll?\"", "[]");
    if (r->steps->len > INST_SERVER_MAX_STEPS)
        return inst_refuse_too_many_steps(r->err, r->steps->len);
    if ((st = check_entity_ids(r)) != INST_OK)
        return st;
    for (uint32_t i = 0; st == INST_OK && i < r->steps->len; i++)
        st = check_step(r, i);
    return st;
}

/* ---- lookups ---- */

static enum inst_status refuse_value(struct reader *r, const struct inst_value *eid) {
    const char *name = eid->u.str + strlen("lookup__");
    const char *end = eid->u.str + eid->len, *stop = name;
    struct inst_buf more;
    inst_buf_init(&more);
    while (stop + 1 < end && !(stop[0] == '_' && stop[1] == '_'))
        stop++;
    bool has_value = stop + 1 < end;
    inst_buf_add_str(&more, "\"hint\":{\"attribute\":");
    inst_json_write_string(&more, name, (size_t)((has_value ? stop : end) - name));
    inst_buf_add_str(&more, ",\"value\":");
    inst_json_write_string(&more, has_value ? stop + 2 : "",
                           has_value ? (size_t)(end - stop - 2) : 0);
    inst_buf_add_char(&more, '}');
    enum inst_status st = more.failed ? inst_err_nomem(r->err)
                                      : inst_refuse_validation(r->err, "lookup", eid, more.data,
                                                               "lookup value is invalid");
    inst_buf_free(&more);
    return st;
}

/* Can be read, and names something that can be looked up in etype. */
static enum inst_status check_lookup(struct reader *r, const struct inst_value *etype,
                                     const struct inst_value *eid) {
    struct inst_err why = {0};
    struct inst_tx_lookup lookup;
    struct inst_value label;
    bool is_ref;
    enum inst_status st = inst_tx_lookup_of(r->arena, eid, &lookup, &why);
    bool is_read = st == INST_OK;
    if (is_read && lookup.is_lookup)
        st = inst_tx_ref_lookup(r->context->attrs, etype, &lookup.name, &is_ref, &label, &why);
    if (st == INST_NOMEM)
        inst_err_nomem(r->err);
    else if (st != INST_OK && !is_read && is_encoded(eid))
        st = refuse_value(r, eid);
    else if (st != INST_OK)
        st = inst_refuse_validation(r->err, "lookup", eid, NULL, "%s", why.message);
    inst_err_clear(&why);
    return st;
}

/* The namespace at the other end of a link, as it is or will be made. */
static struct inst_value far_etype(const struct inst_attrs *attrs, const struct inst_value *etype,
                                   const struct inst_value *label) {
    const struct inst_attr *attr =
        inst_attrs_forward(attrs, etype->u.str, etype->len, label->u.str, label->len);
    if (attr != NULL && attr->reverse.etype.tag == INST_STRING)
        return attr->reverse.etype;
    attr = inst_attrs_reverse(attrs, etype->u.str, etype->len, label->u.str, label->len);
    return attr != NULL ? attr->forward.etype : *label;
}

static enum inst_status check_linked(struct reader *r, const struct inst_value *etype,
                                     const struct inst_value *args) {
    enum inst_status st = INST_OK;
    for (uint32_t i = 0; st == INST_OK && i < args->len; i++) {
        const struct inst_member *m = &args->u.members[i];
        struct inst_value label = inst_string(m->key, m->key_len);
        struct inst_value far = far_etype(r->context->attrs, etype, &label);
        bool is_list = m->value.tag == INST_ARRAY;
        uint32_t count = is_list ? m->value.len : 1;
        for (uint32_t k = 0; st == INST_OK && k < count; k++)
            st = check_lookup(r, &far, is_list ? &m->value.u.items[k] : &m->value);
    }
    return st;
}

static enum inst_status check_lookups(struct reader *r) {
    enum inst_status st = INST_OK;
    for (uint32_t i = 0; st == INST_OK && i < r->steps->len; i++) {
        const struct inst_value *step = &r->steps->u.items[i];
        enum kind kind;
        if (!kind_of(step, &kind) || !has_eid(kind))
            continue;
        const struct inst_value *etype = &step->u.items[1];
        st = check_lookup(r, etype, &step->u.items[2]);
        if (st == INST_OK && kind == KIND_LINK)
            st = check_linked(r, etype, &step->u.items[3]);
    }
    return st;
}

/* ---- the whole ---- */

static void add_name(struct inst_buf *names, const struct inst_value *attr) {
    const struct inst_value *ident = inst_getz(attr, "forward-identity");
    struct inst_buf name;
    inst_buf_init(&name);
    inst_buf_add(&name, ident->u.items[1].u.str, ident->u.items[1].len);
    inst_buf_add_char(&name, '.');
    inst_buf_add(&name, ident->u.items[2].u.str, ident->u.items[2].len);
    if (name.failed)
        names->failed = true;
    else
        inst_json_write_string(names, name.data, name.len);
    inst_buf_free(&name);
}

static enum inst_status refuse_missing(struct reader *r, const struct inst_array_builder *added) {
    struct inst_buf more;
    inst_buf_init(&more);
    inst_buf_add_str(&more, "\"hint\":{\"attributes\":[");
    for (uint32_t i = 0; i < added->count; i++) {
        if (i > 0)
            inst_buf_add_char(&more, ',');
        add_name(&more, &added->items[i].u.items[1]);
    }
    inst_buf_add_str(&more, "]}");
    enum inst_status st = more.failed
                              ? inst_err_nomem(r->err)
                              : inst_refuse_validation(r->err, "steps", r->steps, more.data,
                                                       "Attributes are missing in your schema");
    inst_buf_free(&more);
    return st;
}

/* An error of the expansion, as this API says it. */
static enum inst_status refuse_expansion(struct reader *r, struct inst_err *why,
                                         const struct inst_value *refused) {
    struct inst_buf more;
    inst_buf_init(&more);
    bool is_action = refused != NULL && refused->tag == INST_STRING && !is_encoded(refused);
    if (is_action) {
        inst_buf_add_str(&more, "\"hint\":{\"value\":");
        inst_json_write(&more, refused);
        inst_buf_add_char(&more, '}');
    }
    enum inst_status st = more.failed
                              ? inst_err_nomem(r->err)
                              : inst_refuse_validation(r->err,
                                                       is_action ? "action"
                                                       : refused ? "lookup"
                                                                 : "steps",
                                                       refused, more.data, "%s", why->message);
    inst_buf_free(&more);
    return st;
}

static enum inst_status expand(struct reader *r, const struct inst_value *const *ops, size_t count,
                               struct inst_value *out) {
    struct inst_tx_context context = {
        .attrs = r->context->attrs, .is_admin = true, .env = r->context->env};
    struct inst_array_builder steps;
    struct inst_attrs *attrs = NULL;
    const struct inst_value *refused = NULL;
    struct inst_err why = {0};
    inst_array_begin(&steps, r->arena);
    enum inst_status st =
        inst_tx_missing_attrs(r->arena, &context, ops, count, &steps, &attrs, &why);
    if (st == INST_OK && r->context->throw_on_missing && steps.count > 0)
        st = refuse_missing(r, &steps);
    else if (st == INST_OK)
        st = inst_tx_expand(r->arena, &context, attrs, ops, count, &steps, &refused, &why);
    inst_attrs_unref(attrs);
    if (st == INST_OK && !inst_array_end(&steps, out))
        st = inst_err_nomem(r->err);
    if (why.type != NULL)
        st = st == INST_NOMEM ? inst_err_nomem(r->err) : refuse_expansion(r, &why, refused);
    inst_err_clear(&why);
    return st;
}

enum inst_status inst_admin_steps_to_tx(struct inst_arena *arena,
                                        const struct inst_admin_steps *context,
                                        const struct inst_value *steps, struct inst_value *out,
                                        struct inst_err *err) {
    struct reader r = {arena, context, steps, err};
    enum inst_status st;
    if ((st = check_shape(&r)) != INST_OK || (st = check_lookups(&r)) != INST_OK)
        return st;
    const struct inst_value **ops = inst_arena_alloc(arena, ((size_t)steps->len + 1) * sizeof *ops);
    if (ops == NULL)
        return inst_err_nomem(err);
    for (uint32_t i = 0; i < steps->len; i++)
        ops[i] = &steps->u.items[i];
    return expand(&r, ops, steps->len, out);
}
