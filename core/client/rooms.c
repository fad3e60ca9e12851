#include "client/rooms.h"

#include "base/json.h"

#include <stdlib.h>

/* ---- the table ---- */

static void forget_problem(struct inst_room *room) {
    if (room->problem.err.type) {
        inst_problem_clear(&room->problem);
        room->error_count++;
    }
}

static void drop_queue(struct inst_room *room) {
    while (room->first_message) {
        struct inst_room_message *message = room->first_message;
        room->first_message = message->next;
        free(message);
    }
    room->last_message = NULL;
    room->queue_bytes = 0;
}

static void free_watch(struct inst_room_watch *watch) {
    if (watch->prev) {
        watch->prev->next = watch->next;
    } else {
        watch->room->first_watch = watch->next;
    }
    if (watch->next) {
        watch->next->prev = watch->prev;
    }
    inst_shown_unref(watch->shown);
    inst_arena_free(&watch->arena);
    free(watch);
}

static void unref(struct inst_room *room) {
    if (--room->refs) {
        return;
    }
    while (room->first_watch) {
        free_watch(room->first_watch);
    }
    inst_subs_free(&room->presence_subs);
    inst_subs_free(&room->topic_subs);
    inst_presence_clear_peers(room);
    inst_map_free(&room->peers);
    drop_queue(room);
    inst_problem_clear(&room->problem);
    inst_arena_free(&room->own_arena);
    inst_arena_free(&room->arena);
    free(room);
}

static void drop_event(struct inst_reactor *r, struct inst_event *event) {
    (void)r;
    unref((struct inst_room *)event);
}

static void deliver(struct inst_reactor *r, struct inst_event *event) {
    struct inst_room *room = (struct inst_room *)event;
    if (room->is_wanted && !r->is_shutdown) {
        inst_presence_deliver(r, room);
    }
    unref(room);
}

static const struct inst_event_ops room_ops = {deliver, drop_event};

/* Its listeners will be told, if it changed. */
static void touch(struct inst_reactor *r, struct inst_room *room) {
    if (!room->event.is_queued && room->is_wanted && room->presence_subs.live) {
        room->refs++;
        inst_events_push(r, &room->event);
    }
}

static struct inst_room *find(struct inst_reactor *r, const struct inst_value *id) {
    return id && id->tag == INST_STRING ? inst_map_get(&r->rooms, id->u.str, id->len) : NULL;
}

/* One that the app is in. */
static struct inst_room *find_joined(struct inst_reactor *r, const char *id) {
    struct inst_room *room = inst_map_get(&r->rooms, id, strlen(id));
    return room && room->is_wanted ? room : NULL;
}

static bool copy_text(struct inst_arena *arena, const char *text, struct inst_value *out) {
    const char *copy = inst_arena_dup(arena, text, strlen(text));
    *out = copy ? inst_cstring(copy) : inst_undefined();
    return copy != NULL;
}

static struct inst_room *make(struct inst_reactor *r, const char *type, const char *id) {
    struct inst_room *room = calloc(1, sizeof(*room));
    if (!room) {
        return NULL;
    }
    room->event.ops = &room_ops;
    room->refs = 1;
    inst_arena_init(&room->arena);
    inst_arena_init(&room->own_arena);
    inst_map_init(&room->peers, inst_reactor_seed(r));
    if (!copy_text(&room->arena, id, &room->id) || !copy_text(&room->arena, type, &room->type) ||
        !inst_map_add(&r->rooms, room->id.u.str, room->id.len, room)) {
        unref(room);
        return NULL;
    }
    room->prev = r->last_room;
    if (r->last_room) {
        r->last_room->next = room;
    } else {
        r->first_room = room;
    }
    r->last_room = room;
    return room;
}

static void forget(struct inst_reactor *r, struct inst_room *room) {
    inst_map_remove(&r->rooms, room->id.u.str, room->id.len);
    if (room->prev) {
        room->prev->next = room->next;
    } else {
        r->first_room = room->next;
    }
    if (room->next) {
        room->next->prev = room->prev;
    } else {
        r->last_room = room->prev;
    }
    inst_subs_drop_all(r, &room->presence_subs);
    inst_subs_drop_all(r, &room->topic_subs);
    room->is_wanted = false;
    unref(room);
}

