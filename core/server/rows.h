/*
 * rows.h - the engine's own rows: entities of the system's namespaces, read and written by name.
 *
 * Users, their tokens and codes, OAuth clients: all are ordinary entities (http.md 16), which the
 * engine finds by a value and writes as an admin does, by transactions in the app's group.
 */
#ifndef INST_SERVER_ROWS_H
#define INST_SERVER_ROWS_H

#include "base/date.h"
#include "server/engine.h"

/* ---- reading, what is committed or pending ---- */

/* The first entity with this value of an indexed or unique attr; *e 0: none. */
enum inst_status inst_row_find(struct inst_app *app, const char *etype, const char *label,
                               const struct inst_value *v, uint32_t *e, struct inst_err *err);
/* Every such entity, in order, at most max; handles go into out. */
enum inst_status inst_row_find_all(struct inst_app *app, const char *etype, const char *label,
                                   const struct inst_value *v, uint32_t *out, size_t max,
                                   size_t *count, struct inst_err *err);
/* Every entity that links to `to` by this attr, likewise. */
enum inst_status inst_row_find_links(struct inst_app *app, const char *etype, const char *label,
                                     uint32_t to, uint32_t *out, size_t max, size_t *count,
                                     struct inst_err *err);
/* The oldest entities of etype, by creation, likewise. */
enum inst_status inst_row_oldest(struct inst_app *app, const char *etype, uint32_t *out, size_t max,
                                 size_t *count, struct inst_err *err);
/* Where a link of cardinality one leads; *to 0: nowhere. */
enum inst_status inst_row_link(struct inst_app *app, uint32_t e, const char *etype,
                               const char *label, uint32_t *to, struct inst_err *err);
/* A blob's value, copied on server->scratch; UNDEFINED when there is none. */
enum inst_status inst_row_value(struct inst_app *app, uint32_t e, const char *etype,
                                const char *label, struct inst_value *out, struct inst_err *err);
/* When it was created as one of etype, ms; INST_NO_TIME when it is none. */
enum inst_status inst_row_time(struct inst_app *app, uint32_t e, const char *etype, int64_t *out,
                               struct inst_err *err);
/* Its id text; false when it has none. */
bool inst_row_id(struct inst_app *app, uint32_t e, char out[INST_UUID_TEXT + 1]);

/* ---- notes: one JSON value each, beside the app's data ---- */

/* On server->scratch; UNDEFINED when there is none. */
enum inst_status inst_row_note(struct inst_app *app, const char *key, struct inst_value *out,
                               struct inst_err *err);
/* NULL removes it. Only while no group is open. */
enum inst_status inst_row_set_note(struct inst_app *app, const char *key,
                                   const struct inst_value *v, struct inst_err *err);

/* A time as SQL timestamps go over the wire, in seconds (http.md 1.1). */
void inst_row_iso(int64_t ms, char out[INST_DATE_TEXT_MAX]);

/* ---- writing ---- */

/* The steps of one transaction, on server->scratch. Failure is sticky and shows in inst_row_write.
 */
struct inst_row_steps {
    struct inst_app *app;
    struct inst_array_builder list;
    bool failed;
    bool at_any_status; /* also while the app takes no writes */
};
void inst_row_begin(struct inst_row_steps *steps, struct inst_app *app);
/* id and what v points to are borrowed until inst_row_write. */
void inst_row_set(struct inst_row_steps *steps, const char *id, const char *etype,
                  const char *label, struct inst_value v);
void inst_row_delete(struct inst_row_steps *steps, const char *id, const char *etype);
/* One transaction in the app's group, all or nothing; nothing to do when there are no steps. The
 * caller commits. */
enum inst_status inst_row_write(struct inst_row_steps *steps, struct inst_err *err);
/* Commits the group; err when it could not be kept. */
enum inst_status inst_row_commit(struct inst_app *app, struct inst_err *err);

#endif
