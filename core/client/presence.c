/* presence.c - what is shown in a room, and which part of it a listener sees (session.md 5.12). */
#include "client/rooms.h"

#include "base/json.h"
#include "client/patch.h"

#include <stdlib.h>

/* Data smaller than this is not worth copying to be rid of what edits left behind. */
#define COMPACT_MIN (64u << 10)

/* ---- peers ---- */

static struct inst_peer *find(const struct inst_room *room, const char *id, size_t len) {
    return inst_map_get(&room->peers, id, len);
}

static void remove_peer(struct inst_room *room, struct inst_peer *peer) {
    inst_map_remove(&room->peers, peer->id, peer->id_len);
    if (peer->prev) {
        peer->prev->next = peer->next;
    } else {
        room->first_peer = peer->next;
    }
    if (peer->next) {
        peer->next->prev = peer->prev;
    } else {
        room->last_peer = peer->prev;
    }
    inst_arena_free(&peer->arena);
    free(peer);
}

void inst_presence_clear_peers(struct inst_room *room) {
    while (room->first_peer) {
        remove_peer(room, room->first_peer);
    }
}

/* A server that invents more peers than that is not followed; it is not lack of memory. */
static bool is_full(const struct inst_room *room) {
    return room->peers.count >= INST_REACTOR_MAX_PEERS;
}

/* The peer of this id, made when new; NULL when out of memory, or when the room is full. */
static struct inst_peer *need_peer(struct inst_room *room, const char *id, size_t len) {
    struct inst_peer *peer = find(room, id, len);
    if (peer || is_full(room)) {
        return peer;
    }
    peer = calloc(1, sizeof(*peer) + len);
    if (!peer) {
        return NULL;
    }
    inst_arena_init(&peer->arena);
    peer->data = inst_object(NULL, 0);
    peer->id_len = len;
    memcpy(peer->id, id, len);
    if (!inst_map_add(&room->peers, peer->id, len, peer)) {
        free(peer);
        return NULL;
    }
    peer->prev = room->last_peer;
    if (room->last_peer) {
        room->last_peer->next = peer;
    } else {
        room->first_peer = peer;
    }
    room->last_peer = peer;
    return peer;
}

static bool set_data(struct inst_peer *peer, const struct inst_value *data) {
    struct inst_arena arena;
    struct inst_value copy = inst_object(NULL, 0);
    inst_arena_init(&arena);
    if (data && !inst_value_dup(&arena, data, &copy)) {
        inst_arena_free(&arena);
        return false;
    }
    inst_arena_free(&peer->arena);
    peer->arena = arena;
    peer->data = copy;
    peer->compact_at = arena.total * 4 > COMPACT_MIN ? arena.total * 4 : COMPACT_MIN;
    return true;
}

/* Edits share what stays: after many of them most of the arena is of the past. */
static void compact(struct inst_peer *peer) {
    if (peer->arena.total > peer->compact_at) {
        set_data(peer, &peer->data); /* or later, when there is memory */
    }
}

static bool is_self(const struct inst_reactor *r, const char *id, size_t len) {
    return r->session_id && strlen(r->session_id) == len && memcmp(r->session_id, id, len) == 0;
}

/* entry: {"data": ..., ...}. */
static bool set_entry(const struct inst_reactor *r, struct inst_room *room, const char *id,
                      size_t len, const struct inst_value *entry) {
    if (is_self(r, id, len)) {
        return true;
    }
    struct inst_peer *peer = need_peer(room, id, len);
    return peer ? set_data(peer, inst_getz(entry, "data")) : is_full(room);
}

bool inst_presence_refresh(struct inst_reactor *r, struct inst_room *room,
                           const struct inst_value *data) {
    inst_presence_clear_peers(room);
    for (uint32_t i = 0; i < data->len; i++) {
        const struct inst_member *member = &data->u.members[i];
        if (!set_entry(r, room, member->key, member->key_len, &member->value)) {
            return false;
        }
    }
    return true;
}

/* ---- edits ---- */

static bool is_path(const struct inst_value *path) {
    if (!path || path->tag != INST_ARRAY || path->len > INST_JSON_MAX_DEPTH) {
        return false;
    }
    for (uint32_t i = 0; i < path->len; i++) {
        const struct inst_value *element = &path->u.items[i];
        double n = element->tag == INST_NUMBER ? element->u.num : 0;
        bool is_index = element->tag == INST_NUMBER && n >= 0 && n < UINT32_MAX && n == (uint32_t)n;
        if (element->tag != INST_STRING && !is_index) {
            return false;
        }
    }
    return path->len == 0 || path->u.items[0].tag == INST_STRING;
}

