#include "rules/cel_where.h"

#include "base/uuid.h"
#include "rules/cel_cond.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef const struct inst_cel_cond cond_t;

/* What an expression turns out to be. */
enum part_kind {
    CONST,    /* a value: the same for every row */
    DATA,     /* `data` itself */
    KEY,      /* data.f */
    TIME,     /* timestamp(data.f) */
    REF,      /* data.ref(path) */
    REF_SIZE, /* its size */
    COND,     /* true for rows that meet `yes` */
};

struct part {
    enum part_kind kind;
    struct inst_cel_value value;  /* CONST */
    const struct inst_attr *attr; /* KEY, TIME: the label's; REF, REF_SIZE: the last label's */
    const char *path;             /* KEY .. REF_SIZE */
    size_t len;
    /* COND: rows on which it is true, and those on which it is false; rows on which it fails are in
     * both when reading strictly. no NULL: that cannot be said, because of no_why. */
    cond_t *yes, *no;
    bool is_exact, is_no_exact; /* of each: it holds for no other rows, and there are no failing */
    const char *no_why;
};

/* A local variable of cel.bind, beside the frame in which it is evaluated when it is a value. */
struct scope {
    struct inst_cel_frame frame; /* first */
    struct scope *outer;
    const struct inst_cel_node *init;
    bool is_of_data;
    bool is_known; /* part is */
    struct part part;
};

struct translation {
    const struct inst_cel_where_of *of;
    struct inst_cel_run *run;
    struct scope *scope;
    const char *why;
    bool has_refs;
    bool has_failed; /* out of memory, or too much work: nothing is to be made of it */
};

static bool translate(struct translation *t, const struct inst_cel_node *node, struct part *out);

static bool nomem(struct translation *t) {
    t->has_failed = true;
    t->why = NULL;
    return false;
}

INST_PRINTF(2, 3) static bool refuse(struct translation *t, const char *fmt, ...) {
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    t->why = inst_arena_dup(t->run->arena, text, strlen(text));
    return t->why ? false : nomem(t);
}

static bool too_much(struct translation *t) {
    t->has_failed = true;
    return refuse(t, "%s", t->run->error.text);
}

static bool refuse_call(struct translation *t, const char *overload) {
    return refuse(t, "Function '%s' failed", overload);
}

/* ---- what mentions data ---- */

/* nested: variables of macros inside of the expression that is looked at. */
static bool mentions(const struct translation *t, const struct inst_cel_node *node, int nested) {
    if (!inst_cel_spend(t->run, 1))
        return true; /* found out when it is translated */
    if (node->kind == INST_CEL_N_IDENT && !node->is_type_name) {
        int at = -node->slot - 1 - nested;
        struct scope *scope = t->scope;
        if (node->slot >= 0)
            return node->slot == INST_CEL_SLOT_DATA;
        for (; at > 0 && scope; at--)
            scope = scope->outer;
        return at >= 0 && scope && scope->is_of_data;
    }
    bool has_variable = node->kind >= INST_CEL_N_ALL;
    for (uint32_t i = 0; i < node->count; i++)
        if (mentions(t, node->args[i], nested + (has_variable && i > 0)))
            return true;
    return false;
}

static bool evaluate(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    *out = (struct part){.kind = CONST};
    if (inst_cel_evaluate_in(t->run, t->scope ? &t->scope->frame : NULL, node, &out->value))
        return true;
    if (t->run->error.code == INST_CEL_NO_MEMORY)
        return nomem(t);
    t->has_failed = t->run->error.code >= INST_CEL_RATE_LIMITED;
    return refuse(t, "%s", t->run->error.text);
}

/* ---- values ---- */

/* As JSON without loss: a scalar. */
static bool is_scalar(const struct inst_cel_value *v, struct inst_value *out) {
    const double most = 9007199254740992.0;
    switch (v->tag) {
    case INST_CEL_V_NULL:
        *out = inst_null();
        return true;
    case INST_CEL_V_BOOL:
        *out = inst_bool(v->u.b);
        return true;
    case INST_CEL_V_INT:
        *out = inst_number((double)v->u.i);
        return fabs(out->u.num) < most;
    case INST_CEL_V_UINT:
        *out = inst_number((double)v->u.u);
        return out->u.num < most;
    case INST_CEL_V_DOUBLE:
        *out = inst_number(v->u.d);
        return isfinite(v->u.d);
    case INST_CEL_V_STRING:
        *out = inst_string(v->u.str, v->len);
        return true;
    default:
        return false;
    }
}

