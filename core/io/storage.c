#include "io/storage.h"

#include "base/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum inst_status inst_storage_open(struct inst_loop *loop, const char *spec, const char *app_id,
                                   struct inst_storage **out, struct inst_err *err) {
    struct inst_uuid uuid;
    char app[INST_UUID_TEXT + 1];
    *out = NULL;
    if (strcmp(spec, "memory") == 0)
        return INST_OK;
    /* It becomes part of a path. */
    if (!inst_uuid_parse(app_id, strlen(app_id), &uuid))
        return inst_err_set(err, "param-malformed", 400,
                            "A storage needs an app id that is a uuid.");
    inst_uuid_print(&uuid, app);
    if (strncmp(spec, "file:", 5) == 0 && spec[5])
        return inst_storage_open_folder(spec + 5, app, out, err);
    if (strncmp(spec, "sqlite:", 7) == 0 && spec[7])
        return inst_storage_open_sqlite(loop, spec + 7, app, out, err);
    return inst_err_set(err, "param-malformed", 400,
                        "`storage` must be \"memory\", \"file:FOLDER\" or \"sqlite:FILE\", got "
                        "\"%s\".",
                        spec);
}

enum inst_status inst_storage_fail(struct inst_err *cause, struct inst_err *err) {
    enum inst_status status = strcmp(cause->type, "out-of-memory") == 0
                                  ? inst_err_nomem(err)
                                  : inst_err_set(err, "storage-failed", 0, "%s", cause->message);
    inst_err_clear(cause);
    return status;
}

enum inst_status inst_storage_aside_name(const char *path, struct inst_buf *out,
                                         struct inst_err *err) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    inst_buf_init(out);
    inst_buf_addf(out, "%s.aside-%lld%06ld", path, (long long)now.tv_sec, now.tv_nsec / 1000);
    return out->failed ? inst_err_nomem(err) : INST_OK;
}

enum inst_status inst_storage_set_aside(const char *path, const char *name, const char *why,
                                        char **warning, struct inst_err *err) {
    struct inst_buf text;
    if (rename(path, name) != 0)
        return inst_err_set(err, "storage-failed", 0, "%s: cannot be set aside (%s)", path,
                            strerror(errno));
    inst_buf_init(&text);
    inst_buf_addf(&text, "%s cannot be used (%s) and is set aside as %s", path, why, name);
    free(*warning);
    *warning = inst_buf_take(&text, NULL); /* out of memory: it is done all the same */
    return INST_OK;
}
