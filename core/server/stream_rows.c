#include "server/stream_rows.h"

#include "server/refusal.h"
#include "server/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading a stream ---- */

static enum inst_status read_row(struct inst_app *app, struct inst_stream_row *row,
                                 struct inst_err *err) {
    struct inst_value id, machine, done;
    struct {
        const char *label;
        struct inst_value *value;
    } fields[] = {
        {"id", &id},
        {"clientId", &row->client_id},
        {"hashedReconnectToken", &row->token_hash},
        {"abortReason", &row->abort_reason},
        {"machineId", &machine},
        {"done", &done},
    };
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && i < sizeof fields / sizeof *fields; i++)
        st = inst_row_value(app, row->e, "$streams", fields[i].label, fields[i].value, err);
    if (st != INST_OK)
        return st;
    if (!inst_row_id(app, row->e, row->id))
        return inst_err_nomem(err);
    row->has_machine = machine.tag == INST_STRING;
    row->is_done = done.tag == INST_TRUE;
    if (id.tag == INST_UNDEFINED) /* its links may outlive a stream that was deleted */
        row->e = 0;
    return INST_OK;
}

enum inst_status inst_stream_row_find(struct inst_app *app, const char *id,
                                      const struct inst_value *client_id,
                                      struct inst_stream_row *out, struct inst_err *err) {
    enum inst_status st = INST_OK;
    *out = (struct inst_stream_row){0};
    if (id != NULL)
        out->e = app->db->store.ops->entity(&app->db->store, id, strlen(id));
    else
        st = inst_row_find(app, "$streams", "clientId", client_id, &out->e, err);
    return st == INST_OK && out->e != 0 ? read_row(app, out, err) : st;
}

/* ---- its parts ---- */

static enum inst_status refuse_parts(const char *id, uint64_t part, const char *message,
                                     struct inst_err *err) {
    struct inst_member members[2] = {
        {"missing-part", 12, inst_number((double)part)},
        {"stream-id", 9, inst_cstring(id)},
    };
    struct inst_value input = inst_object(members, 2);
    return inst_refuse_validation(err, "stream", &input, NULL, "%s", message);
}

/* The number at the end of `$stream/<id>/<n>`. */
static bool read_number(const struct inst_value *path, const char *id, uint64_t *out) {
    char prefix[sizeof "$stream//" + INST_UUID_TEXT], digits[20];
    int len = snprintf(prefix, sizeof prefix, "$stream/%s/", id);
    if (path->tag != INST_STRING || path->len <= (uint32_t)len ||
        memcmp(path->u.str, prefix, (size_t)len) != 0 || path->len - (uint32_t)len > 15)
        return false;
    snprintf(digits, sizeof digits, "%.*s", (int)path->len - len, path->u.str + len);
    *out = strtoull(digits, NULL, 10);
    return strspn(digits, "0123456789") == strlen(digits);
}

static enum inst_status read_part(struct inst_app *app, const struct inst_stream_row *row,
                                  uint32_t file, struct inst_stream_part *out,
                                  struct inst_err *err) {
    struct inst_value path, size;
    struct inst_value id = app->db->store.ops->entity_id(&app->db->store, file);
    enum inst_status st = inst_row_value(app, file, "$files", "path", &path, err);
    if (st == INST_OK)
        st = inst_row_value(app, file, "$files", "size", &size, err);
    if (st == INST_OK)
        st = inst_row_value(app, file, "$files", "location-id", &out->location, err);
    if (st != INST_OK)
        return st;
    if (!inst_value_dup(&app->server->scratch, &id, &out->id))
        return inst_err_nomem(err);
    if (!read_number(&path, row->id, &out->number))
        return refuse_parts(row->id, 0, "Stream is corrupted. File path has invalid part number.",
                            err);
    if (out->location.tag != INST_STRING || size.tag != INST_NUMBER || !(size.u.num >= 0))
        return refuse_parts(row->id, out->number, "Stream is corrupted. Missing file url.", err);
    out->size = (uint64_t)size.u.num;
    return INST_OK;
}

static int compare_parts(const void *a, const void *b) {
    uint64_t x = ((const struct inst_stream_part *)a)->number;
    uint64_t y = ((const struct inst_stream_part *)b)->number;
    return x < y ? -1 : x > y;
}

/* The entities of the files, on the arena. */
static enum inst_status list_files(struct inst_app *app, uint32_t e, struct inst_arena *arena,
                                   uint32_t **out, size_t *count, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    struct inst_scan scan = {
        .attr = inst_attrs_forward(app->catalog->attrs, "$streams", 8, "$files", 6), .e = e};
    struct inst_cursor cursor;
    struct inst_triple triple;
    size_t cap = 0;
    int more;
    *out = NULL;
    *count = 0;
    if (scan.attr == NULL)
        return INST_OK;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    while ((more = store->ops->next(&cursor, &triple, err)) == 1) {
        if (*count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            uint32_t *list = inst_arena_alloc(arena, cap * sizeof *list);
            if (list == NULL) {
                st = inst_err_nomem(err);
                break;
            }
            if (*count > 0)
                memcpy(list, *out, *count * sizeof *list);
            *out = list;
        }
        (*out)[(*count)++] = triple.ref;
    }
    store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : st;
}

