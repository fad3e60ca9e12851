#include "base/date.h"
#include "base/json.h"
#include "server/jobs_internal.h"

#include <stdlib.h>

const char *const inst_job_type_names[INST_JOB_TYPES] = {
    "check-data-type", "remove-data-type", "index",           "remove-index", "unique",
    "remove-unique",   "required",         "remove-required", "cardinality",
};

static const char *const status_names[] = {"waiting", "processing", "completed", "errored"};

static const char *const error_names[INST_JOB_ERRORS] = {
    "",
    "invalid-triple-error",
    "triple-too-large-error",
    "triple-not-unique-error",
    "missing-required-error",
    "invalid-attr-state-error",
    "unexpected-error",
};

static const char *const checked_names[] = {"", "string", "number", "boolean", "date"};

const char *inst_checked_type_name(enum inst_checked_type type) { return checked_names[type]; }

enum inst_checked_type inst_checked_type_of(const struct inst_value *name) {
    for (int i = 1; i < 5; i++)
        if (inst_is_string(name, checked_names[i]))
            return (enum inst_checked_type)i;
    return INST_CHECKED_NONE;
}

/* ---- writing ---- */

static void write_text(struct inst_buf *out, const char *key, const char *text) {
    if (text == NULL || text[0] == '\0')
        inst_buf_addf(out, ",\"%s\":null", key);
    else
        inst_buf_addf(out, ",\"%s\":\"%s\"", key, text);
}

static void write_json(struct inst_buf *out, const char *key, const char *json) {
    inst_buf_addf(out, ",\"%s\":", key);
    inst_buf_add_str(out, json != NULL ? json : "null");
}

static void write_work(struct inst_buf *out, const char *key, int64_t work) {
    inst_buf_addf(out, ",\"%s\":", key);
    if (work == INST_JOB_NO_WORK)
        inst_buf_add_str(out, "null");
    else
        inst_buf_add_int(out, work);
}

static void write_time(struct inst_buf *out, const char *key, int64_t ms) {
    char text[INST_DATE_TEXT_MAX] = "";
    if (ms != 0)
        inst_date_iso((double)ms, text);
    write_text(out, key, text);
}

static void write_attr_name(struct inst_buf *out, const struct inst_app *app,
                            const struct inst_job *job) {
    const struct inst_attr *attr =
        inst_attrs_by_id(app->catalog->attrs, job->attr_id, strlen(job->attr_id));
    struct inst_buf name;
    inst_buf_add_str(out, ",\"attr_name\":");
    if (attr == NULL) {
        inst_buf_add_str(out, "null");
        return;
    }
    inst_buf_init(&name);
    inst_buf_add(&name, attr->forward.etype.u.str, attr->forward.etype.len);
    inst_buf_add_char(&name, '.');
    inst_buf_add(&name, attr->forward.label.u.str, attr->forward.label.len);
    if (name.failed)
        out->failed = true;
    else
        inst_json_write_string(out, name.data, name.len);
    inst_buf_free(&name);
}

void inst_job_write(const struct inst_app *app, const struct inst_job *job, struct inst_buf *out) {
    inst_buf_addf(out, "{\"id\":\"%s\",\"app_id\":\"%s\"", job->id, app->info.id);
    write_text(out, "group_id", job->group);
    write_text(out, "attr_id", job->attr_id);
    write_attr_name(out, app, job);
    write_text(out, "job_type", inst_job_type_names[job->type]);
    write_text(out, "job_status", status_names[job->status]);
    write_text(out, "job_stage", inst_job_stage_name(job->type, job->stage));
    write_work(out, "work_estimate", job->work_estimate);
    write_work(out, "work_completed", job->work_completed);
    write_text(out, "error", error_names[job->error]);
    write_text(out, "checked_data_type", inst_checked_type_name(job->checked_type));
    write_time(out, "created_at", job->created_ms);
    write_time(out, "updated_at", job->updated_ms);
    write_time(out, "done_at", job->done_ms);
    write_json(out, "invalid_unique_value", job->unique_value);
    write_json(out, "invalid_triples_sample", job->sample);
    write_json(out, "error_data", job->error_data);
    inst_buf_add_char(out, '}');
}

