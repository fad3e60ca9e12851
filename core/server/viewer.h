/*
 * viewer.h - who looks, and what of the system's namespaces they may see (permissions.md 2.1).
 *
 *     admin       everything
 *     a user      of $users the own row, and the guests whose primary user that is
 *     nobody      nothing of a `$` namespace
 *
 * Other namespaces are everybody's until rules exist.
 */
#ifndef INST_SERVER_VIEWER_H
#define INST_SERVER_VIEWER_H

#include "base/arena.h"
#include "base/uuid.h"
#include "triples/store.h"

#include <stdbool.h>
#include <stddef.h>

struct inst_viewer {
    bool is_admin;                 /* sees and may do everything */
    char user[INST_UUID_TEXT + 1]; /* id of the signed-in user; "" nobody */
};

/* Room for the JSON text of who wrote, as the log keeps it. */
#define INST_VIEWER_WHO_MAX (INST_UUID_TEXT + 16)
void inst_viewer_who(const struct inst_viewer *viewer, char out[INST_VIEWER_WHO_MAX]);

/* What one viewer may see during one run over one store. */
struct inst_view {
    uint32_t user;    /* 0: nobody, or not in the store */
    uint32_t *guests; /* whose primary user it is; in the arena */
    size_t guest_count;
};

/* Reads through the store what the view depends on. user "": of nobody. */
enum inst_status inst_view_begin(struct inst_view *view, const char *user, struct inst_store *store,
                                 struct inst_arena *arena, struct inst_err *err);
/* Fits inst_collect_options.is_visible with the view as ctx; not for admins, who see everything. */
int inst_view_shows(void *view, const struct inst_attr *attr, const struct inst_triple *triple,
                    struct inst_err *err);

#endif