static bool is_id_label(const struct inst_attr *attr) {
    return inst_is_string(&attr->forward.label, "id");
}

/* Ids are stored in lower case, and read so: another text is none. */
static bool is_id_text(const struct inst_value *v) {
    struct inst_uuid id;
    char text[INST_UUID_TEXT + 1];
    if (v->tag != INST_STRING || !inst_uuid_parse(v->u.str, v->len, &id))
        return false;
    inst_uuid_print(&id, text);
    return v->len == INST_UUID_TEXT && memcmp(text, v->u.str, INST_UUID_TEXT) == 0;
}

enum fit { FITS, NEVER_THERE, UNTOLD };

/* Can a query ask whether that is the attr's value, and mean what the rule does? Dates are instants
 * to a query and what was stored to a rule; a value of another type a query would refuse. */
static enum fit fits(const struct translation *t, const struct inst_attr *attr,
                     const struct inst_value *v) {
    bool is_bool = v->tag == INST_TRUE || v->tag == INST_FALSE;
    if (attr->is_ref || is_id_label(attr))
        return !t->of->is_strict || is_id_text(v) ? FITS : NEVER_THERE;
    switch (attr->checked_type) {
    case INST_CHECKED_STRING:
        return v->tag == INST_STRING ? FITS : UNTOLD;
    case INST_CHECKED_NUMBER:
        return v->tag == INST_NUMBER ? FITS : UNTOLD;
    case INST_CHECKED_BOOLEAN:
        return is_bool ? FITS : UNTOLD;
    case INST_CHECKED_DATE:
        return UNTOLD;
    default:
        return FITS;
    }
}

/* ---- conditions ---- */

static cond_t *is(struct translation *t, const struct part *key, const char *op,
                  struct inst_value v) {
    return inst_cel_cond_is(t->run->arena, key->path, key->len, op, v);
}

static bool set(struct translation *t, struct part *out, cond_t *yes, cond_t *no, bool is_exact) {
    *out = (struct part){
        .kind = COND, .yes = yes, .no = no, .is_exact = is_exact, .is_no_exact = is_exact};
    return (yes && no) || nomem(t);
}

/* What cannot be said the other way round. */
static bool set_yes(struct translation *t, struct part *out, cond_t *yes, bool is_exact,
                    const char *overload) {
    char text[100];
    snprintf(text, sizeof text, "Function '%s' failed", overload);
    *out = (struct part){.kind = COND, .yes = yes, .is_exact = is_exact};
    out->no_why = inst_arena_dup(t->run->arena, text, strlen(text));
    if (t->of->is_strict)
        out->no = &inst_cel_always;
    return (yes && out->no_why) || nomem(t);
}

/* A part as a condition. A key stands for being true; strictly it would have to be a bool. */
static bool as_cond(struct translation *t, struct part *part) {
    if (part->kind == COND)
        return true;
    if (part->kind == CONST && part->value.tag == INST_CEL_V_BOOL)
        return set(t, part, part->value.u.b ? &inst_cel_always : &inst_cel_never,
                   part->value.u.b ? &inst_cel_never : &inst_cel_always, true);
    if (part->kind == KEY && !t->of->is_strict) {
        struct part key = *part;
        return set(t, part, is(t, &key, NULL, inst_bool(true)), is(t, &key, NULL, inst_bool(false)),
                   false);
    }
    return refuse(t, "expected a condition");
}

/* ---- == and != ---- */

