#include "instaql/server_where.h"

#include "instaql/compile.h"
#include "instaql/limits.h"

struct builder {
    struct inst_arena *arena;
    const struct inst_attrs *attrs;
    const struct inst_value *etype;
    enum inst_where_problem problem;
    unsigned depth;
};

struct cond_list {
    struct inst_cond *items;
    uint32_t count;
    uint32_t cap;
};

static bool fail(struct builder *b, enum inst_where_problem problem) {
    b->problem = problem;
    return false;
}

static bool add(struct builder *b, struct cond_list *list, const struct inst_cond *cond) {
    if (list->count == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 4;
        struct inst_cond *items = inst_arena_alloc(b->arena, cap * sizeof(*items));
        if (!items) {
            return fail(b, INST_WHERE_NOMEM);
        }
        if (list->count) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = *cond;
    return true;
}

/* The list as one condition of this kind, lists of the same kind taken apart. */
static bool add_group(struct builder *b, struct cond_list *out, enum inst_cond_kind kind,
                      const struct cond_list *list) {
    struct cond_list flat = {0};
    for (uint32_t i = 0; i < list->count; i++) {
        const struct inst_cond *c = &list->items[i];
        if (c->kind != kind) {
            if (!add(b, &flat, c)) {
                return false;
            }
            continue;
        }
        for (uint32_t k = 0; k < c->count; k++) {
            if (!add(b, &flat, &c->items[k])) {
                return false;
            }
        }
    }
    if (flat.count == 1) {
        return add(b, out, &flat.items[0]);
    }
    struct inst_cond group = {.kind = kind, .items = flat.items, .count = flat.count};
    return add(b, out, &group);
}

/* Does the path end at an indexed attr? Those have null rows, which `$not` finds by itself. */
static bool is_indexed(const struct builder *b, const char *path, size_t len) {
    struct inst_value etype = *b->etype;
    size_t pos = 0;
    const char *label = NULL;
    size_t label_len = 0;
    while (etype.tag == INST_STRING && inst_path_next(path, len, &pos, &label, &label_len)) {
        bool is_forward;
        const struct inst_attr *attr =
            inst_link_of(b->attrs, &etype, label, label_len, &is_forward);
        if (!attr) {
            return false;
        }
        if (pos > len) {
            return is_forward && attr->is_indexed && !attr->is_indexing;
        }
        etype = is_forward ? attr->reverse.etype : attr->forward.etype;
    }
    return false;
}

static bool add_value(struct builder *b, struct cond_list *list, const char *path, size_t len,
                      const struct inst_value *v) {
    struct inst_cond cond = {.kind = INST_COND_VALUE, .path = path, .path_len = len, .v = *v};
    return add(b, list, &cond);
}

/* "is null" for the path and everything in front of it, but not the last `drop`. */
static bool add_nulls(struct builder *b, struct cond_list *list, const char *path, size_t len,
                      bool drops_last) {
    struct inst_member *member = inst_arena_alloc(b->arena, sizeof(*member));
    if (!member) {
        return fail(b, INST_WHERE_NOMEM);
    }
    *member = (struct inst_member){"$isNull", 7, inst_bool(true)};
    struct inst_value is_null = inst_object(member, 1);
    for (size_t end = 0; end <= len; end++) {
        bool is_last = end == len;
        if ((is_last || path[end] == '.') && !(is_last && drops_last) &&
            !add_value(b, list, path, end, &is_null)) {
            return false;
        }
    }
    return true;
}

/* `$ne` goes by the name of `$not`, at the end. */
static bool rename_ne(struct builder *b, const struct inst_value *v, struct inst_value *out) {
    const struct inst_value *other = inst_getz(v, "$ne");
    struct inst_object_builder o;
    *out = *v;
    if (!other) {
        return true;
    }
    inst_object_begin(&o, b->arena);
    for (uint32_t i = 0; i < v->len; i++) {
        const struct inst_member *m = &v->u.members[i];
        if (&m->value != other) {
            inst_object_add(&o, m->key, m->key_len, m->value);
        }
    }
    inst_object_addz(&o, "$not", *other);
    return inst_object_end(&o, out) ? true : fail(b, INST_WHERE_NOMEM);
}

static bool add_object(struct builder *b, struct cond_list *out, const struct inst_value *where);

static bool add_list(struct builder *b, struct cond_list *out, bool is_or,
                     const struct inst_value *elements) {
    struct cond_list list = {0};
    if (++b->depth > INST_INSTAQL_MAX_WHERE_DEPTH) {
        return fail(b, INST_WHERE_TOO_DEEP);
    }
    for (uint32_t i = 0; i < elements->len; i++) {
        const struct inst_value *element = &elements->u.items[i];
        struct cond_list own = {0};
        if (element->tag != INST_OBJECT) {
            return fail(b, INST_WHERE_NO_MAP);
        }
        if (!add_object(b, is_or ? &own : &list, element) ||
            (is_or && !add_group(b, &list, INST_COND_AND, &own))) {
            return false;
        }
    }
    b->depth--;
    if (list.count == 0) {
        return fail(b, is_or ? INST_WHERE_EMPTY_OR : INST_WHERE_EMPTY_AND);
    }
    return add_group(b, out, is_or ? INST_COND_OR : INST_COND_AND, &list);
}

static bool is_key(const struct inst_member *m, const char *text) {
    return m->key_len == strlen(text) && memcmp(m->key, text, m->key_len) == 0;
}

static bool add_entry(struct builder *b, struct cond_list *out, const struct inst_member *m) {
    bool is_or = is_key(m, "or");
    if (m->value.tag == INST_ARRAY && (is_or || is_key(m, "and"))) {
        return add_list(b, out, is_or, &m->value);
    }
    struct cond_list list = {0};
    if (inst_getz(&m->value, "$not") || inst_getz(&m->value, "$ne")) {
        struct inst_value v;
        return rename_ne(b, &m->value, &v) && add_value(b, &list, m->key, m->key_len, &v) &&
               add_nulls(b, &list, m->key, m->key_len, is_indexed(b, m->key, m->key_len)) &&
               add_group(b, out, INST_COND_OR, &list);
    }
    if (inst_get_true(&m->value, "$isNull")) {
        return add_nulls(b, &list, m->key, m->key_len, false) &&
               add_group(b, out, INST_COND_OR, &list);
    }
    return add_value(b, out, m->key, m->key_len, &m->value);
}

static bool add_object(struct builder *b, struct cond_list *out, const struct inst_value *where) {
    for (uint32_t i = 0; i < where->len; i++) {
        if (!add_entry(b, out, &where->u.members[i])) {
            return false;
        }
    }
    return true;
}

enum inst_where_problem inst_server_where(struct inst_arena *arena, const struct inst_attrs *attrs,
                                          const struct inst_value *etype,
                                          const struct inst_value *where, struct inst_cond **out,
                                          uint32_t *count) {
    struct builder b = {.arena = arena, .attrs = attrs, .etype = etype};
    struct cond_list list = {0};
    add_object(&b, &list, where);
    *out = list.items;
    *count = list.count;
    return b.problem;
}
