/*
 * feed_internal.h - what the parts of a change feed share. Only for feed*.c.
 *
 *     feed         the window, the look ahead, rolling forward
 *     feed_record  one record of the log as groups: the triples of one entity in one namespace
 *     feed_image   what the values of the window's entities are at the position
 */
#ifndef INST_SERVER_FEED_INTERNAL_H
#define INST_SERVER_FEED_INTERNAL_H

#include "server/engine.h"
#include "server/feed.h"

/* ---- feed.c ---- */

/* For tests: windows of no more entities. */
void inst_feed_limit_window(struct inst_feed *feed, size_t entities);

/* ---- feed_image.c ---- */

/* A value of an entity at the position, where it may differ from the store's. */
struct inst_feed_cell {
    struct inst_feed_cell *next;
    struct inst_uuid attr;
    struct inst_value v; /* UNDEFINED: none */
};
/* One entity of the window. */
struct inst_feed_entity {
    struct inst_feed_cell *cells;
};

struct inst_feed_window {
    struct inst_arena arena;
    struct inst_table entities; /* uuid -> struct inst_feed_entity */
};

struct inst_feed_entity *inst_feed_entity_of(const struct inst_feed_window *window,
                                             const struct inst_uuid *id);
/* Puts the entity in, unless it is there. false when out of memory, as the next two. */
bool inst_feed_cover(struct inst_feed_window *window, const struct inst_uuid *id);
/* A touch behind the position: what it replaced counts, unless an earlier touch said so. */
bool inst_feed_touch(struct inst_feed_window *window, const struct inst_value *triple);
/* A touch that the position moves over: what it wrote counts. */
bool inst_feed_pass(struct inst_feed_window *window, const struct inst_value *triple);

/* ---- feed_record.c ---- */

/* ["+" or "-", entity, attr, value, created-at] of the log. */
static inline bool inst_feed_is_added(const struct inst_value *triple) {
    return triple->u.items[0].u.str[0] == '+';
}

/* The triples of one entity in one namespace. */
struct inst_feed_group {
    struct inst_value etype; /* the catalog's */
    struct inst_uuid id;
    uint32_t first, last; /* places of its triples in the record; those between are chained */
};

struct inst_feed_record {
    const struct inst_value *triples; /* ARRAY, each of the shape above */
    uint32_t *next;                   /* for each triple: the place of its group's next, or 0 */
    struct inst_feed_group *groups;   /* by their first triple */
    size_t group_count;
};

/* Everything on arena. err: "data-file". */
enum inst_status inst_feed_record_read(struct inst_app *app, struct inst_arena *arena,
                                       const struct inst_log_record *log,
                                       struct inst_feed_record *out, struct inst_err *err);
/* Might the record touch an entity of the window? Cheap; never no when it does. */
bool inst_feed_record_may_touch(const struct inst_log_record *log,
                                const struct inst_feed_window *window);

/* ---- feed_image.c, with both ---- */

/* The group's entity before and after its triples, on arena; null: it was not there. *is_changed:
 * is there a difference that is shown? */
enum inst_status inst_feed_images(struct inst_app *app, const struct inst_feed_window *window,
                                  const struct inst_feed_record *record,
                                  const struct inst_feed_group *group, struct inst_arena *arena,
                                  struct inst_value *before, struct inst_value *after,
                                  bool *is_changed, struct inst_err *err);

#endif
