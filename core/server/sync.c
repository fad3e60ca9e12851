#include "base/json.h"
#include "instaql/eval.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/sync_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- subscriptions ---- */

static struct inst_table_key attr_key(const struct inst_uuid *id) {
    struct inst_table_key key;
    memcpy(&key, id->bytes, sizeof key);
    return key;
}

int inst_sync_attr(const struct inst_sync *sync, const struct inst_value *id) {
    struct inst_uuid uuid;
    if (id->tag != INST_STRING || !inst_uuid_parse(id->u.str, id->len, &uuid))
        return -1;
    return (int)inst_table_unpack(inst_table_get(&sync->attrs, attr_key(&uuid))) - 1;
}

static void free_sync(struct inst_sync *sync) {
    inst_sync_load_free(sync->load);
    inst_table_free(&sync->attrs);
    inst_buf_free(&sync->txes);
    inst_arena_free(&sync->arena);
    free(sync);
}

/* Out of the app's list and freed. */
static void end_sync(struct inst_sync *sync) {
    struct inst_app *app = inst_sync_app(sync);
    if (sync->previous != NULL)
        sync->previous->next = sync->next;
    else
        app->syncs = sync->next;
    if (sync->next != NULL)
        sync->next->previous = sync->previous;
    sync->session->sync_count--;
    free_sync(sync);
}

static void begin_sync(struct inst_sync *sync) {
    struct inst_app *app = inst_sync_app(sync);
    sync->previous = NULL;
    sync->next = app->syncs;
    if (app->syncs != NULL)
        app->syncs->previous = sync;
    app->syncs = sync;
    sync->session->sync_count++;
    app->server->has_sync_work = true;
}

static struct inst_sync *find_sync(struct inst_session *session, const char *id) {
    struct inst_sync *sync = session->app->syncs;
    while (sync != NULL && (sync->session != session || strcmp(sync->id, id) != 0))
        sync = sync->next;
    return sync;
}

static enum inst_status new_sync(struct inst_session *session, struct inst_sync **out,
                                 struct inst_err *err) {
    struct inst_sync *sync = calloc(1, sizeof *sync);
    if (sync == NULL)
        return inst_err_nomem(err);
    sync->session = session;
    inst_arena_init(&sync->arena);
    inst_buf_init(&sync->txes);
    *out = sync;
    return INST_OK;
}

/* ids: texts; what is no uuid is left out. */
static enum inst_status cover(struct inst_sync *sync, const struct inst_value *ids, size_t count,
                              struct inst_err *err) {
    sync->attr_ids = inst_arena_alloc(&sync->arena, (count + 1) * sizeof *sync->attr_ids);
    if (sync->attr_ids == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < count; i++) {
        struct inst_uuid uuid;
        if (ids[i].tag != INST_STRING || !inst_uuid_parse(ids[i].u.str, ids[i].len, &uuid))
            continue;
        if (!inst_value_dup(&sync->arena, &ids[i], &sync->attr_ids[sync->attr_count]) ||
            !inst_table_put(&sync->attrs, attr_key(&uuid), inst_table_pack(++sync->attr_count)))
            return inst_err_nomem(err);
    }
    return INST_OK;
}

bool inst_sync_is_outgrown(const struct inst_sync *sync) {
    struct inst_app *app = inst_sync_app(sync);
    struct inst_store *store = &app->db->store;
    const struct inst_attr *const *attrs;
    size_t count = 0;
    if (sync->etype.tag == INST_STRING)
        count = inst_attrs_of(app->catalog->attrs, sync->etype.u.str, sync->etype.len, &attrs);
    for (size_t i = 0; i < count; i++) {
        struct inst_scan scan = {.attr = attrs[i]};
        if (!attrs[i]->is_many && inst_sync_attr(sync, &attrs[i]->id) < 0 &&
            store->ops->estimate(store, &scan, 1) > 0)
            return true;
    }
    return false;
}

void inst_sync_look(struct inst_sync *sync) {
    sync->is_blocked = !inst_session_takes(sync->session);
}

void inst_sync_send(struct inst_sync *sync, struct inst_buf *buf) {
    inst_reply_end(buf, &sync->session->server->tracer);
    inst_server_send(sync->session, buf);
}

/* The original reports nothing once a sync has begun; without a report a client would wait for
 * ever (session.md 3.8). Told as a failed resync-table the official client starts over. */
