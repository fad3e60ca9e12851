#include "base/json.h"
#include "server/engine.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/rooms.h"

/* Each is handled at once: rooms have nothing to do with the group of transactions. */

static enum inst_status read_room_id(const struct inst_value *event, struct inst_value *out,
                                     struct inst_err *err) {
    static const char *const path[] = {"room-id"};
    const struct inst_value *id = inst_getz(event, "room-id");
    if (id == NULL || inst_is_nullish(id))
        return inst_refuse_missing(err, path, 1);
    if (id->tag != INST_STRING)
        return inst_refuse_malformed(err, path, 1, id);
    if (id->len > INST_SERVER_MAX_ROOM_ID)
        return inst_refuse_validation(err, "room", NULL, NULL, "A room id takes at most %u bytes.",
                                      INST_SERVER_MAX_ROOM_ID);
    *out = *id;
    return INST_OK;
}

/* The official client takes any text, and a number for its text. */
static enum inst_status read_topic(const struct inst_value *event, const struct inst_value **out,
                                   struct inst_err *err) {
    static const char *const path[] = {"topic"};
    const struct inst_value *topic = inst_getz(event, "topic");
    bool is_bad =
        topic != NULL && (topic->tag == INST_OBJECT || topic->tag == INST_ARRAY ||
                          (topic->tag == INST_STRING && topic->len > INST_SERVER_MAX_ROOM_ID));
    *out = topic;
    return is_bad ? inst_refuse_malformed(err, path, 1, topic) : INST_OK;
}

static bool answer(struct inst_session *session, const struct inst_value *event, const char *op,
                   struct inst_err *err) {
    struct inst_buf buf;
    if (err->type != NULL) {
        inst_server_send_error(session, err, event);
        inst_err_clear(err);
        return true;
    }
    inst_buf_init(&buf);
    inst_reply_begin(&buf, op);
    inst_reply_add(&buf, "client-event-id", inst_getz(event, "client-event-id"));
    inst_reply_add(&buf, "room-id", inst_getz(event, "room-id"));
    inst_reply_end(&buf, &session->server->tracer);
    inst_server_send(session, &buf);
    return true;
}

bool inst_session_join_room(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_value room_id;
    if (inst_app_check_read(session->app, &err) == INST_OK &&
        read_room_id(event, &room_id, &err) == INST_OK)
        inst_rooms_join(session, &room_id, inst_getz(event, "data"), &err);
    return answer(session, event, "join-room-ok", &err);
}

bool inst_session_leave_room(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_value room_id;
    if (read_room_id(event, &room_id, &err) == INST_OK)
        inst_rooms_leave(session, &room_id);
    return answer(session, event, "leave-room-ok", &err);
}

bool inst_session_set_presence(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_value room_id;
    if (read_room_id(event, &room_id, &err) == INST_OK)
        inst_rooms_set_presence(session, &room_id, inst_getz(event, "data"), &err);
    return answer(session, event, "set-presence-ok", &err);
}

bool inst_session_client_broadcast(struct inst_session *session, const struct inst_value *event) {
    struct inst_err err = {0};
    struct inst_value room_id;
    struct inst_buf message, buf;
    const struct inst_value *topic;
    inst_buf_init(&message);
    if (read_room_id(event, &room_id, &err) != INST_OK ||
        read_topic(event, &topic, &err) != INST_OK ||
        inst_rooms_broadcast(session, &room_id, topic, inst_getz(event, "data"), &message, &err) !=
            INST_OK) {
        inst_buf_free(&message);
        return answer(session, event, NULL, &err);
    }
    inst_buf_init(&buf);
    inst_reply_begin(&buf, "client-broadcast-ok");
    inst_reply_add(&buf, "client-event-id", inst_getz(event, "client-event-id"));
    inst_reply_add(&buf, "room-id", &room_id);
    inst_reply_add(&buf, "topic", topic);
    inst_buf_add_str(&buf, ",\"data\":");
    inst_buf_add(&buf, message.data, message.len);
    inst_reply_end(&buf, &session->server->tracer);
    inst_server_send(session, &buf);
    inst_buf_free(&message);
    return true;
}
