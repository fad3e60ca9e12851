/*
 * jobs.h - what changes an attr over all of its triples, some rows at a time (transactions.md
 * 14.5).
 *
 *     inst_jobs_add ─> waiting ─> processing ─┬─> completed
 *                                 stage by    └─> errored ─> (tidied up)
 *                                 stage
 *
 * The jobs of one app run one after the other, in the order in which they were added. One turn of
 * the engine gives an app INST_JOB_TURN_ROWS rows, in a group of their own; sessions are served in
 * between, and what they write meanwhile is checked and indexed as it comes, for a job first sets
 * the attr's flags. A job is kept as a note of the data file, which changes with every group that
 * the job writes: after a crash its stage begins anew, which is right at any time.
 *
 * An attr that says `indexing?`, `setting-unique?`, `checking-data-type?`, `setting-required?` or
 * `setting-cardinality?` and has no job gets one: so an `update-attr` over many rows only sets the
 * flags (tx_flags.c), and nothing is lost with a crash. The last two are no names of the original,
 * which makes its clients wait: an attr with them is as it was until all rows were looked at. While
 * an app takes no writes its jobs rest.
 *
 * Errors of a job are the original's. `invalid_triples_sample` shows what was met when it failed.
 */
#ifndef INST_SERVER_JOBS_H
#define INST_SERVER_JOBS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"
#include "base/value.h"
#include "triples/attrs.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_app;
struct inst_server;
struct inst_jobs; /* of one app */

/* A job to be made. */
struct inst_job_wish {
    struct inst_value type;              /* "index" ... as in the table of transactions.md 14.5 */
    struct inst_value attr_id;           /* uuid text */
    struct inst_value checked_data_type; /* of check-data-type; else not looked at */
    char id[INST_UUID_TEXT + 1];         /* out: the job's */
};

/* Is it the name of a kind of job? */
bool inst_jobs_is_type(const struct inst_value *type);

/* Adds jobs, all or none, durable when it returns; the app has no open group. group: NULL, or gets
 * the id of the group that they form. err: `validation-failed` of job-type, `param-malformed`,
 * `record-not-found` of attrs, `app-read-only`. */
enum inst_status inst_jobs_add(struct inst_app *app, struct inst_job_wish *wishes, size_t count,
                               char group[INST_UUID_TEXT + 1], struct inst_err *err);

/* JSON of the job (uuid text); false: there is none. */
bool inst_jobs_write(struct inst_app *app, const char *id, struct inst_buf *out);
/* JSON array of the jobs of a group, in the order in which they were added. */
void inst_jobs_write_group(struct inst_app *app, const char *group, struct inst_buf *out);

/* ---- for the engine ---- */

/* Apps that were at work when the server ended go on with it: one is opened by each of the first
 * turns, until none is left. */
void inst_jobs_resume(struct inst_server *server);
void inst_jobs_forget_resumes(struct inst_server *server); /* part of freeing the server */
/* The open group is about to be committed: an app whose attrs ask for a job is noted as at work, so
 * that a crash behind the commit does not leave it lying. */
void inst_jobs_committing(struct inst_app *app);
/* Part of opening an app: the jobs that are kept, and those that attrs ask for. */
enum inst_status inst_jobs_open(struct inst_app *app, struct inst_err *err);
void inst_jobs_free(struct inst_jobs *jobs); /* NULL is fine */
/* Has the app something to run? Then it stays open. */
bool inst_jobs_are_due(const struct inst_app *app);
/* Something was committed: attrs may ask for a job, and what the disk refused may be tried again.
 * No group is open. */
void inst_jobs_committed(struct inst_app *app, bool is_catalog_new);
/* One piece of work for every app that has some; no group is open. */
void inst_jobs_turn(struct inst_server *server);
bool inst_jobs_are_pending(const struct inst_server *server);

#endif