/* ---- what the server is told ---- */

static void send(struct inst_reactor *r, const char *op, const struct inst_member *members,
                 size_t count) {
    char event_id[INST_UUID_TEXT + 1];
    struct inst_value message = inst_object(members, count);
    inst_uuid_make_text(&r->env, event_id);
    inst_outbox_send_message(r, op, event_id, &message);
}

static void send_join(struct inst_reactor *r, struct inst_room *room) {
    struct inst_member members[] = {
        {"room-type", 9, room->type}, {"room-id", 7, room->id}, {"data", 4, room->own}};
    room->state = INST_ROOM_JOINING;
    room->has_former = false;
    send(r, "join-room", members, room->own.tag == INST_OBJECT ? 3 : 2);
}

static void send_leave(struct inst_reactor *r, struct inst_room *room) {
    struct inst_member members[] = {{"room-id", 7, room->id}};
    room->state = INST_ROOM_LEAVING;
    send(r, "leave-room", members, 1);
}

static void send_presence(struct inst_reactor *r, struct inst_room *room) {
    struct inst_value nothing = inst_object(NULL, 0);
    struct inst_member members[] = {
        {"room-id", 7, room->id}, {"data", 4, room->own.tag == INST_OBJECT ? room->own : nothing}};
    if (inst_reactor_is_authenticated(r)) { /* else join-room will carry it */
        send(r, "set-presence", members, 2);
    }
}

static void send_topic(struct inst_reactor *r, struct inst_room *room,
                       const struct inst_value *topic, const struct inst_value *data) {
    struct inst_member members[] = {{"room-id", 7, room->id},
                                    {"roomType", 8, room->type},
                                    {"topic", 5, *topic},
                                    {"data", 4, *data}};
    room->unanswered++;
    send(r, "client-broadcast", members, 4);
}

static void send_queue(struct inst_reactor *r, struct inst_room *room) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    while (room->first_message && room->state == INST_ROOM_IN) {
        struct inst_room_message *message = room->first_message;
        struct inst_value members;
        if (inst_json_parse(&arena, message->members, message->len, &members, NULL) != INST_OK) {
            inst_reactor_drop_transport(r, "out of memory");
            break;
        }
        send_topic(r, room, &members.u.items[0], &members.u.items[1]);
        room->first_message = message->next;
        if (!room->first_message) {
            room->last_message = NULL;
        }
        room->queue_bytes -= message->len;
        free(message);
        inst_arena_reset(&arena);
    }
    inst_arena_free(&arena);
}

/* The server is told what the app wants, unless an answer is awaited. */
static void settle(struct inst_reactor *r, struct inst_room *room) {
    bool can_send = inst_reactor_is_authenticated(r);
    if (room->is_wanted && room->state == INST_ROOM_OUT && can_send) {
        send_join(r, room);
    } else if (!room->is_wanted && room->state == INST_ROOM_IN && can_send) {
        send_leave(r, room);
    } else if (!room->is_wanted && room->state == INST_ROOM_OUT) {
        forget(r, room);
    }
}

/* ---- joining and leaving ---- */

static enum inst_status check(const struct inst_reactor *r, const struct inst_value *presence,
                              struct inst_err *err) {
    if (r->is_shutdown) {
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    }
    if (presence && !inst_is_nullish(presence) && presence->tag != INST_OBJECT) {
        return inst_err_set(err, "validation-failed", 400, "Presence must be an object, got %s.",
                            inst_value_typeof(presence));
    }
    return INST_OK;
}

static enum inst_status join(struct inst_reactor *r, const char *type, const char *id,
                             const struct inst_value *initial, struct inst_room **out,
                             struct inst_err *err) {
    enum inst_status status = check(r, initial, err);
    if (status != INST_OK) {
        return status;
    }
    struct inst_room *room = inst_map_get(&r->rooms, id, strlen(id));
    if (!room && r->rooms.count >= INST_REACTOR_MAX_ROOMS) {
        return inst_err_set(err, "limit-exceeded", 400, "A client is in at most %d rooms.",
                            INST_REACTOR_MAX_ROOMS);
    }
    if (!room && !(room = make(r, type, id))) {
        return inst_err_nomem(err);
    }
    bool was_wanted = room->is_wanted;
    /* A former stay's peers go on as they are; what it showed does not. */
    bool has_result = was_wanted && room->has_result;
    room->is_wanted = true;
    if (!has_result && initial && !inst_is_nullish(initial)) {
        status = inst_presence_merge_own(r, room, initial, err);
        if (status == INST_OK && room->state == INST_ROOM_IN) {
            send_presence(r, room);
        }
    }
    if (status != INST_OK) {
        room->is_wanted = was_wanted;
    } else {
        room->has_result = has_result || room->own.tag == INST_OBJECT;
        touch(r, room);
    }
    settle(r, room);
    *out = room;
    return status;
}

