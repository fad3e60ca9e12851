/*
 * rooms.h - the rooms of a reactor (session.md 5.12); shared by rooms.c and presence.c.
 *
 *     the app wants in ─────────────> JOINING ── join-room-ok ──> IN
 *     OUT <── leave-room-ok ── LEAVING <── the app wants out ─────┘      any ── connection lost ──>
 * OUT
 *
 * At most one join or leave of a room is unanswered. What the app wants meanwhile is only noted,
 * and done when the answer comes: a peer list is never patched that a former stay left behind, and
 * one that goes on counts on (upstream may tell a quick leave and join as no change at all).
 *
 *     room ── own      what this client shows: sent with join-room, and again when in
 *          ├── peers   what the others show, by their session ids
 *          ├── watches one a listener: of presence (options, what it was last given) or of a topic
 *          └── queue   topic messages that wait to be in
 */
#ifndef INST_CLIENT_ROOMS_H
#define INST_CLIENT_ROOMS_H

#include "client/reactor_internal.h"

enum inst_room_state {
    INST_ROOM_OUT,
    INST_ROOM_JOINING, /* join-room was sent */
    INST_ROOM_IN,
    INST_ROOM_LEAVING, /* leave-room was sent */
};

/* One other session in the room. */
struct inst_peer {
    struct inst_peer *prev, *next;
    struct inst_arena arena; /* of data, which is changed by sharing what stays */
    size_t compact_at;       /* data is copied to a new arena when the old one has grown to this */
    struct inst_value data;
    size_t id_len;
    char id[];
};

/* A listener of a room. */
struct inst_room_watch {
    struct inst_room *room;
    struct inst_room_watch *prev, *next;
    struct inst_arena arena; /* of the options */
    struct inst_value topic; /* STRING: of this topic; UNDEFINED: of presence, with the rest */
    struct inst_presence_options options;
    struct inst_value keys, peers; /* what options points to */
    struct inst_shown *shown;      /* NULL: nothing yet */
    uint64_t shown_error;
};

/* A topic message that waits. */
struct inst_room_message {
    struct inst_room_message *next;
    size_t len;
    char members[]; /* `,"topic":...,"data":...` */
};

struct inst_room {
    struct inst_event event; /* its presence may have changed; a queued one holds a reference */
    int refs;
    struct inst_room *prev, *next;
    struct inst_arena arena; /* id, type */
    struct inst_value id, type;

    bool is_wanted; /* the app is in it; else only an answer is awaited */
    enum inst_room_state state;
    bool has_former;   /* the unanswered join-room shows what a former stay did */
    bool is_connected; /* something of it was heard since the connection was made */
    struct inst_problem problem;
    uint64_t error_count; /* changes of problem */

    bool has_result; /* own was set or peers were heard (session.md 5.12) */
    struct inst_arena own_arena;
    struct inst_value own; /* OBJECT; UNDEFINED: nothing shown yet */
    struct inst_peer *first_peer, *last_peer;
    struct inst_map peers; /* by id */

    struct inst_room_watch *first_watch;
    struct inst_sub_list presence_subs, topic_subs; /* owner: the watch */

    struct inst_room_message *first_message, *last_message;
    size_t queue_bytes;
    size_t unanswered; /* topic messages that were sent */
};

/* ---- presence.c ---- */

void inst_presence_clear_peers(struct inst_room *room);
/* data: OBJECT of entries by session id; all others are gone. */
bool inst_presence_refresh(struct inst_reactor *r, struct inst_room *room,
                           const struct inst_value *data);
/* edits: ARRAY. false: out of memory, the peers are not known any more. */
bool inst_presence_patch(struct inst_reactor *r, struct inst_room *room,
                         const struct inst_value *edits);
/* own becomes {...own, ...more}. */
enum inst_status inst_presence_merge_own(struct inst_reactor *r, struct inst_room *room,
                                         const struct inst_value *more, struct inst_err *err);
const struct inst_value *inst_presence_of(const struct inst_reactor *r,
                                          const struct inst_room *room,
                                          const struct inst_value *peer_id);
/* As inst_reactor_get_presence; false: out of memory. */
bool inst_presence_read(const struct inst_reactor *r, const struct inst_room *room,
                        const struct inst_presence_options *options, struct inst_arena *arena,
                        struct inst_presence_slice *out);
/* Tells each listener whose slice is another than it was given. */
void inst_presence_deliver(struct inst_reactor *r, struct inst_room *room);

#endif
