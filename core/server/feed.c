#include "base/digest.h"
#include "base/json.h"
#include "server/feed_internal.h"
#include "server/limits.h"
#include "server/refusal.h"

#include "schema/system_catalog.h"

#include <stdio.h>
#include <stdlib.h>

struct inst_feed {
    struct inst_app *app;
    struct inst_feed_position at;
    struct inst_feed_window window;
    struct inst_feed_position end; /* of the window: what begins before it is covered */
    size_t most_entities;          /* of any window */
    size_t max_entities;           /* of this one: fewer when their values are large */
    bool is_gathering;             /* the window takes more entities */
    int64_t seen_tx;               /* records up to here were looked at */
    struct inst_arena arena;       /* of one record */
    struct inst_arena change;      /* of one change */
};

/* ---- words ---- */

void inst_feed_position_print(struct inst_feed_position at, char out[INST_FEED_POSITION_TEXT]) {
    if (at.index == 0)
        snprintf(out, INST_FEED_POSITION_TEXT, "%lld", (long long)at.tx);
    else
        snprintf(out, INST_FEED_POSITION_TEXT, "%lld.%u", (long long)at.tx, (unsigned)at.index);
}

static bool read_digits(const char **at, const char *end, int64_t max, int64_t *out) {
    const char *from = *at;
    for (*out = 0; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        *out = *out * 10 + (**at - '0');
        if (*out > max)
            return false;
    }
    return *at > from;
}

bool inst_feed_position_parse(const char *text, size_t len, struct inst_feed_position *out) {
    const char *at = text, *end = text + len;
    int64_t index = 0;
    bool is_good = read_digits(&at, end, 9007199254740991ll, &out->tx);
    if (is_good && at < end && *at == '.') {
        at++;
        is_good = read_digits(&at, end, UINT32_MAX, &index);
    }
    out->index = (uint32_t)index;
    return is_good && at == end;
}

const char *inst_feed_action_name(enum inst_feed_action action) {
    return action == INST_FEED_CREATE ? "create" : action == INST_FEED_UPDATE ? "update" : "delete";
}

unsigned inst_feed_action_of(const struct inst_value *name) {
    for (unsigned action = INST_FEED_CREATE; action <= INST_FEED_DELETE; action <<= 1)
        if (inst_is_string(name, inst_feed_action_name((enum inst_feed_action)action)))
            return action;
    return 0;
}

bool inst_feed_shows(const struct inst_value *etype) {
    return !inst_system_is_etype(etype->u.str, etype->len) ||
           inst_system_is_open_etype(etype->u.str, etype->len);
}

/* ---- life ---- */

#define NO_TX INT64_MAX

/* first: what the log holds next behind the position. */
static enum inst_status refuse_gone(int64_t first, struct inst_err *err) {
    inst_err_set(err, "position-gone", 410,
                 "The app's log does not hold what follows this position.");
    char hint[64];
    if (first == NO_TX) /* an app that was restored, say */
        snprintf(hint, sizeof hint, "{\"reason\":\"The log ends before it.\"}");
    else
        snprintf(hint, sizeof hint, "{\"first\":\"%lld\"}", (long long)first - 1);
    inst_err_hint(err, hint);
    return INST_FAILED;
}

static bool note_tx(void *ctx, const struct inst_log_record *record) {
    *(int64_t *)ctx = record->tx_id;
    return false;
}

static enum inst_status check_position(struct inst_app *app, struct inst_feed_position from,
                                       struct inst_err *err) {
    int64_t next = NO_TX;
    if (from.tx == app->last_tx && from.index == 0)
        return INST_OK;
    enum inst_status st = app->db->db_ops->read_log(app->db, from.tx, note_tx, &next, err);
    return st != INST_OK || next == from.tx + 1 ? st : refuse_gone(next, err);
}

static void clear_window(struct inst_feed *feed) {
    inst_table_clear(&feed->window.entities);
    inst_arena_reset(&feed->window.arena);
    feed->end = feed->at;
    feed->seen_tx = feed->at.tx;
    feed->is_gathering = true;
}

enum inst_status inst_feed_new(struct inst_app *app, struct inst_feed_position from,
                               struct inst_feed **out, struct inst_err *err) {
    enum inst_status st = check_position(app, from, err);
    if (st != INST_OK)
        return st;
    struct inst_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return inst_err_nomem(err);
    feed->app = app;
    feed->at = from;
    feed->most_entities = feed->max_entities = INST_FEED_WINDOW_ENTITIES;
    inst_arena_init(&feed->arena);
    inst_arena_init(&feed->change);
    inst_arena_init(&feed->window.arena);
    inst_table_init(&feed->window.entities);
    clear_window(feed);
    *out = feed;
    return INST_OK;
}

