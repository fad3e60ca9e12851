#include "server/names.h"

#include "base/text.h"

#include <string.h>

struct naming {
    struct inst_read_index *index;
    struct inst_read_set *set;
    struct inst_table named; /* hashes of the query's names */
    bool failed;
};

static struct inst_table_key key_of(const struct naming *naming, const char *name, size_t len) {
    return (struct inst_table_key){inst_text_hash(name, len, naming->index->seed), len};
}

static void add(struct naming *naming, const char *name, size_t len) {
    struct inst_table_key key = key_of(naming, name, len);
    if (len == 0 || inst_table_get(&naming->named, key) != NULL)
        return;
    if (!inst_table_put(&naming->named, key, naming))
        naming->failed = true;
    inst_read_set_add_name(naming->index, naming->set, name, len);
}

/* Labels may hold dots themselves: the whole counts as well as its parts. */
static void add_path(struct naming *naming, const char *path, size_t len) {
    add(naming, path, len);
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

static bool is_named(const struct naming *naming, const struct inst_value *name) {
    return name->tag == INST_STRING &&
           inst_table_get(&naming->named, key_of(naming, name->u.str, name->len)) != NULL;
}

static void add_etype(struct naming *naming, const struct inst_value *etype) {
    if (etype->tag == INST_STRING && !is_named(naming, etype))
        inst_read_set_add_name(naming->index, naming->set, etype->u.str, etype->len);
}

void inst_names_add(struct inst_read_index *index, struct inst_read_set *set,
                    const struct inst_value *query, const struct inst_attrs *attrs) {
    struct naming naming = {.index = index, .set = set};
    walk(&naming, query, false);
    size_t count = inst_attrs_count(attrs);
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(attrs, i);
        if (!attr->is_ref ||
            (!is_named(&naming, &attr->forward.label) && !is_named(&naming, &attr->reverse.label)))
            continue;
        add_etype(&naming, &attr->forward.etype);
        add_etype(&naming, &attr->reverse.etype);
    }
    inst_table_free(&naming.named);
    if (naming.failed)
        set->is_broken = true;
}
