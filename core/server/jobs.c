#include "base/json.h"
#include "server/jobs_internal.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/transaction.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTE "job/"
#define NOTE_KEY_MAX 32

/* ---- the list ---- */

static void note_key(const struct inst_job *job, char out[NOTE_KEY_MAX]) {
    snprintf(out, NOTE_KEY_MAX, NOTE "%016llx", (unsigned long long)job->number);
}

static void append(struct inst_jobs *jobs, struct inst_job *job) {
    *jobs->end = job;
    jobs->end = &job->next;
    jobs->count++;
    jobs->open_count += inst_job_is_open(job);
    if (job->number >= jobs->next_number)
        jobs->next_number = job->number + 1;
}

static void free_list(struct inst_jobs *jobs) {
    for (struct inst_job *job = jobs->first, *next; job != NULL; job = next) {
        next = job->next;
        inst_job_free(job);
    }
    jobs->first = NULL;
    jobs->end = &jobs->first;
    jobs->count = jobs->open_count = 0;
}

void inst_jobs_free(struct inst_jobs *jobs) {
    if (jobs == NULL)
        return;
    free_list(jobs);
    free(jobs);
}

static struct inst_job *find_job(const struct inst_jobs *jobs, const char *id) {
    for (struct inst_job *job = jobs->first; job != NULL; job = job->next)
        if (strcmp(job->id, id) == 0)
            return job;
    return NULL;
}

static struct inst_job *new_job(struct inst_app *app, enum inst_job_type type,
                                const char *attr_id) {
    const struct inst_env *env = app->server->env;
    struct inst_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    inst_buf_init(&job->place);
    inst_uuid_make_text(env, job->id);
    memcpy(job->attr_id, attr_id, INST_UUID_TEXT);
    job->type = type;
    job->work_estimate = job->work_completed = job->stage_work = INST_JOB_NO_WORK;
    job->created_ms = job->updated_ms = env->now_ms(env->ctx);
    job->is_dirty = true;
    return job;
}

/* ---- what is kept ---- */

static enum inst_status write_note(struct inst_app *app, struct inst_job *job,
                                   struct inst_err *err) {
    char key[NOTE_KEY_MAX];
    struct inst_buf text;
    note_key(job, key);
    inst_buf_init(&text);
    inst_job_write_note(job, &text);
    enum inst_status st = text.failed
                              ? inst_err_nomem(err)
                              : app->db->db_ops->set_note(app->db, key, text.data, text.len, err);
    inst_buf_free(&text);
    if (st == INST_OK)
        job->is_dirty = false;
    return st;
}

/* Lets go of the oldest jobs that are over, past the limit. */
static enum inst_status drop_old(struct inst_app *app, struct inst_err *err) {
    struct inst_jobs *jobs = app->jobs;
    enum inst_status st = INST_OK;
    struct inst_job **link = &jobs->first;
    while (st == INST_OK && *link != NULL && jobs->count - jobs->open_count > INST_JOB_MAX_KEPT) {
        struct inst_job *job = *link;
        char key[NOTE_KEY_MAX];
        if (inst_job_is_open(job)) {
            link = &job->next;
            continue;
        }
        note_key(job, key);
        st = app->db->db_ops->set_note(app->db, key, NULL, 0, err);
        *link = job->next;
        if (jobs->end == &job->next)
            jobs->end = link;
        jobs->count--;
        inst_job_free(job);
    }
    return st;
}

/* Everything that differs from its note, into the open group. */
static enum inst_status write_notes(struct inst_app *app, struct inst_err *err) {
    enum inst_status st = drop_old(app, err);
    for (struct inst_job *job = app->jobs->first; st == INST_OK && job != NULL; job = job->next)
        if (job->is_dirty)
            st = write_note(app, job, err);
    return st;
}

struct reading {
    struct inst_jobs *jobs;
    struct inst_arena arena;
    bool is_nomem;
};