void inst_sync_fail(struct inst_sync *sync, const struct inst_err *err) {
    struct inst_member members[3];
    size_t count = 0;
    if (sync->load != NULL) {
        members[count++] = (struct inst_member){"op", 2, inst_cstring("start-sync")};
        members[count++] = (struct inst_member){"client-event-id", 15, sync->event_id};
        members[count++] = (struct inst_member){"q", 1, sync->q};
    } else {
        members[count++] = (struct inst_member){"op", 2, inst_cstring("resync-table")};
        members[count++] = (struct inst_member){"subscription-id", 15, inst_cstring(sync->id)};
    }
    struct inst_value event = inst_object(members, count);
    inst_server_send_error(sync->session, err, &event);
    end_sync(sync);
}

void inst_sync_leave(struct inst_session *session) {
    for (struct inst_sync *sync = session->app->syncs, *next; sync != NULL; sync = next) {
        next = sync->next;
        if (sync->session == session)
            end_sync(sync);
    }
}

/* ---- what is kept of a subscription ---- */

#define NOTE_PREFIX "sync:"
#define NOTE_KEY (sizeof NOTE_PREFIX + INST_UUID_TEXT)

static void note_key(char out[NOTE_KEY], const char *id) {
    memcpy(out, NOTE_PREFIX, sizeof NOTE_PREFIX - 1);
    memcpy(out + sizeof NOTE_PREFIX - 1, id, INST_UUID_TEXT + 1);
}

struct oldest {
    size_t count;
    double used;
    char key[NOTE_KEY];
    struct inst_arena arena;
};

static bool look_for_oldest(void *ctx, const char *key, const char *bytes, size_t len) {
    struct oldest *oldest = ctx;
    struct inst_value note;
    double used = 0; /* what cannot be read goes first */
    oldest->count++;
    if (strlen(key) >= sizeof oldest->key)
        return true;
    inst_arena_reset(&oldest->arena);
    if (inst_json_parse(&oldest->arena, bytes, len, &note, NULL) == INST_OK) {
        const struct inst_value *at = inst_getz(&note, "used");
        used = at != NULL && at->tag == INST_NUMBER ? at->u.num : 0;
    }
    if (oldest->count == 1 || used < oldest->used) {
        oldest->used = used;
        strcpy(oldest->key, key);
    }
    return true;
}

/* Clients that never came back leave their notes; the number of notes has an end. */
static enum inst_status make_room(struct inst_app *app, struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    struct oldest oldest = {.count = 0};
    inst_arena_init(&oldest.arena);
    enum inst_status st = ops->each_note(app->db, NOTE_PREFIX, NULL, look_for_oldest, &oldest, err);
    inst_arena_free(&oldest.arena);
    if (st == INST_OK && oldest.count >= INST_SERVER_MAX_KEPT_SYNCS)
        st = inst_app_set_note(app, oldest.key, NULL, 0, err);
    return st;
}

enum inst_status inst_sync_keep(struct inst_sync *sync, struct inst_err *err) {
    struct inst_app *app = inst_sync_app(sync);
    const struct inst_env *env = app->server->env;
    struct inst_buf note;
    char key[NOTE_KEY];
    enum inst_status st = make_room(app, err);
    if (st != INST_OK)
        return st;
    inst_buf_init(&note);
    inst_buf_addf(&note,
                  "{\"token\":\"%s\",\"admin\":%s,\"user\":\"%s\",\"used\":", sync->token_hash,
                  sync->session->viewer.is_admin ? "true" : "false", sync->session->viewer.user);
    inst_buf_add_int(&note, env->now_ms(env->ctx));
    inst_buf_add_str(&note, ",\"q\":");
    inst_json_write(&note, &sync->q);
    inst_buf_add_str(&note, ",\"attrs\":");
    struct inst_value ids = inst_array(sync->attr_ids, sync->attr_count);
    inst_json_write(&note, &ids);
    inst_buf_add_char(&note, '}');
    note_key(key, sync->id);
    st = note.failed ? inst_err_nomem(err) : inst_app_set_note(app, key, note.data, note.len, err);
    inst_buf_free(&note);
    return st;
}

/* ---- start-sync ---- */

/* What the query asks for. */
struct table_query {
    const struct inst_value *etype;
    const struct inst_attr *order;
    bool is_desc;
};

static enum inst_status refuse_start(const struct inst_value *q, const char *data_type,
                                     struct inst_err *err, const char *message) {
    struct inst_member member = {"q", 1, q != NULL ? *q : inst_null()};
    struct inst_value input = inst_object(&member, 1);
    return inst_refuse_validation(err, data_type, &input, NULL, "%s", message);
}

