#include "client/reactor_internal.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

#define VERSION 1
#define ASIDE "__aside_"

static const char *const store_names[] = {"kv", "querySubs", "syncSubs"};

static struct inst_persist_lane *lane_of(struct inst_reactor *r, enum inst_persist_store store) {
    return &r->persist.lanes[store];
}

/* Is anything kept there? */
static bool is_on(const struct inst_reactor *r, const struct inst_persist_lane *lane) {
    enum inst_persist_state state = r->persist.state;
    return state != INST_PERSIST_OFF &&
           (state != INST_PERSIST_BROKEN || lane->store != INST_PERSIST_KV);
}

/* ---- requests ---- */

static void free_job(struct inst_disk_job *job) {
    for (size_t i = 0; job->puts && i < job->request.pair_count; i++) {
        free(job->puts[i].key);
        free(job->puts[i].text);
    }
    free(job->puts);
    free(job->pairs);
    free(job->key);
    free(job);
}

static bool add_job(struct inst_reactor *r, struct inst_disk_job *job) {
    struct inst_persist *p = &r->persist;
    job->request.id = ++p->next_id;
    if (!inst_map_add(&p->jobs, &job->request.id, sizeof(job->request.id), job)) {
        return false;
    }
    job->prev = p->last_job;
    if (p->last_job) {
        p->last_job->next = job;
    } else {
        p->first_job = job;
    }
    p->last_job = job;
    if (!p->next_job) {
        p->next_job = job;
    }
    return true;
}

static void take_out_job(struct inst_reactor *r, struct inst_disk_job *job) {
    struct inst_persist *p = &r->persist;
    inst_map_remove(&p->jobs, &job->request.id, sizeof(job->request.id));
    if (p->next_job == job) {
        p->next_job = job->next;
    }
    if (job->prev) {
        job->prev->next = job->next;
    } else {
        p->first_job = job->next;
    }
    if (job->next) {
        job->next->prev = job->prev;
    } else {
        p->last_job = job->prev;
    }
}

struct inst_disk_job *inst_persist_ask(struct inst_reactor *r, struct inst_persist_lane *lane,
                                       enum inst_disk_op op, const char *key,
                                       void (*done)(struct inst_reactor *, struct inst_disk_job *,
                                                    const struct inst_disk_answer *)) {
    struct inst_disk_job *job = calloc(1, sizeof(*job));
    if (!job || (key && !(job->key = strdup(key)))) {
        free(job);
        return NULL;
    }
    job->lane = lane;
    job->done = done;
    job->request.op = op;
    job->request.store = store_names[lane->store];
    job->request.key = job->key;
    if (!add_job(r, job)) {
        free_job(job);
        return NULL;
    }
    return job;
}

void inst_reactor_disk_done(struct inst_reactor *r, uint64_t id,
                            const struct inst_disk_answer *answer) {
    struct inst_disk_job *job = inst_map_get(&r->persist.jobs, &id, sizeof(id));
    if (!job || !job->is_given) {
        return;
    }
    take_out_job(r, job);
    job->done(r, job, answer);
    free_job(job);
    if (answer->is_anew && r->persist.state != INST_PERSIST_BROKEN) {
        inst_persist_write_all(r);
    }
    inst_events_deliver(r);
}

/* ---- texts ---- */

enum inst_status inst_persist_open(struct inst_arena *arena, const char *text, size_t len,
                                   struct inst_value *value, const struct inst_value **user,
                                   struct inst_err *err) {
    struct inst_value whole;
    enum inst_status status = inst_json_parse(arena, text, len, &whole, err);
    if (status != INST_OK) {
        return status;
    }
    const struct inst_value *version = inst_getz(&whole, "version");
    const struct inst_value *inside = inst_getz(&whole, "value");
    if (!version || version->tag != INST_NUMBER || !inside) {
        return inst_err_set(err, "storage-failed", 0, "it is not ours");
    }
    if (version->u.num != VERSION) {
        return inst_err_set(err, "storage-failed", 0, "its format is version %g, known is %d",
                            version->u.num, VERSION);
    }
    *value = *inside;
    *user = inst_get_string(&whole, "user");
    return INST_OK;
}