static bool equal_key(struct translation *t, const struct part *key,
                      const struct inst_cel_value *value, struct part *out) {
    struct inst_value v;
    if (!is_scalar(value, &v))
        return refuse_call(t, "_eq_dynamic");
    if (v.tag == INST_NULL)
        return t->of->is_strict && is_id_label(key->attr)
                   ? refuse_call(t, "_eq_dynamic")
                   : set(t, out, is(t, key, "$isNull", inst_bool(true)),
                         is(t, key, "$isNull", inst_bool(false)), true);
    switch (fits(t, key->attr, &v)) {
    case FITS:
        return set(t, out, is(t, key, NULL, v), is(t, key, "$not", v), true);
    case NEVER_THERE:
        return set(t, out, &inst_cel_never, &inst_cel_always, true);
    default:
        return refuse_call(t, "_eq_dynamic");
    }
}

/* Of `x.id`: whether there is a link. Strictly a link alone does not tell that its other end has an
 * id; without one nothing is at the end of the path. */
static bool is_empty(struct translation *t, const struct part *ref, const char *overload,
                     struct part *out) {
    bool is_short = ref->len > 3 && memcmp(ref->path + ref->len - 3, ".id", 3) == 0 &&
                    !memchr(ref->path, '.', ref->len - 3);
    struct part link = {.path = ref->path, .len = ref->len - 3};
    if (!is_short)
        return refuse_call(t, overload);
    cond_t *yes = is(t, &link, "$isNull", inst_bool(true));
    if (t->of->is_strict)
        yes = &inst_cel_always;
    return set(t, out, yes, is(t, &link, "$isNull", inst_bool(false)), false);
}

static bool is_zero(const struct inst_cel_value *v) {
    return v->tag == INST_CEL_V_INT && v->u.i == 0;
}

static bool equals(struct translation *t, struct part *a, struct part *b, struct part *out) {
    struct part *one = a->kind == CONST ? b : a, *other = a->kind == CONST ? a : b;
    if (other->kind == CONST && one->kind == KEY)
        return equal_key(t, one, &other->value, out);
    if (other->kind == CONST && one->kind == REF && inst_cel_is_list(&other->value) &&
        inst_cel_count(&other->value) == 0)
        return is_empty(t, one, "_eq_dynamic", out);
    if (other->kind == CONST && one->kind == REF_SIZE && is_zero(&other->value))
        return is_empty(t, one, "_eq_dynamic", out);
    return refuse_call(t, "_eq_dynamic");
}

static bool turn(struct translation *t, struct part *part) {
    struct part was = *part;
    if (!was.no)
        return refuse(t, "%s", was.no_why);
    *part = (struct part){.kind = COND,
                          .yes = was.no,
                          .no = was.yes,
                          .is_exact = was.is_no_exact,
                          .is_no_exact = was.is_exact};
    return true;
}

static bool not_equals(struct translation *t, struct part *a, struct part *b, struct part *out) {
    return equals(t, a, b, out) && turn(t, out);
}

/* ---- in ---- */

static bool in_ref(struct translation *t, const struct inst_cel_value *value,
                   const struct part *ref, struct part *out) {
    struct inst_value v;
    if (!is_scalar(value, &v))
        return refuse_call(t, "_in_dynamic");
    if (v.tag == INST_NULL) /* values that are missing are left out */
        return set(t, out, &inst_cel_never, &inst_cel_always, true);
    switch (fits(t, ref->attr, &v)) {
    case FITS:
        return set_yes(t, out, is(t, ref, NULL, v), true, "_in_dynamic");
    case NEVER_THERE:
        return set(t, out, &inst_cel_never, &inst_cel_always, true);
    default:
        return refuse_call(t, "_in_dynamic");
    }
}

static bool in_list(struct translation *t, const struct part *key,
                    const struct inst_cel_value *list, struct part *out) {
    struct inst_array_builder b;
    struct inst_value items;
    uint32_t count = inst_cel_count(list), kept = 0;
    inst_array_begin(&b, t->run->arena);
    if (!inst_cel_spend(t->run, count))
        return too_much(t);
    for (uint32_t i = 0; i < count; i++) {
        struct inst_cel_value item = inst_cel_element(list, i);
        struct inst_value v;
        if (!is_scalar(&item, &v) || v.tag == INST_NULL)
            return refuse_call(t, "_in_dynamic");
        enum fit fit = fits(t, key->attr, &v);
        if (fit == UNTOLD)
            return refuse_call(t, "_in_dynamic");
        if (fit == FITS) {
            inst_array_add(&b, v);
            kept++;
        }
    }
    if (!inst_array_end(&b, &items))
        return nomem(t);
    if (kept == 0)
        return set(t, out, &inst_cel_never, &inst_cel_always, true);
    return set_yes(t, out, is(t, key, "$in", items), true, "_in_dynamic");
}

