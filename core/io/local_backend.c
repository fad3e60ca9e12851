#include "io/local_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The path that all names of the file share; the file need not exist yet. */
static char *resolve(const char *path) {
    char *whole = realpath(path, NULL);
    if (whole)
        return whole;
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *real = dir ? realpath(dir, NULL) : NULL;
    free(dir);
    if (!real)
        return strdup(path); /* opening it will say what is wrong */
    const char *name = slash ? slash + 1 : path;
    size_t len = strlen(real) + strlen(name) + 2;
    whole = malloc(len);
    if (whole)
        snprintf(whole, len, "%s/%s", real, name);
    free(real);
    return whole;
}

enum inst_status inst_local_backend_open(struct inst_local_backend **list, struct inst_loop *loop,
                                         const char *path, struct inst_local_backend **out,
                                         struct inst_err *err) {
    char *whole = resolve(path);
    if (!whole)
        return inst_err_nomem(err);
    for (struct inst_local_backend *at = *list; at; at = at->next) {
        if (strcmp(at->path, whole) == 0) {
            at->refs++;
            free(whole);
            *out = at;
            return INST_OK;
        }
    }
    struct inst_local_backend *backend = calloc(1, sizeof *backend);
    enum inst_status status =
        backend ? inst_backend_open(loop, path, true, &backend->backend, err) : inst_err_nomem(err);
    if (status != INST_OK) {
        free(backend);
        free(whole);
        return status;
    }
    backend->path = whole;
    backend->refs = 1;
    backend->next = *list;
    *list = backend;
    *out = backend;
    return INST_OK;
}

void inst_local_backend_release(struct inst_local_backend **list,
                                struct inst_local_backend *backend) {
    if (!backend || --backend->refs > 0)
        return;
    for (struct inst_local_backend **at = list; *at; at = &(*at)->next) {
        if (*at == backend) {
            *at = backend->next;
            break;
        }
    }
    if (backend->free_extra)
        backend->free_extra(backend->extra);
    inst_backend_close(backend->backend);
    free(backend->path);
    free(backend);
}
