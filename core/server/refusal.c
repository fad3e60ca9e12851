#include "server/refusal.h"

#include "base/json.h"
#include "base/uuid.h"
#include "server/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void inst_write_bounded(struct inst_buf *buf, const struct inst_value *value) {
    if (value == NULL || value->tag == INST_UNDEFINED) {
        inst_buf_add_str(buf, "null");
        return;
    }
    if (value->tag == INST_STRING && value->len > INST_SERVER_ECHO_MAX) {
        inst_buf_add_str(buf, "null");
        return;
    }
    size_t before = buf->len;
    inst_json_write(buf, value);
    if (!buf->failed && buf->len - before > INST_SERVER_ECHO_MAX) {
        buf->len = before;
        inst_buf_add_str(buf, "null");
    }
}

#define READABLE_MAX 200

void inst_write_readable(struct inst_buf *buf, const struct inst_value *value) {
    struct inst_uuid uuid;
    size_t before = buf->len;
    if (value == NULL || inst_is_nullish(value)) {
        inst_buf_add_str(buf, "null");
    } else if (value->tag == INST_STRING) {
        inst_buf_add(buf, value->u.str, value->len);
    } else if (value->tag == INST_ARRAY && value->len == 2 &&
               value->u.items[0].tag == INST_STRING &&
               inst_uuid_parse(value->u.items[0].u.str, value->u.items[0].len, &uuid)) {
        inst_buf_add_str(buf, "[#uuid ");
        inst_json_write(buf, &value->u.items[0]);
        inst_buf_add_char(buf, ' ');
        inst_json_write(buf, &value->u.items[1]);
        inst_buf_add_char(buf, ']');
    } else {
        inst_json_write(buf, value);
    }
    if (!buf->failed && buf->len - before > READABLE_MAX) {
        size_t end = before + READABLE_MAX;
        while (end > before && ((unsigned char)buf->data[end] & 0xc0) == 0x80)
            end--;
        buf->len = end;
        inst_buf_add_str(buf, "...");
    }
}

const char *inst_json_type(const struct inst_value *value) {
    switch (value->tag) {
    case INST_NUMBER:
        return "number";
    case INST_STRING:
    case INST_DATE:
        return "string";
    case INST_TRUE:
    case INST_FALSE:
        return "boolean";
    case INST_ARRAY:
        return "array";
    case INST_OBJECT:
        return "object";
    default:
        return "null";
    }
}

static void set_hint(struct inst_err *err, struct inst_buf *hint) {
    if (err != NULL && !hint->failed && hint->data != NULL)
        inst_err_hint(err, hint->data);
    inst_buf_free(hint);
}

static void add_text(struct inst_buf *buf, const struct inst_value *text) {
    if (text->tag == INST_STRING)
        inst_buf_add(buf, text->u.str, text->len);
}

static void add_json_text(struct inst_buf *buf, const char *text) {
    inst_json_write_string(buf, text, strlen(text));
}

