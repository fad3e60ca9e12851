#include "client/reactor_internal.h"

#include "base/json.h"

#include <stdlib.h>

/* session.md 2.4, and what the client adds. */
static const char *const known_types[] = {
    "param-missing",
    "param-malformed",
    "validation-failed",
    "record-not-found",
    "record-expired",
    "record-not-unique",
    "record-foreign-key-invalid",
    "record-check-violation",
    "sql-raise",
    "sql-exception",
    "permission-denied",
    "permission-evaluation-failed",
    "app-read-only",
    "app-disabled",
    "rate-limited",
    "operation-timed-out",
    "timeout",
    "parameter-limit-exceeded",
    "session-missing",
    "member-missing",
    "connection-closed",
    "unknown",
};

/* The same text as a pointer that lives as long as the reactor. A server that keeps inventing types
 * gets "unknown" for the rest. */
static const char *intern_type(struct inst_reactor *r, const struct inst_value *type) {
    if (!type || type->tag != INST_STRING || type->len == 0) {
        return "unknown";
    }
    for (size_t i = 0; i < sizeof(known_types) / sizeof(known_types[0]); i++) {
        if (inst_is_string(type, known_types[i])) {
            return known_types[i];
        }
    }
    for (size_t i = 0; i < r->type_count; i++) {
        if (inst_is_string(type, r->types[i])) {
            return r->types[i];
        }
    }
    if (r->type_count == INST_REACTOR_MAX_TYPES || type->len > 100) {
        return "unknown";
    }
    const char *copy = inst_arena_dup(&r->arena, type->u.str, type->len);
    if (copy) {
        r->types[r->type_count++] = copy;
    }
    return copy ? copy : "unknown";
}

void inst_problem_clear(struct inst_problem *problem) {
    inst_err_clear(&problem->err);
    free(problem->trace_id);
    *problem = (struct inst_problem){0};
}

void inst_problem_copy(struct inst_problem *dst, const struct inst_problem *src) {
    inst_problem_clear(dst);
    inst_err_set(&dst->err, src->err.type, src->err.status, "%s", src->err.message);
    if (src->err.hint) {
        inst_err_hint(&dst->err, src->err.hint);
    }
    dst->trace_id = src->trace_id ? strdup(src->trace_id) : NULL;
}

static char *join_traces(const struct inst_value *own, const struct inst_value *original) {
    struct inst_buf buf;
    inst_buf_init(&buf);
    if (own && own->len) {
        inst_buf_add(&buf, own->u.str, own->len);
    }
    if (original && original->len) {
        if (buf.len) {
            inst_buf_add_char(&buf, ',');
        }
        inst_buf_add(&buf, original->u.str, original->len);
    }
    if (!buf.len) {
        inst_buf_free(&buf);
        return NULL;
    }
    return inst_buf_take(&buf, NULL);
}

void inst_problem_of_message(struct inst_reactor *r, const struct inst_value *msg,
                             struct inst_problem *out) {
    *out = (struct inst_problem){0};
    const struct inst_value *message = inst_get_string(msg, "message");
    const struct inst_value *status = inst_getz(msg, "status");
    const struct inst_value *hint = inst_getz(msg, "hint");
    struct inst_value text = inst_cstring("Uh-oh, something went wrong.");
    if (message && message->len) {
        text = *message;
    }
    bool has_status =
        status && status->tag == INST_NUMBER && status->u.num >= 100 && status->u.num < 1000;
    inst_err_set(&out->err, intern_type(r, inst_getz(msg, "type")),
                 has_status ? (int)status->u.num : 500, "%.*s", (int)text.len, text.u.str);
    if (hint && hint->tag == INST_OBJECT) {
        struct inst_buf buf;
        inst_buf_init(&buf);
        inst_json_write(&buf, hint);
        if (!buf.failed) {
            inst_err_hint(&out->err, buf.data);
        }
        inst_buf_free(&buf);
    }
    out->trace_id = join_traces(inst_get_string(msg, "trace-id"),
                                inst_get_string(inst_getz(msg, "original-event"), "trace-id"));
}

void inst_problem_local(struct inst_problem *out, const char *type, const char *message) {
    *out = (struct inst_problem){0};
    inst_err_set(&out->err, type, 0, "%s", message);
}

struct inst_reactor_error inst_problem_view(const struct inst_problem *problem) {
    return (struct inst_reactor_error){.err = &problem->err, .trace_id = problem->trace_id};
}
