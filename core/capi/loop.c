#include "capi/capi.h"

#include "base/uuid.h"

#include <signal.h>
#include <stdlib.h>

/* A peer that is gone is an error of the write, not of the program. */
static void ignore_sigpipe(void) {
    struct sigaction present;
    if (sigaction(SIGPIPE, NULL, &present) == 0 && present.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

struct instant_loop *instant_loop_new(struct instant_error **error) {
    struct inst_err err = {0};
    struct instant_loop *loop = calloc(1, sizeof *loop);
    enum inst_status status = loop ? inst_loop_new(&loop->loop, &err) : inst_err_nomem(&err);
    if (status != INST_OK) {
        free(loop);
        inst_capi_fail(error, &err);
        return NULL;
    }
    ignore_sigpipe();
    return loop;
}

void instant_loop_free(struct instant_loop *loop) {
    if (!loop)
        return;
    while (loop->dbs)
        inst_capi_db_free(loop->dbs);
    inst_loop_free(loop->loop);
    free(loop);
}

int instant_loop_fd(struct instant_loop *loop) { return inst_loop_fd(loop->loop); }

int instant_loop_timeout(struct instant_loop *loop) { return inst_loop_timeout(loop->loop); }

bool instant_step(struct instant_loop *loop, int budget_us) {
    return inst_loop_step_for(loop->loop, budget_us);
}

bool instant_wait(struct instant_loop *loop, int timeout_ms) {
    return timeout_ms < 0 ? inst_loop_turn(loop->loop) : inst_loop_wait(loop->loop, timeout_ms);
}

void instant_run(struct instant_loop *loop) { inst_loop_run(loop->loop); }

void instant_stop(struct instant_loop *loop) { inst_loop_stop(loop->loop); }

static void log_line(void *ctx, enum inst_log_level level, const char *line) {
    const struct instant_loop *loop = ctx;
    loop->log(loop->log_ctx, (enum instant_log_level)level, line);
}

void instant_set_log(struct instant_loop *loop, enum instant_log_level level, instant_log_fn *fn,
                     void *ctx) {
    loop->log = fn;
    loop->log_ctx = ctx;
    inst_loop_log_level(loop->loop, (enum inst_log_level)level);
    inst_loop_log_to(loop->loop, fn ? log_line : NULL, loop);
}

_Static_assert((int)INSTANT_LOG_DEBUG == (int)INST_LOG_DEBUG, "levels are the same numbers");
_Static_assert(INSTANT_ID_SIZE == INST_UUID_TEXT + 1, "the text of a uuid and a NUL");

void instant_id(struct instant_loop *loop, char id[INSTANT_ID_SIZE]) {
    inst_uuid_make_text(inst_loop_env(loop->loop), id);
}
