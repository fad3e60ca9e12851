#include "capi/capi.h"

#include <stdlib.h>
#include <string.h>

/* Given out when there is no memory for an error, and never freed. */
static const struct instant_error out_of_memory = {
    .type = "out-of-memory", .message = "Out of memory.", .status = 500};

const char *instant_version(void) { return INSTANT_VERSION; }

void instant_free(void *memory) { free(memory); }

const char *instant_error_type(const struct instant_error *error) { return error->type; }

const char *instant_error_message(const struct instant_error *error) { return error->message; }

const char *instant_error_hint(const struct instant_error *error) { return error->hint; }

const char *instant_error_trace_id(const struct instant_error *error) { return error->trace_id; }

int instant_error_status(const struct instant_error *error) { return error->status; }

void instant_error_free(struct instant_error *error) {
    if (error != &out_of_memory)
        free(error);
}

static size_t room_for(const char *text) { return text ? strlen(text) + 1 : 0; }

static const char *put(char **at, const char *text) {
    if (!text)
        return NULL;
    char *copy = *at;
    size_t size = room_for(text);
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

/* One block: the struct, then its texts. */
static struct instant_error *copy_of(const struct inst_err *err) {
    struct instant_error *error =
        malloc(sizeof *error + room_for(err->type) + room_for(err->message) + room_for(err->hint));
    if (!error)
        return (struct instant_error *)&out_of_memory;
    char *at = (char *)(error + 1);
    error->type = put(&at, err->type);
    error->message = put(&at, err->message);
    error->hint = put(&at, err->hint);
    error->trace_id = NULL;
    error->status = err->status;
    return error;
}

bool inst_capi_fail(struct instant_error **error, struct inst_err *err) {
    if (error)
        *error = copy_of(err);
    inst_err_clear(err);
    return false;
}

struct instant_error inst_capi_view(const struct inst_reactor_error *error) {
    return (struct instant_error){.type = error->err->type,
                                  .message = error->err->message,
                                  .hint = error->err->hint,
                                  .trace_id = error->trace_id,
                                  .status = error->err->status};
}