static bool read_note(void *ctx, const char *key, const char *bytes, size_t len) {
    struct reading *reading = ctx;
    struct inst_value note;
    unsigned long long number;
    inst_arena_reset(&reading->arena);
    /* What cannot be read is of a program that knows more: it stays as it is. */
    if (sscanf(key, NOTE "%16llx", &number) != 1 ||
        inst_json_parse(&reading->arena, bytes, len, &note, NULL) != INST_OK)
        return true;
    struct inst_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        reading->is_nomem = true;
        return false;
    }
    inst_buf_init(&job->place);
    job->number = number;
    if (inst_job_read_note(job, &note))
        append(reading->jobs, job);
    else
        inst_job_free(job);
    return true;
}

static enum inst_status load(struct inst_app *app, struct inst_err *err) {
    struct reading reading = {.jobs = app->jobs};
    free_list(app->jobs);
    inst_arena_init(&reading.arena);
    enum inst_status st = app->db->db_ops->each_note(app->db, NOTE, NULL, read_note, &reading, err);
    inst_arena_free(&reading.arena);
    return st == INST_OK && reading.is_nomem ? inst_err_nomem(err) : st;
}

/* ---- what is known outside of the file ---- */

static enum inst_status note_work(struct inst_app *app, bool has_work, struct inst_err *err) {
    const struct inst_server_host *host = &app->server->host;
    if (app->jobs->is_noted == has_work || host->apps->manage == NULL)
        return INST_OK;
    enum inst_status st =
        host->apps->manage->set_working(host->apps_ctx, app->info.id, has_work, err);
    if (st == INST_OK)
        app->jobs->is_noted = has_work;
    return st;
}

/* The work goes on all the same: what cannot be noted matters only when the server ends. */
static void try_note_work(struct inst_app *app, bool has_work) {
    const struct inst_env *env = app->server->env;
    struct inst_err err = {0};
    if (note_work(app, has_work, &err) != INST_OK && env->log != NULL && err.message != NULL)
        env->log(env->ctx, INST_LOG_ERROR, err.message);
    inst_err_clear(&err);
}

/* ---- what attrs ask for ---- */

static bool asks(const struct inst_attr *attr) {
    return !attr->is_system && attr->id.len == INST_UUID_TEXT &&
           (attr->is_indexing || attr->is_setting_unique || attr->is_checking_type ||
            attr->is_setting_required || attr->is_setting_cardinality);
}

static bool has_job(const struct inst_jobs *jobs, const struct inst_attr *attr, int serial) {
    for (const struct inst_job *job = jobs->first; job != NULL; job = job->next)
        if (inst_job_is_open(job) && inst_job_serial(job->type) == serial &&
            inst_is_string(&attr->id, job->attr_id))
            return true;
    return false;
}

/* Their notes come with the first group that they write: until then the attr's flag stands for
 * them. */
static bool adopt(struct inst_app *app) {
    size_t count = inst_attrs_count(app->catalog->attrs);
    for (size_t i = 0; i < count; i++) {
        const struct inst_attr *attr = inst_attrs_at(app->catalog->attrs, i);
        if (!asks(attr))
            continue;
        for (int serial = 0; serial < INST_JOB_SERIALS; serial++) {
            enum inst_job_type type;
            if (!inst_job_asked_by(attr, serial, &type) || has_job(app->jobs, attr, serial))
                continue;
            struct inst_job *job = new_job(app, type, attr->id.u.str);
            if (job == NULL)
                return false;
            job->number = app->jobs->next_number;
            job->is_asked = type >= INST_JOB_REQUIRED;
            if (type == INST_JOB_CHECK_DATA_TYPE)
                job->checked_type = attr->checked_type;
            append(app->jobs, job);
        }
    }
    return true;
}

enum inst_status inst_jobs_open(struct inst_app *app, struct inst_err *err) {
    app->jobs = calloc(1, sizeof *app->jobs);
    if (app->jobs == NULL)
        return inst_err_nomem(err);
    app->jobs->end = &app->jobs->first;
    enum inst_status st = load(app, err);
    if (st == INST_OK && !adopt(app))
        st = inst_err_nomem(err);
    if (st == INST_OK && app->jobs->open_count > 0)
        try_note_work(app, true); /* a copy of a file is not noted yet */
    return st;
}