/* Nobody listens any more, and nobody is said to be in it (session.md 5.12). */
static void leave(struct inst_reactor *r, struct inst_room *room) {
    if (!room->is_wanted || room->presence_subs.live || room->topic_subs.live) {
        return;
    }
    room->is_wanted = false;
    room->is_connected = false;
    room->has_former = room->has_former || room->own.tag == INST_OBJECT;
    room->own = inst_undefined();
    inst_arena_reset(&room->own_arena);
    drop_queue(room);
    forget_problem(room);
    settle(r, room);
}

enum inst_status inst_reactor_join_room(struct inst_reactor *r, const char *room_type,
                                        const char *room_id,
                                        const struct inst_value *initial_presence,
                                        struct inst_err *err) {
    struct inst_room *room;
    enum inst_status status = join(r, room_type, room_id, initial_presence, &room, err);
    inst_events_deliver(r);
    return status;
}

void inst_reactor_leave_room(struct inst_reactor *r, const char *room_id) {
    struct inst_room *room = find_joined(r, room_id);
    if (room) {
        leave(r, room);
        inst_events_deliver(r);
    }
}

/* ---- listening ---- */

static void ended(struct inst_reactor *r, void *owner) {
    struct inst_room_watch *watch = owner;
    struct inst_room *room = watch->room;
    free_watch(watch);
    leave(r, room);
}

static bool copy_list(struct inst_arena *arena, const struct inst_value *list,
                      struct inst_value *out, const struct inst_value **at) {
    if (!list) {
        return true;
    }
    *at = out;
    return inst_value_dup(arena, list, out);
}

static struct inst_room_watch *new_watch(struct inst_room *room, const char *topic,
                                         const struct inst_presence_options *options) {
    struct inst_room_watch *watch = calloc(1, sizeof(*watch));
    if (!watch) {
        return NULL;
    }
    watch->room = room;
    watch->next = room->first_watch;
    if (watch->next) {
        watch->next->prev = watch;
    }
    room->first_watch = watch;
    inst_arena_init(&watch->arena);
    bool is_whole = !topic || copy_text(&watch->arena, topic, &watch->topic);
    if (options) {
        watch->options.without_user = options->without_user;
        is_whole = is_whole &&
                   copy_list(&watch->arena, options->keys, &watch->keys, &watch->options.keys) &&
                   copy_list(&watch->arena, options->peers, &watch->peers, &watch->options.peers);
    }
    if (!is_whole) {
        free_watch(watch);
        return NULL;
    }
    return watch;
}

/* Joins and listens; a room that was joined for that is left again when it cannot. */
static enum inst_status listen(struct inst_reactor *r, const char *type, const char *id_text,
                               const char *topic, const struct inst_presence_options *options,
                               struct inst_sub *like, uint64_t *id, struct inst_err *err) {
    struct inst_room *room;
    struct inst_sub *sub;
    *id = 0;
    bool was_joined = find_joined(r, id_text) != NULL;
    enum inst_status status =
        join(r, type, id_text, options ? options->initial_presence : NULL, &room, err);
    if (status != INST_OK) {
        return status;
    }
    struct inst_room_watch *watch = new_watch(room, topic, options);
    status = watch ? INST_OK : inst_err_nomem(err);
    if (watch) {
        like->owner = watch;
        like->ended = ended;
        status =
            inst_subs_add(r, topic ? &room->topic_subs : &room->presence_subs, like, &sub, err);
    }
    if (status == INST_OK) {
        *id = sub->id;
        touch(r, room);
    } else {
        if (watch) {
            free_watch(watch);
        }
        if (!was_joined) {
            leave(r, room);
        }
    }
    inst_events_deliver(r);
    return status;
}

