/*
 * viewer.h - who looks: an admin, a user, or nobody. What they may see and do is up to the rules
 * (permissions.h); admins have none.
 */
#ifndef INST_SERVER_VIEWER_H
#define INST_SERVER_VIEWER_H

#include "base/uuid.h"

#include <stdbool.h>

struct inst_viewer {
    bool is_admin;                 /* sees and may do everything */
    char user[INST_UUID_TEXT + 1]; /* id of the signed-in user; "" nobody */
};

/* Room for the JSON text of who wrote, as the log keeps it. */
#define INST_VIEWER_WHO_MAX (INST_UUID_TEXT + 16)
void inst_viewer_who(const struct inst_viewer *viewer, char out[INST_VIEWER_WHO_MAX]);

#endif
