#include "instaql/server_validation.h"

#include "base/json.h"
#include "base/uuid.h"
#include "instaql/limits.h"

#include <math.h>
#include <stdio.h>

/*
 * Refusals.
 */

void inst_refusal_begin(struct inst_refusal *r, const char *data_type,
                        const struct inst_value *input) {
    *r = (struct inst_refusal){0};
    inst_buf_init(&r->message);
    inst_buf_init(&r->hint);
    inst_buf_addf(&r->message, "Validation failed for %s", data_type);
    inst_buf_addf(&r->hint, "{\"data-type\":\"%s\",\"input\":", data_type);
    inst_json_write(&r->hint, input);
    inst_buf_add_str(&r->hint, ",\"errors\":[");
}

void inst_refusal_add(struct inst_refusal *r, const char *key, const char *expected,
                      const struct inst_value *in, uint32_t in_count, const char *message) {
    if (r->errors++) {
        inst_buf_add_char(&r->hint, ',');
    }
    inst_buf_add_char(&r->hint, '{');
    if (key) {
        inst_buf_addf(&r->hint, "\"%s\":\"%s\",\"in\":", key, expected);
        struct inst_value path = inst_array(in, in_count);
        inst_json_write(&r->hint, &path);
    }
    if (message) {
        inst_buf_add_str(&r->hint, key ? ",\"message\":" : "\"message\":");
        inst_json_write_string(&r->hint, message, strlen(message));
        inst_buf_add_str(&r->message, r->has_message ? ", " : ": ");
        inst_buf_add_str(&r->message, message);
        r->has_message = true;
    }
    inst_buf_add_char(&r->hint, '}');
}

enum inst_status inst_refusal_end(struct inst_refusal *r, struct inst_err *err) {
    enum inst_status status;
    inst_buf_add_str(&r->hint, "]}");
    if (r->hint.failed || r->message.failed) {
        status = inst_err_nomem(err);
    } else {
        status = inst_err_set(err, "validation-failed", 400, "%s", r->message.data);
        inst_err_hint(err, r->hint.data);
    }
    inst_buf_free(&r->message);
    inst_buf_free(&r->hint);
    return status;
}

enum inst_status inst_refuse(const struct inst_query *query, const char *key, const char *expected,
                             const struct inst_value *in, uint32_t in_count, const char *message,
                             struct inst_err *err) {
    struct inst_refusal r;
    inst_refusal_begin(&r, "query", &query->value);
    inst_refusal_add(&r, key, expected, in, in_count, message);
    return inst_refusal_end(&r, err);
}

enum inst_status inst_refuse_link(const struct inst_attr *attr, const struct inst_value *etype,
                                  const char *label, size_t len, struct inst_err *err) {
    struct inst_refusal r;
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_addf(&text, "%.*s.%.*s needs to be a link", (int)etype->len, etype->u.str, (int)len,
                  label);
    inst_refusal_begin(&r, "attr", &attr->json);
    inst_refusal_add(&r, NULL, NULL, NULL, 0, text.data ? text.data : "");
    inst_buf_free(&text);
    return inst_refusal_end(&r, err);
}

/*
 * The shape of the query: forms and options.
 */

enum { MAX_PATH = INST_INSTAQL_MAX_DEPTH * 2 + 8 };

struct judge {
    const struct inst_query *query;
    const struct inst_attrs *attrs;
    struct inst_arena *arena;
    struct inst_err *err;
    struct inst_value path[MAX_PATH];
    uint32_t depth;
};

static enum inst_status refuse_here(struct judge *j, const char *expected, const char *last,
                                    const char *message) {
    uint32_t count = j->depth;
    if (last) {
        j->path[count++] = inst_cstring(last);
    }
    return inst_refuse(j->query, "expected", expected, j->path, count, message, j->err);
}

/* A message that ends in the JSON text of a value. */
static enum inst_status refuse_value(struct judge *j, const char *expected, const char *last,
                                     const char *before, const struct inst_value *v) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_add_str(&text, before);
    inst_json_write(&text, v);
    inst_buf_add_char(&text, '.');
    enum inst_status status =
        text.failed ? inst_err_nomem(j->err) : refuse_here(j, expected, last, text.data);
    inst_buf_free(&text);
    return status;
}

