/* persist_meta.c - how old and how large what is kept is, and what goes when it is too much. */
#include "client/reactor_internal.h"

#include "base/json.h"

#include <stdlib.h>

/* ---- the records ---- */

static struct inst_disk_meta *find(const struct inst_persist_lane *lane, const char *key) {
    return inst_map_get(&lane->meta, key, strlen(key));
}

static struct inst_disk_meta *add(struct inst_persist_lane *lane, const char *key, size_t len) {
    struct inst_disk_meta *meta = calloc(1, sizeof(*meta) + len + 1);
    if (!meta) {
        return NULL;
    }
    memcpy(meta->key, key, len);
    if (!inst_map_add(&lane->meta, meta->key, len, meta)) {
        free(meta);
        return NULL;
    }
    meta->next = lane->first_meta;
    if (meta->next) {
        meta->next->prev = meta;
    }
    lane->first_meta = meta;
    return meta;
}

static void drop(struct inst_persist_lane *lane, struct inst_disk_meta *meta) {
    inst_map_remove(&lane->meta, meta->key, strlen(meta->key));
    if (meta->prev) {
        meta->prev->next = meta->next;
    } else {
        lane->first_meta = meta->next;
    }
    if (meta->next) {
        meta->next->prev = meta->prev;
    }
    free(meta);
}

void inst_meta_free(struct inst_persist_lane *lane) {
    while (lane->first_meta) {
        drop(lane, lane->first_meta);
    }
    inst_map_free(&lane->meta);
}

void inst_meta_note(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key,
                    bool is_there, size_t size) {
    struct inst_disk_meta *meta = find(lane, key);
    if (!is_there) {
        if (meta) {
            drop(lane, meta);
        }
        return;
    }
    int64_t now = inst_reactor_now(r);
    if (!meta) {
        meta = add(lane, key, strlen(key));
        if (!meta) {
            return; /* forgotten by us, it goes with the next clean-up */
        }
        meta->created = now;
    }
    meta->updated = now;
    meta->size = size;
}

void inst_meta_used(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key) {
    struct inst_disk_meta *meta = find(lane, key);
    if (meta) {
        meta->updated = inst_reactor_now(r);
        lane->is_meta_dirty = true; /* written with the next value */
    }
}

void inst_meta_write(struct inst_persist_lane *lane, struct inst_buf *out) {
    inst_buf_add_str(out, "{\"objects\":{");
    for (const struct inst_disk_meta *meta = lane->first_meta; meta; meta = meta->next) {
        inst_json_write_string(out, meta->key, strlen(meta->key));
        inst_buf_add_str(out, ":{\"createdAt\":");
        inst_buf_add_int(out, meta->created);
        inst_buf_add_str(out, ",\"updatedAt\":");
        inst_buf_add_int(out, meta->updated);
        inst_buf_add_str(out, ",\"size\":");
        inst_buf_add_int(out, (int64_t)meta->size);
        inst_buf_add_str(out, meta->next ? "}," : "}");
    }
    inst_buf_add_str(out, "}}");
}

/* ---- loading ---- */

static int64_t number(const struct inst_value *obj, const char *key, int64_t max) {
    const struct inst_value *v = inst_getz(obj, key);
    bool is_good = v && v->tag == INST_NUMBER && v->u.num >= 0 && v->u.num <= (double)max;
    return is_good ? (int64_t)v->u.num : 0;
}

static void read_objects(struct inst_reactor *r, struct inst_persist_lane *lane,
                         const struct inst_value *objects) {
    int64_t now = inst_reactor_now(r);
    for (uint32_t i = 0; objects && objects->tag == INST_OBJECT && i < objects->len; i++) {
        const struct inst_member *m = &objects->u.members[i];
        bool is_key = m->key_len <= INST_PERSIST_MAX_KEY && !memchr(m->key, 0, m->key_len);
        struct inst_disk_meta *meta = is_key && !inst_map_get(&lane->meta, m->key, m->key_len)
                                          ? add(lane, m->key, m->key_len)
                                          : NULL;
        if (meta) {
            /* Times ahead of the clock would make it never old. */
            meta->created = number(&m->value, "createdAt", now);
            meta->updated = number(&m->value, "updatedAt", now);
            meta->size = (size_t)number(&m->value, "size", INST_PERSIST_MAX_SIZE);
        }
    }
}

static void meta_loaded(struct inst_reactor *r, struct inst_disk_job *job,
                        const struct inst_disk_answer *answer) {
    struct inst_persist_lane *lane = job->lane;
    lane->is_meta_known = true;
    if (answer->err) {
        inst_reactor_log(r, INST_LOG_WARN, "what %s holds cannot be read: %s", job->request.store,
                         answer->err->message);
    } else if (answer->value) {
        struct inst_arena arena;
        struct inst_value value;
        const struct inst_value *user;
        struct inst_err err = {0};
        inst_arena_init(&arena);
        if (inst_persist_open(&arena, answer->value, answer->len, &value, &user, &err) == INST_OK) {
            read_objects(r, lane, inst_getz(&value, "objects"));
        } else {
            inst_persist_set_aside(r, lane, INST_PERSIST_META, answer->value, answer->len,
                                   err.message);
        }
        inst_err_clear(&err);
        inst_arena_free(&arena);
    }
    inst_persist_preload(r);
}

void inst_meta_load(struct inst_reactor *r, struct inst_persist_lane *lane) {
    if (!inst_persist_ask(r, lane, INST_DISK_LOAD, INST_PERSIST_META, meta_loaded)) {
        lane->is_meta_known = true;
    }
}

/* ---- reading ahead ---- */