/* vprintf into a buffer; messages may hold any bytes that came through %.*s. */
static void add_formatted(struct inst_buf *buf, const char *fmt, va_list args) {
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    if (len > 0 && inst_buf_reserve(buf, (size_t)len + 1)) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

enum inst_status inst_refuse_validation(struct inst_err *err, const char *data_type,
                                        const struct inst_value *input, const char *more,
                                        const char *fmt, ...) {
    struct inst_buf message, hint;
    inst_buf_init(&message);
    inst_buf_init(&hint);
    if (fmt != NULL) {
        va_list args;
        va_start(args, fmt);
        add_formatted(&message, fmt, args);
        va_end(args);
    }
    inst_buf_addf(&hint, "{\"data-type\":\"%s\",\"input\":", data_type);
    inst_write_bounded(&hint, input);
    inst_buf_add_str(&hint, ",\"errors\":[{");
    if (fmt != NULL && message.data != NULL) {
        inst_buf_add_str(&hint, "\"message\":");
        inst_json_write_string(&hint, message.data, message.len);
    }
    if (more != NULL)
        inst_buf_addf(&hint, "%s%s", fmt != NULL ? "," : "", more);
    inst_buf_add_str(&hint, "}]}");
    enum inst_status st;
    if (message.failed || hint.failed)
        st = inst_err_nomem(err);
    else if (fmt != NULL)
        st = inst_err_set(err, "validation-failed", 400, "Validation failed for %s: %s", data_type,
                          message.data != NULL ? message.data : "");
    else
        st = inst_err_set(err, "validation-failed", 400, "Validation failed for %s", data_type);
    inst_buf_free(&message);
    set_hint(err, &hint);
    return st;
}

enum inst_status inst_refuse_raise(struct inst_err *err, const char *fmt, ...) {
    struct inst_buf message, hint;
    inst_buf_init(&message);
    inst_buf_init(&hint);
    va_list args;
    va_start(args, fmt);
    add_formatted(&message, fmt, args);
    va_end(args);
    inst_buf_add_str(&hint, "{\"table\":null,\"condition\":\"raise-exception\",\"constraint\":");
    inst_json_write_string(&hint, message.data != NULL ? message.data : "", message.len);
    inst_buf_add_char(&hint, '}');
    enum inst_status st = message.failed || hint.failed
                              ? inst_err_nomem(err)
                              : inst_err_set(err, "sql-raise", 400, "Raised Exception: %s",
                                             message.data != NULL ? message.data : "");
    inst_buf_free(&message);
    set_hint(err, &hint);
    return st;
}

enum inst_status inst_refuse_not_found(struct inst_err *err, const char *record_type,
                                       const char *args) {
    struct inst_buf hint;
    inst_buf_init(&hint);
    inst_buf_addf(&hint, "{\"record-type\":\"%s\",\"args\":%s}", record_type,
                  args != NULL ? args : "[]");
    enum inst_status st =
        inst_err_set(err, "record-not-found", 400, "Record not found: %s", record_type);
    set_hint(err, &hint);
    return st;
}

enum inst_status inst_refuse_ident(struct inst_err *err, const struct inst_ident *ident) {
    struct inst_buf message, hint;
    inst_buf_init(&message);
    inst_buf_init(&hint);
    inst_buf_add_char(&message, '`');
    add_text(&message, &ident->label);
    inst_buf_add_str(&message, "` already exists on `");
    add_text(&message, &ident->etype);
    inst_buf_add_char(&message, '`');
    inst_buf_add_str(&hint, "{\"record-type\":\"ident\",\"etype\":");
    inst_json_write(&hint, &ident->etype);
    inst_buf_add_str(&hint, ",\"label\":");
    inst_json_write(&hint, &ident->label);
    inst_buf_add_char(&hint, '}');
    enum inst_status st = message.failed || hint.failed
                              ? inst_err_nomem(err)
                              : inst_err_set(err, "record-not-unique", 400, "%s", message.data);
    inst_buf_free(&message);
    set_hint(err, &hint);
    return st;
}

enum inst_status inst_refuse_unique(struct inst_err *err, const struct inst_attr *attr,
                                    const struct inst_value *value) {
    const struct inst_value *etype = &attr->forward.etype, *label = &attr->forward.label;
    struct inst_buf message, hint, json;
    inst_buf_init(&message);
    inst_buf_init(&hint);
    inst_buf_init(&json);
    inst_json_write(&json, value);
    inst_buf_addf(&message,
                  "`%.*s` is a unique attribute on `%.*s` and an entity already exists with "
                  "`%.*s.%.*s` = %s",
                  (int)label->len, label->u.str, (int)etype->len, etype->u.str, (int)etype->len,
                  etype->u.str, (int)label->len, label->u.str,
                  json.data != NULL ? json.data : "null");
    inst_buf_add_str(&hint, "{\"record-type\":\"triple\",\"attr-id\":");
    inst_json_write(&hint, &attr->id);
    inst_buf_add_str(&hint, ",\"etype\":");
    inst_json_write(&hint, etype);
    inst_buf_add_str(&hint, ",\"label\":");
    inst_json_write(&hint, label);
    inst_buf_add_str(&hint, ",\"value\":");
    inst_json_write_string(&hint, json.data != NULL ? json.data : "null", json.len);
    inst_buf_add_char(&hint, '}');
    enum inst_status st = message.failed || hint.failed || json.failed
                              ? inst_err_nomem(err)
                              : inst_err_set(err, "record-not-unique", 400, "%s", message.data);
    inst_buf_free(&json);
    inst_buf_free(&message);
    set_hint(err, &hint);
    return st;
}

enum inst_status inst_refuse_permission(struct inst_err *err, const char *etype,
                                        const char *action) {
    return inst_refuse_expected(err, "perms-pass?", etype, action);
}

enum inst_status inst_refuse_expected(struct inst_err *err, const char *expected, const char *etype,
                                      const char *action) {
    struct inst_buf hint;
    inst_buf_init(&hint);
    inst_buf_add_str(&hint, "{\"input\":[");
    add_json_text(&hint, etype);
    inst_buf_add_char(&hint, ',');
    add_json_text(&hint, action);
    inst_buf_add_str(&hint, "],\"expected\":");
    add_json_text(&hint, expected);
    inst_buf_add_char(&hint, '}');
    enum inst_status st =
        inst_err_set(err, "permission-denied", 400, "Permission denied: not %s", expected);
    set_hint(err, &hint);
    return st;
}

static enum inst_status refuse_param(struct inst_err *err, const char *type, const char *word,
                                     const char *const *path, size_t count,
                                     const struct inst_value *input, bool has_input) {
    struct inst_buf message, hint;
    inst_buf_init(&message);
    inst_buf_init(&hint);
    inst_buf_add_str(&hint, "{\"in\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            inst_buf_add_char(&message, ' ');
            inst_buf_add_char(&hint, ',');
        }
        add_json_text(&message, path[i]);
        add_json_text(&hint, path[i]);
    }
    inst_buf_add_char(&hint, ']');
    if (has_input) {
        inst_buf_add_str(&hint, ",\"original-input\":");
        inst_write_bounded(&hint, input);
    }
    inst_buf_add_char(&hint, '}');
    enum inst_status st = message.failed || hint.failed
                              ? inst_err_nomem(err)
                              : inst_err_set(err, type, 400, "%s parameter: [%s]", word,
                                             message.data != NULL ? message.data : "");
    inst_buf_free(&message);
    set_hint(err, &hint);
    return st;
}