/* An option that counts: null and false are as good as absent. */
static const struct inst_value *option(const struct inst_value *options, const char *name) {
    const struct inst_value *v = inst_getz(options, name);
    return v && !inst_is_nullish(v) && v->tag != INST_FALSE ? v : NULL;
}

static bool is_integer(const struct inst_value *v, double least) {
    return v->tag == INST_NUMBER && v->u.num == trunc(v->u.num) && v->u.num >= least &&
           v->u.num <= 9007199254740992.0;
}

static enum inst_status judge_limits(struct judge *j, const struct inst_value *options) {
    static const struct {
        const char *name;
        const char *message;
        double least;
    } limits[] = {
        {"limit", "The limit field must be a positive integer. Got ", 1},
        {"first", "The first field must be a positive integer. Got ", 1},
        {"last", "The last field must be a positive integer. Got ", 1},
        {"offset", "The offset field must be a non-negative integer. Got ", 0},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const struct inst_value *v = option(options, limits[i].name);
        if (v && !is_integer(v, limits[i].least)) {
            return refuse_value(j, "supported-options?", limits[i].name, limits[i].message, v);
        }
    }
    return INST_OK;
}

static bool is_uuid(const struct inst_value *v) {
    struct inst_uuid id;
    return v->tag == INST_STRING && inst_uuid_parse(v->u.str, v->len, &id);
}

static enum inst_status judge_cursor(struct judge *j, const struct inst_value *options,
                                     const char *name, const char *inclusive) {
    const struct inst_value *v = option(options, name);
    const struct inst_value *flag = inst_getz(options, inclusive);
    if (v && v->tag != INST_ARRAY) {
        return refuse_value(j, "join-row?", name, "Expected a join row for the cursor, got ", v);
    }
    if (v && v->len != 3 && v->len != 4) {
        return refuse_value(j, "join-row?", name,
                            "Expected a join row with 4 items for the cursor, got ", v);
    }
    if (v && !is_uuid(&v->u.items[1])) {
        return refuse_value(
            j, "join-row?", name,
            "Expected a join row with a uuid attribute id in the second position, got ",
            &v->u.items[1]);
    }
    if (v && v->len == 4 && !inst_is_nullish(&v->u.items[3]) &&
        !is_integer(&v->u.items[3], -9007199254740992.0)) {
        return refuse_value(
            j, "join-row?", name,
            "Expected a join row with an integer created_at in the last position, got ",
            &v->u.items[3]);
    }
    if (flag && !inst_is_nullish(flag) && flag->tag != INST_TRUE && flag->tag != INST_FALSE) {
        return refuse_here(j, "boolean?", inclusive, NULL);
    }
    return INST_OK;
}

static enum inst_status judge_order(struct judge *j, const struct inst_value *options) {
    const struct inst_value *order = inst_getz(options, "order");
    if (!order || inst_is_nullish(order)) {
        return INST_OK;
    }
    if (order->tag != INST_OBJECT) {
        return refuse_here(j, "map?", "order", NULL);
    }
    if (order->len > 1) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_buf_add_str(&text, "We only support a single key in the `order` clause. Got ");
        for (uint32_t i = 0; i < order->len; i++) {
            inst_buf_add(&text, ",", i > 0);
            inst_buf_add(&text, order->u.members[i].key, order->u.members[i].key_len);
        }
        inst_buf_add_char(&text, '.');
        enum inst_status status = text.failed ? inst_err_nomem(j->err)
                                              : refuse_here(j, "single-key?", "order", text.data);
        inst_buf_free(&text);
        return status;
    }
    if (order->len == 1) {
        const struct inst_member *m = &order->u.members[0];
        if (!inst_is_string(&m->value, "asc") && !inst_is_string(&m->value, "desc")) {
            j->path[j->depth++] = inst_cstring("order");
            j->path[j->depth++] = inst_string(m->key, m->key_len);
            return refuse_value(j, "valid-direction?", NULL,
                                "We only support \"asc\" or \"desc\" in the `order` clause. Got ",
                                &m->value);
        }
    }
    return INST_OK;
}

static bool is_known_option(const struct inst_member *m) {
    static const char *const names[] = {
        "where",  "order", "limit",           "first",          "last",      "offset",
        "before", "after", "beforeInclusive", "afterInclusive", "aggregate", "fields"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (m->key_len == strlen(names[i]) && memcmp(m->key, names[i], m->key_len) == 0) {
            return true;
        }
    }
    return false;
}