static void preloaded(struct inst_reactor *r, struct inst_disk_job *job,
                      const struct inst_disk_answer *answer) {
    struct inst_persist_lane *lane = job->lane;
    if (answer->err || !answer->value || inst_persist_is_used(lane, job->key)) {
        return;
    }
    (void)r;
    for (size_t i = 0; i < INST_PERSIST_PRELOAD; i++) {
        struct inst_disk_put *put = &lane->preloaded[i];
        if (put->key) {
            continue;
        }
        put->text = malloc(answer->len + 1);
        if (put->text) {
            memcpy(put->text, answer->value, answer->len);
            put->len = answer->len;
            put->key = job->key;
            job->key = NULL;
        }
        return;
    }
}

static int by_age(const void *a, const void *b) {
    const struct inst_disk_meta *x = *(struct inst_disk_meta *const *)a;
    const struct inst_disk_meta *y = *(struct inst_disk_meta *const *)b;
    return (x->updated > y->updated) - (x->updated < y->updated);
}

/* All records, oldest first; the caller frees them. NULL: no memory. */
static struct inst_disk_meta **sort(const struct inst_persist_lane *lane, size_t *count) {
    struct inst_disk_meta **sorted = malloc((lane->meta.count + 1) * sizeof(*sorted));
    *count = 0;
    for (struct inst_disk_meta *meta = lane->first_meta; sorted && meta; meta = meta->next) {
        sorted[(*count)++] = meta;
    }
    if (sorted) {
        qsort(sorted, *count, sizeof(*sorted), by_age);
    }
    return sorted;
}

/* `__meta`, `__attrs`, and what was set aside. */
static bool is_special(const char *key) { return strncmp(key, "__", 2) == 0; }

void inst_persist_preload(struct inst_reactor *r) {
    struct inst_persist_lane *lane = &r->persist.lanes[INST_PERSIST_QUERIES];
    if (r->persist.state != INST_PERSIST_READY || !lane->is_meta_known || lane->is_preloaded) {
        return;
    }
    lane->is_preloaded = true;
    size_t count, asked = 0;
    struct inst_disk_meta **sorted = sort(lane, &count);
    for (size_t i = sorted ? count : 0; i > 0 && asked < INST_PERSIST_PRELOAD; i--) {
        const char *key = sorted[i - 1]->key;
        if (!is_special(key) && !inst_persist_is_used(lane, key)) {
            asked += inst_persist_ask(r, lane, INST_DISK_LOAD, key, preloaded) != NULL;
        }
    }
    free(sorted);
}

/* ---- cleaning up ---- */

/* `__meta`, `__attrs`: what the store itself needs. Set aside values have limits like others. */
static bool is_own(const char *key) {
    return strcmp(key, INST_PERSIST_META) == 0 || strcmp(key, INST_PERSIST_ATTRS) == 0;
}

static void remove_key(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key) {
    inst_persist_put(r, lane, key, NULL, 0, 0); /* writing it drops the record */
}

/* Oldest first: the too old, then those beyond the number, then those beyond the size. */
static void apply_limits(struct inst_reactor *r, struct inst_persist_lane *lane) {
    size_t n, size = 0;
    struct inst_disk_meta **sorted = sort(lane, &n);
    if (!sorted) {
        return;
    }
    size_t count = n;
    for (size_t i = 0; i < n; i++) {
        size += sorted[i]->size;
    }
    int64_t too_old = inst_reactor_now(r) - INST_PERSIST_MAX_AGE_MS;
    for (size_t i = 0; i < n; i++) {
        bool is_too_much = sorted[i]->updated < too_old || count > INST_PERSIST_MAX_ENTRIES ||
                           size > INST_PERSIST_MAX_SIZE;
        if (is_too_much && !is_own(sorted[i]->key) && !inst_persist_is_used(lane, sorted[i]->key)) {
            count--;
            size -= sorted[i]->size;
            remove_key(r, lane, sorted[i]->key);
        }
    }
    free(sorted);
}

/* Records of what is not there (any more). */
static void forget_missing(struct inst_persist_lane *lane) {
    for (struct inst_disk_meta *meta = lane->first_meta, *next; meta; meta = next) {
        next = meta->next;
        if (!meta->is_listed && !inst_persist_is_used(lane, meta->key)) {
            drop(lane, meta);
            lane->is_meta_dirty = true;
        }
    }
}

static void listed(struct inst_reactor *r, struct inst_disk_job *job,
                   const struct inst_disk_answer *answer) {
    struct inst_persist_lane *lane = job->lane;
    bool clears = lane->wants_clear;
    lane->is_listing = lane->wants_clear = false;
    if (answer->err) {
        inst_reactor_log(r, INST_LOG_WARN, "%s cannot be cleaned up: %s", job->request.store,
                         answer->err->message);
        return; /* what another user kept is not shown either way: it is marked as theirs */
    }
    for (struct inst_disk_meta *meta = lane->first_meta; meta; meta = meta->next) {
        meta->is_listed = false;
    }
    for (size_t i = 0; i < answer->key_count; i++) {
        const char *key = answer->keys[i];
        struct inst_disk_meta *meta = find(lane, key);
        if (meta) {
            meta->is_listed = true;
        }
        if ((clears || !meta) && !is_own(key) && !inst_persist_is_used(lane, key)) {
            remove_key(r, lane, key);
        }
    }
    if (!clears) {
        forget_missing(lane);
        apply_limits(r, lane);
    }
}

void inst_meta_gc(struct inst_reactor *r, struct inst_persist_lane *lane) {
    if (!lane->is_listing) {
        lane->is_listing = inst_persist_ask(r, lane, INST_DISK_LIST, NULL, listed) != NULL;
    }
}