static bool is_in(struct translation *t, struct part *a, struct part *b, struct part *out) {
    if (a->kind == CONST && b->kind == REF)
        return in_ref(t, &a->value, b, out);
    if (a->kind == KEY && b->kind == CONST && inst_cel_is_list(&b->value))
        return in_list(t, a, &b->value, out);
    return refuse_call(t, "_in_dynamic");
}

/* ---- order, beginnings and ends ----
 *
 * Strictly these are not translated: they fail on rows without a value (and on numbers of another
 * kind), which no condition tells apart. */

static bool is_comparable(const struct inst_attr *attr, enum inst_checked_type type) {
    return attr->is_indexed && !attr->is_indexing && !attr->is_checking_type &&
           attr->checked_type == type;
}

static bool compare(struct translation *t, const char *function, struct part *a, struct part *b,
                    struct part *out) {
    static const struct {
        const char *function, *op, *swapped;
    } ops[] = {{"_<_", "$lt", "$gt"},
               {"_<=_", "$lte", "$gte"},
               {"_>_", "$gt", "$lt"},
               {"_>=_", "$gte", "$lte"}};
    bool is_swapped = a->kind == CONST;
    struct part *key = is_swapped ? b : a;
    const struct inst_cel_value *value = is_swapped ? &a->value : &b->value;
    struct inst_value v = inst_null();
    enum inst_checked_type type = INST_CHECKED_NONE;
    if (value->tag == INST_CEL_V_BOOL)
        type = INST_CHECKED_BOOLEAN;
    else if (value->tag >= INST_CEL_V_INT && value->tag <= INST_CEL_V_DOUBLE)
        type = INST_CHECKED_NUMBER;
    else if (value->tag == INST_CEL_V_STRING)
        type = INST_CHECKED_STRING;
    else if (value->tag == INST_CEL_V_TIMESTAMP)
        type = INST_CHECKED_DATE;
    bool is_key = key->kind == (type == INST_CHECKED_DATE ? TIME : KEY);
    bool is_fit = (is_swapped ? b : a)->kind != CONST && is_key && type != INST_CHECKED_NONE &&
                  (a->kind == CONST) != (b->kind == CONST) && is_comparable(key->attr, type) &&
                  !t->of->is_strict;
    if (is_fit && !(is_scalar(value, &v) || inst_cel_to_json(value, t->run->arena, &v)))
        return nomem(t);
    for (size_t i = 0; is_fit && i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].function, function) == 0)
            return set_yes(t, out, is(t, key, is_swapped ? ops[i].swapped : ops[i].op, v), false,
                           function);
    struct inst_buf name;
    inst_buf_init(&name);
    inst_cel_type_text(NULL, inst_cel_simple(inst_cel_kind_of(value)), &name);
    bool has_key = a->kind != CONST && b->kind == CONST;
    refuse(t, "Function '%.*s%s%s' failed", (int)strlen(function) - 1, function,
           has_key ? "_datakey_" : "_dynamic", has_key && name.data ? name.data : "");
    inst_buf_free(&name);
    return false;
}

/* The text between `%`s where anything may stand; what is special in a pattern is escaped.
 * Upstream's pattern of contains() ends in "%s" by a slip, which looks for an s. */
static bool like(struct translation *t, struct part *key, const struct inst_cel_value *text,
                 bool open_start, bool open_end, const char *overload, struct part *out) {
    struct inst_buf pattern;
    bool is_fit = key->kind == KEY && text->tag == INST_CEL_V_STRING && !t->of->is_strict &&
                  is_comparable(key->attr, INST_CHECKED_STRING);
    if (!is_fit)
        return refuse_call(t, overload);
    inst_buf_init(&pattern);
    if (open_start)
        inst_buf_add_char(&pattern, '%');
    for (uint32_t i = 0; i < text->len; i++) {
        if (memchr("%_\\", text->u.str[i], 3))
            inst_buf_add_char(&pattern, '\\');
        inst_buf_add_char(&pattern, text->u.str[i]);
    }
    if (open_end)
        inst_buf_add_char(&pattern, '%');
    const char *copy =
        pattern.failed ? NULL : inst_arena_dup(t->run->arena, pattern.data, pattern.len);
    struct inst_value v = inst_string(copy, pattern.len);
    inst_buf_free(&pattern);
    return copy ? set_yes(t, out, is(t, key, "$like", v), false, overload) : nomem(t);
}