static enum inst_status judge_combinations(struct judge *j, const struct inst_value *options,
                                           uint32_t level) {
    const struct inst_value *fields = option(options, "fields");
    if (fields && fields->tag != INST_ARRAY) {
        return refuse_here(j, "array?", "fields",
                           "The `fields` property should be an array of field names.");
    }
    for (uint32_t i = 0; i < options->len; i++) {
        if (!is_known_option(&options->u.members[i])) {
            return refuse_here(j, "supported-options?", NULL,
                               "We only support `where`, `order`, `limit`, `offset`, `before`, and "
                               "`after` clauses.");
        }
    }
    if (level > 0 &&
        (option(options, "offset") || option(options, "after") || option(options, "before"))) {
        return refuse_here(j, "supported-options?", NULL,
                           "We currently only support `offset`, `before`, and `after` clauses on "
                           "the top-level field. Limit fields will be ignored");
    }
    static const char *const names[] = {"limit", "first", "last"};
    char message[80] = "Only provide one of ";
    unsigned given = 0;
    for (size_t i = 0; i < 3; i++) {
        if (option(options, names[i])) {
            size_t len = strlen(message);
            snprintf(message + len, sizeof(message) - len, "%s`%s`", given++ ? " or " : "",
                     names[i]);
        }
    }
    if (given > 1) {
        size_t len = strlen(message);
        snprintf(message + len, sizeof(message) - len, ".");
        return refuse_here(j, "supported-options?", NULL, message);
    }
    return INST_OK;
}

static enum inst_status judge_where(struct judge *j, const struct inst_value *etype,
                                    const struct inst_value *where) {
    struct inst_cond *conds;
    uint32_t count;
    if (!where || inst_is_nullish(where)) {
        return INST_OK;
    }
    switch (inst_server_where(j->arena, j->attrs, etype, where, &conds, &count)) {
    case INST_WHERE_OK:
        return INST_OK;
    case INST_WHERE_NOMEM:
        return inst_err_nomem(j->err);
    case INST_WHERE_EMPTY_OR:
        return refuse_here(j, "non-empty-list?", "or",
                           "The list of `or` conditions can't be empty.");
    case INST_WHERE_EMPTY_AND:
        return refuse_here(j, "non-empty-list?", "and",
                           "The list of `and` conditions can't be empty.");
    case INST_WHERE_NO_MAP:
        return refuse_here(j, "map?", "where", NULL);
    default:
        return inst_err_set(j->err, "limit-exceeded", 400,
                            "The query has too many nested and/or lists: the limit is %u.",
                            INST_INSTAQL_MAX_WHERE_DEPTH);
    }
}

static enum inst_status judge_options(struct judge *j, const struct inst_value *etype,
                                      const struct inst_value *options, uint32_t level) {
    if (options->tag != INST_OBJECT) {
        return inst_is_nullish(options) ? INST_OK : refuse_here(j, "map?", NULL, NULL);
    }
    const struct inst_value *where = inst_getz(options, "where");
    if (where && !inst_is_nullish(where) && where->tag != INST_OBJECT) {
        return refuse_here(j, "map?", "where", NULL);
    }
    uint32_t depth = j->depth;
    enum inst_status status = judge_order(j, options);
    j->depth = depth;
    if (status == INST_OK) {
        status = judge_limits(j, options);
    }
    if (status == INST_OK) {
        status = judge_cursor(j, options, "after", "afterInclusive");
    }
    if (status == INST_OK) {
        status = judge_cursor(j, options, "before", "beforeInclusive");
    }
    const struct inst_value *aggregate = option(options, "aggregate");
    if (status == INST_OK && aggregate && !inst_is_string(aggregate, "count")) {
        status = refuse_value(j, "supported-options?", "aggregate",
                              "The aggregate field only accepts \"count\", got ", aggregate);
    }
    if (status == INST_OK) {
        status = judge_combinations(j, options, level);
    }
    return status == INST_OK ? judge_where(j, etype, where) : status;
}