/* The text of what the owner keeps; *text NULL: nothing. False: out of memory. */
static bool make_text(struct inst_reactor *r, struct inst_kept *kept, char **text, size_t *len,
                      size_t *size) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_addf(&buf, "{\"version\":%d", VERSION);
    if (kept->is_of_user) {
        char tag[INST_USER_TAG + 1];
        inst_user_tag(r, tag);
        inst_buf_add_str(&buf, ",\"user\":");
        inst_json_write_string(&buf, tag, strlen(tag));
    }
    inst_buf_add_str(&buf, ",\"value\":");
    *size = 0;
    *text = NULL;
    bool is_there = kept->ops->save(r, kept, &buf, size);
    inst_buf_add_char(&buf, '}');
    if (!is_there || buf.len > INST_PERSIST_MAX_VALUE) {
        if (is_there) {
            inst_reactor_log(r, INST_LOG_WARN, "%s is too large to be kept", kept->key);
        }
        inst_buf_free(&buf);
        return true;
    }
    *text = inst_buf_take(&buf, len);
    return *text != NULL;
}

/* The newest text of a key that is on its way to the disk. */
static const struct inst_disk_put *find_put(const struct inst_persist_lane *lane, const char *key) {
    for (const struct inst_disk_put *put = lane->orphans; put; put = put->next) {
        if (strcmp(put->key, key) == 0) {
            return put;
        }
    }
    size_t count = lane->writing ? lane->writing->request.pair_count : 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(lane->writing->puts[i].key, key) == 0) {
            return &lane->writing->puts[i];
        }
    }
    return NULL;
}

bool inst_persist_is_used(const struct inst_persist_lane *lane, const char *key) {
    return inst_map_get(&lane->kept, key, strlen(key)) || find_put(lane, key);
}

/* ---- what has no owner ---- */

static void want_write(struct inst_persist_lane *lane, int64_t at) {
    if (at < lane->write_at) {
        lane->write_at = at;
    }
}

static int64_t throttled(struct inst_reactor *r, const struct inst_persist_lane *lane) {
    int64_t wait = lane->store == INST_PERSIST_KV ? INST_PERSIST_KV_MS : INST_PERSIST_CACHE_MS;
    return inst_reactor_now(r) + (r->persist.is_flushing ? 0 : wait);
}

static void drop_orphan(struct inst_persist_lane *lane, const char *key) {
    struct inst_disk_put *before = NULL;
    for (struct inst_disk_put *put = lane->orphans; put; before = put, put = put->next) {
        if (strcmp(put->key, key) != 0) {
            continue;
        }
        if (before) {
            before->next = put->next;
        } else {
            lane->orphans = put->next;
        }
        if (lane->last_orphan == put) {
            lane->last_orphan = before;
        }
        free(put->key);
        free(put->text);
        free(put);
        return;
    }
}

static bool add_orphan(struct inst_persist_lane *lane, char *key, char *text, size_t len,
                       size_t size) {
    drop_orphan(lane, key);
    struct inst_disk_put *put = calloc(1, sizeof(*put));
    if (!put) {
        return false;
    }
    *put = (struct inst_disk_put){.key = key, .text = text, .len = len, .size = size};
    if (lane->last_orphan) {
        lane->last_orphan->next = put;
    } else {
        lane->orphans = put;
    }
    lane->last_orphan = put;
    return true;
}

void inst_persist_put(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key,
                      char *text, size_t len, size_t size) {
    char *copy = is_on(r, lane) ? strdup(key) : NULL;
    if (copy && add_orphan(lane, copy, text, len, size)) {
        want_write(lane, throttled(r, lane));
        return;
    }
    free(copy);
    free(text);
}