/* ---- logic ---- */

/* A term of && or ||. What cannot be translated but is true or false may be anything. */
static bool term(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    if (translate(t, node, out) && as_cond(t, out))
        return true;
    if (!t->of->is_strict || t->has_failed || node->type->kind != INST_CEL_BOOL)
        return false;
    return set(t, out, &inst_cel_always, &inst_cel_always, false);
}

static bool logic(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    bool is_and = node->name[1] == '&';
    cond_t **yes = inst_arena_alloc(t->run->arena, (node->count + 1) * sizeof(cond_t *));
    cond_t **no = inst_arena_alloc(t->run->arena, (node->count + 1) * sizeof(cond_t *));
    bool is_exact = true, is_no_exact = true, has_no = true;
    const char *no_why = NULL;
    if (!yes || !no)
        return nomem(t);
    for (uint32_t i = 0; i < node->count; i++) {
        struct part part;
        if (!term(t, node->args[i], &part))
            return false;
        yes[i] = part.yes;
        no[i] = part.no;
        is_exact = is_exact && part.is_exact;
        is_no_exact = is_no_exact && part.is_no_exact;
        if (!part.no)
            no_why = part.no_why;
        has_no = has_no && part.no;
        if (part.yes->kind == (is_and ? INST_CEL_C_NEVER : INST_CEL_C_ALWAYS) && part.is_exact) {
            *out = part; /* it decides, whatever comes behind it */
            return true;
        }
    }
    enum inst_cel_cond_kind kind = is_and ? INST_CEL_C_AND : INST_CEL_C_OR;
    *out = (struct part){
        .kind = COND, .is_exact = is_exact, .is_no_exact = is_no_exact, .no_why = no_why};
    out->yes = inst_cel_cond_join(t->run->arena, kind, yes, node->count);
    if (has_no)
        out->no = inst_cel_cond_join(t->run->arena, is_and ? INST_CEL_C_OR : INST_CEL_C_AND, no,
                                     node->count);
    return (out->yes && (out->no || !has_no)) || nomem(t);
}

/* Strictly `!data.f` fails unless it is a bool: such rows are on both sides. */
static bool negate(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    if (!translate(t, node->args[0], out))
        return false;
    if (out->kind == KEY) {
        struct part key = *out;
        bool is_strict = t->of->is_strict;
        return set(t, out, is(t, &key, is_strict ? "$not" : NULL, inst_bool(is_strict)),
                   is(t, &key, "$not", inst_bool(false)), false);
    }
    return as_cond(t, out) && turn(t, out);
}

static bool choose(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    struct part condition;
    if (!translate(t, node->args[0], &condition))
        return false;
    if (condition.kind != CONST)
        return refuse_call(t, "_?_:_");
    if (condition.value.tag != INST_CEL_V_BOOL)
        return refuse(t, "expected boolean value");
    return translate(t, node->args[condition.value.u.b ? 1 : 2], out);
}

/* ---- what is read ---- */

static bool set_key(struct translation *t, const char *label, size_t len, struct part *out) {
    const struct inst_value *etype = &t->of->etype;
    const struct inst_attr *attr =
        inst_attrs_forward(t->of->attrs, etype->u.str, etype->len, label, len);
    bool has_dot = memchr(label, '.', len) != NULL; /* a query would take it for a path */
    if (!attr || attr->is_many || has_dot)
        return refuse(t, "key '%.*s' is not present in map.", (int)(len < 200 ? len : 200), label);
    *out = (struct part){.kind = KEY, .attr = attr, .path = label, .len = len};
    return true;
}

