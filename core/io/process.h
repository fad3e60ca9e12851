/*
 * process.h - child processes on the loop: their input, their output, their end.
 *
 *     spawn ──> output, output, ... ──> end(code, signal)
 *                                        once the child is gone and its output is read
 *
 * What a child left behind in the background may hold its pipes open: INST_PROCESS_LINGER_MS after
 * the child's end they are closed. A running process holds the loop.
 */
#ifndef INST_IO_PROCESS_H
#define INST_IO_PROCESS_H

#include "base/err.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_PROCESS_LINGER_MS 500

struct inst_process;

struct inst_process_options {
    char *const *args; /* args[0] is looked for in PATH; NULL at the end */
    char *const *env;  /* "NAME=value", NULL at the end; NULL: this process' own */
    const char *cwd;   /* NULL: this process' own */
    bool inherits_in;  /* this process' own instead of a pipe */
    bool inherits_out;
    bool inherits_err;
};

struct inst_process_events {
    void *ctx;
    /* fd 1 or 2; len 0: nothing more comes from it. */
    void (*output)(void *ctx, int fd, const char *bytes, size_t len);
    void (*written)(void *ctx); /* all that was given to write is with the child, or is lost */
    /* The last call. The process may be freed inside. */
    void (*end)(void *ctx, int64_t code, int signum);
};

enum inst_status inst_process_spawn(struct inst_loop *loop,
                                    const struct inst_process_options *options,
                                    const struct inst_process_events *events,
                                    struct inst_process **out, struct inst_err *err);
int inst_process_pid(const struct inst_process *process);
/* Bytes are copied. Failing because the child reads no more is no error. */
enum inst_status inst_process_write(struct inst_process *process, const char *bytes, size_t len,
                                    struct inst_err *err);
/* Nothing more is written; what was given still goes out. */
void inst_process_close_input(struct inst_process *process);
/* false when it has ended already. */
bool inst_process_kill(struct inst_process *process, int signum);
/* Kills it when it runs; nobody is called any more. NULL is fine. */
void inst_process_free(struct inst_process *process);

#endif
