/*
 * kept_mutations.c - pending mutations on disk.
 *
 *     queue   m1 m2 m3 | m4 m5 | m6          in pages of neighbours
 *     key     pendingMutations, pendingMutations_1, pendingMutations_2
 *     value   [[event id, {"op","tx-steps","created","order","tx-id"?,"confirmed"?}], ...]
 *             and [event id, {"op","error"}] for one that failed
 *
 * The official client keeps one array under the first key. A long queue would be written whole with
 * every write made offline; here one write rewrites one page. Keys are in the queue's order, so the
 * pages of a storage need no list of their own.
 *
 * Made while it cannot be sent, a mutation is held: nobody is told, and nothing is shown, before it
 * is on the disk. When the disk refuses it, it fails.
 *
 * One that failed is a farewell of its page: kept with its error in the place of its steps, told
 * when that is on the disk, and removed after it. So a process killed in between neither lets the
 * next one send again what was told to have failed, nor keeps a failure to itself; at worst it is
 * told again.
 *
 * A mutation may use an attr that an earlier one makes. When the server turns out to have the attr
 * under another id, the earlier one loses its add-attr and both are rewritten. A crash between
 * writing their pages must not leave the later one with an id that nobody makes: the later page is
 * written first (persist.c); the earlier one, read again, is rewritten again.
 */
#include "client/reactor_internal.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY "pendingMutations"

/* A page takes more until it has this many bytes of text, roughly. */
#define PAGE_BYTES (32u << 10)
#define MAX_PAGES 100000 /* numbers from the disk; a page has at least one mutation */

struct inst_mutation_page {
    struct inst_kept kept;
    struct inst_mutation_page *prev, *next; /* by number */
    unsigned number;
    char key[sizeof(KEY) + 12];
    struct inst_mutation *first; /* the others follow it in the queue; NULL: none */
    size_t count;
    size_t bytes;
    uint64_t saved_seq;                     /* mutations up to here were saved last */
    uint64_t saves;                         /* how often it was saved */
    bool is_writing;                        /* what was saved last has no answer yet */
    struct farewell *farewells;             /* oldest first */
    bool is_awaited;                        /* its load has no answer yet */
    struct inst_mutation *read, *last_read; /* from the disk, not in the queue yet */
};

/* A mutation that failed, and of which nobody was told yet. */
struct farewell {
    struct farewell *next;
    uint64_t save; /* the first one of its page that says so */
    struct inst_tx_waiter *waiter;
    uint64_t instance;
    char event_id[INST_UUID_TEXT + 1];
    struct inst_problem problem;
};

static const struct inst_kept_ops page_ops;

/* ---- pages ---- */

static void link_page(struct inst_reactor *r, struct inst_mutation_page *page) {
    struct inst_mutation_page *before = r->last_page;
    while (before && before->number > page->number) {
        before = before->prev;
    }
    page->prev = before;
    page->next = before ? before->next : r->first_page;
    if (page->next) {
        page->next->prev = page;
    } else {
        r->last_page = page;
    }
    if (before) {
        before->next = page;
    } else {
        r->first_page = page;
    }
}

static struct inst_mutation_page *new_page(struct inst_reactor *r, unsigned number) {
    struct inst_mutation_page *page = calloc(1, sizeof(*page));
    if (!page) {
        return NULL;
    }
    page->number = number;
    snprintf(page->key, sizeof(page->key), number ? KEY "_%u" : KEY, number);
    page->kept.ops = &page_ops;
    page->kept.key = page->key;
    page->kept.is_of_user = true;
    inst_kept_begin(r, &page->kept, INST_PERSIST_KV);
    if (!page->kept.ops) {
        free(page);
        return NULL;
    }
    page->kept.is_on_disk = false;
    link_page(r, page);
    return page;
}

static void free_page(struct inst_reactor *r, struct inst_mutation_page *page) {
    inst_kept_forget(r, &page->kept);
    while (page->farewells) {
        struct farewell *farewell = page->farewells;
        page->farewells = farewell->next;
        inst_problem_clear(&farewell->problem);
        free(farewell->waiter);
        free(farewell);
    }
    if (page->prev) {
        page->prev->next = page->next;
    } else {
        r->first_page = page->next;
    }
    if (page->next) {
        page->next->prev = page->prev;
    } else {
        r->last_page = page->prev;
    }
    free(page);
}