/* Where a child form's label leads; UNDEFINED when that is unknown. */
static struct inst_value next_etype(const struct judge *j, const struct inst_value *etype,
                                    const struct inst_member *m, uint32_t level) {
    bool is_forward;
    if (level == 0) {
        return inst_string(m->key, m->key_len);
    }
    const struct inst_attr *attr =
        etype->tag == INST_STRING ? inst_link_of(j->attrs, etype, m->key, m->key_len, &is_forward)
                                  : NULL;
    return !attr ? inst_undefined() : is_forward ? attr->reverse.etype : attr->forward.etype;
}

static bool is_options(const struct inst_member *m, uint32_t level) {
    return level > 0 && m->key_len == 1 && m->key[0] == '$';
}

/* Recursion is limited by the depth of forms, judged when the query was made. */
static enum inst_status judge_forms(struct judge *j, const struct inst_value *etype,
                                    const struct inst_value *v, uint32_t level) {
    if (v->tag != INST_OBJECT) {
        return refuse_here(j, "map?", NULL, NULL);
    }
    enum inst_status status = INST_OK;
    for (uint32_t i = 0; i < v->len && status == INST_OK; i++) {
        const struct inst_member *m = &v->u.members[i];
        if (is_options(m, level)) {
            continue;
        }
        struct inst_value target = next_etype(j, etype, m, level);
        const struct inst_value *options = inst_getz(&m->value, "$");
        j->path[j->depth++] = inst_string(m->key, m->key_len);
        if (m->value.tag != INST_OBJECT) {
            status = refuse_here(j, "map?", NULL, NULL);
        } else if (options) {
            j->path[j->depth++] = inst_cstring("$");
            status = judge_options(j, &target, options, level);
            j->depth--;
        }
        if (status == INST_OK) {
            status = judge_forms(j, &target, &m->value, level + 1);
        }
        j->depth--;
    }
    return status;
}

/*
 * The shape of conditions, judged in grouped form: the input shown is the grouped query.
 */

struct fault {
    const char *expected;
    struct inst_value in[INST_INSTAQL_MAX_WHERE_DEPTH * 2 + 16];
    uint32_t count;
};

static bool is_scalar(const struct inst_value *v) {
    return v->tag == INST_STRING || v->tag == INST_NUMBER || v->tag == INST_TRUE ||
           v->tag == INST_FALSE;
}

static bool is_name(const struct inst_member *m, const char *name) {
    return m->key_len == strlen(name) && memcmp(m->key, name, m->key_len) == 0;
}

static bool set_fault(struct fault *f, const char *expected, const struct inst_member *m) {
    f->expected = expected;
    if (m) {
        f->in[f->count++] = inst_string(m->key, m->key_len);
    }
    return true;
}

/* One operator of a condition. true: it is at fault. */
static bool find_operator_fault(struct fault *f, const struct inst_member *m) {
    static const char *const comparators[] = {"$gt", "$gte", "$lt", "$lte", "$like", "$ilike"};
    const struct inst_value *v = &m->value;
    if (is_name(m, "$in") || is_name(m, "in")) {
        if (v->tag != INST_ARRAY) {
            return set_fault(f, "vector?", m);
        }
        for (uint32_t i = 0; i < v->len; i++) {
            if (!is_scalar(&v->u.items[i]) && v->u.items[i].tag != INST_NULL) {
                set_fault(f, "instant.db.instaql/in-value-valid?", m);
                f->in[f->count++] = inst_number(i);
                return true;
            }
        }
        return false;
    }
    if (is_name(m, "$not") || is_name(m, "$ne")) {
        return !is_scalar(v) && set_fault(f, "instant.db.instaql/where-value-valid?", m);
    }
    if (is_name(m, "$isNull")) {
        return v->tag != INST_TRUE && v->tag != INST_FALSE && set_fault(f, "boolean?", m);
    }
    for (size_t i = 0; i < sizeof(comparators) / sizeof(comparators[0]); i++) {
        if (is_name(m, comparators[i])) {
            return !is_scalar(v) && set_fault(f, "boolean?", m);
        }
    }
    return set_fault(f, "instant.db.instaql/where-value-valid-keys?", NULL);
}

static bool find_fault(struct fault *f, const struct inst_cond *conds, uint32_t count);