/* For somebody to look at; a later one of the same key replaces it. */
void inst_persist_set_aside(struct inst_reactor *r, struct inst_persist_lane *lane, const char *key,
                            const char *text, size_t len, const char *why) {
    char aside[sizeof(ASIDE) + INST_PERSIST_MAX_KEY];
    snprintf(aside, sizeof(aside), ASIDE "%s", key);
    inst_reactor_log(r, INST_LOG_WARN, "%s of storage %s cannot be used and is set aside: %s", key,
                     store_names[lane->store], why);
    char *copy = malloc(len + 1);
    if (!copy) {
        return;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    inst_persist_put(r, lane, aside, copy, len, 0);
    inst_persist_put(r, lane, key, NULL, 0, 0);
}

/* ---- loading ---- */

static bool is_of_present_user(struct inst_reactor *r, const struct inst_value *user) {
    char tag[INST_USER_TAG + 1];
    inst_user_tag(r, tag);
    return user && inst_is_string(user, tag);
}

static void take_text(struct inst_reactor *r, struct inst_kept *kept, const char *text,
                      size_t len) {
    struct inst_persist_lane *lane = lane_of(r, kept->store);
    struct inst_arena arena;
    struct inst_value value;
    const struct inst_value *user = NULL;
    struct inst_err err = {0};
    inst_arena_init(&arena);
    kept->is_on_disk = true;
    enum inst_status status = inst_persist_open(&arena, text, len, &value, &user, &err);
    if (status == INST_OK && kept->is_of_user && !is_of_present_user(r, user)) {
        inst_kept_touch(r, kept); /* it goes, or is replaced */
        kept->ops->loaded(r, kept, NULL, NULL);
    } else if (status == INST_OK) {
        char key[INST_PERSIST_MAX_KEY + 1];
        snprintf(key, sizeof(key), "%s", kept->key); /* the owner may go */
        if (!kept->ops->loaded(r, kept, &value, NULL)) {
            inst_persist_set_aside(r, lane, key, text, len, "it is not understood");
        }
    } else if (status == INST_NOMEM) {
        kept->ops->loaded(r, kept, NULL, &err);
    } else {
        inst_persist_set_aside(r, lane, kept->key, text, len, err.message);
        kept->is_on_disk = false;
        kept->ops->loaded(r, kept, NULL, NULL);
    }
    inst_err_clear(&err);
    inst_arena_free(&arena);
}

static void loaded(struct inst_reactor *r, struct inst_disk_job *job,
                   const struct inst_disk_answer *answer) {
    struct inst_kept *kept = job->kept;
    if (!kept) {
        return;
    }
    kept->is_loading = false;
    if (answer->err || !answer->value) {
        kept->is_on_disk = answer->err != NULL;
        kept->ops->loaded(r, kept, NULL, answer->err);
        return;
    }
    take_text(r, kept, answer->value, answer->len);
}

/* The caller's, zero when there is none. */
static struct inst_disk_put take_preloaded(struct inst_persist_lane *lane, const char *key) {
    for (size_t i = 0; i < INST_PERSIST_PRELOAD; i++) {
        if (lane->preloaded[i].key && strcmp(lane->preloaded[i].key, key) == 0) {
            struct inst_disk_put put = lane->preloaded[i];
            lane->preloaded[i] = (struct inst_disk_put){0};
            return put;
        }
    }
    return (struct inst_disk_put){0};
}

static void drop_preloaded(struct inst_persist_lane *lane, const char *key) {
    struct inst_disk_put put = take_preloaded(lane, key);
    free(put.key);
    free(put.text);
}

static void drop_all_preloaded(struct inst_persist_lane *lane) {
    for (size_t i = 0; i < INST_PERSIST_PRELOAD; i++) {
        free(lane->preloaded[i].key);
        free(lane->preloaded[i].text);
        lane->preloaded[i] = (struct inst_disk_put){0};
    }
}

static void unreadable(struct inst_err *err) {
    inst_err_set(err, "storage-failed", 0, "the storage could not be read");
}

void inst_kept_load(struct inst_reactor *r, struct inst_kept *kept) {
    if (!kept->ops || kept->is_loading) {
        return;
    }
    struct inst_persist_lane *lane = lane_of(r, kept->store);
    struct inst_err err = {0};
    const struct inst_disk_put *put = find_put(lane, kept->key);
    struct inst_disk_put preloaded = take_preloaded(lane, kept->key);
    if (!is_on(r, lane)) {
        unreadable(&err);
        kept->ops->loaded(r, kept, NULL, &err);
    } else if (!put && preloaded.text) {
        take_text(r, kept, preloaded.text, preloaded.len);
        inst_meta_used(r, lane, kept->key);
    } else if (put && put->text) {
        take_text(r, kept, put->text, put->len);
    } else if (put) {
        kept->ops->loaded(r, kept, NULL, NULL);
    } else {
        struct inst_disk_job *job = inst_persist_ask(r, lane, INST_DISK_LOAD, kept->key, loaded);
        kept->is_loading = job != NULL;
        if (job) {
            job->kept = kept;
            inst_meta_used(r, lane, kept->key);
        } else {
            inst_err_nomem(&err);
            kept->ops->loaded(r, kept, NULL, &err);
        }
    }
    free(preloaded.key);
    free(preloaded.text);
    inst_err_clear(&err);
}

/* ---- owners ---- */

void inst_kept_begin(struct inst_reactor *r, struct inst_kept *kept,
                     enum inst_persist_store store) {
    if (r->persist.state == INST_PERSIST_OFF) {
        kept->ops = NULL;
        return;
    }
    struct inst_persist_lane *lane = lane_of(r, store);
    if (!inst_map_add(&lane->kept, kept->key, strlen(kept->key), kept)) {
        kept->ops = NULL; /* out of memory: it lives without being kept */
        return;
    }
    kept->store = store;
    kept->is_on_disk = true; /* who knows */
    kept->prev = lane->last;
    kept->next = NULL;
    if (lane->last) {
        lane->last->next = kept;
    } else {
        lane->first = kept;
    }
    lane->last = kept;
}

void inst_kept_touch(struct inst_reactor *r, struct inst_kept *kept) {
    struct inst_persist_lane *lane = lane_of(r, kept->store);
    if (kept->ops && is_on(r, lane)) {
        kept->is_dirty = true;
        want_write(lane, throttled(r, lane));
    }
}

void inst_kept_touch_now(struct inst_reactor *r, struct inst_kept *kept) {
    struct inst_persist_lane *lane = lane_of(r, kept->store);
    if (kept->ops && is_on(r, lane)) {
        kept->is_dirty = true;
        want_write(lane, inst_reactor_now(r));
    } else if (kept->ops && kept->ops->written) {
        struct inst_err err = {0};
        unreadable(&err);
        kept->ops->written(r, kept, &err);
        inst_err_clear(&err);
    }
}

static void unlink_kept(struct inst_reactor *r, struct inst_kept *kept) {
    struct inst_persist_lane *lane = lane_of(r, kept->store);
    inst_map_remove(&lane->kept, kept->key, strlen(kept->key));
    if (kept->prev) {
        kept->prev->next = kept->next;
    } else {
        lane->first = kept->next;
    }
    if (kept->next) {
        kept->next->prev = kept->prev;
    } else {
        lane->last = kept->prev;
    }
    for (struct inst_disk_job *job = r->persist.first_job; job && kept->is_loading;
         job = job->next) {
        if (job->kept == kept) {
            job->kept = NULL;
            break;
        }
    }
    size_t count = lane->writing ? lane->writing->request.pair_count : 0;
    for (size_t i = 0; i < count; i++) {
        if (lane->writing->puts[i].kept == kept) {
            lane->writing->puts[i].kept = NULL;
        }
    }
    kept->ops = NULL;
}

void inst_kept_end(struct inst_reactor *r, struct inst_kept *kept) {
    if (!kept->ops || r->persist.state == INST_PERSIST_OFF) {
        return;
    }
    char *text;
    size_t len = 0, size;
    if (kept->is_dirty && r->persist.state != INST_PERSIST_STARTING &&
        make_text(r, kept, &text, &len, &size) && (text || kept->is_on_disk)) {
        inst_persist_put(r, lane_of(r, kept->store), kept->key, text, len, size);
    }
    unlink_kept(r, kept);
}

void inst_kept_forget(struct inst_reactor *r, struct inst_kept *kept) {
    if (!kept->ops || r->persist.state == INST_PERSIST_OFF) {
        return;
    }
    if (kept->is_on_disk) {
        inst_persist_put(r, lane_of(r, kept->store), kept->key, NULL, 0, 0);
    }
    unlink_kept(r, kept);
}

/* ---- writing ---- */

static void schedule_retry(struct inst_reactor *r, struct inst_persist_lane *lane) {
    int64_t wait = INST_PERSIST_RETRY_MS;
    for (unsigned i = 1; i < lane->failures && wait < INST_PERSIST_RETRY_MAX_MS; i++) {
        wait *= 2;
    }
    wait = wait < INST_PERSIST_RETRY_MAX_MS ? wait : INST_PERSIST_RETRY_MAX_MS;
    want_write(lane, inst_reactor_now(r) + wait);
}

static void written(struct inst_reactor *r, struct inst_disk_job *job,
                    const struct inst_disk_answer *answer) {
    struct inst_persist_lane *lane = job->lane;
    bool is_given_up = answer->err && r->persist.is_flushing;
    if (answer->err) {
        inst_reactor_log(r, lane->failures == 0 ? INST_LOG_ERROR : INST_LOG_DEBUG,
                         "cannot write to storage %s: %s", store_names[lane->store],
                         answer->err->message);
        lane->failures++;
        lane->is_meta_dirty = lane->has_meta && !is_given_up;
        if (!is_given_up) {
            schedule_retry(r, lane);
        }
    } else {
        lane->failures = 0;
        if (lane->has_meta && lane->gc_at == INST_REACTOR_NEVER) {
            lane->gc_at = inst_reactor_now(r) + INST_PERSIST_GC_MS;
        }
    }
    for (size_t i = 0; i < job->request.pair_count; i++) {
        struct inst_disk_put *put = &job->puts[i];
        struct inst_kept *kept = put->kept;
        if (kept) {
            kept->is_on_disk = answer->err || put->text;
            kept->is_dirty = kept->is_dirty || (answer->err && !is_given_up);
            if (kept->ops->written) {
                kept->ops->written(r, kept, answer->err); /* may end it */
            }
        } else if (answer->err && !is_given_up && strcmp(put->key, INST_PERSIST_META) != 0) {
            lane->writing = NULL; /* what is newer than this put wins */
            if (!inst_persist_is_used(lane, put->key) &&
                add_orphan(lane, put->key, put->text, put->len, put->size)) {
                put->key = put->text = NULL;
            }
            lane->writing = job;
        }
    }
    lane->writing = NULL;
}

/* Everything dirty as texts. The newest owner first: of pending mutations a later page may build on
 * an attr that an earlier one makes, and is written after it (kept_mutations.c). */
static bool collect(struct inst_reactor *r, struct inst_persist_lane *lane,
                    struct inst_disk_job *job) {
    struct inst_disk_put *puts = job->puts;
    size_t bytes = 0;
    for (struct inst_kept *kept = lane->last; kept; kept = kept->prev) {
        if (!kept->is_dirty) {
            continue;
        }
        struct inst_disk_put put = {.kept = kept};
        if (!make_text(r, kept, &put.text, &put.len, &put.size)) {
            return false;
        }
        if (!put.text && !kept->is_on_disk) {
            kept->is_dirty = false;
            continue;
        }
        if (!(put.key = strdup(kept->key))) {
            free(put.text);
            return false;
        }
        puts[job->request.pair_count++] = put;
        bytes += put.len;
        if (bytes > INST_PERSIST_BATCH && lane->store != INST_PERSIST_KV) {
            want_write(lane, inst_reactor_now(r));
            break;
        }
    }
    return true;
}

static void take_orphans(struct inst_persist_lane *lane, struct inst_disk_job *job) {
    while (lane->orphans) {
        struct inst_disk_put *put = lane->orphans;
        lane->orphans = put->next;
        put->next = NULL;
        job->puts[job->request.pair_count++] = *put;
        free(put);
    }
    lane->last_orphan = NULL;
}

static bool add_meta(struct inst_reactor *r, struct inst_persist_lane *lane,
                     struct inst_disk_job *job) {
    for (size_t i = 0; i < job->request.pair_count; i++) {
        const struct inst_disk_put *put = &job->puts[i];
        inst_meta_note(r, lane, put->key, put->text != NULL, put->size);
    }
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_buf_addf(&buf, "{\"version\":%d,\"value\":", VERSION);
    inst_meta_write(lane, &buf);
    inst_buf_add_char(&buf, '}');
    struct inst_disk_put put = {.key = strdup(INST_PERSIST_META)};
    put.text = inst_buf_take(&buf, &put.len);
    if (!put.key || !put.text) {
        free(put.key);
        free(put.text);
        return false;
    }
    job->puts[job->request.pair_count++] = put;
    lane->is_meta_dirty = false;
    return true;
}

static size_t count_puts(const struct inst_persist_lane *lane) {
    size_t count = lane->has_meta;
    for (const struct inst_disk_put *put = lane->orphans; put; put = put->next) {
        count++;
    }
    for (const struct inst_kept *kept = lane->first; kept; kept = kept->next) {
        count += kept->is_dirty;
    }
    return count;
}

/* Nothing of it has changed the lane yet. */
static void cannot_write(struct inst_reactor *r, struct inst_persist_lane *lane,
                         struct inst_disk_job *job) {
    if (job) {
        free_job(job);
    }
    lane->failures++;
    schedule_retry(r, lane);
}

static void start_write(struct inst_reactor *r, struct inst_persist_lane *lane) {
    size_t count = count_puts(lane);
    struct inst_disk_job *job = calloc(1, sizeof(*job));
    lane->write_at = INST_REACTOR_NEVER;
    if (!job || !(job->puts = calloc(count + 1, sizeof(*job->puts))) ||
        !(job->pairs = calloc(count + 1, sizeof(*job->pairs))) || !collect(r, lane, job)) {
        cannot_write(r, lane, job);
        return;
    }
    job->lane = lane;
    job->done = written;
    job->request.op = INST_DISK_WRITE;
    job->request.store = store_names[lane->store];
    job->request.pairs = job->pairs;
    job->request.is_durable = lane->store == INST_PERSIST_KV;
    for (size_t i = 0; i < job->request.pair_count; i++) {
        drop_orphan(lane, job->puts[i].key);
    }
    bool has_any = job->request.pair_count || lane->orphans || lane->is_meta_dirty;
    if (!has_any) {
        free_job(job);
        return;
    }
    if (!add_job(r, job)) {
        cannot_write(r, lane, job);
        return;
    }
    for (size_t i = 0; i < job->request.pair_count; i++) {
        job->puts[i].kept->is_dirty = false;
    }
    take_orphans(lane, job);
    if (lane->has_meta) {
        add_meta(r, lane, job); /* without memory the next write brings it */
    }
    for (size_t i = 0; i < job->request.pair_count; i++) {
        const struct inst_disk_put *put = &job->puts[i];
        drop_preloaded(lane, put->key);
        job->pairs[i] = (struct inst_disk_pair){put->key, put->text, put->len};
    }
    lane->writing = job;
}

static bool may_write(const struct inst_reactor *r, const struct inst_persist_lane *lane) {
    return is_on(r, lane) && r->persist.state != INST_PERSIST_STARTING && !lane->writing &&
           (!lane->has_meta || lane->is_meta_known);
}

/* ---- the host's side ---- */

bool inst_reactor_next_disk(struct inst_reactor *r, struct inst_disk_request *out) {
    struct inst_persist *p = &r->persist;
    if (p->state == INST_PERSIST_OFF) {
        return false;
    }
    int64_t now = inst_reactor_now(r);
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        if (p->lanes[i].write_at <= now && may_write(r, &p->lanes[i])) {
            start_write(r, &p->lanes[i]);
        }
    }
    struct inst_disk_job *job = p->next_job;
    if (!job) {
        return false;
    }
    p->next_job = job->next;
    job->is_given = true;
    *out = job->request;
    return true;
}