/* About the length of its JSON text. */
static size_t weigh(const struct inst_value *v) {
    size_t sum = 8;
    if (v->tag == INST_STRING) {
        sum += v->len;
    } else if (v->tag == INST_ARRAY) {
        for (uint32_t i = 0; i < v->len; i++) {
            sum += weigh(&v->u.items[i]);
        }
    } else if (v->tag == INST_OBJECT) {
        for (uint32_t i = 0; i < v->len; i++) {
            sum += v->u.members[i].key_len + weigh(&v->u.members[i].value);
        }
    }
    return sum;
}

static void put_into(struct inst_mutation_page *page, struct inst_mutation *m) {
    m->page = page;
    m->page_bytes = weigh(&m->steps);
    page->count++;
    page->bytes += m->page_bytes;
    if (!page->first) {
        page->first = m;
    }
}

enum inst_status inst_pages_add(struct inst_reactor *r, struct inst_mutation *m, bool is_held,
                                struct inst_err *err) {
    if (r->persist.state != INST_PERSIST_READY) {
        return INST_OK;
    }
    struct inst_mutation_page *page = r->last_page;
    if (!page || page->bytes >= PAGE_BYTES) {
        page = new_page(r, page ? page->number + 1 : 0);
        if (!page) {
            return inst_err_nomem(err);
        }
    }
    put_into(page, m);
    if (is_held) {
        m->is_held = true;
        r->held++;
        inst_kept_touch_now(r, &page->kept);
    } else {
        inst_kept_touch(r, &page->kept);
    }
    return INST_OK;
}

static void release(struct inst_reactor *r, struct inst_mutation *m) {
    if (m->is_held) {
        m->is_held = false;
        r->held--;
    }
}

void inst_pages_remove(struct inst_reactor *r, struct inst_mutation *m) {
    struct inst_mutation_page *page = m->page;
    if (!page) {
        return;
    }
    bool was_held = m->is_held;
    release(r, m);
    m->page = NULL;
    page->count--;
    page->bytes -= m->page_bytes;
    if (page->first == m) {
        page->first = m->next && m->next->page == page ? m->next : NULL;
    }
    if (page->count == 0 && !page->kept.is_on_disk && !page->is_writing && !page->farewells) {
        free_page(r, page);
    } else {
        inst_kept_touch(r, &page->kept); /* an empty one goes when it was removed there */
    }
    if (was_held && !r->held) {
        inst_queries_unhold(r);
    }
}

void inst_pages_touch(struct inst_reactor *r, const struct inst_mutation *m, bool now) {
    if (!m->page) {
        return;
    }
    if (now) {
        inst_kept_touch_now(r, &m->page->kept);
    } else {
        inst_kept_touch(r, &m->page->kept);
    }
}

void inst_pages_free(struct inst_reactor *r) {
    while (r->first_page) {
        struct inst_mutation_page *page = r->first_page;
        while (page->read) {
            struct inst_mutation *m = page->read;
            page->read = m->next;
            inst_mutations_discard(m);
        }
        free_page(r, page);
    }
}

/* ---- to the disk ---- */

static void write_mutation(struct inst_buf *out, const struct inst_mutation *m) {
    inst_buf_addf(out, "[\"%s\",{\"op\":\"transact\",\"tx-steps\":", m->event_id);
    inst_json_write(out, &m->steps);
    inst_buf_add_str(out, ",\"created\":");
    inst_buf_add_int(out, m->created);
    inst_buf_add_str(out, ",\"order\":");
    inst_buf_add_int(out, (int64_t)m->order);
    if (m->tx_id) {
        inst_buf_add_str(out, ",\"tx-id\":");
        inst_buf_add_int(out, m->tx_id);
        inst_buf_add_str(out, ",\"confirmed\":");
        inst_buf_add_int(out, m->confirmed_at);
    }
    inst_buf_add_str(out, "}]");
}

