#include "schema/attr_shape.h"

#include "schema/schema.h"

static struct inst_value identity(struct inst_arena *arena, const struct inst_ident *ident,
                                  bool *ok) {
    struct inst_array_builder b;
    struct inst_value out = inst_undefined();
    inst_array_begin(&b, arena);
    inst_array_add(&b, ident->id);
    inst_array_add(&b, ident->etype);
    inst_array_add(&b, ident->label);
    *ok = inst_array_end(&b, &out) && *ok;
    return out;
}

bool inst_attr_shape_write(struct inst_arena *arena, const struct inst_attr_shape *shape,
                           struct inst_value *out) {
    struct inst_object_builder b;
    bool ok = true;
    inst_object_begin(&b, arena);
    inst_object_addz(&b, "id", shape->id);
    inst_object_addz(&b, "value-type", inst_cstring(shape->is_ref ? "ref" : "blob"));
    inst_object_addz(&b, "cardinality", inst_cstring(shape->is_many ? "many" : "one"));
    inst_object_addz(&b, "forward-identity", identity(arena, &shape->forward, &ok));
    if (shape->reverse.id.tag != INST_UNDEFINED) {
        inst_object_addz(&b, "reverse-identity", identity(arena, &shape->reverse, &ok));
    }
    inst_object_addz(&b, "unique?", inst_bool(shape->is_unique));
    inst_object_addz(&b, "index?", inst_bool(shape->is_indexed));
    inst_object_addz(&b, "required?", inst_bool(shape->is_required));
    inst_object_addz(&b, "inferred-types", inst_null());
    inst_object_addz(&b, "catalog", inst_cstring(shape->is_system ? "system" : "user"));
    if (shape->checked_type != INST_CHECKED_NONE) {
        inst_object_addz(&b, "checked-data-type",
                         inst_cstring(inst_schema_type_name(shape->checked_type)));
    }
    if (shape->on_delete_cascade) {
        inst_object_addz(&b, "on-delete", inst_cstring("cascade"));
    }
    if (shape->on_delete_reverse_cascade) {
        inst_object_addz(&b, "on-delete-reverse", inst_cstring("cascade"));
    }
    return inst_object_end(&b, out) && ok;
}