void inst_reactor_flush(struct inst_reactor *r) {
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        struct inst_persist_lane *lane = &r->persist.lanes[i];
        if (lane->write_at != INST_REACTOR_NEVER) {
            want_write(lane, inst_reactor_now(r));
        }
    }
}

bool inst_reactor_is_flushed(const struct inst_reactor *r) {
    const struct inst_persist *p = &r->persist;
    if (p->first_job) {
        return false;
    }
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        if (p->lanes[i].write_at != INST_REACTOR_NEVER && may_write(r, &p->lanes[i])) {
            return false;
        }
    }
    return true;
}

/* ---- the clock ---- */

int64_t inst_persist_deadline(const struct inst_reactor *r) {
    const struct inst_persist *p = &r->persist;
    int64_t at = INST_REACTOR_NEVER;
    if (p->state == INST_PERSIST_STARTING && p->first_job) {
        at = p->start_deadline;
    }
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        const struct inst_persist_lane *lane = &p->lanes[i];
        if (lane->write_at < at && may_write(r, lane)) {
            at = lane->write_at;
        }
        if (lane->gc_at < at && !lane->is_listing) {
            at = lane->gc_at;
        }
    }
    return at;
}

void inst_persist_tick(struct inst_reactor *r, int64_t now) {
    struct inst_persist *p = &r->persist;
    if (p->state == INST_PERSIST_STARTING && p->first_job && now >= p->start_deadline) {
        struct inst_err err = {0};
        inst_err_set(&err, "storage-failed", 0, "it does not answer");
        inst_persist_break(r, &err);
        inst_err_clear(&err);
    }
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        struct inst_persist_lane *lane = &p->lanes[i];
        if (now >= lane->gc_at && !lane->is_listing) {
            lane->gc_at = INST_REACTOR_NEVER;
            inst_meta_gc(r, lane);
        }
    }
}