/* The error has the members of an `error` message. */
static void write_farewell(struct inst_buf *out, const struct farewell *farewell) {
    const struct inst_err *err = &farewell->problem.err;
    inst_buf_addf(out, "[\"%s\",{\"op\":\"transact\",\"error\":{\"type\":", farewell->event_id);
    inst_json_write_string(out, err->type, strlen(err->type));
    inst_buf_addf(out, ",\"status\":%d,\"message\":", err->status);
    inst_json_write_string(out, err->message, strlen(err->message));
    if (err->hint) {
        inst_buf_addf(out, ",\"hint\":%s", err->hint);
    }
    if (farewell->problem.trace_id) {
        inst_buf_add_str(out, ",\"trace-id\":");
        inst_json_write_string(out, farewell->problem.trace_id, strlen(farewell->problem.trace_id));
    }
    inst_buf_add_str(out, "}}]");
}

static bool save(struct inst_reactor *r, struct inst_kept *kept, struct inst_buf *out,
                 size_t *size) {
    struct inst_mutation_page *page = (struct inst_mutation_page *)kept;
    (void)r;
    *size = page->count;
    page->saves++;
    page->is_writing = true;
    const char *before = "[";
    for (const struct farewell *farewell = page->farewells; farewell; farewell = farewell->next) {
        inst_buf_add_str(out, before);
        write_farewell(out, farewell);
        before = ",";
    }
    size_t left = page->count;
    for (const struct inst_mutation *m = page->first; left > 0; m = m->next, left--) {
        inst_buf_add_str(out, before);
        write_mutation(out, m);
        before = ",";
        page->saved_seq = m->seq;
    }
    inst_buf_add_char(out, ']');
    return page->count > 0 || page->farewells;
}

/* ---- farewells ---- */

static void add_farewell(struct inst_mutation_page *page, struct farewell *farewell) {
    struct farewell **end = &page->farewells;
    while (*end) {
        end = &(*end)->next;
    }
    *end = farewell;
}

bool inst_pages_fail_later(struct inst_reactor *r, struct inst_mutation *m,
                           struct inst_problem *problem) {
    struct inst_mutation_page *page = m->page;
    bool may_be_there = page && (m->is_kept || (page->is_writing && m->seq <= page->saved_seq));
    struct farewell *farewell = may_be_there ? calloc(1, sizeof(*farewell)) : NULL;
    if (!farewell) {
        return false;
    }
    farewell->save = page->saves + 1;
    farewell->waiter = m->waiter;
    farewell->instance = m->instance;
    memcpy(farewell->event_id, m->event_id, sizeof(farewell->event_id));
    farewell->problem = *problem;
    *problem = (struct inst_problem){0};
    m->waiter = NULL;
    add_farewell(page, farewell);
    inst_kept_touch_now(r, &page->kept);
    return true;
}

static void tell_farewells(struct inst_reactor *r, struct inst_mutation_page *page, uint64_t save) {
    while (page->farewells && page->farewells->save <= save) {
        struct farewell *farewell = page->farewells;
        page->farewells = farewell->next;
        inst_mutations_tell_failure(r, farewell->waiter, farewell->instance, farewell->event_id,
                                    &farewell->problem);
        free(farewell);
        inst_kept_touch(r, &page->kept);
    }
}

static void each_waiter(struct inst_reactor *r, uint64_t instance, inst_transact_fn *fn) {
    for (struct inst_mutation_page *page = r->first_page; page; page = page->next) {
        for (struct farewell *farewell = page->farewells; farewell; farewell = farewell->next) {
            if (!farewell->waiter || farewell->instance != instance) {
                continue;
            }
            if (fn) {
                farewell->waiter->fn = fn;
            } else {
                inst_problem_copy(&farewell->waiter->problem, &farewell->problem);
                inst_events_push(r, &farewell->waiter->event);
                farewell->waiter = NULL;
            }
        }
    }
}

void inst_pages_shutdown(struct inst_reactor *r) {
    for (struct inst_mutation_page *page = r->first_page; page; page = page->next) {
        tell_farewells(r, page, UINT64_MAX);
    }
}

void inst_pages_abandon(struct inst_reactor *r, uint64_t instance) {
    each_waiter(r, instance, NULL);
}