/* What every query must be comes first, as in the original. */
static enum inst_status check_query(struct inst_app *app, const struct inst_value *q,
                                    struct inst_err *err) {
    struct inst_query *query = NULL;
    enum inst_status st = inst_query_new(q, INST_QUERY_SERVER, &query, err);
    if (st == INST_OK)
        st = inst_query_prepare(query, app->catalog->attrs, err);
    inst_query_free(query);
    return st;
}

static enum inst_status read_order(struct inst_app *app, const struct inst_value *q,
                                   const struct inst_value *order, struct table_query *out,
                                   struct inst_err *err) {
    struct inst_attrs *attrs = app->catalog->attrs;
    const struct inst_value *etype = out->etype;
    if (order == NULL || order->tag != INST_OBJECT || order->len == 0)
        return INST_OK;
    const struct inst_member *by = &order->u.members[0];
    out->is_desc = inst_is_string(&by->value, "desc");
    if (by->key_len == 15 && memcmp(by->key, "serverCreatedAt", 15) == 0)
        return INST_OK;
    out->order = inst_attrs_forward(attrs, etype->u.str, etype->len, by->key, by->key_len);
    if (out->order == NULL) {
        struct inst_member member = {"q", 1, *q};
        struct inst_value input = inst_object(&member, 1);
        return inst_refuse_validation(err, "query", &input, NULL, "Unknown order field %.*s",
                                      (int)by->key_len, by->key);
    }
    if (!out->order->is_indexed || out->order->is_indexing || out->order->is_many ||
        out->order->checked_type == INST_CHECKED_NONE ||
        !app->db->store.ops->can_range(&app->db->store, out->order))
        return refuse_start(q, "query", err,
                            "Order field must be indexed with a checked data type.");
    return INST_OK;
}

static enum inst_status read_table_query(struct inst_app *app, const struct inst_value *q,
                                         struct inst_value *etype, struct table_query *out,
                                         struct inst_err *err) {
    enum inst_status st = check_query(app, q, err);
    if (st != INST_OK)
        return st;
    if (q->tag != INST_OBJECT || q->len == 0)
        return refuse_start(q, "query", err, "Query is empty.");
    if (q->len > 1)
        return refuse_start(q, "query", err, "Query can only fetch a single namespace");
    const struct inst_member *table = &q->u.members[0];
    *etype = inst_string(table->key, table->key_len);
    *out = (struct table_query){.etype = etype};
    out->order = inst_attrs_id_attr(app->catalog->attrs, etype->u.str, etype->len);
    if (out->order == NULL)
        return refuse_start(q, "query", err, "No matching table.");
    const struct inst_value *options = NULL;
    for (uint32_t i = 0; table->value.tag == INST_OBJECT && i < table->value.len; i++) {
        const struct inst_member *member = &table->value.u.members[i];
        if (member->key_len != 1 || member->key[0] != '$')
            return refuse_start(q, "query", err, "Links are not yet supported.");
        options = &member->value;
    }
    for (uint32_t i = 0; options != NULL && options->tag == INST_OBJECT && i < options->len; i++) {
        const struct inst_member *member = &options->u.members[i];
        if (member->key_len != 5 || memcmp(member->key, "order", 5) != 0)
            return refuse_start(q, "query", err, "Only order is currently supported.");
    }
    return read_order(app, q, options != NULL ? inst_getz(options, "order") : NULL, out, err);
}

/* Every attr of the namespace with one value an entity, as of now. */
static enum inst_status cover_table(struct inst_sync *sync, const struct inst_value *etype,
                                    struct inst_err *err) {
    const struct inst_attr *const *attrs;
    struct inst_attrs *catalog = inst_sync_app(sync)->catalog->attrs;
    size_t count = inst_attrs_of(catalog, etype->u.str, etype->len, &attrs), kept = 0;
    struct inst_value *ids = inst_arena_alloc(&sync->arena, (count + 1) * sizeof *ids);
    if (ids == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; i < count; i++)
        if (!attrs[i]->is_many)
            ids[kept++] = attrs[i]->id;
    return cover(sync, ids, kept, err);
}

