#include "server/feed_internal.h"

#include "base/json.h"
#include "base/text.h"
#include "server/catalog.h"

/* ---- groups ---- */

static bool is_triple(const struct inst_value *triple) {
    struct inst_uuid id;
    if (triple->tag != INST_ARRAY || triple->len != 5)
        return false;
    const struct inst_value *items = triple->u.items;
    for (int i = 0; i < 3; i++)
        if (items[i].tag != INST_STRING)
            return false;
    return items[0].len == 1 && (items[0].u.str[0] == '+' || items[0].u.str[0] == '-') &&
           inst_uuid_parse(items[1].u.str, items[1].len, &id) &&
           inst_uuid_parse(items[2].u.str, items[2].len, &id);
}

static struct inst_table_key group_key(const struct inst_app *app, const struct inst_uuid *id,
                                       const struct inst_value *etype) {
    struct inst_table_key key;
    memcpy(&key, id->bytes, sizeof key);
    key.a ^= inst_text_hash(etype->u.str, etype->len, app->server->seed);
    return key;
}

struct grouping {
    struct inst_app *app;
    struct inst_feed_record *record;
    struct inst_table numbers; /* group_key -> its number + 1 */
};

/* Two groups whose keys are equal would be taken for one: what a 128-bit hash promises not to do.
 */
static bool add_to_group(struct grouping *grouping, uint32_t place, const struct inst_attr *attr) {
    struct inst_feed_record *record = grouping->record;
    const struct inst_value *triple = &record->triples->u.items[place];
    struct inst_uuid id;
    inst_uuid_parse(triple->u.items[1].u.str, triple->u.items[1].len, &id);
    struct inst_table_key key = group_key(grouping->app, &id, &attr->forward.etype);
    uintptr_t number = inst_table_unpack(inst_table_get(&grouping->numbers, key));
    record->next[place] = 0;
    if (number != 0) {
        struct inst_feed_group *group = &record->groups[number - 1];
        record->next[group->last] = place;
        group->last = place;
        return true;
    }
    record->groups[record->group_count++] = (struct inst_feed_group){
        .etype = attr->forward.etype, .id = id, .first = place, .last = place};
    return inst_table_put(&grouping->numbers, key, inst_table_pack(record->group_count));
}

/* Links are of no group, nor is what today's schema does not know. */
static const struct inst_attr *shown_attr(const struct inst_app *app,
                                          const struct inst_value *triple) {
    const struct inst_value *id = &triple->u.items[2];
    const struct inst_attr *attr = inst_attrs_by_id(app->committed->attrs, id->u.str, id->len);
    return attr != NULL && !attr->is_ref && !attr->is_many && inst_feed_shows(&attr->forward.etype)
               ? attr
               : NULL;
}

static enum inst_status make_groups(struct inst_app *app, struct inst_arena *arena,
                                    struct inst_feed_record *record, struct inst_err *err) {
    size_t count = record->triples->len;
    struct grouping grouping = {.app = app, .record = record};
    enum inst_status st = INST_OK;
    record->next = inst_arena_alloc(arena, (count + 1) * sizeof *record->next);
    record->groups = inst_arena_alloc(arena, (count + 1) * sizeof *record->groups);
    if (record->next == NULL || record->groups == NULL)
        return inst_err_nomem(err);
    inst_table_init(&grouping.numbers);
    for (uint32_t i = 0; st == INST_OK && i < count; i++) {
        const struct inst_value *triple = &record->triples->u.items[i];
        if (!is_triple(triple)) {
            st = inst_err_set(err, "data-file", 500, "A record of the log holds no triple.");
            break;
        }
        const struct inst_attr *attr = shown_attr(app, triple);
        if (attr != NULL && !add_to_group(&grouping, i, attr))
            st = inst_err_nomem(err);
    }
    inst_table_free(&grouping.numbers);
    return st;
}

enum inst_status inst_feed_record_read(struct inst_app *app, struct inst_arena *arena,
                                       const struct inst_log_record *log,
                                       struct inst_feed_record *out, struct inst_err *err) {
    struct inst_value *changes = inst_arena_zalloc(arena, sizeof *changes);
    *out = (struct inst_feed_record){0};
    if (changes == NULL)
        return inst_err_nomem(err);
    enum inst_status st = inst_json_parse(arena, log->changes, log->changes_len, changes, err);
    if (st != INST_OK)
        return st;
    out->triples = inst_getz(changes, "triples");
    if (out->triples == NULL || out->triples->tag != INST_ARRAY)
        return inst_err_set(err, "data-file", 500, "A record of the log has no triples.");
    return make_groups(app, arena, out, err);
}

/* ---- looking ahead ---- */

/* A triple begins `["+","<id>"`, which inside a string would have its quotes escaped: a value that
 * looks like one may be found too, an entity is never missed. */
bool inst_feed_record_may_touch(const struct inst_log_record *log,
                                const struct inst_feed_window *window) {
    static const size_t head = 6; /* ["+"," */
    const char *at = log->changes, *end = at + log->changes_len;
    while ((size_t)(end - at) > head + INST_UUID_TEXT &&
           (at = memchr(at, '[', (size_t)(end - at) - head - INST_UUID_TEXT)) != NULL) {
        struct inst_uuid id;
        if (at[1] == '"' && (at[2] == '+' || at[2] == '-') && memcmp(at + 3, "\",\"", 3) == 0 &&
            inst_uuid_parse(at + head, INST_UUID_TEXT, &id) &&
            inst_feed_entity_of(window, &id) != NULL)
            return true;
        at++;
    }
    return false;
}
