#include "base/date.h"
#include "base/json.h"
#include "io/sqlite_internal.h"

#include <math.h>

/* Doubles below this keep every whole number. */
#define EXACT_WHOLE 9007199254740992.0

static struct db_key number_key(double num) {
    if (num > -EXACT_WHOLE && num < EXACT_WHOLE && num == (double)(sqlite3_int64)num) {
        return db_int_key((sqlite3_int64)num);
    }
    return (struct db_key){.type = SQLITE_FLOAT, .real = num};
}

static bool json_key(const struct inst_value *v, struct inst_buf *scratch, struct db_key *out) {
    inst_buf_clear(scratch);
    inst_json_write(scratch, v);
    *out = (struct db_key){.type = SQLITE_BLOB, .bytes = scratch->data, .len = scratch->len};
    return !scratch->failed;
}

bool db_value_key(const struct inst_value *v, struct inst_buf *scratch, struct db_key *out) {
    *out = (struct db_key){.type = SQLITE_NULL};
    switch ((enum inst_tag)v->tag) {
    case INST_NUMBER:
        if (isfinite(v->u.num)) {
            *out = number_key(v->u.num);
        }
        return true;
    case INST_STRING:
        *out = (struct db_key){.type = SQLITE_TEXT, .bytes = v->u.str, .len = v->len};
        return true;
    case INST_TRUE:
        *out = (struct db_key){.type = SQLITE_BLOB, .bytes = "true", .len = 4};
        return true;
    case INST_FALSE:
        *out = (struct db_key){.type = SQLITE_BLOB, .bytes = "false", .len = 5};
        return true;
    case INST_ARRAY:
    case INST_OBJECT:
        return json_key(v, scratch, out);
    case INST_DATE:
        if (isfinite(v->u.num)) {
            *out = number_key(v->u.num);
        }
        return true;
    default:
        return true; /* null, and what is no JSON value */
    }
}

bool db_order_key(enum index_kind kind, const struct inst_value *v, struct inst_buf *scratch,
                  struct db_key *out) {
    if (kind == KIND_PLAIN) {
        *out = db_int_key(0);
        return true;
    }
    struct inst_value date;
    if (kind == KIND_DATE && (v->tag == INST_STRING || v->tag == INST_NUMBER) &&
        inst_date_coerce(v, &date, NULL) == INST_OK && date.tag == INST_DATE &&
        isfinite(date.u.num)) {
        *out = number_key(date.u.num);
        return true;
    }
    if (!db_value_key(v, scratch, out)) {
        return false;
    }
    if (out->type == SQLITE_NULL) {
        *out = db_least_key();
    }
    return true;
}

struct db_key db_least_key(void) {
    return (struct db_key){.type = SQLITE_FLOAT, .real = -INFINITY};
}

/* JSON text never starts with this byte. */
struct db_key db_greatest_key(void) {
    return (struct db_key){.type = SQLITE_BLOB, .bytes = "\xff", .len = 1};
}

static int key_class(const struct db_key *key) {
    switch (key->type) {
    case SQLITE_NULL:
        return 0;
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        return 1;
    case SQLITE_TEXT:
        return 2;
    default:
        return 3;
    }
}

int db_key_cmp(const struct db_key *a, const struct db_key *b) {
    int class_a = key_class(a), class_b = key_class(b);
    if (class_a != class_b) {
        return class_a < class_b ? -1 : 1;
    }
    if (class_a == 0) {
        return 0;
    }
    if (class_a == 1) {
        if (a->type == SQLITE_INTEGER && b->type == SQLITE_INTEGER) {
            return a->num < b->num ? -1 : a->num > b->num;
        }
        double x = a->type == SQLITE_INTEGER ? (double)a->num : a->real;
        double y = b->type == SQLITE_INTEGER ? (double)b->num : b->real;
        return x < y ? -1 : x > y;
    }
    size_t shorter = a->len < b->len ? a->len : b->len;
    int order = shorter ? memcmp(a->bytes, b->bytes, shorter) : 0;
    return order ? order : a->len < b->len ? -1 : a->len > b->len;
}

int db_bind_key(sqlite3_stmt *stmt, int at, const struct db_key *key, bool keeps) {
    sqlite3_destructor_type life = keeps ? SQLITE_STATIC : SQLITE_TRANSIENT;
    const char *bytes = key->bytes ? key->bytes : "";
    switch (key->type) {
    case SQLITE_INTEGER:
        return sqlite3_bind_int64(stmt, at, key->num);
    case SQLITE_FLOAT:
        return sqlite3_bind_double(stmt, at, key->real);
    case SQLITE_TEXT:
        return sqlite3_bind_text64(stmt, at, bytes, key->len, life, SQLITE_UTF8);
    case SQLITE_BLOB:
        return sqlite3_bind_blob64(stmt, at, bytes, key->len, life);
    default:
        return sqlite3_bind_null(stmt, at);
    }
}

struct db_key db_column_key(sqlite3_stmt *stmt, int column) {
    struct db_key key = {.type = sqlite3_column_type(stmt, column)};
    switch (key.type) {
    case SQLITE_INTEGER:
        key.num = sqlite3_column_int64(stmt, column);
        break;
    case SQLITE_FLOAT:
        key.real = sqlite3_column_double(stmt, column);
        break;
    case SQLITE_TEXT:
        key.bytes = (const char *)sqlite3_column_text(stmt, column);
        key.len = (size_t)sqlite3_column_bytes(stmt, column);
        break;
    case SQLITE_BLOB:
        key.bytes = sqlite3_column_blob(stmt, column);
        key.len = (size_t)sqlite3_column_bytes(stmt, column);
        break;
    default:
        break;
    }
    return key;
}

enum inst_status db_read_value(struct sqlite_app_db *db, sqlite3_stmt *stmt, int column,
                               bool is_key, struct inst_arena *arena, struct inst_value *out,
                               struct inst_err *err) {
    struct db_key key = db_column_key(stmt, column);
    switch (key.type) {
    case SQLITE_INTEGER:
        *out = inst_number((double)key.num);
        return INST_OK;
    case SQLITE_FLOAT:
        *out = is_key && isinf(key.real) ? inst_null() : inst_number(key.real);
        return INST_OK;
    case SQLITE_TEXT:
        /* SQLite gives NULL for the text when it cannot get memory. */
        if (!key.bytes) {
            return inst_err_nomem(err);
        }
        *out = inst_string(key.bytes, key.len);
        return INST_OK;
    case SQLITE_BLOB:
        break;
    default:
        *out = inst_null();
        return INST_OK;
    }
    if (key.len > 0 && (key.bytes[0] == 't' || key.bytes[0] == 'f')) {
        *out = inst_bool(key.bytes[0] == 't');
        return INST_OK;
    }
    enum inst_status status = inst_json_parse(arena, key.bytes, key.len, out, NULL);
    if (status == INST_FAILED) {
        return db_damaged(db, "a stored value is no JSON", err);
    }
    return status == INST_OK ? INST_OK : inst_err_nomem(err);
}