enum inst_status inst_reactor_subscribe_presence(struct inst_reactor *r, const char *room_type,
                                                 const char *room_id,
                                                 const struct inst_presence_options *options,
                                                 inst_presence_fn *fn, void *ctx, uint64_t *id,
                                                 struct inst_err *err) {
    struct inst_sub like = {.fn.presence = fn, .ctx = ctx};
    return listen(r, room_type, room_id, NULL, options, &like, id, err);
}

enum inst_status inst_reactor_subscribe_topic(struct inst_reactor *r, const char *room_type,
                                              const char *room_id, const char *topic,
                                              inst_topic_fn *fn, void *ctx, uint64_t *id,
                                              struct inst_err *err) {
    struct inst_sub like = {.fn.topic = fn, .ctx = ctx};
    return listen(r, room_type, room_id, topic, NULL, &like, id, err);
}

/* ---- publishing ---- */

static enum inst_status must_be_in(struct inst_reactor *r, const char *room_id,
                                   struct inst_room **out, struct inst_err *err) {
    enum inst_status status = check(r, NULL, err);
    *out = status == INST_OK ? find_joined(r, room_id) : NULL;
    return status != INST_OK || *out
               ? status
               : inst_err_set(err, "validation-failed", 400, "You have not entered this room yet.");
}

enum inst_status inst_reactor_publish_presence(struct inst_reactor *r, const char *room_id,
                                               const struct inst_value *partial,
                                               struct inst_err *err) {
    struct inst_room *room;
    enum inst_status status = must_be_in(r, room_id, &room, err);
    if (status == INST_OK && (status = check(r, partial, err)) == INST_OK) {
        status = inst_presence_merge_own(r, room, partial, err);
    }
    if (status != INST_OK) {
        return status;
    }
    room->has_result = true;
    if (room->state == INST_ROOM_IN) {
        send_presence(r, room);
    }
    touch(r, room);
    inst_events_deliver(r);
    return INST_OK;
}

static enum inst_status keep_message(struct inst_room *room, const struct inst_value *pair,
                                     struct inst_err *err) {
    struct inst_buf buf;
    struct inst_value list = inst_array(pair, 2);
    inst_buf_init(&buf);
    inst_json_write(&buf, &list);
    struct inst_room_message *message = buf.failed ? NULL : malloc(sizeof(*message) + buf.len);
    enum inst_status status = message ? INST_OK : inst_err_nomem(err);
    if (message && room->queue_bytes + buf.len > INST_REACTOR_MAX_ROOM_QUEUE) {
        free(message);
        status = inst_err_set(err, "limit-exceeded", 400,
                              "Too many messages wait for this room to be entered.");
    } else if (message) {
        message->next = NULL;
        message->len = buf.len;
        memcpy(message->members, buf.data, buf.len);
        if (room->last_message) {
            room->last_message->next = message;
        } else {
            room->first_message = message;
        }
        room->last_message = message;
        room->queue_bytes += buf.len;
    }
    inst_buf_free(&buf);
    return status;
}

enum inst_status inst_reactor_publish_topic(struct inst_reactor *r, const char *room_id,
                                            const char *topic, const struct inst_value *data,
                                            struct inst_err *err) {
    struct inst_room *room;
    enum inst_status status = must_be_in(r, room_id, &room, err);
    if (status != INST_OK) {
        return status;
    }
    struct inst_value pair[] = {inst_cstring(topic), data ? *data : inst_null()};
    if (room->state != INST_ROOM_IN || !inst_reactor_is_authenticated(r) || room->first_message) {
        return keep_message(room, pair, err);
    }
    send_topic(r, room, &pair[0], &pair[1]);
    inst_events_deliver(r);
    return INST_OK;
}

/* ---- messages ---- */

static void connected(struct inst_reactor *r, struct inst_room *room) {
    room->is_connected = room->is_connected || room->is_wanted;
    touch(r, room);
}