void inst_pages_hush(struct inst_reactor *r, uint64_t instance, inst_transact_fn *deaf) {
    each_waiter(r, instance, deaf);
}

/* ---- what the disk says ---- */

static void fail_held(struct inst_reactor *r, struct inst_mutation *m, const struct inst_err *err) {
    struct inst_problem problem;
    inst_problem_local(&problem, "storage-failed", "The write could not be kept.");
    inst_err_set(&problem.err, "storage-failed", 0, "The write could not be kept: %s",
                 err->message);
    inst_mutations_fail(r, m, &problem);
}

static void written(struct inst_reactor *r, struct inst_kept *kept, const struct inst_err *err) {
    struct inst_mutation_page *page = (struct inst_mutation_page *)kept;
    uint64_t saved = page->saved_seq;
    size_t left = page->count;
    page->is_writing = false;
    if (!err) {
        tell_farewells(r, page, page->saves);
    }
    struct inst_mutation *m = page->first, *next;
    for (; left > 0 && m->seq <= saved; m = next, left--) {
        next = m->next; /* failing the last one frees the page */
        bool was_held = m->is_held;
        release(r, m);
        m->is_kept = m->is_kept || !err;
        if (!err && (was_held || r->is_shutdown)) {
            inst_mutations_enqueued(r, m);
        } else if (err && was_held && !m->was_sent) {
            fail_held(r, m, err); /* what was sent may have been applied: the server will tell */
        }
    }
    if (!r->held) {
        inst_queries_unhold(r);
    }
    if (page->count == 0 && !page->kept.is_on_disk && !page->farewells) {
        free_page(r, page);
    }
}

/* ---- from the disk ---- */

static bool is_uuid_text(const struct inst_value *v) {
    struct inst_uuid uuid;
    return v->tag == INST_STRING && inst_uuid_parse(v->u.str, v->len, &uuid);
}

static double number_of(const struct inst_value *obj, const char *key) {
    const struct inst_value *v = inst_getz(obj, key);
    bool is_good = v && v->tag == INST_NUMBER && v->u.num >= 0 && v->u.num <= 9007199254740992.0;
    return is_good ? v->u.num : 0;
}

/* NULL: it is no mutation (INST_FAILED), or there is no memory. */
static struct inst_mutation *read_mutation(struct inst_reactor *r, const struct inst_value *entry,
                                           enum inst_status *status) {
    *status = INST_FAILED;
    if (entry->tag != INST_ARRAY || entry->len != 2 || !is_uuid_text(&entry->u.items[0])) {
        return NULL;
    }
    const struct inst_value *record = &entry->u.items[1];
    const struct inst_value *steps = inst_getz(record, "tx-steps");
    if (!steps || !inst_mutations_are_steps(steps)) {
        return NULL;
    }
    *status = INST_NOMEM;
    struct inst_mutation *m = calloc(1, sizeof(*m));
    if (!m) {
        return NULL;
    }
    if (inst_mutations_keep_steps(r, m, steps, NULL) != INST_OK) {
        inst_mutations_discard(m);
        return NULL;
    }
    memcpy(m->event_id, entry->u.items[0].u.str, INST_UUID_TEXT);
    m->created = (int64_t)number_of(record, "created");
    m->order = (uint64_t)number_of(record, "order");
    m->tx_id = (int64_t)number_of(record, "tx-id");
    m->confirmed_at = (int64_t)number_of(record, "confirmed");
    m->is_kept = true;
    *status = INST_OK;
    return m;
}

/* Of one that failed in a former run. */
static enum inst_status read_farewell(struct inst_reactor *r, struct inst_mutation_page *page,
                                      const struct inst_value *entry) {
    struct farewell *farewell = calloc(1, sizeof(*farewell));
    if (!farewell) {
        return INST_NOMEM;
    }
    memcpy(farewell->event_id, entry->u.items[0].u.str, INST_UUID_TEXT);
    inst_problem_of_message(r, inst_getz(&entry->u.items[1], "error"), &farewell->problem);
    add_farewell(page, farewell);
    return INST_OK;
}

