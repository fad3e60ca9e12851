#include "schema/schema_file.h"

#include "base/collate.h"
#include "base/json.h"

#include <stdlib.h>

struct writer {
    struct inst_buf *buf;
    struct inst_collator *collator;
    bool is_pulled;
};

static void indent(struct inst_buf *buf, unsigned spaces) {
    while (spaces-- > 0) {
        inst_buf_add_char(buf, ' ');
    }
}

static void key(struct inst_buf *buf, const struct inst_member *m) {
    inst_json_write_string(buf, m->key, m->key_len);
    inst_buf_add_str(buf, ": ");
}

static int by_key(const void *a, const void *b, void *collator) {
    const struct inst_member *x = *(const struct inst_member *const *)a;
    const struct inst_member *y = *(const struct inst_member *const *)b;
    int order = inst_collator_compare(collator, x->key, x->key_len, y->key, y->key_len);
    return order ? order : (x > y) - (x < y);
}

/* Members in the order of `localeCompare`; NULL when out of memory. The caller's to free(). */
static const struct inst_member **sorted(struct writer *w, const struct inst_value *object) {
    const struct inst_member **list = malloc((object->len + 1) * sizeof *list);
    if (!list) {
        w->buf->failed = true;
        return NULL;
    }
    for (uint32_t i = 0; i < object->len; i++) {
        list[i] = &object->u.members[i];
    }
    qsort_r(list, object->len, sizeof *list, by_key, w->collator);
    return list;
}

/* Only names of value types become code. */
static const char *type_of(const struct writer *w, const struct inst_value *attr) {
    static const char *const types[] = {"string", "number", "boolean", "date", NULL};
    const struct inst_value *type = inst_get_string(attr, "valueType");
    for (size_t i = 0; type && types[i]; i++) {
        if (inst_is_string(type, types[i])) {
            return types[i];
        }
    }
    return w->is_pulled || !type || !inst_is_string(type, "json") ? "any" : "json";
}

static void write_attr(struct writer *w, const struct inst_member *m, unsigned spaces) {
    const struct inst_value *config = inst_getz(&m->value, "config");
    const struct inst_value *metadata = inst_getz(&m->value, "metadata");
    indent(w->buf, spaces);
    key(w->buf, m);
    inst_buf_addf(w->buf, "i.%s()", type_of(w, &m->value));
    inst_buf_add_str(w->buf, config && inst_get_true(config, "unique") ? ".unique()" : "");
    inst_buf_add_str(w->buf, config && inst_get_true(config, "indexed") ? ".indexed()" : "");
    if (metadata && inst_get_true(metadata, "clientRequired"))
        inst_buf_add_str(w->buf, ".clientRequired()");
    else
        inst_buf_add_str(w->buf, inst_get_true(&m->value, "required") ? "" : ".optional()");
    inst_buf_add_str(w->buf, ",\n");
}

/* `i.entity({...})`, its attrs further in than `spaces`. */
static void write_entity(struct writer *w, const struct inst_value *entity, unsigned spaces) {
    const struct inst_value *attrs = inst_getz(entity, "attrs");
    const struct inst_member **list;
    if (!attrs || attrs->tag != INST_OBJECT || attrs->len == 0) {
        inst_buf_add_str(w->buf, "i.entity({})");
        return;
    }
    list = sorted(w, attrs);
    inst_buf_add_str(w->buf, "i.entity({\n");
    for (uint32_t i = 0; list && i < attrs->len; i++) {
        write_attr(w, list[i], spaces + 2);
    }
    indent(w->buf, spaces);
    inst_buf_add_str(w->buf, "})");
    free(list);
}

static void write_entities(struct writer *w, const struct inst_value *entities) {
    const struct inst_member **list = sorted(w, entities);
    inst_buf_add_str(w->buf, "  entities: {\n");
    for (uint32_t i = 0; list && i < entities->len; i++) {
        indent(w->buf, 4);
        key(w->buf, list[i]);
        write_entity(w, &list[i]->value, 4);
        inst_buf_add_str(w->buf, ",\n");
    }
    inst_buf_add_str(w->buf, entities->len == 0 ? "  \n  },\n" : "  },\n");
    free(list);
}