static void send_start_ok(struct inst_sync *sync, const char *token) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "start-sync-ok");
    inst_reply_add(&buf, "client-event-id", &sync->event_id);
    inst_reply_add(&buf, "q", &sync->q);
    inst_buf_addf(&buf, ",\"subscription-id\":\"%s\",\"token\":\"%s\"", sync->id, token);
    inst_sync_send(sync, &buf);
}

static void hash_token(const struct inst_uuid *token, char out[INST_SHA256_HEX + 1]) {
    inst_sha256_hex(token->bytes, sizeof token->bytes, out);
}

static enum inst_status start(struct inst_session *session, const struct inst_value *event,
                              struct inst_err *err) {
    const struct inst_env *env = session->server->env;
    const struct inst_value *q = inst_getz(event, "q");
    const struct inst_value *event_id = inst_getz(event, "client-event-id");
    struct inst_value none = inst_null(), etype = inst_undefined();
    struct table_query table = {0};
    struct inst_sync *sync = NULL;
    if (q == NULL || inst_is_nullish(q))
        return refuse_start(NULL, "start-sync", err, "Query can not be null.");
    if (!session->viewer.is_admin)
        return refuse_start(q, "start-sync", err,
                            "start-sync is currently supported for admins only.");
    if (session->sync_count >= INST_SERVER_MAX_SYNCS)
        return inst_refuse_validation(err, "start-sync", NULL, NULL,
                                      "A session takes at most %u sync tables.",
                                      INST_SERVER_MAX_SYNCS);
    enum inst_status st = read_table_query(session->app, q, &etype, &table, err);
    if (st != INST_OK || (st = new_sync(session, &sync, err)) != INST_OK)
        return st;
    if (!inst_value_dup(&sync->arena, q, &sync->q) ||
        !inst_value_dup(&sync->arena, &etype, &sync->etype) ||
        !inst_value_dup(&sync->arena, event_id != NULL ? event_id : &none, &sync->event_id))
        st = inst_err_nomem(err);
    if (st == INST_OK)
        st = cover_table(sync, &etype, err);
    if (st == INST_OK)
        st = inst_sync_load_new(sync, table.order, table.is_desc, err);
    if (st != INST_OK) {
        free_sync(sync);
        return st;
    }
    struct inst_uuid token;
    char text[INST_UUID_TEXT + 1];
    inst_uuid_make_text(env, sync->id);
    inst_uuid_make(env, &token);
    inst_uuid_print(&token, text);
    hash_token(&token, sync->token_hash);
    send_start_ok(sync, text);
    begin_sync(sync);
    return INST_OK;
}

bool inst_sync_start(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    if (session->app->is_group_open)
        return false;
    if (start(session, event, &err) != INST_OK)
        inst_server_send_error(session, &err, event);
    inst_err_clear(&err);
    return true;
}

/* ---- resync-table ---- */

enum inst_status inst_sync_refuse_gap(const char *id, int64_t tx_id, struct inst_err *err) {
    struct inst_member members[2] = {
        {"subscription-id", 15, inst_cstring(id)},
        {"tx-id", 5, inst_number((double)tx_id)},
    };
    struct inst_value input = inst_object(members, 2);
    return inst_refuse_validation(err, "subscription", &input, NULL,
                                  "transactions for the subscription are no longer available");
}

static enum inst_status read_uuid(const struct inst_value *event, const char *name,
                                  struct inst_uuid *out, struct inst_err *err) {
    const char *const path[] = {name};
    const struct inst_value *v = inst_getz(event, name);
    if (v == NULL || inst_is_nullish(v))
        return inst_refuse_missing(err, path, 1);
    if (v->tag != INST_STRING || !inst_uuid_parse(v->u.str, v->len, out))
        return inst_refuse_malformed(err, path, 1, v);
    return INST_OK;
}

static enum inst_status read_tx_id(const struct inst_value *event, int64_t *out,
                                   struct inst_err *err) {
    static const char *const path[] = {"tx-id"};
    const struct inst_value *v = inst_getz(event, "tx-id");
    if (v == NULL || inst_is_nullish(v))
        return inst_refuse_missing(err, path, 1);
    if (v->tag != INST_NUMBER || !(v->u.num >= 0 && v->u.num <= 9007199254740992.0))
        return inst_refuse_malformed(err, path, 1, v);
    *out = (int64_t)v->u.num;
    return INST_OK;
}

static enum inst_status refuse_kept(const char *name, const struct inst_value *value,
                                    const char *message, struct inst_err *err) {
    struct inst_member member = {name, strlen(name), *value};
    struct inst_value input = inst_object(&member, 1);
    return inst_refuse_validation(err, "subscription", &input, NULL, "%s", message);
}