void inst_persist_clear(struct inst_reactor *r, enum inst_persist_store store) {
    struct inst_persist_lane *lane = lane_of(r, store);
    if (is_on(r, lane)) {
        drop_all_preloaded(lane);
        lane->wants_clear = true;
        inst_meta_gc(r, lane);
    }
}

/* ---- life ---- */

void inst_persist_init(struct inst_reactor *r, bool has_storage) {
    struct inst_persist *p = &r->persist;
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        struct inst_persist_lane *lane = &p->lanes[i];
        lane->store = (enum inst_persist_store)i;
        lane->write_at = lane->gc_at = INST_REACTOR_NEVER;
        lane->has_meta = i != INST_PERSIST_KV;
        if (has_storage) {
            inst_map_init(&lane->meta, inst_reactor_seed(r));
            inst_map_init(&lane->kept, inst_reactor_seed(r));
        }
    }
    if (has_storage) {
        inst_map_init(&p->jobs, inst_reactor_seed(r));
        p->state = INST_PERSIST_STARTING;
    }
}

void inst_persist_free(struct inst_reactor *r) {
    struct inst_persist *p = &r->persist;
    p->state = INST_PERSIST_OFF;
    while (p->first_job) {
        struct inst_disk_job *job = p->first_job;
        take_out_job(r, job);
        free_job(job);
    }
    for (size_t i = 0; i < INST_PERSIST_STORES; i++) {
        struct inst_persist_lane *lane = &p->lanes[i];
        while (lane->orphans) {
            drop_orphan(lane, lane->orphans->key);
        }
        drop_all_preloaded(lane);
        inst_meta_free(lane);
        inst_map_free(&lane->kept);
    }
    inst_map_free(&p->jobs);
}
