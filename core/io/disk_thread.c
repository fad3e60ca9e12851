#include "io/disk.h"
#include "io/storage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* One request; what it is answered was allocated on the other thread. */
struct disk_job {
    struct disk_job *next;
    struct inst_disk_request request;
    struct inst_buf out; /* LOAD: the text; LIST: the keys */
    bool is_there;
    enum inst_status status;
    struct inst_err err;
    char *warning;
    bool is_anew;
};

struct job_queue {
    struct disk_job *first, *last;
};

struct thread_disk {
    struct inst_disk base;
    struct inst_loop *loop;
    struct inst_storage *storage; /* the running thread's */
    uv_async_t *async;
    pthread_mutex_t mutex; /* for everything below */
    pthread_cond_t idle;
    struct job_queue asked, done;
    struct inst_work *work; /* on its way to a thread, or there; NULL: none */
};

/* Outlives the disk: libuv calls back when it is over. */
struct inst_work {
    uv_work_t uv;
    struct thread_disk *disk;
};

/* ---- jobs ---- */

static void push(struct job_queue *queue, struct disk_job *job) {
    job->next = NULL;
    if (queue->last)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static struct disk_job *pop(struct job_queue *queue) {
    struct disk_job *job = queue->first;
    if (job) {
        queue->first = job->next;
        if (!queue->first)
            queue->last = NULL;
    }
    return job;
}

static void free_job(struct disk_job *job) {
    inst_buf_free(&job->out);
    inst_err_clear(&job->err);
    free(job->warning);
    free(job);
}

static void run(struct inst_storage *storage, struct disk_job *job) {
    const struct inst_disk_request *request = &job->request;
    switch (request->op) {
    case INST_DISK_LOAD:
        job->status = storage->ops->load(storage, request->store, request->key, &job->out,
                                         &job->is_there, &job->err);
        break;
    case INST_DISK_WRITE:
        job->status = storage->ops->write(storage, request->store, request->pairs,
                                          request->pair_count, request->is_durable, &job->err);
        break;
    case INST_DISK_LIST:
        job->status = storage->ops->list(storage, request->store, &job->out, &job->err);
        break;
    }
    if (job->status == INST_OK && job->out.failed)
        job->status = inst_err_nomem(&job->err);
    job->warning = storage->warning;
    storage->warning = NULL;
    job->is_anew = storage->is_anew;
    storage->is_anew = false;
}

/* ---- on the other thread ---- */

/* Works off what was asked; with the mutex. */
static void work_off(struct thread_disk *disk) {
    struct disk_job *job;
    while ((job = pop(&disk->asked)) != NULL) {
        pthread_mutex_unlock(&disk->mutex);
        run(disk->storage, job);
        pthread_mutex_lock(&disk->mutex);
        push(&disk->done, job);
        uv_async_send(disk->async);
    }
}

static void on_thread(uv_work_t *uv) {
    struct inst_work *work = (struct inst_work *)uv;
    struct thread_disk *disk = work->disk;
    pthread_mutex_lock(&disk->mutex);
    work_off(disk);
    disk->work = NULL;
    pthread_cond_signal(&disk->idle);
    pthread_mutex_unlock(&disk->mutex);
}

static void after_work(uv_work_t *uv, int status) {
    (void)status;
    free(uv);
}

/* ---- on the loop's thread ---- */

/* Keys that follow one another, each with a NUL. */
static const char **split_keys(const struct inst_buf *buf, size_t *count) {
    size_t n = 0;
    for (size_t i = 0; i < buf->len; i++)
        n += buf->data[i] == '\0';
    const char **keys = malloc((n + 1) * sizeof *keys);
    *count = 0;
    for (size_t i = 0; keys && i < buf->len; i += strlen(buf->data + i) + 1)
        keys[(*count)++] = buf->data + i;
    return keys;
}

static void answer(struct thread_disk *disk, struct disk_job *job) {
    struct inst_disk_answer answer = {0};
    const char **keys = NULL;
    if (job->warning) {
        const struct inst_env *env = inst_loop_env(disk->loop);
        env->log(env->ctx, INST_LOG_WARN, job->warning);
    }
    if (job->status == INST_OK && job->request.op == INST_DISK_LIST) {
        keys = split_keys(&job->out, &answer.key_count);
        if (!keys)
            job->status = inst_err_nomem(&job->err);
        answer.keys = keys;
    }
    if (job->status != INST_OK) {
        answer = (struct inst_disk_answer){.err = &job->err};
    } else if (job->request.op == INST_DISK_LOAD && job->is_there) {
        answer.value = job->out.data ? job->out.data : "";
        answer.len = job->out.len;
    }
    answer.is_anew = job->is_anew;
    disk->base.events.done(disk->base.events.ctx, job->request.id, &answer);
    free(keys);
    free_job(job);
}

static void answer_all(struct thread_disk *disk) {
    for (;;) {
        pthread_mutex_lock(&disk->mutex);
        struct disk_job *job = pop(&disk->done);
        pthread_mutex_unlock(&disk->mutex);
        if (!job)
            return;
        answer(disk, job);
    }
}

static void on_async(uv_async_t *async) {
    if (async->data)
        answer_all(async->data);
}

/* With the mutex. */
static bool start_work(struct thread_disk *disk) {
    struct inst_work *work = calloc(1, sizeof *work);
    if (!work)
        return false;
    work->disk = disk;
    if (uv_queue_work(inst_loop_uv(disk->loop), &work->uv, on_thread, after_work) != 0) {
        free(work);
        return false;
    }
    disk->work = work;
    return true;
}

static void thread_submit(struct inst_disk *base, const struct inst_disk_request *request) {
    struct thread_disk *disk = (struct thread_disk *)base;
    struct disk_job *job = calloc(1, sizeof *job);
    if (!job) {
        struct inst_err err = {0};
        inst_err_nomem(&err);
        struct inst_disk_answer answer = {.err = &err};
        base->events.done(base->events.ctx, request->id, &answer);
        return;
    }
    job->request = *request;
    pthread_mutex_lock(&disk->mutex);
    push(&disk->asked, job);
    if (!disk->work && !start_work(disk))
        work_off(disk); /* no thread to be had: here, then */
    pthread_mutex_unlock(&disk->mutex);
}

/* Until the thread is done, or this one has done it in its place. */
static void wait_for_thread(struct thread_disk *disk) {
    pthread_mutex_lock(&disk->mutex);
    /* Work that no thread has begun waits for others, perhaps for long. */
    if (disk->work && uv_cancel((uv_req_t *)&disk->work->uv) == 0)
        disk->work = NULL;
    while (disk->work)
        pthread_cond_wait(&disk->idle, &disk->mutex);
    work_off(disk);
    pthread_mutex_unlock(&disk->mutex);
}

static bool thread_finish(struct inst_disk *base) {
    struct thread_disk *disk = (struct thread_disk *)base;
    wait_for_thread(disk);
    answer_all(disk);
    return true;
}

static void free_async(uv_handle_t *handle) { free(handle); }

static void thread_close(struct inst_disk *base) {
    struct thread_disk *disk = (struct thread_disk *)base;
    struct disk_job *job;
    wait_for_thread(disk);
    while ((job = pop(&disk->done)) != NULL)
        free_job(job);
    disk->async->data = NULL;
    uv_close((uv_handle_t *)disk->async, free_async);
    disk->storage->ops->close(disk->storage);
    pthread_cond_destroy(&disk->idle);
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

static const struct inst_disk_ops thread_ops = {thread_submit, thread_finish, thread_close};

enum inst_status inst_disk_on_thread(struct inst_loop *loop, struct inst_storage *storage,
                                     struct inst_disk **out, struct inst_err *err) {
    struct thread_disk *disk = calloc(1, sizeof *disk);
    uv_async_t *async = disk ? malloc(sizeof *async) : NULL;
    if (!async || uv_async_init(inst_loop_uv(loop), async, on_async) != 0) {
        free(async);
        free(disk);
        storage->ops->close(storage);
        return inst_err_nomem(err);
    }
    async->data = disk;
    disk->base.ops = &thread_ops;
    disk->loop = loop;
    disk->storage = storage;
    disk->async = async;
    pthread_mutex_init(&disk->mutex, NULL);
    pthread_cond_init(&disk->idle, NULL);
    if (storage->warning) {
        const struct inst_env *env = inst_loop_env(loop);
        env->log(env->ctx, INST_LOG_WARN, storage->warning);
        free(storage->warning);
        storage->warning = NULL;
    }
    *out = &disk->base;
    return INST_OK;
}