void inst_rooms_join_ok(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    if (!room || room->state != INST_ROOM_JOINING) {
        return;
    }
    room->state = INST_ROOM_IN;
    if (room->is_wanted) {
        forget_problem(room);
        room->is_connected = true;
        if (room->own.tag == INST_OBJECT || room->has_former) {
            send_presence(r, room);
        }
        send_queue(r, room);
    }
    settle(r, room);
}

void inst_rooms_leave_ok(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    if (room && room->state == INST_ROOM_LEAVING) {
        room->state = INST_ROOM_OUT;
        settle(r, room);
    }
}

void inst_rooms_refresh_presence(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    const struct inst_value *data = inst_getz(msg, "data");
    if (!room || !data || data->tag != INST_OBJECT) {
        return;
    }
    if (!inst_presence_refresh(r, room, data)) {
        inst_reactor_drop_transport(r, "out of memory");
        return;
    }
    room->has_result = room->has_result || room->is_wanted;
    connected(r, room);
}

void inst_rooms_patch_presence(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    const struct inst_value *edits = inst_getz(msg, "edits");
    if (!room || !edits || edits->tag != INST_ARRAY) {
        return;
    }
    if (!inst_presence_patch(r, room, edits)) {
        inst_reactor_drop_transport(r, "out of memory");
        return;
    }
    room->has_result = room->has_result || room->is_wanted;
    connected(r, room);
}

/* ---- topics ---- */

/* A message on its way to the listeners of its topic; holds a reference to the room. */
struct topic_event {
    struct inst_event event;
    struct inst_room *room;
    struct inst_arena arena;
    struct inst_value topic, data, peer; /* peer UNDEFINED: not known */
};

static void drop_topic(struct inst_reactor *r, struct inst_event *base) {
    struct topic_event *event = (struct topic_event *)base;
    (void)r;
    unref(event->room);
    inst_arena_free(&event->arena);
    free(event);
}

static void deliver_topic(struct inst_reactor *r, struct inst_event *base) {
    struct topic_event *event = (struct topic_event *)base;
    const struct inst_value *peer = event->peer.tag == INST_UNDEFINED ? NULL : &event->peer;
    uint64_t last = r->next_sub;
    struct inst_sub *sub = event->room->topic_subs.first;
    for (; sub && !r->is_shutdown; sub = sub->next) {
        if (!inst_sub_is_due(sub, last)) {
            continue;
        }
        const struct inst_room_watch *watch = sub->owner;
        if (inst_value_equal(&watch->topic, &event->topic)) {
            sub->fn.topic(sub->ctx, &event->data, peer);
        }
    }
    drop_topic(r, base);
}

static const struct inst_event_ops topic_ops = {deliver_topic, drop_topic};

static bool has_listener(const struct inst_room *room, const struct inst_value *topic) {
    for (const struct inst_room_watch *w = room->first_watch; w; w = w->next) {
        if (w->topic.tag == INST_STRING && inst_value_equal(&w->topic, topic)) {
            return true;
        }
    }
    return false;
}

void inst_rooms_server_broadcast(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    const struct inst_value *topic = inst_get_string(msg, "topic");
    const struct inst_value *message = inst_getz(msg, "data");
    if (!room) {
        return;
    }
    connected(r, room);
    if (!topic || !has_listener(room, topic)) {
        return;
    }
    struct inst_value none = inst_null(), unknown = inst_undefined();
    const struct inst_value *data = inst_getz(message, "data");
    const struct inst_value *peer = inst_presence_of(r, room, inst_get_string(message, "peer-id"));
    struct topic_event *event = calloc(1, sizeof(*event));
    if (!event) {
        inst_reactor_log(r, INST_LOG_ERROR, "out of memory: a topic message is lost");
        return;
    }
    event->event.ops = &topic_ops;
    event->room = room;
    room->refs++;
    inst_arena_init(&event->arena);
    if (inst_value_dup(&event->arena, topic, &event->topic) &&
        inst_value_dup(&event->arena, data ? data : &none, &event->data) &&
        inst_value_dup(&event->arena, peer ? peer : &unknown, &event->peer)) {
        inst_events_push(r, &event->event);
    } else {
        inst_reactor_log(r, INST_LOG_ERROR, "out of memory: a topic message is lost");
        drop_topic(r, &event->event);
    }
}

static void answered(struct inst_room *room) { room->unanswered -= room->unanswered > 0; }

