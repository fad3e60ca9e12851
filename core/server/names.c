#include "server/names.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

struct naming {
    uint64_t seed;
    struct inst_names names;
    size_t cap;
    bool failed;
};

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x == y ? 0 : x < y ? -1 : 1;
}

static void add(struct naming *naming, const char *name, size_t len) {
    struct inst_names *names = &naming->names;
    if (len == 0 || naming->failed)
        return;
    if (names->count == naming->cap) {
        size_t cap = naming->cap == 0 ? 16 : naming->cap * 2;
        uint64_t *hashes = realloc(names->hashes, cap * sizeof *hashes);
        if (hashes == NULL) {
            naming->failed = true;
            return;
        }
        names->hashes = hashes;
        naming->cap = cap;
    }
    names->hashes[names->count++] = inst_text_hash(name, len, naming->seed);
}

/* Labels may hold dots themselves: the whole counts as well as its parts. */
static void add_path(struct naming *naming, const char *path, size_t len) {
    add(naming, path, len);
    if (len == 0 || memchr(path, '.', len) == NULL)
        return;
    for (size_t start = 0; start < len;) {
        const char *dot = memchr(path + start, '.', len - start);
        size_t end = dot != NULL ? (size_t)(dot - path) : len;
        add(naming, path + start, end - start);
        start = end + 1;
    }
}

static void walk(struct naming *naming, const struct inst_value *v, bool is_fields) {
    if (v->tag == INST_OBJECT) {
        for (uint32_t i = 0; i < v->len; i++) {
            const struct inst_member *member = &v->u.members[i];
            add_path(naming, member->key, member->key_len);
            walk(naming, &member->value,
                 member->key_len == 6 && memcmp(member->key, "fields", 6) == 0);
        }
    } else if (v->tag == INST_ARRAY) {
        for (uint32_t i = 0; i < v->len; i++)
            walk(naming, &v->u.items[i], is_fields);
    } else if (v->tag == INST_STRING && is_fields) {
        add_path(naming, v->u.str, v->len);
    }
}

bool inst_names_of(const struct inst_value *query, uint64_t seed, struct inst_names *out) {
    struct naming naming = {.seed = seed};
    walk(&naming, query, false);
    if (naming.failed) {
        inst_names_free(&naming.names);
        return false;
    }
    struct inst_names *names = &naming.names;
    if (names->count > 0)
        qsort(names->hashes, names->count, sizeof *names->hashes, compare_hashes);
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++)
        if (i == 0 || names->hashes[i] != names->hashes[i - 1])
            names->hashes[kept++] = names->hashes[i];
    names->count = kept;
    *out = *names;
    return true;
}

void inst_names_free(struct inst_names *names) {
    free(names->hashes);
    *names = (struct inst_names){0};
}

static bool is_named(const struct inst_names *names, const struct inst_value *name, uint64_t seed) {
    if (name->tag != INST_STRING || names->count == 0)
        return false;
    uint64_t hash = inst_text_hash(name->u.str, name->len, seed);
    return bsearch(&hash, names->hashes, names->count, sizeof hash, compare_hashes) != NULL;
}

static bool is_system(const struct inst_value *etype) {
    return etype->tag == INST_STRING && etype->len > 0 && etype->u.str[0] == '$';
}

static void add_etype(const struct inst_value *etype, struct inst_read_index *index,
                      struct inst_read_set *set) {
    if (etype->tag == INST_STRING)
        inst_read_set_add_name(index, set, inst_text_hash(etype->u.str, etype->len, index->seed));
}

bool inst_names_add(const struct inst_names *names, const struct inst_attrs *attrs,
                    struct inst_read_index *index, struct inst_read_set *set) {
    bool sees_system = false;
    for (size_t i = 0; i < names->count; i++)
        inst_read_set_add_name(index, set, names->hashes[i]);
    size_t count = inst_attrs_count(attrs);
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        const struct inst_value *etype = &attr->forward.etype;
        if (is_system(etype) && inst_is_string(&attr->forward.label, "id"))
            sees_system = sees_system || is_named(names, etype, index->seed);
        if (!attr->is_ref || (!is_named(names, &attr->forward.label, index->seed) &&
                              !is_named(names, &attr->reverse.label, index->seed)))
            continue;
        sees_system = sees_system || is_system(etype) || is_system(&attr->reverse.etype);
        add_etype(etype, index, set);
        add_etype(&attr->reverse.etype, index, set);
    }
    return sees_system;
}

