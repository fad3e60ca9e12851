/*
 * jobs_internal.h - what the parts of jobs share. Only for jobs*.c.
 *
 *     jobs         the list, what is kept of it, the turn
 *     jobs_json    a job as clients and as the data file see it
 *     jobs_stages  what each kind of job does
 */
#ifndef INST_SERVER_JOBS_INTERNAL_H
#define INST_SERVER_JOBS_INTERNAL_H

#include "server/engine.h"
#include "server/jobs.h"

enum inst_job_type {
    INST_JOB_CHECK_DATA_TYPE,
    INST_JOB_REMOVE_DATA_TYPE,
    INST_JOB_INDEX,
    INST_JOB_REMOVE_INDEX,
    INST_JOB_UNIQUE,
    INST_JOB_REMOVE_UNIQUE,
    INST_JOB_REQUIRED,
    INST_JOB_REMOVE_REQUIRED,
    INST_JOB_CARDINALITY, /* to one; only by update-attr */
    INST_JOB_TYPES,
};

enum inst_job_status {
    INST_JOB_WAITING,
    INST_JOB_PROCESSING,
    INST_JOB_COMPLETED,
    INST_JOB_ERRORED,
};

enum inst_job_error {
    INST_JOB_NO_ERROR,
    INST_JOB_INVALID_TRIPLE,
    INST_JOB_TRIPLE_TOO_LARGE,
    INST_JOB_TRIPLE_NOT_UNIQUE,
    INST_JOB_MISSING_REQUIRED,
    INST_JOB_INVALID_ATTR_STATE,
    INST_JOB_UNEXPECTED,
    INST_JOB_ERRORS,
};

#define INST_JOB_NO_WORK (-1)

struct inst_job {
    struct inst_job *next;
    uint64_t number; /* in the order in which they were added; part of the note's key */
    char id[INST_UUID_TEXT + 1];
    char group[INST_UUID_TEXT + 1]; /* empty: none */
    char attr_id[INST_UUID_TEXT + 1];
    enum inst_job_type type;
    enum inst_job_status status;
    enum inst_checked_type checked_type; /* of check-data-type */
    size_t stage;                        /* in its type's list */
    int64_t work_estimate, work_completed;
    int64_t stage_work; /* completed when the stage began: a stage that begins anew starts there */
    int64_t created_ms, updated_ms, done_ms; /* done_ms 0: not done */
    enum inst_job_error error;
    bool is_tidying; /* errored, and rows are being put back */
    bool is_asked;   /* by the attr, which says so until the job has made it so */
    /* JSON texts, owned; NULL: null */
    char *unique_value, *sample, *error_data;
    /* not kept */
    bool is_dirty;         /* differs from its note */
    struct inst_buf place; /* where the stage's walk goes on */
};

struct inst_jobs {
    struct inst_job *first, **end;
    size_t count, open_count; /* all; waiting, processing or being tidied up */
    uint64_t next_number;
    bool is_stalled; /* the disk refused: until the next commit */
    bool is_unread;  /* and the notes could not be read again: then too */
    bool is_noted;   /* outside of its file, that it has work */
};

static inline bool inst_job_is_open(const struct inst_job *job) {
    return job->status == INST_JOB_WAITING || job->status == INST_JOB_PROCESSING || job->is_tidying;
}

/* ---- jobs_json.c ---- */

extern const char *const inst_job_type_names[INST_JOB_TYPES];
/* 0: "" */
const char *inst_checked_type_name(enum inst_checked_type type);
enum inst_checked_type inst_checked_type_of(const struct inst_value *name);
/* As clients see it. */
void inst_job_write(const struct inst_app *app, const struct inst_job *job, struct inst_buf *out);
/* As its note. */
void inst_job_write_note(const struct inst_job *job, struct inst_buf *out);
/* From its note; job is zero but for its number. false: that is no job, or out of memory. */
bool inst_job_read_note(struct inst_job *job, const struct inst_value *note);
void inst_job_free(struct inst_job *job);

/* ---- jobs_stages.c ---- */

struct inst_tx;

const char *inst_job_stage_name(enum inst_job_type type, size_t stage);
/* The first stage of that name; 0 when there is none. */
size_t inst_job_find_stage(enum inst_job_type type, const struct inst_value *name);
/* A piece of the job's present stage, no more than *budget rows, which are taken off. The job goes
 * on, to the next stage or to its end. */
enum inst_status inst_job_step(struct inst_tx *tx, struct inst_job *job, size_t *budget,
                               struct inst_err *err);
/* What the attr's flags of one serial (below) ask for: *out and true, or false. */
bool inst_job_asked_by(const struct inst_attr *attr, int serial, enum inst_job_type *out);
/* Jobs of one attr that exclude each other have the same: 0 data-type, 1 index, 2 unique, 3
 * required, 4 cardinality. */
#define INST_JOB_SERIALS 5
int inst_job_serial(enum inst_job_type type);

#endif