void inst_feed_free(struct inst_feed *feed) {
    if (feed == NULL)
        return;
    inst_table_free(&feed->window.entities);
    inst_arena_free(&feed->window.arena);
    inst_arena_free(&feed->arena);
    inst_arena_free(&feed->change);
    free(feed);
}

void inst_feed_limit_window(struct inst_feed *feed, size_t entities) {
    feed->most_entities = feed->max_entities = entities;
}

struct inst_feed_position inst_feed_at(const struct inst_feed *feed) {
    return feed->at;
}

enum inst_status inst_feed_start(struct inst_app *app, struct inst_feed_position *out,
                                 struct inst_err *err) {
    int64_t first = app->last_tx + 1;
    enum inst_status st = app->db->db_ops->read_log(app->db, 0, note_tx, &first, err);
    *out = (struct inst_feed_position){first - 1, 0};
    return st;
}

/* ---- those that are kept ---- */

enum inst_status inst_feeds_take(struct inst_app *app, struct inst_feed_position from,
                                 struct inst_feed **out, struct inst_err *err) {
    for (size_t i = 0; i < INST_FEED_MAX_KEPT; i++) {
        struct inst_feed *feed = app->feeds[i];
        if (feed == NULL || feed->at.tx != from.tx || feed->at.index != from.index)
            continue;
        app->feeds[i] = NULL;
        *out = feed;
        return INST_OK;
    }
    return inst_feed_new(app, from, out, err);
}

static size_t kept_bytes(const struct inst_server *server) {
    size_t bytes = 0;
    for (const struct inst_app *app = server->apps; app != NULL; app = app->next)
        for (size_t i = 0; i < INST_FEED_MAX_KEPT; i++)
            bytes += app->feeds[i] != NULL ? app->feeds[i]->window.arena.total : 0;
    return bytes;
}

static void forget_others(struct inst_server *server, const struct inst_feed *feed) {
    for (struct inst_app *app = server->apps; app != NULL; app = app->next)
        for (size_t i = 0; i < INST_FEED_MAX_KEPT; i++) {
            if (app->feeds[i] == feed)
                continue;
            inst_feed_free(app->feeds[i]);
            app->feeds[i] = NULL;
        }
}

/* The newest is the first. */
void inst_feeds_keep(struct inst_app *app, struct inst_feed *feed_take) {
    inst_feed_free(app->feeds[INST_FEED_MAX_KEPT - 1]);
    memmove(app->feeds + 1, app->feeds, (INST_FEED_MAX_KEPT - 1) * sizeof *app->feeds);
    app->feeds[0] = feed_take;
    if (kept_bytes(app->server) > INST_FEED_ALL_WINDOWS_BYTES)
        forget_others(app->server, feed_take);
}

void inst_feeds_free(struct inst_app *app) {
    for (size_t i = 0; i < INST_FEED_MAX_KEPT; i++)
        inst_feed_free(app->feeds[i]);
}

/* ---- one read ---- */

struct reading {
    struct inst_feed *feed;
    struct inst_feed_budget *budget;
    const struct inst_feed_filter *filter;
    inst_feed_fn *fn;
    void *ctx;
    size_t records;
    bool is_stopped; /* by fn */
    enum inst_status status;
    struct inst_err *err;
};

struct inst_feed_budget inst_feed_budget(void) {
    return (struct inst_feed_budget){INST_FEED_TURN_RECORDS, INST_FEED_TURN_BYTES,
                                     INST_FEED_TURN_CHANGES, INST_FEED_WINDOW_BYTES};
}

bool inst_feed_budget_is_spent(const struct inst_feed_budget *budget) {
    return budget->records == 0 || budget->bytes == 0 || budget->changes == 0;
}

static void spend(size_t *left, size_t amount) { *left -= amount < *left ? amount : *left; }

static bool is_spent(const struct reading *reading) {
    return reading->is_stopped || inst_feed_budget_is_spent(reading->budget);
}

static bool fail(struct reading *reading, enum inst_status status) {
    reading->status = status;
    return false;
}

/* What each record begins with. false: it is not the one that follows. */
static bool begin_record(struct reading *reading, const struct inst_log_record *log, int64_t wanted,
                         bool *is_good) {
    *is_good = log->tx_id == wanted;
    if (!*is_good)
        return fail(reading, refuse_gone(log->tx_id, reading->err));
    reading->records++;
    spend(&reading->budget->records, 1);
    spend(&reading->budget->bytes, log->changes_len);
    inst_arena_reset(&reading->feed->arena);
    return true;
}

