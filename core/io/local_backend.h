/*
 * local_backend.h - the backends inside this process, found by the file they serve: whoever names
 * the same file on the same loop gets the same one.
 */
#ifndef INST_IO_LOCAL_BACKEND_H
#define INST_IO_LOCAL_BACKEND_H

#include "io/backend.h"

struct inst_local_backend {
    struct inst_local_backend *next; /* of the owner's list */
    struct inst_backend *backend;
    char *path; /* resolved */
    size_t refs;
    /* What belongs to it beside the engine, freed before it; NULL: nothing. */
    void *extra;
    void (*free_extra)(void *extra);
};

/* From the list, which the caller owns and starts with NULL, or opened and added to it. */
enum inst_status inst_local_backend_open(struct inst_local_backend **list, struct inst_loop *loop,
                                         const char *path, struct inst_local_backend **out,
                                         struct inst_err *err);
/* Closes it with the last reference; NULL is fine. */
void inst_local_backend_release(struct inst_local_backend **list,
                                struct inst_local_backend *backend);

#endif