void inst_jobs_committing(struct inst_app *app) {
    size_t count = inst_attrs_count(app->catalog->attrs);
    if (app->jobs == NULL || !app->changes.is_catalog_new || app->jobs->is_noted)
        return;
    for (size_t i = 0; i < count; i++)
        if (asks(inst_attrs_at(app->catalog->attrs, i))) {
            try_note_work(app, true);
            return;
        }
}

void inst_jobs_committed(struct inst_app *app, bool is_catalog_new) {
    if (app->jobs == NULL)
        return;
    app->jobs->is_stalled = false;
    if (app->jobs->is_unread)
        app->jobs->is_unread = load(app, NULL) != INST_OK;
    /* Out of memory: the flags are still there when the app is opened again. */
    if (is_catalog_new)
        adopt(app);
}

bool inst_jobs_are_due(const struct inst_app *app) {
    return app->jobs != NULL && app->jobs->open_count > 0 && !app->jobs->is_stalled &&
           app->state == INST_APP_ACTIVE;
}

bool inst_jobs_are_pending(const struct inst_server *server) {
    if (!server->has_resumed || server->resumes != NULL)
        return true;
    for (const struct inst_app *app = server->apps; app != NULL; app = app->next)
        if (inst_jobs_are_due(app))
            return true;
    return false;
}

/* ---- adding ---- */

bool inst_jobs_is_type(const struct inst_value *type) {
    for (int i = 0; i < INST_JOB_CARDINALITY; i++)
        if (inst_is_string(type, inst_job_type_names[i]))
            return true;
    return false;
}

static enum inst_status refuse_attr(const struct inst_value *attr_id, struct inst_err *err) {
    struct inst_buf args;
    inst_buf_init(&args);
    inst_buf_add_str(&args, "[{\"attr-id\":");
    inst_json_write(&args, attr_id);
    inst_buf_add_str(&args, "}]");
    enum inst_status st =
        args.failed ? inst_err_nomem(err) : inst_refuse_not_found(err, "attrs", args.data);
    inst_buf_free(&args);
    return st;
}

static enum inst_status make_job(struct inst_app *app, struct inst_job_wish *wish,
                                 const char *group, struct inst_job **out, struct inst_err *err) {
    static const char *const id_path[] = {"body", "attr-id"};
    static const char *const type_path[] = {"body", "checked-data-type"};
    enum inst_job_type type = 0;
    struct inst_uuid uuid;
    char attr_id[INST_UUID_TEXT + 1];
    if (!inst_jobs_is_type(&wish->type))
        return inst_refuse_validation(err, "job-type", &wish->type, NULL, "Invalid job type %.*s.",
                                      wish->type.tag == INST_STRING ? (int)wish->type.len : 0,
                                      wish->type.tag == INST_STRING ? wish->type.u.str : "");
    while (!inst_is_string(&wish->type, inst_job_type_names[type]))
        type++;
    if (wish->attr_id.tag != INST_STRING ||
        !inst_uuid_parse(wish->attr_id.u.str, wish->attr_id.len, &uuid))
        return inst_refuse_malformed(err, id_path, 2, &wish->attr_id);
    inst_uuid_print(&uuid, attr_id);
    if (inst_attrs_by_id(app->catalog->attrs, attr_id, INST_UUID_TEXT) == NULL)
        return refuse_attr(&wish->attr_id, err);
    enum inst_checked_type checked = INST_CHECKED_NONE;
    if (type == INST_JOB_CHECK_DATA_TYPE) {
        checked = inst_checked_type_of(&wish->checked_data_type);
        if (inst_is_nullish(&wish->checked_data_type))
            return inst_refuse_missing(err, type_path, 2);
        if (checked == INST_CHECKED_NONE)
            return inst_refuse_malformed(err, type_path, 2, &wish->checked_data_type);
    }
    struct inst_job *job = new_job(app, type, attr_id);
    if (job == NULL)
        return inst_err_nomem(err);
    job->checked_type = checked;
    memcpy(job->group, group, INST_UUID_TEXT);
    memcpy(wish->id, job->id, sizeof wish->id);
    *out = job;
    return INST_OK;
}