/* ---- looking ahead ---- */

/* Puts in what begins in this record at the position or behind it, until the window is full. */
static bool gather(struct inst_feed *feed, int64_t tx_id, const struct inst_feed_record *record) {
    for (size_t i = 0; i < record->group_count; i++) {
        const struct inst_feed_group *group = &record->groups[i];
        if (tx_id == feed->at.tx + 1 && group->first < feed->at.index)
            continue;
        if (feed->window.entities.count >= feed->max_entities &&
            inst_feed_entity_of(&feed->window, &group->id) == NULL) {
            feed->end = (struct inst_feed_position){tx_id - 1, group->first};
            feed->is_gathering = false;
            return true;
        }
        if (!inst_feed_cover(&feed->window, &group->id))
            return false;
    }
    feed->end = (struct inst_feed_position){tx_id, 0};
    return true;
}

static bool note_touches(struct inst_feed *feed, const struct inst_feed_record *record) {
    for (uint32_t i = 0; i < record->triples->len; i++)
        if (!inst_feed_touch(&feed->window, &record->triples->u.items[i]))
            return false;
    return true;
}

static bool look_at(void *ctx, const struct inst_log_record *log) {
    struct reading *reading = ctx;
    struct inst_feed *feed = reading->feed;
    struct inst_feed_record record;
    bool is_good;
    if (!begin_record(reading, log, feed->seen_tx + 1, &is_good))
        return false;
    if (feed->is_gathering || inst_feed_record_may_touch(log, &feed->window)) {
        enum inst_status st =
            inst_feed_record_read(feed->app, &feed->arena, log, &record, reading->err);
        if (st != INST_OK)
            return fail(reading, st);
        if ((feed->is_gathering && !gather(feed, log->tx_id, &record)) ||
            !note_touches(feed, &record))
            return fail(reading, inst_err_nomem(reading->err));
    }
    feed->seen_tx = log->tx_id;
    return !is_spent(reading) && feed->window.arena.total < reading->budget->window_bytes;
}

/* Their values are larger than was thought: half as many, at least one. */
static void shrink_window(struct inst_feed *feed) {
    size_t count = feed->window.entities.count;
    feed->max_entities = count > 1 ? count / 2 : 1;
    clear_window(feed);
}

/* ---- rolling forward ---- */

static bool is_wanted(const struct inst_feed_filter *filter, const struct inst_value *etype) {
    bool is_there = filter->etypes == NULL;
    for (size_t i = 0; !is_there && i < filter->etype_count; i++)
        is_there = inst_value_same(&filter->etypes[i], etype);
    return is_there;
}

/* Made of what the change is, so that whoever gets it twice can tell. Version 8 (RFC 9562). */
static void make_key(const struct inst_app *app, struct inst_feed_change *change) {
    char text[256];
    uint8_t digest[INST_SHA256];
    struct inst_uuid id;
    uint64_t etype[INST_SHA256 / sizeof(uint64_t)];
    inst_sha256(change->etype.u.str, change->etype.len, (uint8_t *)etype);
    int len = snprintf(text, sizeof text, "%s %lld %s %s %016llx%016llx", app->info.id,
                       (long long)change->tx_id, change->id, inst_feed_action_name(change->action),
                       (unsigned long long)etype[0], (unsigned long long)etype[1]);
    inst_sha256(text, (size_t)len, digest);
    memcpy(id.bytes, digest, sizeof id.bytes);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    inst_uuid_print(&id, change->key);
}

static enum inst_feed_action action_of(const struct inst_feed_change *change) {
    return change->before.tag == INST_NULL  ? INST_FEED_CREATE
           : change->after.tag == INST_NULL ? INST_FEED_DELETE
                                            : INST_FEED_UPDATE;
}

static enum inst_status give(struct reading *reading, const struct inst_log_record *log,
                             const struct inst_feed_record *record,
                             const struct inst_feed_group *group) {
    struct inst_feed *feed = reading->feed;
    struct inst_feed_change change = {
        .tx_id = log->tx_id, .at_ms = log->at_ms, .etype = group->etype};
    bool is_changed;
    inst_arena_reset(&feed->change);
    spend(&reading->budget->changes, 1);
    enum inst_status st =
        inst_feed_images(feed->app, &feed->window, record, group, &feed->change, &change.before,
                         &change.after, &is_changed, reading->err);
    if (st != INST_OK || !is_changed ||
        (change.before.tag == INST_NULL && change.after.tag == INST_NULL))
        return st;
    change.action = action_of(&change);
    if ((reading->filter->actions & change.action) == 0)
        return INST_OK;
    st = inst_json_parse(&feed->change, log->who, log->who_len, &change.who, reading->err);
    if (st != INST_OK)
        return st;
    inst_uuid_print(&group->id, change.id);
    make_key(feed->app, &change);
    change.position = (struct inst_feed_position){log->tx_id - 1, group->first + 1};
    if (group == &record->groups[record->group_count - 1])
        change.position = (struct inst_feed_position){log->tx_id, 0};
    reading->is_stopped = !reading->fn(reading->ctx, &change);
    return INST_OK;
}