/* Is the one who asks the one who made it? */
static enum inst_status check_kept(struct inst_session *session, const struct inst_value *note,
                                   const char *token_hash, struct inst_err *err) {
    const struct inst_value *kept = inst_get_string(note, "token");
    if (kept == NULL || kept->len != INST_SHA256_HEX ||
        !inst_secret_equal(kept->u.str, token_hash, INST_SHA256_HEX)) {
        struct inst_value hidden = inst_cstring("redacted");
        return refuse_kept("token", &hidden, "Invalid token.", err);
    }
    struct inst_value is_admin = inst_bool(session->viewer.is_admin);
    if (inst_get_true(note, "admin") != session->viewer.is_admin)
        return refuse_kept("admin?", &is_admin,
                           session->viewer.is_admin
                               ? "Subscription was not created by an admin, but the "
                                 "session is an admin session."
                               : "Subscription was created as an admin, but the "
                                 "session is not an admin session.",
                           err);
    const struct inst_value *user = inst_get_string(note, "user");
    struct inst_value present = inst_cstring(session->viewer.user);
    if (user == NULL || !inst_is_string(user, session->viewer.user))
        return refuse_kept("user-id", &present, "Subscription was created by a different user.",
                           err);
    return INST_OK;
}

static enum inst_status read_note(struct inst_session *session, const char *id,
                                  struct inst_value *out, struct inst_err *err) {
    struct inst_app *app = session->app;
    struct inst_buf text;
    char key[NOTE_KEY], hint[120];
    bool found;
    note_key(key, id);
    inst_buf_init(&text);
    enum inst_status st = app->db->db_ops->get_note(app->db, key, &text, &found, err);
    if (st == INST_OK && found)
        st = inst_json_parse(&session->server->scratch, text.data, text.len, out, err);
    inst_buf_free(&text);
    if (st == INST_OK && !found) {
        st = inst_err_set(err, "record-not-found", 400, "Record not found: subscription");
        snprintf(hint, sizeof hint, "{\"subscription-id\":\"%s\",\"record-type\":\"subscription\"}",
                 id);
        inst_err_hint(err, hint);
    }
    return st;
}

static bool note_first(void *ctx, const struct inst_log_record *record) {
    *(int64_t *)ctx = record->tx_id;
    return false;
}

/* Does the log have everything behind tx_id? Of a client that knows more than the app does, the
 * app was taken back to an older backup meanwhile. */
static enum inst_status check_log(struct inst_app *app, const char *id, int64_t tx_id,
                                  struct inst_err *err) {
    int64_t first = 0;
    if (tx_id == app->last_tx)
        return INST_OK;
    enum inst_status st = app->db->db_ops->read_log(app->db, tx_id, note_first, &first, err);
    if (st == INST_OK && first != tx_id + 1)
        st = inst_sync_refuse_gap(id, tx_id, err);
    return st;
}

/* Was it used a short time ago? Then the disk need not hear of it again. */
static bool is_fresh(const struct inst_session *session, const struct inst_value *note) {
    const struct inst_env *env = session->server->env;
    const struct inst_value *used = inst_getz(note, "used");
    return used != NULL && used->tag == INST_NUMBER &&
           (double)env->now_ms(env->ctx) - used->u.num < INST_SYNC_USED_MS;
}