static bool is_farewell(const struct inst_value *entry) {
    const struct inst_value *error =
        entry->tag == INST_ARRAY && entry->len == 2 ? inst_getz(&entry->u.items[1], "error") : NULL;
    return error && error->tag == INST_OBJECT && is_uuid_text(&entry->u.items[0]);
}

/* What is understood of it; INST_FAILED when that is not all. */
static enum inst_status read_page(struct inst_reactor *r, struct inst_mutation_page *page,
                                  const struct inst_value *value) {
    enum inst_status worst = value->tag == INST_ARRAY ? INST_OK : INST_FAILED;
    for (uint32_t i = 0; value->tag == INST_ARRAY && i < value->len; i++) {
        const struct inst_value *entry = &value->u.items[i];
        enum inst_status status;
        if (is_farewell(entry)) {
            status = read_farewell(r, page, entry);
            worst = status > worst ? status : worst;
            continue;
        }
        struct inst_mutation *m = read_mutation(r, entry, &status);
        if (!m) {
            worst = status > worst ? status : worst;
        } else if (page->last_read) {
            page->last_read->next = m;
            page->last_read = m;
        } else {
            page->read = page->last_read = m;
        }
    }
    return worst;
}

static bool loaded(struct inst_reactor *r, struct inst_kept *kept, const struct inst_value *value,
                   const struct inst_err *err) {
    struct inst_mutation_page *page = (struct inst_mutation_page *)kept;
    page->is_awaited = false;
    r->persist.pages_left--;
    struct inst_err nomem = {0};
    enum inst_status status = value && !err ? read_page(r, page, value) : INST_OK;
    if (status == INST_NOMEM) {
        inst_err_nomem(&nomem);
        err = &nomem;
    }
    if (err) {
        inst_persist_break(r, err);
        return true;
    }
    if (status == INST_FAILED) {
        /* The text is set aside whole; what is understood of it is written anew. */
        inst_kept_touch(r, kept);
    }
    if (!page->read && !page->farewells) {
        free_page(r, page);
    }
    inst_persist_advance(r);
    return status == INST_OK;
}

static const struct inst_kept_ops page_ops = {save, loaded, written};

/* `pendingMutations` is page 0, `pendingMutations_7` page 7. */
static bool page_number(const char *key, unsigned *number) {
    size_t len = sizeof(KEY) - 1;
    if (strncmp(key, KEY, len) != 0) {
        return false;
    }
    *number = 0;
    if (!key[len]) {
        return true;
    }
    char same[sizeof(KEY) + 12];
    int end = 0;
    if (sscanf(key + len, "_%6u%n", number, &end) != 1 || key[len + (size_t)end]) {
        return false;
    }
    snprintf(same, sizeof(same), KEY "_%u", *number);
    return *number > 0 && *number < MAX_PAGES && strcmp(key, same) == 0;
}

enum inst_status inst_pages_found(struct inst_reactor *r, const char *const *keys, size_t count,
                                  struct inst_err *err) {
    for (size_t i = 0; i < count; i++) {
        unsigned number;
        if (!page_number(keys[i], &number)) {
            continue;
        }
        struct inst_mutation_page *page = new_page(r, number);
        if (!page) {
            return inst_err_nomem(err);
        }
        page->kept.is_on_disk = true;
        page->is_awaited = true;
    }
    return INST_OK;
}

void inst_pages_load(struct inst_reactor *r) {
    for (struct inst_mutation_page *page = r->first_page; page; page = page->next) {
        r->persist.pages_left += page->is_awaited;
    }
    for (struct inst_mutation_page *page = r->first_page, *next; page; page = next) {
        next = page->next; /* loaded may free it */
        inst_kept_load(r, &page->kept);
    }
}

void inst_pages_restore(struct inst_reactor *r) {
    for (struct inst_mutation_page *page = r->first_page, *next; page; page = next) {
        next = page->next;
        while (page->read) {
            struct inst_mutation *m = page->read;
            page->read = m->next;
            m->next = NULL;
            if (inst_mutations_restore(r, m)) {
                put_into(page, m);
            } else {
                inst_mutations_discard(m);
                inst_kept_touch(r, &page->kept);
            }
        }
        page->last_read = NULL;
        tell_farewells(r, page, 0);
        if (!page->count) {
            free_page(r, page);
        }
    }
}
