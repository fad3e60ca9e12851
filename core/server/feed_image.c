#include "server/feed_internal.h"

#include "server/catalog.h"
#include "server/files.h"

/* ---- the window's values ---- */

static struct inst_table_key entity_key(const struct inst_uuid *id) {
    struct inst_table_key key;
    memcpy(&key, id->bytes, sizeof key);
    return key;
}

struct inst_feed_entity *inst_feed_entity_of(const struct inst_feed_window *window,
                                             const struct inst_uuid *id) {
    return inst_table_get(&window->entities, entity_key(id));
}

bool inst_feed_cover(struct inst_feed_window *window, const struct inst_uuid *id) {
    if (inst_feed_entity_of(window, id) != NULL)
        return true;
    struct inst_feed_entity *entity = inst_arena_zalloc(&window->arena, sizeof *entity);
    return entity != NULL && inst_table_put(&window->entities, entity_key(id), entity);
}

static struct inst_feed_cell *find_cell(struct inst_feed_entity *entity,
                                        const struct inst_uuid *attr) {
    struct inst_feed_cell *cell = entity->cells;
    while (cell != NULL && memcmp(&cell->attr, attr, sizeof *attr) != 0)
        cell = cell->next;
    return cell;
}

static struct inst_feed_cell *add_cell(struct inst_feed_window *window,
                                       struct inst_feed_entity *entity,
                                       const struct inst_uuid *attr) {
    struct inst_feed_cell *cell = inst_arena_zalloc(&window->arena, sizeof *cell);
    if (cell == NULL)
        return NULL;
    cell->attr = *attr;
    cell->next = entity->cells;
    entity->cells = cell;
    return cell;
}

static struct inst_feed_entity *touched(struct inst_feed_window *window,
                                        const struct inst_value *triple, struct inst_uuid *attr) {
    const struct inst_value *items = triple->u.items;
    struct inst_uuid id;
    inst_uuid_parse(items[1].u.str, items[1].len, &id);
    inst_uuid_parse(items[2].u.str, items[2].len, attr);
    return inst_feed_entity_of(window, &id);
}

bool inst_feed_touch(struct inst_feed_window *window, const struct inst_value *triple) {
    struct inst_uuid attr;
    struct inst_feed_entity *entity = touched(window, triple, &attr);
    if (entity == NULL || find_cell(entity, &attr) != NULL)
        return true;
    struct inst_feed_cell *cell = add_cell(window, entity, &attr);
    return cell != NULL && (inst_feed_is_added(triple) ||
                            inst_value_dup(&window->arena, &triple->u.items[3], &cell->v));
}

bool inst_feed_pass(struct inst_feed_window *window, const struct inst_value *triple) {
    struct inst_uuid attr;
    struct inst_feed_entity *entity = touched(window, triple, &attr);
    if (entity == NULL)
        return true;
    struct inst_feed_cell *cell = find_cell(entity, &attr);
    if (cell == NULL && (cell = add_cell(window, entity, &attr)) == NULL)
        return false;
    cell->v = inst_undefined();
    return !inst_feed_is_added(triple) ||
           inst_value_dup(&window->arena, &triple->u.items[3], &cell->v);
}

/* ---- images: attrs with many values that are no links are no schema's, and not shown ---- */

/* The attrs of a namespace, and a value for each. */
struct fields {
    const struct inst_attr *const *attrs;
    size_t count;
    struct inst_value *values; /* UNDEFINED: none; one more than count, for what is not shown */
};

static size_t place_of(const struct fields *fields, const struct inst_uuid *attr) {
    struct inst_uuid id;
    size_t i = 0;
    while (i < fields->count &&
           (fields->attrs[i]->is_many ||
            !inst_uuid_parse(fields->attrs[i]->id.u.str, fields->attrs[i]->id.len, &id) ||
            memcmp(&id, attr, sizeof id) != 0))
        i++;
    return i;
}

static enum inst_status scan_value(struct inst_store *store, uint32_t e,
                                   const struct inst_attr *attr, struct inst_arena *arena,
                                   struct inst_value *out, struct inst_err *err) {
    struct inst_scan scan = {.attr = attr, .e = e};
    struct inst_cursor cursor;
    struct inst_triple triple;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int more = store->ops->next(&cursor, &triple, err);
    if (more == 1 && inst_attr_is_id(attr))
        *out = inst_bool(true);
    else if (more == 1 && !inst_value_dup(arena, &triple.v, out))
        st = inst_err_nomem(err);
    store->ops->close(&cursor);
    return more < 0 ? INST_FAILED : st;
}