/* Every label but the last is a link, as a query reads it. */
static const struct inst_attr *end_of(const struct translation *t, const char *path, size_t len) {
    struct inst_value etype = t->of->etype;
    const struct inst_attr *attr = NULL;
    for (size_t start = 0; start <= len;) {
        const char *dot = memchr(path + start, '.', len - start);
        size_t end = dot ? (size_t)(dot - path) : len;
        if ((start > 0 && (!attr || !attr->is_ref)) || etype.tag != INST_STRING)
            return NULL;
        attr = inst_attrs_forward(t->of->attrs, etype.u.str, etype.len, path + start, end - start);
        bool is_forward = attr != NULL;
        if (!attr)
            attr =
                inst_attrs_reverse(t->of->attrs, etype.u.str, etype.len, path + start, end - start);
        if (!attr)
            return NULL;
        if (attr->is_ref)
            etype = is_forward ? attr->reverse.etype : attr->forward.etype;
        start = end + 1;
    }
    return attr;
}

static bool set_ref(struct translation *t, const struct part *path, struct part *out) {
    if (path->kind != CONST || path->value.tag != INST_CEL_V_STRING)
        return refuse_call(t, "data_ref");
    const char *text = path->value.u.str;
    const struct inst_attr *attr = end_of(t, text, path->value.len);
    if (!attr)
        return refuse(t, "the path of a ref leads nowhere");
    t->has_refs = true;
    *out = (struct part){.kind = REF, .attr = attr, .path = text, .len = path->value.len};
    return true;
}

/* ---- calls ---- */

static bool is_named(const struct inst_cel_node *node, const char *name) {
    return strcmp(node->name, name) == 0;
}

static bool unary(struct translation *t, const struct inst_cel_node *node, struct part *a,
                  struct part *out) {
    if (is_named(node, "size") && a->kind == REF) {
        *out = *a;
        out->kind = REF_SIZE;
        return true;
    }
    if (is_named(node, "timestamp") && a->kind == KEY) {
        *out = *a;
        out->kind = TIME;
        return true;
    }
    if (is_named(node, "type"))
        return refuse_call(t, "_type_datakey_override");
    return refuse_call(t, node->name);
}

static bool binary(struct translation *t, const struct inst_cel_node *node, struct part *a,
                   struct part *b, struct part *out) {
    if (is_named(node, "_==_"))
        return equals(t, a, b, out);
    if (is_named(node, "_!=_"))
        return not_equals(t, a, b, out);
    if (is_named(node, "@in"))
        return is_in(t, a, b, out);
    if (is_named(node, "ref") && a->kind == DATA)
        return set_ref(t, b, out);
    if (is_named(node, "_[_]") && a->kind == DATA && b->kind == CONST &&
        b->value.tag == INST_CEL_V_STRING)
        return set_key(t, b->value.u.str, b->value.len, out);
    if (is_named(node, "startsWith"))
        return like(t, a, &b->value, false, true, "_datakey_starts_with", out);
    if (is_named(node, "endsWith"))
        return like(t, a, &b->value, true, false, "_datakey_ends_with", out);
    if (is_named(node, "contains"))
        return like(t, a, &b->value, true, true, "_datakey_contains", out);
    if (node->name[0] == '_' && (node->name[1] == '<' || node->name[1] == '>'))
        return compare(t, node->name, a, b, out);
    return refuse_call(t, node->name);
}

static bool call(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    struct part args[2];
    if (is_named(node, "_&&_") || is_named(node, "_||_"))
        return logic(t, node, out);
    if (is_named(node, "!_"))
        return negate(t, node, out);
    if (is_named(node, "_?_:_"))
        return choose(t, node, out);
    if (node->count == 0 || node->count > 2)
        return refuse_call(t, node->name);
    for (uint32_t i = 0; i < node->count; i++)
        if (!translate(t, node->args[i], &args[i]))
            return false;
    return node->count == 1 ? unary(t, node, &args[0], out)
                            : binary(t, node, &args[0], &args[1], out);
}

/* ---- every node ---- */

static bool variable(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    struct scope *scope = t->scope, *inner = t->scope;
    if (node->slot >= 0) {
        *out = (struct part){.kind = DATA};
        return true;
    }
    for (int32_t slot = node->slot; ++slot < 0;)
        scope = scope->outer;
    if (!scope->is_known) {
        t->scope = scope->outer;
        bool ok = translate(t, scope->init, &scope->part);
        t->scope = inner;
        if (!ok)
            return false;
        scope->is_known = true;
    }
    *out = scope->part;
    return true;
}

