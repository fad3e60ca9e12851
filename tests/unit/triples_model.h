/*
 * triples_model.h - the memory store once more, as simply as can be: three maps of maps of maps in
 * insertion order, searched from end to end, changed as instaql.md 1.3 and 1.6 say. Tests compare
 * the store with it and undo by throwing a copy away.
 */
#ifndef INST_TESTS_TRIPLES_MODEL_H
#define INST_TESTS_TRIPLES_MODEL_H

#include "base/json.h"
#include "triples/mem_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A map (kids, in order) or, at the bottom, a created-at. */
struct node {
    char *key;
    struct node **kids;
    size_t len;
    int64_t t;
};

struct model {
    struct node *eav, *aev, *vae; /* keys: entity ids, attr ids, JSON of values */
    struct inst_attrs *attrs;
};

static struct node *node_new(const char *key) {
    struct node *node = calloc(1, sizeof(*node));
    assert(node);
    node->key = strdup(key);
    return node;
}

static void node_free(struct node *node) {
    for (size_t i = 0; i < node->len; i++) {
        node_free(node->kids[i]);
    }
    free(node->kids);
    free(node->key);
    free(node);
}

static struct node *node_get(const struct node *node, const char *key) {
    for (size_t i = 0; node && i < node->len; i++) {
        if (strcmp(node->kids[i]->key, key) == 0) {
            return node->kids[i];
        }
    }
    return NULL;
}

static struct node *node_add(struct node *node, const char *key) {
    struct node *kid = node_get(node, key);
    if (!kid) {
        kid = node_new(key);
        node->kids = realloc(node->kids, (node->len + 1) * sizeof(*node->kids));
        assert(node->kids);
        node->kids[node->len++] = kid;
    }
    return kid;
}

static void node_delete(struct node *node, const char *key) {
    for (size_t i = 0; node && i < node->len; i++) {
        if (strcmp(node->kids[i]->key, key) == 0) {
            node_free(node->kids[i]);
            memmove(&node->kids[i], &node->kids[i + 1], (node->len - i - 1) * sizeof(*node->kids));
            node->len--;
            return;
        }
    }
}

static void node_clear(struct node *node) {
    while (node->len) {
        node_free(node->kids[--node->len]);
    }
}

static struct node *node_copy(const struct node *node) {
    struct node *copy = node_new(node->key);
    copy->t = node->t;
    copy->len = node->len;
    copy->kids = malloc((node->len + 1) * sizeof(*copy->kids));
    for (size_t i = 0; i < node->len; i++) {
        copy->kids[i] = node_copy(node->kids[i]);
    }
    return copy;
}

static void put3(struct node *top, const char *a, const char *b, const char *c, int64_t t) {
    node_add(node_add(node_add(top, a), b), c)->t = t;
}

static void delete3(struct node *top, const char *a, const char *b, const char *c) {
    node_delete(node_get(node_get(top, a), b), c);
}

/* ---- the model ---- */

static void model_new(struct model *model, struct inst_attrs *attrs) {
    *model = (struct model){node_new(""), node_new(""), node_new(""), inst_attrs_ref(attrs)};
}

static void model_free(struct model *model) {
    node_free(model->eav);
    node_free(model->aev);
    node_free(model->vae);
    inst_attrs_unref(model->attrs);
}

static struct model model_copy(const struct model *model) {
    return (struct model){node_copy(model->eav), node_copy(model->aev), node_copy(model->vae),
                          inst_attrs_ref(model->attrs)};
}

/* A value's key, to be freed. */
static char *key_of(const struct inst_value *v) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_json_write(&buf, v);
    return inst_buf_take(&buf, &(size_t){0});
}

static const char *text_of(const struct inst_value *v) {
    static char text[4][64];
    static int turn;
    char *to = text[turn++ % 4];
    assert(v->len < 64);
    memcpy(to, v->u.str, v->len);
    to[v->len] = '\0';
    return to;
}

static const struct inst_attr *model_attr(const struct model *model, const char *id) {
    return inst_attrs_by_id(model->attrs, id, strlen(id));
}

static void model_load(struct model *model, const char *e, const struct inst_attr *attr,
                       const char *v, int64_t t) {
    const char *a = text_of(&attr->id);
    if (attr->is_ref) {
        put3(model->vae, v, a, e, t);
    }
    put3(model->eav, e, a, v, t);
    put3(model->aev, a, e, v, t);
}

static void model_put(struct model *model, const char *e, const struct inst_attr *attr,
                      const char *v, int64_t t) {
    const char *a = text_of(&attr->id);
    struct node *old = node_get(node_get(node_get(model->eav, e), a), v);
    t = old && old->t != INST_NO_TIME ? old->t : t;
    if (!attr->is_many) {
        node_clear(node_add(node_add(model->eav, e), a));
        node_clear(node_add(node_add(model->aev, a), e));
    }
    model_load(model, e, attr, v, t);
}

