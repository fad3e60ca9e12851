/*
 * viewer.h - who looks: an admin, a user, or nobody. What they may see and do is up to the rules
 * (permissions.h); admins have none.
 */
#ifndef INST_SERVER_VIEWER_H
#define INST_SERVER_VIEWER_H

#include "base/uuid.h"

#include <stdbool.h>

/* Where a connection or a request comes from, as rules see it (permissions.md 3.4). The texts are
 * borrowed and outlive the viewer; NULL: not known. */
struct inst_caller {
    const char *ip;     /* address of the client: the host has looked behind its proxies */
    const char *origin; /* the `Origin` header */
};

struct inst_viewer {
    bool is_admin;                 /* sees and may do everything */
    char user[INST_UUID_TEXT + 1]; /* id of the signed-in user; "" nobody */
    struct inst_caller from;
};

/* Room for the JSON text of who wrote, as the log keeps it. */
#define INST_VIEWER_WHO_MAX (INST_UUID_TEXT + 16)
void inst_viewer_who(const struct inst_viewer *viewer, char out[INST_VIEWER_WHO_MAX]);

#endif
