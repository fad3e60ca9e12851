#include "server/edits.h"

#include "base/json.h"
#include "server/limits.h"

struct edits {
    struct inst_buf *out;
    struct inst_buf path; /* JSON text of the elements so far */
    uint32_t steps;       /* comparisons left */
    bool has_given_up;    /* the whole is to be replaced */
};

static bool may_go_on(struct edits *e) {
    if (e->steps == 0)
        e->has_given_up = true;
    else
        e->steps--;
    return !e->has_given_up;
}

static void begin(struct edits *e, const char *op) {
    inst_buf_add_str(e->out, ",[[");
    inst_buf_add(e->out, e->path.data, e->path.len);
    inst_buf_addf(e->out, "],\"%s\"", op);
}

static void set(struct edits *e, const char *op, const struct inst_value *value) {
    begin(e, op);
    inst_buf_add_char(e->out, ',');
    inst_json_write(e->out, value);
    inst_buf_add_char(e->out, ']');
}

static void take_away(struct edits *e) {
    begin(e, "-");
    inst_buf_add_char(e->out, ']');
}

/* Both give the path's former length. */
static size_t enter_key(struct edits *e, const struct inst_member *member) {
    size_t len = e->path.len;
    inst_buf_add_char(&e->path, ',');
    inst_json_write_string(&e->path, member->key, member->key_len);
    return len;
}

static size_t enter_index(struct edits *e, uint32_t index) {
    size_t len = e->path.len;
    inst_buf_add_char(&e->path, ',');
    inst_buf_add_int(&e->path, index);
    return len;
}

static void leave(struct edits *e, size_t len) {
    if (!e->path.failed)
        e->path.len = len;
}

static bool is_container(const struct inst_value *v) {
    return v->tag == INST_OBJECT || v->tag == INST_ARRAY;
}

static bool is_key(const struct inst_member *a, const struct inst_member *b) {
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* Equal to the last byte, key order included: cheap, and enough to leave the ends of a list alone.
 */
static bool is_same(struct edits *e, const struct inst_value *a, const struct inst_value *b) {
    if (!may_go_on(e) || a->tag != b->tag)
        return false;
    if (!is_container(a))
        return inst_value_equal(a, b);
    bool is_same_so_far = a->len == b->len;
    for (uint32_t i = 0; is_same_so_far && i < a->len; i++) {
        if (a->tag == INST_ARRAY)
            is_same_so_far = is_same(e, &a->u.items[i], &b->u.items[i]);
        else
            is_same_so_far = is_key(&a->u.members[i], &b->u.members[i]) &&
                             is_same(e, &a->u.members[i].value, &b->u.members[i].value);
    }
    return is_same_so_far;
}

static void differ(struct edits *e, const struct inst_value *before,
                   const struct inst_value *after);

/* ---- objects ---- */

static bool is_nameable(const struct inst_value *object) {
    return inst_getz(object, "__proto__") == NULL;
}

/* Looks behind *place first: keys mostly come in the same order. */
static const struct inst_member *find(struct edits *e, const struct inst_value *object,
                                      const struct inst_member *like, uint32_t *place) {
    for (uint32_t n = 0; n < object->len && may_go_on(e); n++) {
        uint32_t i = *place < object->len ? *place : 0;
        *place = i + 1;
        if (is_key(&object->u.members[i], like))
            return &object->u.members[i];
    }
    return NULL;
}

static void differ_objects(struct edits *e, const struct inst_value *before,
                           const struct inst_value *after) {
    uint32_t place = 0;
    for (uint32_t i = 0; i < after->len && !e->has_given_up; i++) {
        const struct inst_member *now = &after->u.members[i];
        const struct inst_member *was = find(e, before, now, &place);
        size_t len = enter_key(e, now);
        if (was != NULL)
            differ(e, &was->value, &now->value);
        else
            set(e, "+", &now->value);
        leave(e, len);
    }
    place = 0;
    for (uint32_t i = 0; i < before->len && !e->has_given_up; i++) {
        const struct inst_member *was = &before->u.members[i];
        if (find(e, after, was, &place) != NULL)
            continue;
        size_t len = enter_key(e, was);
        take_away(e);
        leave(e, len);
    }
}

/* ---- lists ---- */

static void differ_lists(struct edits *e, const struct inst_value *before,
                         const struct inst_value *after) {
    uint32_t start = 0, was = before->len, now = after->len;
    while (start < was && start < now &&
           is_same(e, &before->u.items[start], &after->u.items[start]))
        start++;
    while (was > start && now > start &&
           is_same(e, &before->u.items[was - 1], &after->u.items[now - 1])) {
        was--;
        now--;
    }
    for (uint32_t i = start; i < now && !e->has_given_up; i++) {
        size_t len = enter_index(e, i);
        if (i < was)
            differ(e, &before->u.items[i], &after->u.items[i]);
        else
            set(e, "+", &after->u.items[i]);
        leave(e, len);
    }
    for (uint32_t i = was; i > now && !e->has_given_up; i--) {
        size_t len = enter_index(e, i - 1);
        take_away(e);
        leave(e, len);
    }
}

/* ---- any value ---- */

static void differ(struct edits *e, const struct inst_value *before,
                   const struct inst_value *after) {
    if (!may_go_on(e))
        return;
    bool is_alike = is_container(after) && before->tag == after->tag;
    if (is_alike && before->len == 0 && after->len == 0)
        return;
    if (!is_alike && inst_value_equal(before, after))
        return;
    if (!is_alike || after->len == 0) {
        set(e, "r", after);
    } else if (after->tag == INST_ARRAY) {
        differ_lists(e, before, after);
    } else if (is_nameable(before) && is_nameable(after)) {
        differ_objects(e, before, after);
    } else if (!is_same(e, before, after)) {
        set(e, "r", after);
    }
}

void inst_edits_write(struct inst_buf *buf, const char *path, const struct inst_value *before,
                      const struct inst_value *after) {
    struct edits e = {.out = buf, .steps = INST_EDITS_MAX_STEPS};
    size_t start = buf->len;
    inst_buf_init(&e.path);
    inst_buf_add_str(&e.path, path);
    differ(&e, before, after);
    size_t edited = buf->len;
    leave(&e, strlen(path));
    if (edited > start || e.has_given_up)
        set(&e, "r", after);
    /* The shorter of the two stays. */
    size_t replaced = buf->len - edited;
    if (buf->failed || e.path.failed) {
        buf->failed = true;
    } else if (e.has_given_up || replaced < edited - start) {
        memmove(buf->data + start, buf->data + edited, replaced);
        buf->len = start + replaced;
        buf->data[buf->len] = 0;
    } else {
        buf->len = edited;
        if (buf->data != NULL)
            buf->data[buf->len] = 0;
    }
    inst_buf_free(&e.path);
}