enum inst_status inst_stream_row_parts(struct inst_app *app, const struct inst_stream_row *row,
                                       struct inst_stream_part **out, size_t *count, uint64_t *size,
                                       struct inst_err *err) {
    struct inst_arena *arena = &app->server->scratch;
    uint32_t *files;
    enum inst_status st = list_files(app, row->e, arena, &files, count, err);
    *size = 0;
    if (st != INST_OK)
        return st;
    *out = inst_arena_alloc(arena, (*count + 1) * sizeof **out);
    if (*out == NULL)
        return inst_err_nomem(err);
    for (size_t i = 0; st == INST_OK && i < *count; i++)
        st = read_part(app, row, files[i], &(*out)[i], err);
    if (st != INST_OK)
        return st;
    qsort(*out, *count, sizeof **out, compare_parts);
    for (size_t i = 0; i < *count; i++) {
        if ((*out)[i].number != i)
            return refuse_parts(row->id, i, "Stream is corrupted. Missing file.", err);
        *size += (*out)[i].size;
    }
    return INST_OK;
}

/* ---- writing ---- */

/* Columns of `$streams` and `$files` are the engine's alone: not even an admin writes them. */
static enum inst_status run(struct inst_row_steps *steps, struct inst_err *err) {
    struct inst_value list;
    if (!inst_array_end(&steps->list, &list) || steps->failed)
        return inst_err_nomem(err);
    return inst_app_transact_now(steps->app, &list, "null", err);
}

enum inst_status inst_stream_row_create(struct inst_app *app, const struct inst_value *client_id,
                                        const char *token_hash, char id[INST_UUID_TEXT + 1],
                                        struct inst_err *err) {
    struct inst_row_steps steps;
    inst_uuid_make_text(app->server->env, id);
    inst_row_begin(&steps, app);
    inst_row_set(&steps, id, "$streams", "id", inst_cstring(id));
    inst_row_set(&steps, id, "$streams", "clientId", *client_id);
    inst_row_set(&steps, id, "$streams", "machineId", inst_cstring(app->server->machine_id));
    inst_row_set(&steps, id, "$streams", "hashedReconnectToken", inst_cstring(token_hash));
    return run(&steps, err);
}

static void add_part(struct inst_row_steps *steps, const struct inst_stream_change *change) {
    struct inst_server *server = steps->app->server;
    char *file = inst_arena_alloc(&server->scratch, INST_UUID_TEXT + 1);
    char *path = inst_arena_alloc(&server->scratch, INST_UUID_TEXT + 40);
    if (file == NULL || path == NULL) {
        steps->failed = true;
        return;
    }
    inst_uuid_make_text(server->env, file);
    snprintf(path, INST_UUID_TEXT + 40, "$stream/%s/%" PRIu64, change->id, change->number);
    inst_row_set(steps, file, "$files", "id", inst_cstring(file));
    inst_row_set(steps, file, "$files", "path", inst_cstring(path));
    inst_row_set(steps, file, "$files", "size", inst_number((double)change->size));
    inst_row_set(steps, file, "$files", "content-type", inst_cstring("application/octet-stream"));
    inst_row_set(steps, file, "$files", "content-disposition", inst_null());
    inst_row_set(steps, file, "$files", "location-id", inst_cstring(change->location));
    inst_row_set(steps, file, "$files", "key-version", inst_number(1));
    inst_row_set(steps, change->id, "$streams", "$files", inst_cstring(file));
}

enum inst_status inst_stream_row_change(struct inst_app *app,
                                        const struct inst_stream_change *change,
                                        struct inst_err *err) {
    struct inst_row_steps steps;
    struct inst_stream_row row;
    enum inst_status st = inst_stream_row_find(app, change->id, NULL, &row, err);
    if (st == INST_OK && row.e == 0)
        st = inst_err_set(err, "record-not-found", 400, "The stream was deleted.");
    if (st != INST_OK)
        return st;
    inst_row_begin(&steps, app);
    if (change->location != NULL)
        add_part(&steps, change);
    if (change->is_done) {
        inst_row_set(&steps, change->id, "$streams", "done", inst_bool(true));
        inst_row_set(&steps, change->id, "$streams", "size", inst_number((double)change->whole));
        if (change->abort_reason != NULL)
            inst_row_set(&steps, change->id, "$streams", "abortReason",
                         inst_cstring(change->abort_reason));
    }
    return run(&steps, err);
}