void inst_job_write_note(const struct inst_job *job, struct inst_buf *out) {
    inst_buf_addf(out, "{\"id\":\"%s\"", job->id);
    write_text(out, "group", job->group);
    write_text(out, "attr", job->attr_id);
    write_text(out, "type", inst_job_type_names[job->type]);
    write_text(out, "status", status_names[job->status]);
    write_text(out, "stage", inst_job_stage_name(job->type, job->stage));
    write_text(out, "checked", inst_checked_type_name(job->checked_type));
    write_work(out, "estimate", job->work_estimate);
    write_work(out, "completed", job->work_completed);
    write_work(out, "stage-work", job->stage_work);
    write_work(out, "created", job->created_ms);
    write_work(out, "updated", job->updated_ms);
    write_work(out, "done", job->done_ms);
    write_text(out, "error", error_names[job->error]);
    write_json(out, "tidying", job->is_tidying ? "true" : "false");
    write_json(out, "asked", job->is_asked ? "true" : "false");
    write_json(out, "unique-value", job->unique_value);
    write_json(out, "sample", job->sample);
    write_json(out, "error-data", job->error_data);
    inst_buf_add_char(out, '}');
}

/* ---- reading ---- */

static bool read_id(const struct inst_value *note, const char *key, char out[INST_UUID_TEXT + 1]) {
    const struct inst_value *v = inst_get_string(note, key);
    struct inst_uuid id;
    if (v == NULL || !inst_uuid_parse(v->u.str, v->len, &id))
        return false;
    inst_uuid_print(&id, out);
    return true;
}

static int read_name(const struct inst_value *note, const char *key, const char *const *names,
                     int count) {
    const struct inst_value *v = inst_getz(note, key);
    for (int i = 0; v != NULL && i < count; i++)
        if (inst_is_string(v, names[i]))
            return i;
    return -1;
}

static int64_t read_number(const struct inst_value *note, const char *key, int64_t otherwise) {
    const struct inst_value *v = inst_getz(note, key);
    return v != NULL && v->tag == INST_NUMBER && v->u.num >= 0 && v->u.num < 9e15
               ? (int64_t)v->u.num
               : otherwise;
}

static bool read_json(const struct inst_value *note, const char *key, char **out) {
    const struct inst_value *v = inst_getz(note, key);
    struct inst_buf text;
    size_t len;
    *out = NULL;
    if (v == NULL || inst_is_nullish(v))
        return true;
    inst_buf_init(&text);
    inst_json_write(&text, v);
    if (!text.failed)
        *out = inst_buf_take(&text, &len);
    inst_buf_free(&text);
    return *out != NULL;
}

bool inst_job_read_note(struct inst_job *job, const struct inst_value *note) {
    if (note->tag != INST_OBJECT)
        return false;
    int type = read_name(note, "type", inst_job_type_names, INST_JOB_TYPES);
    int status = read_name(note, "status", status_names, 4);
    int error = read_name(note, "error", error_names, INST_JOB_ERRORS);
    const struct inst_value *stage = inst_getz(note, "stage"),
                            *checked = inst_getz(note, "checked");
    if (type < 0 || status < 0 || !read_id(note, "id", job->id) ||
        !read_id(note, "attr", job->attr_id))
        return false;
    read_id(note, "group", job->group);
    job->type = (enum inst_job_type)type;
    job->status = (enum inst_job_status)status;
    job->is_tidying = inst_get_true(note, "tidying");
    job->is_asked = inst_get_true(note, "asked");
    job->error = error > 0 ? (enum inst_job_error)error : INST_JOB_NO_ERROR;
    job->stage = stage != NULL ? inst_job_find_stage(job->type, stage) : 0;
    job->checked_type = checked != NULL ? inst_checked_type_of(checked) : INST_CHECKED_NONE;
    job->work_estimate = read_number(note, "estimate", INST_JOB_NO_WORK);
    job->stage_work = read_number(note, "stage-work", INST_JOB_NO_WORK);
    job->work_completed =
        inst_job_is_open(job) ? job->stage_work : read_number(note, "completed", INST_JOB_NO_WORK);
    job->created_ms = read_number(note, "created", 0);
    job->updated_ms = read_number(note, "updated", 0);
    job->done_ms = read_number(note, "done", 0);
    return read_json(note, "unique-value", &job->unique_value) &&
           read_json(note, "sample", &job->sample) &&
           read_json(note, "error-data", &job->error_data);
}

void inst_job_free(struct inst_job *job) {
    if (job == NULL)
        return;
    free(job->unique_value);
    free(job->sample);
    free(job->error_data);
    inst_buf_free(&job->place);
    free(job);
}
