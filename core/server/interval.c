#include "server/interval.h"

#include <stdlib.h>

static int compare_nodes(const struct inst_interval *a, const struct inst_interval *b) {
    int c = inst_point_compare(&a->low, &b->low);
    if (c != 0)
        return c;
    return a->number == b->number ? 0 : a->number < b->number ? -1 : 1;
}

static void refresh(struct inst_interval *node) {
    node->max = node->high;
    if (node->left != NULL && inst_point_compare(&node->left->max, &node->max) > 0)
        node->max = node->left->max;
    if (node->right != NULL && inst_point_compare(&node->right->max, &node->max) > 0)
        node->max = node->right->max;
}

static struct inst_interval *rotate_right(struct inst_interval *node) {
    struct inst_interval *up = node->left;
    node->left = up->right;
    up->right = node;
    refresh(node);
    refresh(up);
    return up;
}

static struct inst_interval *rotate_left(struct inst_interval *node) {
    struct inst_interval *up = node->right;
    node->right = up->left;
    up->left = node;
    refresh(node);
    refresh(up);
    return up;
}

/* Depth is logarithmic by the random weights. */
static struct inst_interval *insert(struct inst_interval *node, struct inst_interval *added) {
    if (node == NULL)
        return added;
    if (compare_nodes(added, node) < 0) {
        node->left = insert(node->left, added);
        if (node->left->weight > node->weight)
            return rotate_right(node);
    } else {
        node->right = insert(node->right, added);
        if (node->right->weight > node->weight)
            return rotate_left(node);
    }
    refresh(node);
    return node;
}

static struct inst_interval *join(struct inst_interval *left, struct inst_interval *right) {
    if (left == NULL || right == NULL)
        return left != NULL ? left : right;
    if (left->weight > right->weight) {
        left->right = join(left->right, right);
        refresh(left);
        return left;
    }
    right->left = join(left, right->left);
    refresh(right);
    return right;
}

static struct inst_interval *take(struct inst_interval *node, struct inst_interval *gone) {
    if (node == NULL)
        return NULL;
    if (node == gone)
        return join(node->left, node->right);
    if (compare_nodes(gone, node) < 0)
        node->left = take(node->left, gone);
    else
        node->right = take(node->right, gone);
    refresh(node);
    return node;
}

static uint32_t weight_of(uint64_t number) {
    uint64_t x = number * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (uint32_t)(x >> 32);
}

static size_t text_len(const struct inst_point *point) {
    return point->class == INST_POINT_STRING ? point->len : 0;
}

struct inst_interval *inst_intervals_add(struct inst_intervals *set, const struct inst_point *low,
                                         const struct inst_point *high, void *owner) {
    size_t low_len = text_len(low), high_len = text_len(high);
    struct inst_interval *node = malloc(sizeof *node + low_len + high_len);
    if (node == NULL)
        return NULL;
    *node = (struct inst_interval){.low = *low, .high = *high, .owner = owner};
    char *text = (char *)(node + 1);
    if (low->class == INST_POINT_STRING) {
        if (low_len > 0)
            memcpy(text, low->str, low_len);
        node->low.str = text;
    }
    if (high->class == INST_POINT_STRING) {
        if (high_len > 0)
            memcpy(text + low_len, high->str, high_len);
        node->high.str = text + low_len;
    }
    node->number = set->next_number++;
    node->weight = weight_of(node->number);
    node->max = node->high;
    set->root = insert(set->root, node);
    set->count++;
    return node;
}

void inst_intervals_remove(struct inst_intervals *set, struct inst_interval *interval) {
    set->root = take(set->root, interval);
    set->count--;
    free(interval);
}

static void ask(const struct inst_interval *node, const struct inst_point *point,
                void (*fn)(void *ctx, void *owner), void *ctx) {
    bool is_any = point->class == INST_POINT_UNKNOWN;
    while (node != NULL) {
        if (!is_any && inst_point_compare(&node->max, point) < 0)
            return;
        ask(node->left, point, fn, ctx);
        if (!is_any && inst_point_compare(&node->low, point) > 0)
            return;
        if (is_any || inst_point_compare(&node->high, point) >= 0)
            fn(ctx, node->owner);
        node = node->right;
    }
}

void inst_intervals_ask(const struct inst_intervals *set, const struct inst_point *point,
                        void (*fn)(void *ctx, void *owner), void *ctx) {
    ask(set->root, point, fn, ctx);
}