static enum inst_status resync(struct inst_session *session, const struct inst_value *event,
                               struct inst_err *err) {
    struct inst_uuid id, token;
    struct inst_value note;
    struct inst_sync *sync = NULL;
    char text[INST_UUID_TEXT + 1], hash[INST_SHA256_HEX + 1];
    int64_t tx_id = 0;
    enum inst_status st;
    if ((st = read_tx_id(event, &tx_id, err)) != INST_OK ||
        (st = read_uuid(event, "subscription-id", &id, err)) != INST_OK ||
        (st = read_uuid(event, "token", &token, err)) != INST_OK)
        return st;
    inst_uuid_print(&id, text);
    hash_token(&token, hash);
    if ((st = read_note(session, text, &note, err)) != INST_OK ||
        (st = check_kept(session, &note, hash, err)) != INST_OK ||
        (st = check_log(session->app, text, tx_id, err)) != INST_OK)
        return st;
    struct inst_sync *present = find_sync(session, text);
    if (present != NULL)
        end_sync(present);
    if (session->sync_count >= INST_SERVER_MAX_SYNCS)
        return inst_refuse_validation(err, "subscription", NULL, NULL,
                                      "A session takes at most %u sync tables.",
                                      INST_SERVER_MAX_SYNCS);
    if ((st = new_sync(session, &sync, err)) != INST_OK)
        return st;
    memcpy(sync->id, text, sizeof text);
    memcpy(sync->token_hash, hash, sizeof hash);
    sync->sent_tx = tx_id;
    const struct inst_value *attrs = inst_getz(&note, "attrs"), *q = inst_getz(&note, "q");
    if (attrs == NULL || attrs->tag != INST_ARRAY)
        st = inst_sync_refuse_gap(text, tx_id, err);
    else
        st = cover(sync, attrs->u.items, attrs->len, err);
    if (st == INST_OK && q != NULL && !inst_value_dup(&sync->arena, q, &sync->q))
        st = inst_err_nomem(err);
    if (st == INST_OK && sync->q.tag == INST_OBJECT && sync->q.len == 1)
        sync->etype = inst_string(sync->q.u.members[0].key, sync->q.u.members[0].key_len);
    if (st == INST_OK && !is_fresh(session, &note))
        st = inst_sync_keep(sync, err);
    if (st != INST_OK) {
        free_sync(sync);
        return st;
    }
    begin_sync(sync);
    return INST_OK;
}

bool inst_sync_resync(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    if (session->app->is_group_open)
        return false;
    if (resync(session, event, &err) != INST_OK)
        inst_server_send_error(session, &err, event);
    inst_err_clear(&err);
    return true;
}

/* ---- remove-sync ---- */

/* Anything but false, null and nothing is true, as the original takes it. */
static bool keeps(const struct inst_value *event) {
    const struct inst_value *v = inst_getz(event, "keep-subscription");
    return v != NULL && !inst_is_nullish(v) && v->tag != INST_FALSE;
}

bool inst_sync_remove(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_uuid id;
    char text[INST_UUID_TEXT + 1], key[NOTE_KEY];
    if (session->app->is_group_open)
        return false;
    enum inst_status st = read_uuid(event, "subscription-id", &id, &err);
    if (st == INST_OK) {
        inst_uuid_print(&id, text);
        struct inst_sync *sync = find_sync(session, text);
        if (sync != NULL) {
            end_sync(sync);
            note_key(key, text);
            if (!keeps(event))
                st = inst_app_set_note(session->app, key, NULL, 0, &err);
        }
    }
    if (st != INST_OK)
        inst_server_send_error(session, &err, event);
    inst_err_clear(&err);
    return true;
}

/* ---- the turn ---- */

void inst_sync_committed(struct inst_app *app) {
    if (app->syncs != NULL)
        app->server->has_sync_work = true;
}

/* To the end of the list, so that each gets its turn. */
static void move_last(struct inst_sync *sync) {
    struct inst_app *app = inst_sync_app(sync);
    if (sync->next == NULL)
        return;
    if (sync->previous != NULL)
        sync->previous->next = sync->next;
    else
        app->syncs = sync->next;
    sync->next->previous = sync->previous;
    struct inst_sync *last = sync->next;
    while (last->next != NULL)
        last = last->next;
    last->next = sync;
    sync->previous = last;
    sync->next = NULL;
}

static void turn_loads(struct inst_app *app, bool *is_more) {
    struct inst_sync *chosen[INST_SYNC_TURN_LOADS];
    size_t count = 0;
    for (struct inst_sync *sync = app->syncs; sync != NULL; sync = sync->next) {
        if (sync->load == NULL || sync->is_blocked)
            continue;
        *is_more = true; /* there is a next piece, or updates behind the last one */
        if (count < INST_SYNC_TURN_LOADS)
            chosen[count++] = sync;
    }
    for (size_t i = 0; i < count; i++) {
        move_last(chosen[i]);
        inst_sync_load_turn(chosen[i]);
    }
}

void inst_sync_turn(struct inst_server *server) {
    bool is_more = false;
    server->has_sync_work = false;
    for (struct inst_app *app = server->apps; app != NULL; app = app->next) {
        if (app->syncs == NULL)
            continue;
        for (struct inst_sync *sync = app->syncs; sync != NULL; sync = sync->next)
            inst_sync_look(sync);
        turn_loads(app, &is_more);
        if (!inst_sync_log_turn(app))
            is_more = true;
    }
    server->has_sync_work = server->has_sync_work || is_more;
}
