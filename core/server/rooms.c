#include "server/rooms.h"

#include "base/json.h"
#include "base/text.h"
#include "server/edits.h"
#include "server/engine.h"
#include "server/limits.h"
#include "server/refusal.h"

#include <stdio.h>
#include <stdlib.h>

/* What an entry takes beside its data, in a room's size. */
#define ENTRY_OVERHEAD 200u

struct text {
    char *bytes; /* owned; JSON */
    size_t len;
};

struct inst_peer {
    struct inst_room *room;
    struct inst_session *session;  /* NULL: left, and the others were not told yet */
    char id[INST_UUID_TEXT + 1];   /* the session's */
    char user[INST_UUID_TEXT + 1]; /* its user's; "" nobody */
    struct text data;
    struct text shown;                 /* bytes NULL: the same as data, or not told yet */
    bool is_known;                     /* the others were told of it */
    bool is_fresh;                     /* has to get the whole room */
    struct inst_peer *next, *previous; /* of the room, in the order of coming */
    struct inst_peer *session_next, *session_previous; /* of the session */
};

struct inst_room {
    struct inst_app *app;
    struct inst_table_key hash;
    struct inst_room *next_same;    /* another id with this hash */
    struct inst_peer *peers, *last; /* in the order of coming */
    size_t gone;                    /* those among them that left and were not told of */
    size_t members;                 /* the others */
    size_t bytes;                   /* of their entries */
    bool has_news;                  /* something is to be told */
    bool is_listed;                 /* in the server's list: the end of the turn sees to it */
    struct inst_room *next_listed;
    size_t id_len;
    char id[];
};

/* ---- text ---- */

static struct text text_of(const struct inst_value *value) {
    struct text text = {0};
    struct inst_buf buf;
    inst_buf_init(&buf);
    if (value == NULL || value->tag == INST_UNDEFINED)
        inst_buf_add_str(&buf, "null");
    else
        inst_json_write(&buf, value);
    text.bytes = inst_buf_take(&buf, &text.len);
    return text;
}