/* ---- what a query reaches ---- */

static struct inst_value part_of(const struct inst_value *path, size_t *from) {
    const char *start = path->u.str + *from;
    const char *dot = memchr(start, '.', path->len - *from);
    size_t len = dot != NULL ? (size_t)(dot - start) : path->len - *from;
    *from += len + 1;
    return inst_string(start, len);
}

/* The attr that `label` is on etype, in either direction; *next is where it leads. */
static const struct inst_attr *follow(const struct inst_attrs *attrs,
                                      const struct inst_value *etype,
                                      const struct inst_value *label, struct inst_value *next) {
    const struct inst_attr *attr =
        inst_attrs_forward(attrs, etype->u.str, etype->len, label->u.str, label->len);
    *next = inst_undefined();
    if (attr != NULL) {
        if (attr->is_ref)
            *next = attr->reverse.etype;
        return attr;
    }
    attr = inst_attrs_reverse(attrs, etype->u.str, etype->len, label->u.str, label->len);
    if (attr != NULL)
        *next = attr->forward.etype;
    return attr;
}

static bool reaches_path(const struct inst_value *path, const struct inst_value *etype,
                         const struct inst_reach *reach) {
    struct inst_value at = *etype, next;
    const struct inst_attr *attr =
        inst_attrs_forward(reach->attrs, at.u.str, at.len, path->u.str, path->len);
    if (attr != NULL) /* a label may have dots in it */
        return reach->meets(reach->ctx, &attr->forward.etype);
    for (size_t from = 0; from <= path->len && at.tag == INST_STRING; at = next) {
        struct inst_value label = part_of(path, &from);
        attr = follow(reach->attrs, &at, &label, &next);
        if (attr != NULL && reach->meets(reach->ctx, &attr->forward.etype))
            return true;
    }
    return false;
}

static bool reaches_where(const struct inst_value *where, const struct inst_value *etype,
                          const struct inst_reach *reach) {
    for (uint32_t i = 0; where->tag == INST_ARRAY && i < where->len; i++)
        if (reaches_where(&where->u.items[i], etype, reach))
            return true;
    for (uint32_t i = 0; where->tag == INST_OBJECT && i < where->len; i++) {
        const struct inst_member *m = &where->u.members[i];
        struct inst_value key = inst_string(m->key, m->key_len);
        bool is_group = inst_is_string(&key, "and") || inst_is_string(&key, "or");
        if ((is_group && reaches_where(&m->value, etype, reach)) ||
            reaches_path(&key, etype, reach))
            return true;
    }
    return false;
}

static bool reaches_form(const struct inst_value *form, const struct inst_value *etype,
                         const struct inst_reach *reach) {
    if (reach->meets(reach->ctx, etype))
        return true;
    for (uint32_t i = 0; form->tag == INST_OBJECT && i < form->len; i++) {
        const struct inst_member *m = &form->u.members[i];
        struct inst_value label = inst_string(m->key, m->key_len), next;
        if (inst_is_string(&label, "$")) {
            const struct inst_value *where = inst_getz(&m->value, "where");
            if (where != NULL && reaches_where(where, etype, reach))
                return true;
            continue;
        }
        const struct inst_attr *attr = follow(reach->attrs, etype, &label, &next);
        if (attr != NULL && (reach->meets(reach->ctx, &attr->forward.etype) ||
                             (next.tag == INST_STRING && reaches_form(&m->value, &next, reach))))
            return true;
    }
    return false;
}

bool inst_query_reaches(const struct inst_value *query, const struct inst_reach *reach) {
    for (uint32_t i = 0; query->tag == INST_OBJECT && i < query->len; i++) {
        const struct inst_member *m = &query->u.members[i];
        struct inst_value etype = inst_string(m->key, m->key_len);
        if (!inst_is_string(&etype, "$$ruleParams") && reaches_form(&m->value, &etype, reach))
            return true;
    }
    return false;
}