static bool find_cond_fault(struct fault *f, const struct inst_cond *cond) {
    if (cond->kind != INST_COND_VALUE) {
        f->in[f->count++] = inst_cstring(cond->kind == INST_COND_OR ? "or" : "and");
        if (find_fault(f, cond->items, cond->count)) {
            return true;
        }
        f->count--;
        return false;
    }
    const struct inst_value *v = &cond->v;
    f->in[f->count++] = inst_number(1);
    if (!is_scalar(v) && v->tag != INST_OBJECT) {
        return set_fault(f, "map?", NULL);
    }
    if (v->tag == INST_OBJECT && v->len == 0) {
        return set_fault(f, "instant.db.instaql/where-value-valid-keys?", NULL);
    }
    for (uint32_t i = 0; v->tag == INST_OBJECT && i < v->len; i++) {
        if (find_operator_fault(f, &v->u.members[i])) {
            return true;
        }
    }
    f->count--;
    return false;
}

static bool find_fault(struct fault *f, const struct inst_cond *conds, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        f->in[f->count++] = inst_number(i);
        if (find_cond_fault(f, &conds[i])) {
            return true;
        }
        f->count--;
    }
    return false;
}

static void write_conds(struct inst_buf *buf, const struct inst_cond *conds, uint32_t count);

static void write_cond(struct inst_buf *buf, const struct inst_cond *cond) {
    if (cond->kind != INST_COND_VALUE) {
        inst_buf_add_str(buf, cond->kind == INST_COND_OR ? "{\"or\":" : "{\"and\":");
        write_conds(buf, cond->items, cond->count);
        inst_buf_add_char(buf, '}');
        return;
    }
    inst_buf_add_str(buf, "[[");
    size_t from = 0;
    for (size_t end = 0; end <= cond->path_len; end++) {
        if (end == cond->path_len || cond->path[end] == '.') {
            inst_buf_add(buf, ",", from > 0);
            inst_json_write_string(buf, cond->path + from, end - from);
            from = end + 1;
        }
    }
    inst_buf_add_str(buf, "],");
    inst_json_write(buf, &cond->v);
    inst_buf_add_char(buf, ']');
}

static void write_conds(struct inst_buf *buf, const struct inst_cond *conds, uint32_t count) {
    inst_buf_add_char(buf, '[');
    for (uint32_t i = 0; i < count; i++) {
        inst_buf_add(buf, ",", i > 0);
        write_cond(buf, &conds[i]);
    }
    inst_buf_add_char(buf, ']');
}

/* The options as the server reads them: conditions grouped, the order as key and direction. */
static void write_options(struct judge *j, struct inst_buf *buf, const struct inst_value *etype,
                          const struct inst_value *options) {
    unsigned written = 0;
    inst_buf_add_char(buf, '{');
    for (uint32_t i = 0; options && options->tag == INST_OBJECT && i < options->len; i++) {
        const struct inst_member *m = &options->u.members[i];
        if (inst_is_nullish(&m->value) || (m->value.tag == INST_OBJECT && m->value.len == 0)) {
            continue;
        }
        inst_buf_add(buf, ",", written++ > 0);
        if (is_name(m, "where")) {
            struct inst_cond *conds;
            uint32_t count;
            inst_server_where(j->arena, j->attrs, etype, &m->value, &conds, &count);
            inst_buf_add_str(buf, "\"where-conds\":");
            write_conds(buf, conds, count);
        } else if (is_name(m, "order")) {
            const struct inst_member *by = &m->value.u.members[0];
            inst_buf_add_str(buf, "\"order\":{\"k\":");
            inst_json_write_string(buf, by->key, by->key_len);
            inst_buf_add_str(buf, ",\"direction\":");
            inst_json_write(buf, &by->value);
            inst_buf_add_char(buf, '}');
        } else {
            bool is_after = is_name(m, "afterInclusive");
            bool is_before = is_name(m, "beforeInclusive");
            inst_json_write_string(buf,
                                   is_after    ? "after-inclusive"
                                   : is_before ? "before-inclusive"
                                               : m->key,
                                   is_after    ? strlen("after-inclusive")
                                   : is_before ? strlen("before-inclusive")
                                               : m->key_len);
            inst_buf_add_char(buf, ':');
            inst_json_write(buf, &m->value);
        }
    }
    inst_buf_add_char(buf, '}');
}

