#include "base/json.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/sync_internal.h"

enum inst_status inst_sync_changes(struct inst_arena *arena, const struct inst_log_record *record,
                                   const struct inst_value **out, bool *has_attrs,
                                   struct inst_err *err) {
    struct inst_value changes;
    enum inst_status st =
        inst_json_parse(arena, record->changes, record->changes_len, &changes, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *attrs = inst_getz(&changes, "attrs");
    *has_attrs = attrs != NULL && attrs->tag == INST_ARRAY && attrs->len > 0;
    *out = inst_getz(&changes, "triples");
    if (*out == NULL || (*out)->tag != INST_ARRAY)
        return inst_err_set(err, "data-file", 500, "A record of the log has no triples.");
    return INST_OK;
}

bool inst_sync_is_change(const struct inst_value *change) {
    return change->tag == INST_ARRAY && change->len == 5 && change->u.items[0].tag == INST_STRING &&
           change->u.items[0].len == 1 && change->u.items[1].tag == INST_STRING;
}

void inst_sync_write_change(struct inst_buf *buf, const struct inst_value *change) {
    struct inst_value triple = inst_array(change->u.items + 1, 4);
    inst_json_write(buf, &triple);
}

/* ---- one record for all subscribers that stand in front of it ---- */

struct reading {
    struct inst_app *app;
    struct inst_arena arena; /* of one record */
    int64_t next_tx;         /* the record that must come */
    size_t records, bytes;
    enum inst_status status;
    struct inst_err err;
};

static bool takes_log(const struct inst_sync *sync, int64_t at) {
    return sync->load == NULL && !sync->is_blocked && sync->sent_tx == at;
}

static void flush(struct inst_sync *sync) {
    struct inst_buf buf;
    if (sync->tx_count == 0)
        return;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "sync-update-triples");
    inst_buf_addf(&buf, ",\"subscription-id\":\"%s\",\"txes\":[", sync->id);
    inst_buf_add(&buf, sync->txes.data, sync->txes.len);
    inst_buf_add_char(&buf, ']');
    inst_buf_free(&sync->txes);
    sync->tx_count = 0;
    inst_sync_send(sync, &buf);
    inst_sync_look(sync);
}

/* The changes that the subscription covers, as one transaction; nothing when there are none. false:
 * there are others, too. */
static bool add_tx(struct inst_sync *sync, int64_t tx_id, const struct inst_value *triples) {
    struct inst_buf *buf = &sync->txes;
    bool covers_all = true;
    size_t count = 0;
    for (uint32_t i = 0; i < triples->len; i++) {
        const struct inst_value *change = &triples->u.items[i];
        if (!inst_sync_is_change(change))
            continue;
        if (inst_sync_attr(sync, &change->u.items[2]) < 0) {
            covers_all = false;
            continue;
        }
        if (count++ == 0) {
            inst_buf_add_str(buf, sync->tx_count > 0 ? ",{\"tx-id\":" : "{\"tx-id\":");
            inst_buf_add_int(buf, tx_id);
            inst_buf_add_str(buf, ",\"changes\":[");
        } else {
            inst_buf_add_char(buf, ',');
        }
        bool is_added = change->u.items[0].u.str[0] == '+';
        inst_buf_add_str(buf, is_added ? "{\"action\":\"added\",\"triple\":"
                                       : "{\"action\":\"removed\",\"triple\":");
        inst_sync_write_change(buf, change);
        inst_buf_add_char(buf, '}');
    }
    if (count > 0) {
        inst_buf_add_str(buf, "]}");
        sync->tx_count++;
    }
    return covers_all;
}

/* One transaction for one subscriber; false: the subscription ended. */
static bool give(struct inst_sync *sync, int64_t tx_id, const struct inst_value *triples,
                 bool has_attrs) {
    struct inst_err err = {0};
    size_t before = sync->txes.len;
    bool covers_all = add_tx(sync, tx_id, triples);
    sync->sent_tx = tx_id;
    if (sync->txes.failed) {
        inst_err_nomem(&err);
    } else if ((has_attrs || !covers_all) && inst_sync_is_outgrown(sync)) {
        inst_err_set(&err, "validation-failed", 400,
                     "The table has attributes that the subscription does not know; start over.");
    } else if (sync->txes.len - before > INST_SYNC_MAX_BYTES) {
        inst_err_set(&err, "limit-exceeded", 400,
                     "A transaction is too large for the subscription to follow.");
    } else {
        if (sync->tx_count >= INST_SYNC_BATCH || sync->txes.len >= INST_SYNC_BATCH_BYTES)
            flush(sync);
        return true;
    }
    inst_sync_fail(sync, &err);
    inst_err_clear(&err);
    return false;
}

static bool read_record(void *ctx, const struct inst_log_record *record) {
    struct reading *reading = ctx;
    const struct inst_value *triples;
    bool has_attrs;
    if (record->tx_id != reading->next_tx) {
        reading->status = inst_sync_refuse_gap("", reading->next_tx - 1, &reading->err);
        return false;
    }
    inst_arena_reset(&reading->arena);
    reading->status =
        inst_sync_changes(&reading->arena, record, &triples, &has_attrs, &reading->err);
    if (reading->status != INST_OK)
        return false;
    for (struct inst_sync *sync = reading->app->syncs, *next; sync != NULL; sync = next) {
        next = sync->next;
        if (takes_log(sync, record->tx_id - 1))
            give(sync, record->tx_id, triples, has_attrs);
    }
    reading->next_tx++;
    reading->records++;
    reading->bytes += record->changes_len;
    return reading->records < INST_SYNC_TURN_RECORDS && reading->bytes < INST_SYNC_TURN_BYTES;
}

/* Where to read on: the place of the subscriber that is furthest back; -1: nobody lacks anything.
 */
static int64_t furthest_back(const struct inst_app *app) {
    int64_t at = -1;
    for (const struct inst_sync *sync = app->syncs; sync != NULL; sync = sync->next) {
        bool lacks = sync->load == NULL && !sync->is_blocked && sync->sent_tx < app->last_tx;
        if (lacks && (at < 0 || sync->sent_tx < at))
            at = sync->sent_tx;
    }
    return at;
}

/* Those that stood where the log could not be read. */
static void fail_at(struct inst_app *app, int64_t at, const struct inst_err *err) {
    for (struct inst_sync *sync = app->syncs, *next; sync != NULL; sync = next) {
        next = sync->next;
        if (takes_log(sync, at))
            inst_sync_fail(sync, err);
    }
}

bool inst_sync_log_turn(struct inst_app *app) {
    int64_t from = furthest_back(app);
    if (from < 0)
        return true;
    struct reading reading = {.app = app, .next_tx = from + 1, .status = INST_OK};
    inst_arena_init(&reading.arena);
    enum inst_status st =
        app->db->db_ops->read_log(app->db, from, read_record, &reading, &reading.err);
    st = st == INST_OK ? reading.status : st;
    if (st == INST_OK && reading.records == 0)
        st = inst_sync_refuse_gap("", from, &reading.err);
    for (struct inst_sync *sync = app->syncs; sync != NULL; sync = sync->next)
        flush(sync);
    if (st != INST_OK)
        fail_at(app, reading.next_tx - 1, &reading.err);
    inst_err_clear(&reading.err);
    inst_arena_free(&reading.arena);
    return furthest_back(app) < 0;
}
