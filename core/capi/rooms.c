/* rooms.c - presence and topics. */
#include "capi/capi.h"

struct instant_presence {
    const struct inst_presence_slice *slice;
    const struct instant_error *error; /* NULL: none */
};

const struct instant_value *instant_presence_user(const struct instant_presence *presence) {
    return inst_capi_out(presence->slice->user);
}

const struct instant_value *instant_presence_peers(const struct instant_presence *presence) {
    return inst_capi_out(presence->slice->peers);
}

bool instant_presence_is_loading(const struct instant_presence *presence) {
    return presence->slice->is_loading;
}

const struct instant_error *instant_presence_error(const struct instant_presence *presence) {
    return presence->error;
}

static const struct inst_value *unless_absent(const struct inst_value *value) {
    return value->tag == INST_UNDEFINED ? NULL : value;
}

/* ---- being in ---- */

bool instant_join_room(struct instant_db *db, const char *room_type, const char *room_id,
                       const struct instant_value *presence, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value taken;
    enum inst_status status = inst_capi_take(presence, &taken, &err);
    struct inst_reactor *reactor =
        status == INST_OK ? inst_client_own_reactor(db->client, &err) : NULL;
    status = reactor
                 ? inst_reactor_join_room(reactor, room_type, room_id, unless_absent(&taken), &err)
                 : INST_FAILED;
    return inst_capi_finish(NULL, status, &err, error);
}

void instant_leave_room(struct instant_db *db, const char *room_id) {
    struct inst_reactor *reactor = inst_client_own_reactor(db->client, NULL);
    if (reactor)
        inst_reactor_leave_room(reactor, room_id);
}

bool instant_publish_presence(struct instant_db *db, const char *room_id,
                              const struct instant_value *presence, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value taken;
    enum inst_status status = inst_capi_take(presence, &taken, &err);
    struct inst_reactor *reactor =
        status == INST_OK ? inst_client_own_reactor(db->client, &err) : NULL;
    status = reactor ? inst_reactor_publish_presence(reactor, room_id, &taken, &err) : INST_FAILED;
    return inst_capi_finish(NULL, status, &err, error);
}

bool instant_publish_topic(struct instant_db *db, const char *room_id, const char *topic,
                           const struct instant_value *data, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value taken;
    enum inst_status status = inst_capi_take(data, &taken, &err);
    struct inst_reactor *reactor =
        status == INST_OK ? inst_client_own_reactor(db->client, &err) : NULL;
    status = reactor
                 ? inst_reactor_publish_topic(reactor, room_id, topic, unless_absent(&taken), &err)
                 : INST_FAILED;
    return inst_capi_finish(NULL, status, &err, error);
}

/* ---- listening ---- */

static void on_presence(void *ctx, const struct inst_presence_slice *slice) {
    const struct inst_capi_callback *callback = ctx;
    struct instant_error error =
        slice->has_error ? inst_capi_view(&slice->error) : (struct instant_error){0};
    struct instant_presence presence = {slice, slice->has_error ? &error : NULL};
    callback->fn.presence(callback->ctx, &presence);
}

static void on_topic(void *ctx, const struct inst_value *data, const struct inst_value *peer) {
    const struct inst_capi_callback *callback = ctx;
    callback->fn.topic(callback->ctx, inst_capi_out(data), inst_capi_out(peer));
}

static enum inst_status read_list(const struct inst_value *options, const char *name,
                                  const struct inst_value **out, struct inst_err *err) {
    const struct inst_value *list = inst_getz(options, name);
    *out = list && list->tag == INST_ARRAY ? list : NULL;
    if (*out || !list || inst_is_nullish(list))
        return INST_OK;
    return inst_err_set(err, "validation-failed", 400, "`%s` must be a list.", name);
}

static enum inst_status read_options(const struct inst_value *options,
                                     struct inst_presence_options *out, struct inst_err *err) {
    *out = (struct inst_presence_options){0};
    if (inst_is_nullish(options))
        return INST_OK;
    if (options->tag != INST_OBJECT)
        return inst_err_set(err, "validation-failed", 400,
                            "The options of a room must be an object, got %s.",
                            inst_capi_type_name(options));
    out->without_user = inst_get_true(options, "withoutUser");
    out->initial_presence = inst_getz(options, "initialPresence");
    enum inst_status status = read_list(options, "keys", &out->keys, err);
    return status == INST_OK ? read_list(options, "peers", &out->peers, err) : status;
}

/* The callback and the reactor of a subscription; NULL: err says why. */
static struct inst_capi_callback *enter(struct instant_db *db, void *ctx, uint64_t *subscription,
                                        struct inst_reactor **reactor, struct inst_err *err) {
    *reactor = inst_client_own_reactor(db->client, err);
    if (!*reactor)
        return NULL;
    struct inst_capi_callback *callback = inst_capi_callback_new(db, INST_CAPI_WATCH, ctx);
    if (!callback) {
        inst_err_nomem(err);
        return NULL;
    }
    callback->is_in_room = true;
    if (subscription)
        *subscription = callback->id;
    return callback;
}

bool instant_subscribe_presence(struct instant_db *db, const char *room_type, const char *room_id,
                                const struct instant_value *options, instant_presence_fn *fn,
                                void *ctx, uint64_t *subscription, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_value taken;
    struct inst_presence_options read;
    struct inst_reactor *reactor;
    struct inst_capi_callback *callback = NULL;
    enum inst_status status = inst_capi_take(options, &taken, &err);
    if (status == INST_OK)
        status = read_options(&taken, &read, &err);
    if (status == INST_OK && !(callback = enter(db, ctx, subscription, &reactor, &err)))
        status = INST_FAILED;
    if (status == INST_OK) {
        callback->fn.presence = fn;
        status = inst_reactor_subscribe_presence(reactor, room_type, room_id, &read, on_presence,
                                                 callback, &callback->reactor, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}

bool instant_subscribe_topic(struct instant_db *db, const char *room_type, const char *room_id,
                             const char *topic, instant_topic_fn *fn, void *ctx,
                             uint64_t *subscription, struct instant_error **error) {
    struct inst_err err = {0};
    struct inst_reactor *reactor;
    struct inst_capi_callback *callback = enter(db, ctx, subscription, &reactor, &err);
    enum inst_status status = INST_FAILED;
    if (callback) {
        callback->fn.topic = fn;
        status = inst_reactor_subscribe_topic(reactor, room_type, room_id, topic, on_topic,
                                              callback, &callback->reactor, &err);
    }
    return inst_capi_finish(callback, status, &err, error);
}