/* Writes the notes of jobs that are not in the list yet, in a group of their own. */
static enum inst_status keep_new(struct inst_app *app, struct inst_job *first,
                                 struct inst_err *err) {
    const struct inst_app_db_ops *ops = app->db->db_ops;
    uint64_t number = app->jobs->next_number;
    enum inst_status st = ops->begin(app->db, err);
    if (st != INST_OK)
        return st;
    for (struct inst_job *job = first; st == INST_OK && job != NULL; job = job->next) {
        job->number = number++;
        st = write_note(app, job, err);
    }
    if (st == INST_OK)
        return ops->commit(app->db, err);
    ops->rollback(app->db);
    return st;
}

enum inst_status inst_jobs_add(struct inst_app *app, struct inst_job_wish *wishes, size_t count,
                               char group[INST_UUID_TEXT + 1], struct inst_err *err) {
    static const char no_group[INST_UUID_TEXT + 1];
    struct inst_job *first = NULL, **end = &first;
    enum inst_status st = inst_app_check_write(app, err);
    if (group != NULL)
        inst_uuid_make_text(app->server->env, group);
    if (st == INST_OK && app->jobs->open_count + count > INST_JOB_MAX_OPEN)
        st = inst_refuse_validation(err, "indexing-jobs", NULL, NULL,
                                    "Too many jobs are waiting; try again when they are done.");
    for (size_t i = 0; st == INST_OK && i < count; i++) {
        st = make_job(app, &wishes[i], group != NULL ? group : no_group, end, err);
        if (st == INST_OK)
            end = &(*end)->next;
    }
    if (st == INST_OK && first != NULL)
        st = note_work(app, true, err);
    if (st == INST_OK && first != NULL)
        st = keep_new(app, first, err);
    for (struct inst_job *job = first, *next; job != NULL; job = next) {
        next = job->next;
        job->next = NULL;
        if (st == INST_OK)
            append(app->jobs, job);
        else
            inst_job_free(job);
    }
    return st;
}

/* ---- showing ---- */

bool inst_jobs_write(struct inst_app *app, const char *id, struct inst_buf *out) {
    const struct inst_job *job = find_job(app->jobs, id);
    if (job != NULL)
        inst_job_write(app, job, out);
    return job != NULL;
}

void inst_jobs_write_group(struct inst_app *app, const char *group, struct inst_buf *out) {
    bool is_first = true;
    inst_buf_add_char(out, '[');
    for (const struct inst_job *job = app->jobs->first; job != NULL; job = job->next) {
        if (job->group[0] == '\0' || strcmp(job->group, group) != 0)
            continue;
        if (!is_first)
            inst_buf_add_char(out, ',');
        is_first = false;
        inst_job_write(app, job, out);
    }
    inst_buf_add_char(out, ']');
}

/* ---- the turn ---- */

static struct inst_job *next_open(struct inst_jobs *jobs) {
    for (struct inst_job *job = jobs->first; job != NULL; job = job->next)
        if (inst_job_is_open(job))
            return job;
    return NULL;
}

struct step {
    struct inst_job *job;
    size_t *budget;
};

static enum inst_status run_step(void *ctx, struct inst_tx *tx, struct inst_err *err) {
    struct step *step = ctx;
    return inst_job_step(tx, step->job, step->budget, err);
}

/* What cannot be done for a reason that is not in the data (a full disk, no memory) is left for
 * later: the jobs are as their notes say. */
static void stall(struct inst_app *app, const struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    if (env->log != NULL && err->message != NULL)
        env->log(env->ctx, INST_LOG_ERROR, err->message);
    app->jobs->is_unread = load(app, NULL) != INST_OK;
    app->jobs->is_stalled = true;
}