static bool bind(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    struct scope scope = {
        .frame = {.outer = t->scope ? &t->scope->frame : NULL, .pending = node->args[0]},
        .outer = t->scope,
        .init = node->args[0],
        .is_of_data = mentions(t, node->args[0], 0)};
    t->scope = &scope;
    bool ok = translate(t, node->args[1], out);
    t->scope = scope.outer;
    return ok;
}

static bool field(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    struct part operand;
    if (!translate(t, node->args[0], &operand))
        return false;
    if (operand.kind != DATA)
        return refuse_call(t, node->kind == INST_CEL_N_HAS ? "has" : "select_datakey");
    if (node->kind == INST_CEL_N_SELECT)
        return set_key(t, node->name, strlen(node->name), out);
    *out = (struct part){.kind = CONST, .value = inst_cel_bool(true)}; /* permissions.md 3.1 */
    return true;
}

/* Upstream reads `!!data.f` as two steps here, though not when it evaluates. */
static bool not_not(struct translation *t, struct part *part) {
    struct part key = *part;
    if (t->of->is_strict || key.kind != KEY)
        return true;
    return set(t, part, is(t, &key, "$not", inst_bool(false)), is(t, &key, NULL, inst_bool(false)),
               false);
}

/* Recursion is as deep as the expression is nested. */
static bool translate(struct translation *t, const struct inst_cel_node *node, struct part *out) {
    if (!inst_cel_spend(t->run, 1))
        return too_much(t);
    if (node->kind == INST_CEL_N_BIND)
        return bind(t, node, out);
    if (!mentions(t, node, 0))
        return evaluate(t, node, out);
    switch (node->kind) {
    case INST_CEL_N_IDENT:
        return variable(t, node, out);
    case INST_CEL_N_SELECT:
    case INST_CEL_N_HAS:
        return field(t, node, out) && (!node->is_not_not || not_not(t, out));
    case INST_CEL_N_CALL:
        return call(t, node, out);
    default:
        return refuse(t, "a part of this kind is not translated");
    }
}

static bool finish(struct translation *t, struct part *part, struct inst_cel_where *out) {
    if (part->kind == CONST) {
        out->kind = inst_cel_allows(&part->value) ? INST_CEL_WHERE_ALWAYS : INST_CEL_WHERE_NEVER;
        out->is_exact = true;
        return true;
    }
    if (part->kind != COND) {
        out->why = "Invalid return type from the cel rule";
        return true;
    }
    out->is_exact = part->is_exact;
    out->has_refs = t->has_refs;
    if (part->yes->kind == INST_CEL_C_NEVER) {
        out->kind = INST_CEL_WHERE_NEVER;
        out->is_exact = true;
    } else if (part->yes->kind != INST_CEL_C_ALWAYS) {
        out->kind = INST_CEL_WHERE_SOME;
        return inst_cel_cond_where(t->run->arena, part->yes, &out->where);
    } else if (part->is_exact) {
        out->kind = INST_CEL_WHERE_ALWAYS;
    } else {
        out->why = "no part of it is a condition";
    }
    return true;
}

bool inst_cel_program_where(const struct inst_cel_program *program,
                            const struct inst_cel_bindings *bindings,
                            const struct inst_cel_host *host, const struct inst_cel_where_of *of,
                            struct inst_arena *arena, struct inst_cel_where *out) {
    struct inst_cel_value values[INST_CEL_SLOTS];
    struct inst_cel_run run = {
        .arena = arena, .values = values, .request = &bindings->request, .host = host};
    struct translation t = {.of = of, .run = &run};
    struct part part;
    *out = (struct inst_cel_where){.kind = INST_CEL_WHERE_NONE};
    inst_cel_fill_values(bindings, values);
    if (program->uses_rate_limit) {
        out->why = "rateLimit is not translated";
        return true;
    }
    if (translate(&t, program->root, &part))
        return finish(&t, &part, out);
    out->why = t.why;
    return t.why != NULL;
}