static bool is_same_text(const struct text *a, const struct text *b) {
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void clear_text(struct text *text) {
    free(text->bytes);
    *text = (struct text){0};
}

static struct inst_value parse_text(struct inst_arena *arena, const struct text *text,
                                    struct inst_buf *failing) {
    struct inst_value value = inst_null();
    if (inst_json_parse(arena, text->bytes, text->len, &value, NULL) != INST_OK)
        failing->failed = true; /* out of memory: it was written by us */
    return value;
}

/* ---- rooms ---- */

static struct inst_table_key hash_of(const struct inst_app *app, const char *id, size_t len) {
    uint64_t seed = app->server->seed;
    return (struct inst_table_key){inst_text_hash(id, len, seed), inst_text_hash(id, len, ~seed)};
}

static struct inst_room *find_room(const struct inst_app *app, const char *id, size_t len) {
    struct inst_room *room = inst_table_get(&app->rooms, hash_of(app, id, len));
    while (room != NULL && (room->id_len != len || memcmp(room->id, id, len) != 0))
        room = room->next_same;
    return room;
}

static struct inst_room *make_room(struct inst_app *app, const char *id, size_t len) {
    struct inst_room *room = calloc(1, sizeof *room + len);
    if (room == NULL)
        return NULL;
    room->app = app;
    room->hash = hash_of(app, id, len);
    room->id_len = len;
    memcpy(room->id, id, len);
    room->next_same = inst_table_get(&app->rooms, room->hash);
    if (!inst_table_put(&app->rooms, room->hash, room)) {
        free(room);
        return NULL;
    }
    return room;
}

static void free_peer(struct inst_peer *peer) {
    struct inst_room *room = peer->room;
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        room->peers = peer->next;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    else
        room->last = peer->previous;
    if (peer->session == NULL)
        room->gone--;
    clear_text(&peer->data);
    clear_text(&peer->shown);
    free(peer);
}

static void free_room(struct inst_room *room) {
    struct inst_table *rooms = &room->app->rooms;
    struct inst_room *head = inst_table_get(rooms, room->hash);
    while (room->peers != NULL)
        free_peer(room->peers);
    if (head == room && room->next_same == NULL) {
        inst_table_remove(rooms, room->hash);
    } else if (head == room) {
        inst_table_put(rooms, room->hash, room->next_same);
    } else {
        while (head->next_same != room)
            head = head->next_same;
        head->next_same = room->next_same;
    }
    free(room);
}

static void mark_changed(struct inst_room *room) {
    struct inst_server *server = room->app->server;
    room->has_news = true;
    if (room->is_listed)
        return;
    room->is_listed = true;
    room->next_listed = server->listed_rooms;
    server->listed_rooms = room;
}

/* When nobody is in it, and the end of the turn will not see to it. */
static void release_room(struct inst_room *room) {
    if (room->members == 0 && !room->is_listed)
        free_room(room);
}

void inst_rooms_close(struct inst_app *app) {
    struct inst_room **link = &app->server->listed_rooms;
    while (*link != NULL) {
        if ((*link)->app == app)
            *link = (*link)->next_listed;
        else
            link = &(*link)->next_listed;
    }
    for (size_t i = 0; i < app->rooms.cap; i++) {
        struct inst_room *room = app->rooms.slots[i].value;
        while (room != NULL) {
            struct inst_room *next = room->next_same;
            while (room->peers != NULL)
                free_peer(room->peers);
            free(room);
            room = next;
        }
    }
    inst_table_free(&app->rooms);
}

/* ---- who is in ---- */

static struct inst_peer *find_peer(const struct inst_session *session,
                                   const struct inst_value *room_id) {
    struct inst_peer *peer = session->peers;
    while (peer != NULL && (peer->room->id_len != room_id->len ||
                            memcmp(peer->room->id, room_id->u.str, room_id->len) != 0))
        peer = peer->session_next;
    return peer;
}

bool inst_rooms_is_in(const struct inst_session *session, const struct inst_value *room_id) {
    return find_peer(session, room_id) != NULL;
}

static void enter(struct inst_session *session, struct inst_peer *peer) {
    struct inst_room *room = peer->room;
    peer->session = session;
    peer->is_fresh = true;
    room->gone--;
    room->members++;
    room->bytes += ENTRY_OVERHEAD + peer->data.len;
    mark_changed(room);
    peer->session_previous = NULL;
    peer->session_next = session->peers;
    if (session->peers != NULL)
        session->peers->session_previous = peer;
    session->peers = peer;
    session->room_count++;
}

static void leave(struct inst_peer *peer) {
    struct inst_session *session = peer->session;
    struct inst_room *room = peer->room;
    if (peer->session_previous != NULL)
        peer->session_previous->session_next = peer->session_next;
    else
        session->peers = peer->session_next;
    if (peer->session_next != NULL)
        peer->session_next->session_previous = peer->session_previous;
    session->room_count--;
    peer->session = NULL;
    room->gone++;
    room->members--;
    room->bytes -= ENTRY_OVERHEAD + peer->data.len;
    if (!peer->is_known)
        free_peer(peer);
    if (room->members > 0)
        mark_changed(room);
    else
        release_room(room);
}

/* The session's peer, when it left in this turn. */
static struct inst_peer *find_gone(const struct inst_room *room,
                                   const struct inst_session *session) {
    struct inst_peer *peer = room->gone > 0 ? room->peers : NULL;
    while (peer != NULL && (peer->session != NULL || strcmp(peer->id, session->id) != 0))
        peer = peer->next;
    return peer;
}

static void replace_data(struct inst_peer *peer, struct text data_take) {
    if (peer->is_known && peer->shown.bytes == NULL)
        peer->shown = peer->data;
    else
        clear_text(&peer->data);
    peer->data = data_take;
}

/* As if it had left: `enter` comes next. */
static struct inst_peer *make_peer(struct inst_room *room, const struct inst_session *session) {
    struct inst_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->room = room;
    memcpy(peer->id, session->id, sizeof peer->id);
    memcpy(peer->user, session->viewer.user, sizeof peer->user);
    peer->previous = room->last;
    if (room->last != NULL)
        room->last->next = peer;
    else
        room->peers = peer;
    room->last = peer;
    room->gone++;
    return peer;
}

static enum inst_status refuse(struct inst_err *err, const char *what, unsigned max) {
    return inst_refuse_validation(err, "room", NULL, NULL, "%s takes at most %u bytes.", what, max);
}

static enum inst_status check_data(const struct inst_value *data, const struct text *text,
                                   struct inst_err *err) {
    if (text->bytes == NULL)
        return inst_err_nomem(err);
    if (text->len > INST_SERVER_MAX_PRESENCE)
        return refuse(err, "Presence", INST_SERVER_MAX_PRESENCE);
    if (data != NULL && inst_value_is_deeper_than(data, INST_SERVER_MAX_VALUE_DEPTH))
        return inst_refuse_validation(err, "room", NULL, NULL, "Presence is nested too deep.");
    return INST_OK;
}

static enum inst_status check_room(const struct inst_room *room, size_t more,
                                   struct inst_err *err) {
    return room->bytes + more <= INST_SERVER_MAX_ROOM_BYTES
               ? INST_OK
               : inst_refuse_validation(err, "room", NULL, NULL, "This room is full.");
}

enum inst_status inst_rooms_join(struct inst_session *session, const struct inst_value *room_id,
                                 const struct inst_value *data, struct inst_err *err) {
    struct inst_peer *peer = find_peer(session, room_id);
    struct inst_room *room = NULL;
    if (peer != NULL) {
        peer->is_fresh = true;
        mark_changed(peer->room);
        return INST_OK;
    }
    if (session->room_count >= INST_SERVER_MAX_ROOMS)
        return inst_refuse_validation(err, "room", NULL, NULL, "A session is in at most %u rooms.",
                                      INST_SERVER_MAX_ROOMS);
    struct inst_value nothing = inst_object(NULL, 0);
    /* As in Clojure, where false is none too. */
    bool is_none = data == NULL || inst_is_nullish(data) || data->tag == INST_FALSE;
    struct text text = text_of(is_none ? &nothing : data);
    enum inst_status st = check_data(data, &text, err);
    if (st != INST_OK)
        goto out;
    room = find_room(session->app, room_id->u.str, room_id->len);
    if (room == NULL)
        room = make_room(session->app, room_id->u.str, room_id->len);
    if (room == NULL) {
        st = inst_err_nomem(err);
        goto out;
    }
    if ((st = check_room(room, ENTRY_OVERHEAD + text.len, err)) != INST_OK)
        goto out;
    peer = find_gone(room, session);
    if (peer == NULL)
        peer = make_peer(room, session);
    if (peer == NULL) {
        st = inst_err_nomem(err);
        goto out;
    }
    replace_data(peer, text);
    text = (struct text){0};
    enter(session, peer);
out:
    if (st != INST_OK && room != NULL)
        release_room(room);
    clear_text(&text);
    return st;
}

void inst_rooms_leave(struct inst_session *session, const struct inst_value *room_id) {
    struct inst_peer *peer = find_peer(session, room_id);
    if (peer != NULL)
        leave(peer);
}

void inst_rooms_leave_all(struct inst_session *session) {
    while (session->peers != NULL)
        leave(session->peers);
}

static enum inst_status refuse_outsider(const struct inst_session *session,
                                        const struct inst_value *room_id, struct inst_err *err) {
    struct inst_member members[] = {{"app-id", 6, inst_cstring(session->app->info.id)},
                                    {"room-id", 7, *room_id},
                                    {"session-id", 10, inst_cstring(session->id)}};
    struct inst_value input = inst_object(members, 3);
    return inst_refuse_validation(err, "room", &input, NULL, "You have not entered this room yet.");
}

enum inst_status inst_rooms_set_presence(struct inst_session *session,
                                         const struct inst_value *room_id,
                                         const struct inst_value *data, struct inst_err *err) {
    struct inst_peer *peer = find_peer(session, room_id);
    if (peer == NULL)
        return refuse_outsider(session, room_id, err);
    struct text text = text_of(data);
    enum inst_status st = check_data(data, &text, err);
    if (st == INST_OK && text.len > peer->data.len)
        st = check_room(peer->room, text.len - peer->data.len, err);
    if (st != INST_OK || is_same_text(&text, &peer->data)) {
        clear_text(&text);
        return st;
    }
    peer->room->bytes += text.len;
    peer->room->bytes -= peer->data.len;
    replace_data(peer, text);
    mark_changed(peer->room);
    return INST_OK;
}

/* ---- telling ---- */

static void write_user(struct inst_buf *buf, const char *user) {
    if (user[0] != 0)
        inst_buf_addf(buf, "{\"id\":\"%s\"}", user);
    else
        inst_buf_add_str(buf, "null");
}

static void write_entry(struct inst_buf *buf, const struct inst_peer *peer) {
    struct inst_server *server = peer->room->app->server;
    if (server->instance_id[0] == 0)
        inst_uuid_make_text(server->env, server->instance_id);
    inst_buf_addf(buf, "{\"peer-id\":\"%s\",\"instance-id\":\"%s\",\"user\":", peer->id,
                  server->instance_id);
    write_user(buf, peer->user);
    inst_buf_add_str(buf, ",\"data\":");
    inst_buf_add(buf, peer->data.bytes, peer->data.len);
    inst_buf_add_char(buf, '}');
}

static void write_members(struct inst_buf *buf, const struct inst_room *room) {
    bool is_first = true;
    inst_buf_add_char(buf, '{');
    for (const struct inst_peer *peer = room->peers; peer != NULL; peer = peer->next) {
        if (peer->session == NULL)
            continue;
        inst_buf_addf(buf, is_first ? "\"%s\":" : ",\"%s\":", peer->id);
        write_entry(buf, peer);
        is_first = false;
    }
    inst_buf_add_char(buf, '}');
}

void inst_rooms_write(struct inst_app *app, const char *room_id, size_t len, struct inst_buf *buf) {
    const struct inst_room *room = find_room(app, room_id, len);
    if (room != NULL)
        write_members(buf, room);
    else
        inst_buf_add_str(buf, "{}");
}

static void begin_message(struct inst_buf *buf, const struct inst_room *room, const char *op) {
    inst_buf_init(buf);
    inst_reply_begin(buf, op);
    inst_buf_add_str(buf, ",\"room-id\":");
    inst_json_write_string(buf, room->id, room->id_len);
}

static struct inst_shared *end_message(struct inst_buf *buf, const struct inst_room *room) {
    inst_reply_end(buf, &room->app->server->tracer);
    struct inst_shared *message = buf->failed ? NULL : inst_shared_new(buf->data, buf->len);
    inst_buf_free(buf);
    return message;
}

static struct inst_shared *make_whole(const struct inst_room *room) {
    struct inst_buf buf;
    begin_message(&buf, room, "refresh-presence");
    inst_buf_add_str(&buf, ",\"data\":");
    write_members(&buf, room);
    return end_message(&buf, room);
}

static void write_peer_edits(struct inst_buf *buf, const struct inst_peer *peer) {
    struct inst_arena *scratch = &peer->room->app->server->scratch;
    struct inst_arena_mark mark = inst_arena_mark(scratch);
    if (peer->session == NULL) {
        inst_buf_addf(buf, ",[[\"%s\"],\"-\"]", peer->id);
    } else if (!peer->is_known) {
        inst_buf_addf(buf, ",[[\"%s\"],\"+\",", peer->id);
        write_entry(buf, peer);
        inst_buf_add_char(buf, ']');
    } else if (peer->shown.bytes != NULL) {
        char path[INST_UUID_TEXT + 12];
        struct inst_value before = parse_text(scratch, &peer->shown, buf);
        struct inst_value after = parse_text(scratch, &peer->data, buf);
        snprintf(path, sizeof path, "\"%s\",\"data\"", peer->id);
        inst_edits_write(buf, path, &before, &after);
        inst_arena_rewind(scratch, mark);
    }
}

/* NULL with has_edits: out of memory. */
static struct inst_shared *make_patch(const struct inst_room *room, bool *has_edits) {
    struct inst_buf buf;
    begin_message(&buf, room, "patch-presence");
    inst_buf_add_str(&buf, ",\"edits\":[");
    size_t start = buf.len;
    for (const struct inst_peer *peer = room->peers; peer != NULL; peer = peer->next)
        write_peer_edits(&buf, peer);
    *has_edits = buf.failed || buf.len > start;
    if (!buf.failed && *has_edits) {
        buf.data[start] = ' '; /* the first one's comma */
        inst_buf_add_char(&buf, ']');
        return end_message(&buf, room);
    }
    inst_buf_free(&buf);
    return NULL;
}

static void send_shared(struct inst_session *session, struct inst_shared *message) {
    const struct inst_server_host *host = &session->server->host;
    if (message != NULL)
        host->send(host->ctx, session->connection, message);
    else
        host->close(host->ctx, session->connection);
}

static void tell(struct inst_room *room) {
    struct inst_shared *whole = NULL;
    bool has_whole = false, has_edits;
    room->has_news = false;
    struct inst_shared *patch = make_patch(room, &has_edits);
    for (struct inst_peer *peer = room->peers, *next; peer != NULL; peer = next) {
        next = peer->next;
        if (peer->session == NULL) {
            free_peer(peer);
            continue;
        }
        bool takes_patch = !peer->is_fresh && peer->session->features.patches_presence;
        if (!peer->is_fresh && !has_edits)
            continue;
        if (!takes_patch && !has_whole) {
            whole = make_whole(room);
            has_whole = true;
        }
        send_shared(peer->session, takes_patch ? patch : whole);
    }
    for (struct inst_peer *peer = room->peers; peer != NULL; peer = peer->next) {
        peer->is_known = true;
        peer->is_fresh = false;
        clear_text(&peer->shown);
    }
    inst_shared_unref(whole);
    inst_shared_unref(patch);
}

void inst_rooms_flush(struct inst_server *server) {
    while (server->listed_rooms != NULL) {
        struct inst_room *room = server->listed_rooms;
        server->listed_rooms = room->next_listed;
        room->is_listed = false;
        if (room->members > 0)
            tell(room);
        else
            free_room(room);
    }
}

/* ---- topics ---- */

static void write_message(struct inst_buf *buf, const struct inst_session *session,
                          const struct inst_value *data) {
    inst_buf_addf(buf, "{\"peer-id\":\"%s\",\"user\":", session->id);
    write_user(buf, session->viewer.user);
    inst_buf_add_str(buf, ",\"data\":");
    if (data != NULL && data->tag != INST_UNDEFINED)
        inst_json_write(buf, data);
    else
        inst_buf_add_str(buf, "null");
    inst_buf_add_char(buf, '}');
}

static struct inst_shared *make_broadcast(const struct inst_room *room,
                                          const struct inst_value *topic,
                                          const struct inst_buf *message) {
    struct inst_buf buf;
    begin_message(&buf, room, "server-broadcast");
    inst_reply_add(&buf, "topic", topic);
    inst_buf_add_str(&buf, ",\"data\":");
    inst_buf_add(&buf, message->data, message->len);
    return end_message(&buf, room);
}

enum inst_status inst_rooms_broadcast(struct inst_session *session,
                                      const struct inst_value *room_id,
                                      const struct inst_value *topic, const struct inst_value *data,
                                      struct inst_buf *sent, struct inst_err *err) {
    struct inst_peer *peer = find_peer(session, room_id);
    if (peer == NULL)
        return refuse_outsider(session, room_id, err);
    if (data != NULL && inst_value_is_deeper_than(data, INST_SERVER_MAX_VALUE_DEPTH))
        return inst_refuse_validation(err, "room", NULL, NULL, "A message is nested too deep.");
    write_message(sent, session, data);
    if (sent->failed)
        return inst_err_nomem(err);
    if (sent->len > INST_SERVER_MAX_BROADCAST)
        return refuse(err, "A message", INST_SERVER_MAX_BROADCAST);
    if (peer->room->members == 1)
        return INST_OK;
    if (peer->room->has_news)
        tell(peer->room);
    struct inst_shared *message = make_broadcast(peer->room, topic, sent);
    for (struct inst_peer *to = peer->room->peers; to != NULL; to = to->next)
        if (to != peer)
            send_shared(to->session, message);
    inst_shared_unref(message);
    return INST_OK;
}