static void write_topics(struct writer *w, const struct inst_value *topics) {
    inst_buf_add_str(w->buf, "\n      \"topics\": {");
    for (uint32_t i = 0; i < topics->len; i++) {
        inst_buf_add_char(w->buf, '\n');
        indent(w->buf, 8);
        key(w->buf, &topics->u.members[i]);
        write_entity(w, &topics->u.members[i].value, 8);
        inst_buf_add_char(w->buf, ',');
    }
    inst_buf_add_str(w->buf, "\n      }");
}

static void write_room(struct writer *w, const struct inst_member *room) {
    const struct inst_value *presence = inst_getz(&room->value, "presence");
    const struct inst_value *topics = inst_getz(&room->value, "topics");
    bool has_presence = presence && presence->tag == INST_OBJECT;
    bool has_topics = topics && topics->tag == INST_OBJECT;
    inst_buf_add_str(w->buf, "\n    ");
    key(w->buf, room);
    inst_buf_add_char(w->buf, '{');
    if (has_presence) {
        inst_buf_add_str(w->buf, "\n      \"presence\": ");
        write_entity(w, presence, 6);
        inst_buf_add_char(w->buf, ',');
    }
    if (has_topics) {
        write_topics(w, topics);
    }
    inst_buf_add_str(w->buf, has_presence || has_topics ? "\n    }," : "},");
}

static void write_rooms(struct writer *w, const struct inst_value *rooms) {
    uint32_t count = rooms && rooms->tag == INST_OBJECT ? rooms->len : 0;
    inst_buf_add_str(w->buf, "  rooms: {");
    for (uint32_t i = 0; i < count; i++) {
        write_room(w, &rooms->u.members[i]);
    }
    inst_buf_add_str(w->buf, count > 0 ? "\n  }\n" : "}\n");
}

enum inst_status inst_schema_file(struct inst_buf *buf, const struct inst_schema_file *file,
                                  struct inst_err *err) {
    struct writer w = {.buf = buf, .is_pulled = file->is_pulled};
    const struct inst_value *entities = inst_getz(file->schema, "entities");
    const struct inst_value *links = inst_getz(file->schema, "links");
    enum inst_status status;
    if (!entities || entities->tag != INST_OBJECT || !links || links->tag != INST_OBJECT) {
        return inst_err_set(err, "validation-failed", 400,
                            "Invalid schema: entities and links must be objects");
    }
    status = inst_collator_new(&w.collator, err);
    if (status != INST_OK) {
        return status;
    }
    inst_buf_add_str(buf, "import { i } from ");
    inst_json_write_string(buf, file->module, strlen(file->module));
    inst_buf_add_str(buf, ";\n\nconst _schema = i.schema({\n");
    write_entities(&w, entities);
    inst_buf_add_str(buf, "  links: ");
    inst_json_write_indented(buf, links, 1);
    inst_buf_add_str(buf, ",\n");
    write_rooms(&w, file->previous ? inst_getz(file->previous, "rooms") : NULL);
    inst_buf_add_str(buf, "});\n\ntype _AppSchema = typeof _schema;\n"
                          "interface AppSchema extends _AppSchema {}\n"
                          "const schema: AppSchema = _schema;\n\n"
                          "export type { AppSchema }\nexport default schema;\n");
    inst_collator_free(w.collator);
    return buf->failed ? inst_err_nomem(err) : INST_OK;
}

void inst_perms_file(struct inst_buf *buf, const struct inst_value *rules, const char *module) {
    inst_buf_add_str(buf, "import type { InstantRules } from ");
    inst_json_write_string(buf, module, strlen(module));
    inst_buf_add_str(buf, ";\n\nconst rules = ");
    inst_json_write_indented(buf, rules, 0);
    inst_buf_add_str(buf, " satisfies InstantRules;\n\nexport default rules;\n");
}