static void model_replace(struct model *model, const char *e, const struct inst_attr *attr,
                          const char *v, int64_t t) {
    const char *a = text_of(&attr->id);
    node_clear(node_add(node_add(model->eav, e), a));
    node_clear(node_add(node_add(model->aev, a), e));
    put3(model->eav, e, a, v, t);
    put3(model->aev, a, e, v, t);
}

static void model_retract(struct model *model, const char *e, const struct inst_attr *attr,
                          const char *v) {
    const char *a = text_of(&attr->id);
    delete3(model->eav, e, a, v);
    delete3(model->aev, a, e, v);
    if (attr->is_ref) {
        delete3(model->vae, v, a, e);
    }
}

/* Entities under deletion, from the innermost outwards. */
struct under_way {
    const char *e;
    const char *etype; /* NULL: every namespace */
    const struct under_way *outer;
};

static bool same_name(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static const char *etype_of(const struct inst_ident *ident) {
    return ident->etype.tag == INST_STRING ? strdup(text_of(&ident->etype)) : NULL;
}

static void model_delete(struct model *model, const char *e, const char *etype,
                         const struct under_way *outer);

/* e is given as the JSON of its id. */
static void model_cascade(struct model *model, const char *json, const char *etype,
                          const struct under_way *outer) {
    if (json[0] == '"') {
        char *e = strndup(json + 1, strlen(json) - 2);
        model_delete(model, e, etype, outer);
        free(e);
    }
}

static void delete_forward(struct model *model, const char *e, const char *etype,
                           const struct under_way *here) {
    struct node *all = node_get(model->eav, e);
    struct node *before = all ? node_copy(all) : node_new("");
    for (size_t i = 0; i < before->len; i++) {
        const char *a = before->kids[i]->key;
        const struct inst_attr *attr = model_attr(model, a);
        struct node *values = node_get(node_get(model->eav, e), a);
        if (!values) {
            continue;
        }
        const char *forward = attr ? etype_of(&attr->forward) : NULL;
        const char *reverse = attr ? etype_of(&attr->reverse) : NULL;
        if (attr && attr->on_delete_reverse_cascade) {
            struct node *now = node_copy(values);
            for (size_t j = 0; j < now->len; j++) {
                model_cascade(model, now->kids[j]->key, reverse, here);
            }
            node_free(now);
        }
        if (!etype || !attr || same_name(forward, etype)) {
            node_delete(node_get(model->aev, a), e);
            node_delete(node_get(model->eav, e), a);
        }
        free((void *)forward);
        free((void *)reverse);
    }
    node_free(before);
    all = node_get(model->eav, e);
    if (all && all->len == 0) {
        node_delete(model->eav, e);
    }
}

static void delete_reverse(struct model *model, const char *e, const char *etype,
                           const struct under_way *here) {
    struct inst_value id = inst_cstring(e);
    char *v = key_of(&id);
    struct node *all = node_get(model->vae, v);
    struct node *before = all ? node_copy(all) : node_new("");
    for (size_t i = 0; i < before->len; i++) {
        const char *a = before->kids[i]->key;
        const struct inst_attr *attr = model_attr(model, a);
        const char *forward = attr ? etype_of(&attr->forward) : NULL;
        const char *reverse = attr ? etype_of(&attr->reverse) : NULL;
        for (size_t j = 0; j < before->kids[i]->len; j++) {
            const char *from = before->kids[i]->kids[j]->key;
            if (!etype || !attr || same_name(reverse, etype)) {
                delete3(model->eav, from, a, v);
                delete3(model->aev, a, from, v);
                delete3(model->vae, v, a, from);
            }
            if (attr && attr->on_delete_cascade && same_name(reverse, etype)) {
                model_delete(model, from, forward, here);
            }
        }
        free((void *)forward);
        free((void *)reverse);
    }
    node_free(before);
    free(v);
}

static void model_delete(struct model *model, const char *e, const char *etype,
                         const struct under_way *outer) {
    const struct under_way here = {e, etype, outer};
    for (; outer; outer = outer->outer) {
        if (strcmp(outer->e, e) == 0 && same_name(outer->etype, etype)) {
            return;
        }
    }
    delete_forward(model, e, etype, &here);
    delete_reverse(model, e, etype, &here);
}

static void model_set_attrs(struct model *model, struct inst_attrs *attrs, bool rebuild) {
    inst_attrs_ref(attrs);
    inst_attrs_unref(model->attrs);
    model->attrs = attrs;
    if (!rebuild) {
        return;
    }
    struct node *eav = model->eav;
    node_free(model->aev);
    node_free(model->vae);
    model->eav = node_new("");
    model->aev = node_new("");
    model->vae = node_new("");
    for (size_t i = 0; i < eav->len; i++) {
        for (size_t j = 0; j < eav->kids[i]->len; j++) {
            const struct node *cell = eav->kids[i]->kids[j];
            const struct inst_attr *attr = model_attr(model, cell->key);
            for (size_t k = 0; attr && k < cell->len; k++) {
                model_load(model, eav->kids[i]->key, attr, cell->kids[k]->key, cell->kids[k]->t);
            }
        }
    }
    node_free(eav);
}

#endif
