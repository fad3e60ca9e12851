/*
 * watch.h - what changes beside this process: files, and bytes on a descriptor.
 *
 * Does not hold the loop.
 */
#ifndef INST_IO_WATCH_H
#define INST_IO_WATCH_H

#include "base/err.h"
#include "io/loop.h"

struct inst_watch;

/* name: of the file in a folder that is watched; NULL when not known. */
typedef void inst_watch_fn(void *ctx, const char *name);

/* A file, or a folder and what is right in it. */
enum inst_status inst_watch_path(struct inst_loop *loop, const char *path, inst_watch_fn *fn,
                                 void *ctx, struct inst_watch **out, struct inst_err *err);
/* Something can be read; name is NULL. A terminal, pipe or socket, no plain file. */
enum inst_status inst_watch_fd(struct inst_loop *loop, int fd, inst_watch_fn *fn, void *ctx,
                               struct inst_watch **out, struct inst_err *err);
/* Also from inside its own callback. NULL is fine. */
void inst_watch_free(struct inst_watch *watch);

#endif