/* As the store has them now. */
static enum inst_status read_store(struct inst_app *app, const struct inst_uuid *id,
                                   struct fields *fields, struct inst_arena *arena,
                                   struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    char text[INST_UUID_TEXT + 1];
    inst_uuid_print(id, text);
    uint32_t e = store->ops->entity(store, text, INST_UUID_TEXT);
    enum inst_status st = INST_OK;
    for (size_t i = 0; st == INST_OK && e != 0 && i < fields->count; i++)
        if (!fields->attrs[i]->is_many)
            st = scan_value(store, e, fields->attrs[i], arena, &fields->values[i], err);
    return st;
}

static const struct inst_value *own_id(const struct fields *fields) {
    for (size_t i = 0; i < fields->count; i++)
        if (inst_attr_is_id(fields->attrs[i]))
            return &fields->values[i];
    return NULL;
}

/* null when it is no entity of the namespace. */
static enum inst_status make_object(struct inst_app *app, const struct inst_feed_group *group,
                                    const struct fields *fields, struct inst_arena *arena,
                                    struct inst_value *out, struct inst_err *err) {
    const struct inst_value *id = own_id(fields);
    struct inst_object_builder object;
    char text[INST_UUID_TEXT + 1];
    *out = inst_null();
    if (id == NULL || id->tag == INST_UNDEFINED)
        return INST_OK;
    inst_object_begin(&object, arena);
    inst_uuid_print(&group->id, text);
    const char *kept = inst_arena_dup(arena, text, INST_UUID_TEXT);
    const struct inst_value *location = NULL;
    for (size_t i = 0; i < fields->count; i++) {
        const struct inst_value *label = &fields->attrs[i]->forward.label;
        const struct inst_value *v = &fields->values[i];
        if (v->tag == INST_UNDEFINED)
            continue;
        if (inst_is_string(&group->etype, "$files") && inst_is_string(label, "location-id"))
            location = v;
        inst_object_add(&object, label->u.str, label->len,
                        v == id ? inst_string(kept, INST_UUID_TEXT) : *v);
    }
    if (location != NULL && location->tag == INST_STRING) {
        struct inst_value url;
        enum inst_status st = inst_files_url(app->server, app->info.id, location, arena, &url, err);
        if (st != INST_OK)
            return st;
        if (url.tag == INST_STRING)
            inst_object_addz(&object, "url", url);
    }
    return kept != NULL && inst_object_end(&object, out) ? INST_OK : inst_err_nomem(err);
}

/* A value that is not there is null for whom it is shown to: adding an index fills nulls in. Of ids
 * only whether they are there is known. */
static bool is_same(const struct fields *was, const struct fields *is, size_t i) {
    const struct inst_value *a = &was->values[i], *b = &is->values[i];
    if (inst_attr_is_id(was->attrs[i]))
        return (a->tag == INST_UNDEFINED) == (b->tag == INST_UNDEFINED);
    return inst_is_nullish(a) ? inst_is_nullish(b) : inst_value_equal(a, b);
}

enum inst_status inst_feed_images(struct inst_app *app, const struct inst_feed_window *window,
                                  const struct inst_feed_record *record,
                                  const struct inst_feed_group *group, struct inst_arena *arena,
                                  struct inst_value *before, struct inst_value *after,
                                  bool *is_changed, struct inst_err *err) {
    struct fields was = {0}, is;
    was.count =
        inst_attrs_blobs(app->committed->attrs, group->etype.u.str, group->etype.len, &was.attrs);
    is = was;
    was.values = inst_arena_zalloc(arena, (was.count + 1) * sizeof *was.values);
    is.values = inst_arena_zalloc(arena, (was.count + 1) * sizeof *is.values);
    if (was.values == NULL || is.values == NULL)
        return inst_err_nomem(err);
    enum inst_status st = read_store(app, &group->id, &was, arena, err);
    if (st != INST_OK)
        return st;
    const struct inst_feed_entity *entity = inst_feed_entity_of(window, &group->id);
    for (const struct inst_feed_cell *cell = entity != NULL ? entity->cells : NULL; cell != NULL;
         cell = cell->next)
        was.values[place_of(&was, &cell->attr)] = cell->v;
    memcpy(is.values, was.values, was.count * sizeof *is.values);
    for (uint32_t i = group->first;; i = record->next[i]) {
        const struct inst_value *items = record->triples->u.items[i].u.items;
        struct inst_uuid attr;
        inst_uuid_parse(items[2].u.str, items[2].len, &attr);
        is.values[place_of(&is, &attr)] =
            inst_feed_is_added(&record->triples->u.items[i]) ? items[3] : inst_undefined();
        if (record->next[i] == 0)
            break;
    }
    *is_changed = false;
    for (size_t i = 0; i < was.count; i++)
        *is_changed = *is_changed || !is_same(&was, &is, i);
    st = make_object(app, group, &was, arena, before, err);
    return st != INST_OK ? st : make_object(app, group, &is, arena, after, err);
}