enum inst_status inst_refuse_missing(struct inst_err *err, const char *const *path, size_t count) {
    return refuse_param(err, "param-missing", "Missing", path, count, NULL, false);
}

enum inst_status inst_refuse_malformed(struct inst_err *err, const char *const *path, size_t count,
                                       const struct inst_value *input) {
    return refuse_param(err, "param-malformed", "Malformed", path, count, input, true);
}

static const char *checked_type_name(enum inst_checked_type type) {
    switch (type) {
    case INST_CHECKED_STRING:
        return "\"string\"";
    case INST_CHECKED_NUMBER:
        return "\"number\"";
    case INST_CHECKED_BOOLEAN:
        return "\"boolean\"";
    case INST_CHECKED_DATE:
        return "\"date\"";
    default:
        return "null";
    }
}

enum inst_status inst_refuse_value(struct inst_err *err, const struct inst_attr *attr,
                                   const char *entity_id, const struct inst_value *value,
                                   bool is_too_large, const char *fmt, ...) {
    struct inst_buf message, hint;
    inst_buf_init(&message);
    inst_buf_init(&hint);
    va_list args;
    va_start(args, fmt);
    add_formatted(&message, fmt, args);
    va_end(args);
    inst_buf_add_str(&hint, "{\"namespace\":");
    inst_json_write(&hint, &attr->forward.etype);
    inst_buf_add_str(&hint, ",\"attribute\":");
    inst_json_write(&hint, &attr->forward.label);
    inst_buf_add_str(&hint, ",\"value\":");
    inst_write_bounded(&hint, value);
    inst_buf_addf(&hint,
                  ",\"checked-data-type\":%s,\"attr-id\":", checked_type_name(attr->checked_type));
    inst_json_write(&hint, &attr->id);
    inst_buf_addf(&hint, ",\"entity-id\":\"%s\"%s}", entity_id,
                  is_too_large ? ",\"value-too-large?\":true" : "");
    enum inst_status st = message.failed || hint.failed
                              ? inst_err_nomem(err)
                              : inst_err_set(err, "validation-failed", 400, "%s", message.data);
    inst_buf_free(&message);
    set_hint(err, &hint);
    return st;
}

enum inst_status inst_refuse_too_many_steps(struct inst_err *err, size_t count) {
    char hint[300];
    snprintf(
        hint, sizeof hint,
        "{\"message\":\"Consider batching: a transaction takes at most %u steps, this one has "
        "%zu.\",\"doc-urls\":[\"https://www.instantdb.com/docs/instaml#batching-transactions\"]}",
        INST_SERVER_MAX_STEPS, count);
    inst_err_set(err, "parameter-limit-exceeded", 500,
                 "There are too many parameters in the transaction or query.");
    inst_err_hint(err, hint);
    return INST_FAILED;
}

enum inst_status inst_refuse_catalog_app(struct inst_err *err, const char *app_id) {
    struct inst_value input = inst_cstring(app_id);
    return inst_refuse_validation(err, "app", &input, NULL, "You can't make updates to this app.");
}