static enum inst_status run_steps(struct inst_app *app, struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    size_t budget = INST_JOB_TURN_ROWS;
    enum inst_status st = INST_OK;
    for (unsigned steps = 0; st == INST_OK && budget > 0 && steps < INST_JOB_TURN_STEPS; steps++) {
        struct inst_job *job = next_open(app->jobs);
        if (job == NULL)
            break;
        struct step step = {job, &budget};
        if (job->status == INST_JOB_WAITING) {
            job->status = INST_JOB_PROCESSING;
            job->is_dirty = true;
        }
        st = inst_app_run(app, run_step, &step, "null", err);
        job->updated_ms = env->now_ms(env->ctx);
        if (!inst_job_is_open(job))
            app->jobs->open_count--;
    }
    return st;
}

static void run_app(struct inst_app *app) {
    struct inst_server *server = app->server;
    struct inst_err err = {0};
    uint64_t commits = server->stats.commits;
    size_t open = app->jobs->open_count;
    enum inst_status st = run_steps(app, &err);
    bool is_wanted = app->made_tx != app->last_tx || app->has_quiet_writes;
    if (st == INST_OK && is_wanted)
        st = write_notes(app, &err);
    if (st != INST_OK && app->is_group_open)
        inst_app_give_up(app, &err);
    inst_app_commit(app);
    if (st == INST_OK && is_wanted && server->stats.commits == commits)
        st = INST_FAILED;
    if (st != INST_OK)
        stall(app, &err);
    else if (app->jobs->open_count < open)
        inst_jobs_committed(app, true); /* one that ended may have kept an attr from its own */
    if (app->jobs->open_count == 0)
        try_note_work(app, false);
    inst_err_clear(&err);
}

void inst_jobs_turn(struct inst_server *server) {
    for (struct inst_app *app = server->apps; app != NULL; app = app->next)
        if (inst_jobs_are_due(app) && !app->is_group_open)
            run_app(app);
}

/* ---- after a start ---- */

struct inst_resume {
    struct inst_resume *next;
    char app_id[INST_UUID_TEXT + 1];
};

static bool add_resume(void *ctx, const char *app_id) {
    struct inst_server *server = ctx;
    struct inst_resume *resume = calloc(1, sizeof *resume);
    if (resume == NULL)
        return false; /* the others go on when they are opened */
    snprintf(resume->app_id, sizeof resume->app_id, "%s", app_id);
    resume->next = server->resumes;
    server->resumes = resume;
    return true;
}

static void log_failure(struct inst_server *server, const struct inst_err *err) {
    if (server->env->log != NULL && err->message != NULL)
        server->env->log(server->env->ctx, INST_LOG_ERROR, err->message);
}

static void open_resume(struct inst_server *server, const char *app_id) {
    struct inst_err err = {0};
    struct inst_app *app;
    enum inst_status st = inst_app_get(server, app_id, &app, &err);
    if (st == INST_OK && app->jobs->open_count == 0) {
        app->jobs->is_noted = true;
        try_note_work(app, false); /* the note outlived a crash */
    } else if (st != INST_OK && err.type != NULL && strcmp(err.type, "record-not-found") == 0) {
        server->host.apps->manage->set_working(server->host.apps_ctx, app_id, false, NULL);
    } else if (st != INST_OK) {
        log_failure(server, &err);
    }
    inst_err_clear(&err);
}

void inst_jobs_resume(struct inst_server *server) {
    struct inst_err err = {0};
    if (!server->has_resumed) {
        server->has_resumed = true;
        if (server->host.apps->manage != NULL &&
            server->host.apps->manage->each_working(server->host.apps_ctx, add_resume, server,
                                                    &err) != INST_OK)
            log_failure(server, &err);
        inst_err_clear(&err);
    }
    struct inst_resume *resume = server->resumes;
    if (resume == NULL)
        return;
    server->resumes = resume->next;
    open_resume(server, resume->app_id);
    free(resume);
}

void inst_jobs_forget_resumes(struct inst_server *server) {
    while (server->resumes != NULL) {
        struct inst_resume *resume = server->resumes;
        server->resumes = resume->next;
        free(resume);
    }
}