void inst_rooms_broadcast_ok(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    if (room) {
        answered(room);
    }
}

bool inst_reactor_has_topics_waiting(const struct inst_reactor *r) {
    for (const struct inst_room *room = r->first_room; room; room = room->next) {
        if (room->first_message || room->unanswered) {
            return true;
        }
    }
    return false;
}

/* ---- errors ---- */

static void set_problem(struct inst_reactor *r, struct inst_room *room,
                        const struct inst_problem *problem) {
    inst_problem_copy(&room->problem, problem);
    room->error_count++;
    /* There is something to say, even if nothing else is known. */
    room->has_result = room->has_result || room->is_wanted;
    touch(r, room);
}

/* Upstream only logs these; here the room says why nothing comes. */
void inst_rooms_error(struct inst_reactor *r, const struct inst_value *msg,
                      struct inst_problem *problem) {
    const struct inst_value *original = inst_getz(msg, "original-event");
    const struct inst_value *op = inst_getz(original, "op");
    struct inst_room *room = find(r, inst_getz(original, "room-id"));
    bool is_told = room && room->is_wanted &&
                   (inst_is_string(op, "join-room") || inst_is_string(op, "set-presence"));
    if (!is_told) {
        inst_reactor_log(r, INST_LOG_ERROR, "the server reports (%.*s): %s", (int)op->len,
                         op->u.str, problem->err.message);
    }
    if (!room) {
        return;
    }
    if (inst_is_string(op, "client-broadcast")) {
        answered(room);
    }
    if ((room->state == INST_ROOM_JOINING && inst_is_string(op, "join-room")) ||
        (room->state == INST_ROOM_LEAVING && inst_is_string(op, "leave-room"))) {
        bool is_refused = room->is_wanted && room->state == INST_ROOM_JOINING;
        room->state = INST_ROOM_OUT;
        if (!is_refused) { /* refused: asked again after the next init-ok */
            settle(r, room);
            return;
        }
    }
    if (is_told) {
        set_problem(r, room, problem);
    }
}

void inst_rooms_presence_ok(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    if (room && room->problem.err.type) {
        forget_problem(room);
        touch(r, room);
    }
}

/* No server is known to send it; the official client takes it. */
void inst_rooms_join_error(struct inst_reactor *r, const struct inst_value *msg) {
    struct inst_room *room = find(r, inst_getz(msg, "room-id"));
    const struct inst_value *error = inst_getz(msg, "error");
    if (!room || !room->is_wanted || !error) {
        return;
    }
    struct inst_buf text;
    struct inst_problem problem;
    inst_buf_init(&text);
    if (error->tag == INST_STRING) {
        inst_buf_add(&text, error->u.str, error->len);
    } else {
        inst_json_write(&text, error);
    }
    inst_problem_local(&problem, "join-room-error", text.failed ? "" : text.data);
    set_problem(r, room, &problem);
    inst_problem_clear(&problem);
    inst_buf_free(&text);
}

/* ---- the connection ---- */

void inst_rooms_resend(struct inst_reactor *r) {
    for (struct inst_room *room = r->first_room, *next; room; room = next) {
        next = room->next;
        settle(r, room);
    }
}

void inst_rooms_connection_lost(struct inst_reactor *r) {
    for (struct inst_room *room = r->first_room, *next; room; room = next) {
        next = room->next;
        room->state = INST_ROOM_OUT;
        room->is_connected = false;
        room->unanswered = 0;
        touch(r, room);
        if (!room->is_wanted) {
            forget(r, room); /* nothing is sent here: the old session may look alive still */
        }
    }
}

void inst_rooms_free(struct inst_reactor *r) {
    while (r->first_room) {
        forget(r, r->first_room);
    }
}

/* ---- reading ---- */

enum inst_status inst_reactor_get_presence(struct inst_reactor *r, const char *room_id,
                                           const struct inst_presence_options *options,
                                           struct inst_arena *arena,
                                           struct inst_presence_slice *out, struct inst_err *err) {
    struct inst_room *room = find_joined(r, room_id);
    *out = (struct inst_presence_slice){0};
    if (!room || !room->has_result) {
        return INST_OK;
    }
    return inst_presence_read(r, room, options, arena, out) ? INST_OK : inst_err_nomem(err);
}