/* What is below a session's entry: of it only `data` is kept. */
static bool edit_entry(struct inst_room *room, const struct inst_value *path, char op,
                       const struct inst_value *value) {
    const struct inst_value *id = &path->u.items[0];
    struct inst_peer *peer =
        op == '-' ? find(room, id->u.str, id->len) : need_peer(room, id->u.str, id->len);
    if (!peer || !inst_is_string(&path->u.items[1], "data")) {
        return peer || op == '-' || is_full(room);
    }
    if (path->len == 2) {
        return set_data(peer, op == '-' ? NULL : value);
    }
    bool is_done =
        inst_patch_apply(&peer->arena, &peer->data, path->u.items + 2, path->len - 2, op, value);
    compact(peer);
    return is_done;
}

static bool edit(struct inst_reactor *r, struct inst_room *room, const struct inst_value *edit) {
    struct inst_value none = inst_null();
    const struct inst_value *path = edit->tag == INST_ARRAY && edit->len ? edit->u.items : NULL;
    const struct inst_value *op = path && edit->len > 1 ? &edit->u.items[1] : NULL;
    const struct inst_value *value = path && edit->len > 2 ? &edit->u.items[2] : &none;
    if (!is_path(path) || !op || op->tag != INST_STRING || op->len != 1 ||
        !strchr("+r-", op->u.str[0])) {
        inst_reactor_log(r, INST_LOG_ERROR, "an edit of presence is not understood");
        return true;
    }
    char kind = op->u.str[0];
    if (path->len == 0) { /* the room as a whole */
        struct inst_value empty = inst_object(NULL, 0);
        return inst_presence_refresh(r, room, value->tag == INST_OBJECT ? value : &empty);
    }
    const struct inst_value *id = &path->u.items[0];
    if (is_self(r, id->u.str, id->len)) {
        return true;
    }
    if (path->len > 1) {
        return edit_entry(room, path, kind, value);
    }
    if (kind != '-') {
        return set_entry(r, room, id->u.str, id->len, value);
    }
    struct inst_peer *peer = find(room, id->u.str, id->len);
    if (peer) {
        remove_peer(room, peer);
    }
    return true;
}

bool inst_presence_patch(struct inst_reactor *r, struct inst_room *room,
                         const struct inst_value *edits) {
    for (uint32_t i = 0; i < edits->len; i++) {
        if (!edit(r, room, &edits->u.items[i])) {
            return false;
        }
    }
    return true;
}

/* ---- what this client shows ---- */

enum inst_status inst_presence_merge_own(struct inst_reactor *r, struct inst_room *room,
                                         const struct inst_value *more, struct inst_err *err) {
    const struct inst_value *parts[] = {&room->own, more};
    struct inst_object_builder b;
    struct inst_arena arena;
    struct inst_value merged, copy;
    (void)r;
    inst_arena_init(&arena);
    inst_object_begin(&b, &arena);
    for (size_t part = 0; part < 2; part++) {
        uint32_t count = parts[part] && parts[part]->tag == INST_OBJECT ? parts[part]->len : 0;
        for (uint32_t i = 0; i < count; i++) {
            const struct inst_member *member = &parts[part]->u.members[i];
            inst_object_add(&b, member->key, member->key_len, member->value);
        }
    }
    if (!inst_object_end(&b, &merged) || !inst_value_dup(&arena, &merged, &copy)) {
        inst_arena_free(&arena);
        return inst_err_nomem(err);
    }
    inst_arena_free(&room->own_arena);
    room->own_arena = arena;
    room->own = copy;
    return INST_OK;
}

const struct inst_value *inst_presence_of(const struct inst_reactor *r,
                                          const struct inst_room *room,
                                          const struct inst_value *peer_id) {
    if (!peer_id) {
        return NULL;
    }
    if (is_self(r, peer_id->u.str, peer_id->len)) {
        return room->own.tag == INST_OBJECT ? &room->own : NULL;
    }
    const struct inst_peer *peer = find(room, peer_id->u.str, peer_id->len);
    return peer ? &peer->data : NULL;
}

/* ---- slices ---- */

static bool holds(const struct inst_value *list, const char *text, size_t len) {
    for (uint32_t i = 0; i < list->len; i++) {
        const struct inst_value *item = &list->u.items[i];
        if (item->tag == INST_STRING && item->len == len && memcmp(item->u.str, text, len) == 0) {
            return true;
        }
    }
    return false;
}

