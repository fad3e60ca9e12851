#include "io/file_keep.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct job {
    uv_work_t work; /* first: the request is the job */
    struct job *next, *previous;
    struct inst_file_keeper *keeper; /* NULL: answered already, only to be freed */
    struct inst_file_writer *writer; /* made and freed on the loop */
    char location[INST_UUID_TEXT + 1];
    char *bytes; /* owned */
    size_t len;
    inst_files_kept_fn *kept;
    void *ctx;
    uv_sem_t written; /* posted by the worker, behind the next two */
    enum inst_status status;
    struct inst_err err;
};

struct inst_file_keeper {
    struct inst_loop *loop;
    struct inst_file_store *store;
    struct job *jobs;
};

enum inst_status inst_file_keeper_new(struct inst_loop *loop, struct inst_file_store *store,
                                      struct inst_file_keeper **out, struct inst_err *err) {
    struct inst_file_keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return inst_err_nomem(err);
    keeper->loop = loop;
    keeper->store = store;
    *out = keeper;
    return INST_OK;
}

static void free_job(struct job *job) {
    uv_sem_destroy(&job->written);
    inst_file_writer_free(job->writer);
    inst_err_clear(&job->err);
    free(job->bytes);
    free(job);
}

/* Out of the list, and told. */
static void answer(struct job *job) {
    if (job->previous)
        job->previous->next = job->next;
    else
        job->keeper->jobs = job->next;
    if (job->next)
        job->next->previous = job->previous;
    inst_loop_release(job->keeper->loop);
    job->keeper = NULL;
    job->kept(job->ctx, job->status == INST_OK ? NULL : &job->err);
}

/* ---- on a worker thread ---- */

static void write_bytes(struct job *job) {
    struct inst_file_stored stored;
    job->status = inst_file_writer_add(job->writer, job->bytes, job->len, &job->err);
    if (job->status == INST_OK)
        job->status = inst_file_writer_finish(job->writer, job->location, &stored, &job->err);
}

static void do_work(uv_work_t *work) {
    struct job *job = (struct job *)work;
    write_bytes(job);
    uv_sem_post(&job->written);
}

/* ---- on the loop ---- */

static void work_done(uv_work_t *work, int cancelled) {
    struct job *job = (struct job *)work;
    (void)cancelled; /* answered by finish then */
    if (job->keeper)
        answer(job);
    free_job(job);
}

enum inst_status inst_file_keeper_add(struct inst_file_keeper *keeper, const char *app,
                                      const char *location, char *bytes_take, size_t len,
                                      inst_files_kept_fn *kept, void *ctx, struct inst_err *err) {
    struct job *job = calloc(1, sizeof *job);
    if (!job || uv_sem_init(&job->written, 0) != 0) {
        free(job);
        free(bytes_take);
        return inst_err_nomem(err);
    }
    job->keeper = keeper;
    memcpy(job->location, location, sizeof job->location);
    job->bytes = bytes_take;
    job->len = len;
    job->kept = kept;
    job->ctx = ctx;
    enum inst_status status = inst_file_writer_new(keeper->store, app, len, &job->writer, err);
    if (status == INST_OK &&
        uv_queue_work(inst_loop_uv(keeper->loop), &job->work, do_work, work_done) != 0)
        status = inst_err_set(err, "io-error", 500, "No thread writes the file.");
    if (status != INST_OK) {
        free_job(job);
        return status;
    }
    job->next = keeper->jobs;
    if (job->next)
        job->next->previous = job;
    keeper->jobs = job;
    inst_loop_hold(keeper->loop);
    return INST_OK;
}

/* work_done comes for each of them later and frees it: a cancelled one has not been worked on. */
void inst_file_keeper_finish(struct inst_file_keeper *keeper) {
    while (keeper->jobs) {
        struct job *job = keeper->jobs;
        if (uv_cancel((uv_req_t *)&job->work) == 0)
            write_bytes(job);
        else
            uv_sem_wait(&job->written);
        answer(job);
    }
}

void inst_file_keeper_free(struct inst_file_keeper *keeper) { free(keeper); }