static void write_forms(struct judge *j, struct inst_buf *buf, const struct inst_value *etype,
                        const struct inst_value *v, uint32_t level) {
    unsigned written = 0;
    inst_buf_add_char(buf, '[');
    for (uint32_t i = 0; i < v->len; i++) {
        const struct inst_member *m = &v->u.members[i];
        if (is_options(m, level)) {
            continue;
        }
        struct inst_value target = next_etype(j, etype, m, level);
        inst_buf_add(buf, ",", written++ > 0);
        inst_buf_add_str(buf, "{\"k\":");
        inst_json_write_string(buf, m->key, m->key_len);
        inst_buf_add_str(buf, ",\"etype\":");
        inst_json_write(buf, target.tag == INST_STRING ? &target
                                                       : &(struct inst_value){.tag = INST_NULL});
        inst_buf_add_str(buf, ",\"option-map\":");
        write_options(j, buf, &target, inst_getz(&m->value, "$"));
        inst_buf_add_str(buf, ",\"child-forms\":");
        write_forms(j, buf, &target, &m->value, level + 1);
        inst_buf_add_char(buf, '}');
    }
    inst_buf_add_char(buf, ']');
}

static enum inst_status refuse_fault(struct judge *j, const struct fault *f) {
    struct inst_buf text;
    struct inst_value input = inst_null();
    struct inst_value path[MAX_PATH + INST_INSTAQL_MAX_WHERE_DEPTH * 2 + 16];
    struct inst_refusal r;
    struct inst_value none = inst_undefined();
    inst_buf_init(&text);
    write_forms(j, &text, &none, &j->query->value, 0);
    if (!text.failed) {
        inst_json_parse(j->arena, text.data, text.len, &input, NULL);
    }
    inst_buf_free(&text);
    memcpy(path, j->path, j->depth * sizeof(*path));
    memcpy(path + j->depth, f->in, f->count * sizeof(*path));
    inst_refusal_begin(&r, "coerced-query", &input);
    inst_refusal_add(&r, "expected", f->expected, path, j->depth + f->count, NULL);
    return inst_refusal_end(&r, j->err);
}

static enum inst_status judge_conds(struct judge *j, const struct inst_value *etype,
                                    const struct inst_value *v, uint32_t level) {
    enum inst_status status = INST_OK;
    uint32_t number = 0;
    uint32_t depth = j->depth;
    for (uint32_t i = 0; i < v->len && status == INST_OK; i++) {
        const struct inst_member *m = &v->u.members[i];
        if (is_options(m, level)) {
            continue;
        }
        struct inst_value target = next_etype(j, etype, m, level);
        const struct inst_value *where = inst_getz(inst_getz(&m->value, "$"), "where");
        struct inst_cond *conds;
        uint32_t count;
        struct fault fault = {0};
        j->path[j->depth++] = inst_number(number++);
        if (where && where->tag == INST_OBJECT) {
            inst_server_where(j->arena, j->attrs, &target, where, &conds, &count);
            fault.in[fault.count++] = inst_cstring("option-map");
            fault.in[fault.count++] = inst_cstring("where-conds");
            if (find_fault(&fault, conds, count)) {
                return refuse_fault(j, &fault);
            }
        }
        j->path[j->depth++] = inst_cstring("child-forms");
        status = judge_conds(j, &target, &m->value, level + 1);
        j->depth = depth;
    }
    return status;
}

enum inst_status inst_server_validate(const struct inst_query *query,
                                      const struct inst_attrs *attrs, struct inst_err *err) {
    struct inst_arena scratch;
    struct inst_value none = inst_undefined();
    if (inst_is_nullish(&query->value)) {
        struct inst_refusal r;
        inst_refusal_begin(&r, "add-query", &query->value);
        inst_refusal_add(&r, NULL, NULL, NULL, 0, "Query can not be null.");
        return inst_refusal_end(&r, err);
    }
    inst_arena_init(&scratch);
    struct judge judge = {.query = query, .attrs = attrs, .arena = &scratch, .err = err};
    enum inst_status status = judge_forms(&judge, &none, &query->value, 0);
    judge.depth = 0;
    if (status == INST_OK) {
        status = judge_conds(&judge, &none, &query->value, 0);
    }
    inst_arena_free(&scratch);
    return status;
}
