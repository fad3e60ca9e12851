#include "server/viewer.h"

#include <stdio.h>
#include <string.h>

void inst_viewer_who(const struct inst_viewer *viewer, char out[INST_VIEWER_WHO_MAX]) {
    if (viewer->is_admin)
        snprintf(out, INST_VIEWER_WHO_MAX, "{\"admin\":true}");
    else if (viewer->user[0] != '\0')
        snprintf(out, INST_VIEWER_WHO_MAX, "{\"user\":\"%s\"}", viewer->user);
    else
        snprintf(out, INST_VIEWER_WHO_MAX, "null");
}