/* `{...pick(data, keys), peerId}`. */
static bool slice_of(struct inst_arena *arena, const struct inst_value *data,
                     const struct inst_value *keys, const char *id, size_t id_len,
                     struct inst_value *out) {
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    uint32_t count = data->tag == INST_OBJECT ? data->len : 0;
    inst_object_reserve(&b, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const struct inst_member *member = &data->u.members[i];
        if (!keys || holds(keys, member->key, member->key_len)) {
            inst_object_add(&b, member->key, member->key_len, member->value);
        }
    }
    if (id) {
        inst_object_addz(&b, "peerId", inst_string(id, id_len));
    }
    return inst_object_end(&b, out);
}

/* Borrows from the room. */
static bool build(const struct inst_reactor *r, const struct inst_room *room,
                  const struct inst_presence_options *options, struct inst_arena *arena,
                  struct inst_value *out) {
    static const struct inst_presence_options everything = {0};
    struct inst_object_builder slice, peers;
    struct inst_value part;
    options = options ? options : &everything;
    inst_object_begin(&slice, arena);
    inst_object_begin(&peers, arena);
    if (!options->without_user) {
        size_t len = r->session_id ? strlen(r->session_id) : 0;
        if (!slice_of(arena, &room->own, options->keys, r->session_id, len, &part)) {
            return false;
        }
        inst_object_addz(&slice, "user", part);
    }
    inst_object_reserve(&peers, room->peers.count);
    for (const struct inst_peer *peer = room->first_peer; peer; peer = peer->next) {
        if (options->peers && !holds(options->peers, peer->id, peer->id_len)) {
            continue;
        }
        if (!slice_of(arena, &peer->data, options->keys, peer->id, peer->id_len, &part)) {
            return false;
        }
        inst_object_add(&peers, peer->id, peer->id_len, part);
    }
    if (!inst_object_end(&peers, &part)) {
        return false;
    }
    inst_object_addz(&slice, "peers", part);
    inst_object_addz(&slice, "isLoading", inst_bool(!room->is_connected));
    return inst_object_end(&slice, out);
}

static void view(const struct inst_room *room, const struct inst_value *slice,
                 struct inst_presence_slice *out) {
    *out = (struct inst_presence_slice){
        .user = inst_getz(slice, "user"),
        .peers = inst_getz(slice, "peers"),
        .is_loading = inst_get_true(slice, "isLoading"),
        .has_error = room->problem.err.type != NULL,
    };
    if (out->has_error) {
        out->error = inst_problem_view(&room->problem);
    }
}

bool inst_presence_read(const struct inst_reactor *r, const struct inst_room *room,
                        const struct inst_presence_options *options, struct inst_arena *arena,
                        struct inst_presence_slice *out) {
    struct inst_value slice;
    struct inst_value *copy = inst_arena_alloc(arena, sizeof(*copy));
    if (!copy || !build(r, room, options, arena, &slice) || !inst_value_dup(arena, &slice, copy)) {
        return false;
    }
    view(room, copy, out);
    return true;
}

/* ---- telling ---- */

static struct inst_shown *show(const struct inst_value *slice) {
    struct inst_shown *shown = malloc(sizeof(*shown));
    if (!shown) {
        return NULL;
    }
    shown->refs = 1;
    inst_arena_init(&shown->arena);
    if (!inst_value_dup(&shown->arena, slice, &shown->result)) {
        inst_shown_unref(shown);
        return NULL;
    }
    return shown;
}

static void tell(struct inst_reactor *r, struct inst_room *room, struct inst_sub *sub,
                 struct inst_arena *scratch) {
    struct inst_room_watch *watch = sub->owner;
    struct inst_value slice;
    bool is_built = build(r, room, &watch->options, scratch, &slice);
    if (is_built && watch->shown && watch->shown_error == room->error_count &&
        inst_value_equal(&watch->shown->result, &slice)) {
        return;
    }
    struct inst_shown *shown = is_built ? show(&slice) : NULL;
    if (!shown) {
        inst_reactor_drop_transport(r, "out of memory"); /* what comes then is told */
        return;
    }
    inst_shown_unref(watch->shown);
    watch->shown = shown;
    watch->shown_error = room->error_count;
    shown->refs++;
    struct inst_presence_slice presence;
    view(room, &shown->result, &presence);
    sub->fn.presence(sub->ctx, &presence); /* may end the watch */
    inst_shown_unref(shown);
}

void inst_presence_deliver(struct inst_reactor *r, struct inst_room *room) {
    struct inst_arena scratch;
    inst_arena_init(&scratch);
    uint64_t last = r->next_sub;
    struct inst_sub *sub = room->presence_subs.first;
    for (; sub && room->has_result && !r->is_shutdown; sub = sub->next) {
        if (inst_sub_is_due(sub, last)) {
            tell(r, room, sub, &scratch);
            inst_arena_reset(&scratch);
        }
    }
    inst_arena_free(&scratch);
}