static bool is_covered(const struct inst_feed *feed, int64_t tx_id, uint32_t first) {
    return tx_id <= feed->end.tx || (tx_id == feed->end.tx + 1 && first < feed->end.index);
}

/* The groups of the record that the window covers; false: stopped before its end. */
static bool give_groups(struct reading *reading, const struct inst_log_record *log,
                        const struct inst_feed_record *record) {
    struct inst_feed *feed = reading->feed;
    for (size_t i = 0; i < record->group_count; i++) {
        const struct inst_feed_group *group = &record->groups[i];
        if (group->first < feed->at.index)
            continue;
        feed->at.index = group->first;
        if (reading->is_stopped || reading->budget->changes == 0 ||
            !is_covered(feed, log->tx_id, group->first))
            return false;
        if (is_wanted(reading->filter, &group->etype)) {
            enum inst_status st = give(reading, log, record, group);
            if (st != INST_OK)
                return fail(reading, st);
        }
        feed->at.index = group->first + 1;
    }
    return true;
}

static bool roll_over(void *ctx, const struct inst_log_record *log) {
    struct reading *reading = ctx;
    struct inst_feed *feed = reading->feed;
    struct inst_feed_record record;
    bool is_good;
    if (log->tx_id > feed->end.tx + (feed->end.index > 0) ||
        !begin_record(reading, log, feed->at.tx + 1, &is_good))
        return false;
    enum inst_status st =
        inst_feed_record_read(feed->app, &feed->arena, log, &record, reading->err);
    if (st != INST_OK)
        return fail(reading, st);
    if (!give_groups(reading, log, &record))
        return false;
    for (uint32_t i = 0; i < record.triples->len; i++)
        if (!inst_feed_pass(&feed->window, &record.triples->u.items[i]))
            return fail(reading, inst_err_nomem(reading->err));
    feed->at = (struct inst_feed_position){log->tx_id, 0};
    return !is_spent(reading);
}

/* Is the window used up? */
static bool is_at_end(const struct inst_feed *feed) {
    return feed->at.tx > feed->end.tx ||
           (feed->at.tx == feed->end.tx && feed->at.index >= feed->end.index);
}

static void renew_window(struct inst_feed *feed) {
    size_t twice = feed->max_entities * 2;
    feed->max_entities = twice < feed->most_entities ? twice : feed->most_entities;
    clear_window(feed);
}

enum inst_status inst_feed_read_within(struct inst_feed *feed, struct inst_feed_budget *budget,
                                       const struct inst_feed_filter *filter, inst_feed_fn *fn,
                                       void *ctx, bool *is_at_head, struct inst_err *err) {
    struct inst_app *app = feed->app;
    const struct inst_app_db_ops *ops = app->db->db_ops;
    struct reading reading = {
        .feed = feed, .budget = budget, .filter = filter, .fn = fn, .ctx = ctx, .err = err};
    enum inst_status st = INST_OK;
    while (st == INST_OK && feed->at.tx < app->last_tx && !is_spent(&reading)) {
        size_t records = reading.records;
        if (feed->seen_tx < app->last_tx) {
            st = ops->read_log(app->db, feed->seen_tx, look_at, &reading, err);
            if (feed->window.arena.total >= budget->window_bytes && feed->max_entities > 1)
                shrink_window(feed);
        } else if (is_at_end(feed)) {
            renew_window(feed);
            continue;
        } else {
            st = ops->read_log(app->db, feed->at.tx, roll_over, &reading, err);
        }
        st = st == INST_OK ? reading.status : st;
        if (st == INST_OK && reading.records == records)
            st = refuse_gone(NO_TX, err);
    }
    *is_at_head = feed->at.tx == app->last_tx;
    if (*is_at_head)
        renew_window(feed);
    return st;
}

enum inst_status inst_feed_read(struct inst_feed *feed, const struct inst_feed_filter *filter,
                                inst_feed_fn *fn, void *ctx, bool *is_at_head,
                                struct inst_err *err) {
    struct inst_feed_budget budget = inst_feed_budget();
    return inst_feed_read_within(feed, &budget, filter, fn, ctx, is_at_head, err);
}
