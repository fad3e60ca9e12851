#include "schema/schema_renames.h"

#include "schema/validation.h"

#include <string.h>

static struct inst_value trimmed(const char *text, size_t len) {
    while (len > 0 && strchr(" \t\r\n", *text) != NULL && *text != '\0') {
        text++;
        len--;
    }
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL && text[len - 1] != '\0') {
        len--;
    }
    return inst_string(text, len);
}

/* The part in front of the first c, and what follows up to the next one. */
static bool split(const struct inst_value *text, char c, struct inst_value parts[2]) {
    const char *end = text->u.str + text->len;
    const char *first = text->len > 0 ? memchr(text->u.str, c, text->len) : NULL;
    if (!first) {
        return false;
    }
    const char *rest = first + 1;
    const char *second = rest < end ? memchr(rest, c, (size_t)(end - rest)) : NULL;
    parts[0] = trimmed(text->u.str, (size_t)(first - text->u.str));
    parts[1] = trimmed(rest, (size_t)((second ? second : end) - rest));
    return parts[0].len > 0 && parts[1].len > 0;
}

static enum inst_status check_lookup(const struct inst_value *lookup, struct inst_err *err) {
    struct inst_value parts[2];
    if (split(lookup, '.', parts)) {
        return INST_OK;
    }
    return inst_err_set(err, "validation-failed", 400,
                        "Invalid lookup. Got '%.*s'. We expect a pattern like "
                        "'entityname.columname;.For example: posts.title",
                        INST_TEXT(lookup));
}

static enum inst_status read_command(const struct inst_value *command, struct inst_rename *out,
                                     struct inst_err *err) {
    struct inst_value parts[2];
    enum inst_status status;
    if (command->tag != INST_STRING || !split(command, ':', parts)) {
        return inst_err_set(err, "validation-failed", 400,
                            "Invalid rename command: %.*s. We could not parse a distinct 'from' "
                            "and 'to'. The structure should look like 'from:to'. For example: "
                            "'posts.name:posts.title'",
                            command->tag == INST_STRING ? (int)command->len : 0,
                            command->tag == INST_STRING ? command->u.str : "");
    }
    status = check_lookup(&parts[0], err);
    if (status == INST_OK) {
        status = check_lookup(&parts[1], err);
    }
    *out = (struct inst_rename){parts[0], parts[1]};
    return status;
}

enum inst_status inst_renames_read(struct inst_arena *arena, const struct inst_value *commands,
                                   struct inst_renames *out, struct inst_err *err) {
    size_t count = commands && commands->tag == INST_ARRAY ? commands->len : 0;
    struct inst_rename *items = inst_arena_alloc(arena, count * sizeof *items);
    enum inst_status status = INST_OK;
    if (!items) {
        return inst_err_nomem(err);
    }
    for (size_t i = 0; status == INST_OK && i < count; i++) {
        status = read_command(&commands->u.items[i], &items[i], err);
    }
    *out = (struct inst_renames){items, count};
    return status;
}

/* Is text `etype.label`? A label may have dots of its own. */
static bool is_name(const struct inst_value *text, const struct inst_value *etype,
                    const struct inst_value *label) {
    return text->len == etype->len + 1 + label->len &&
           memcmp(text->u.str, etype->u.str, etype->len) == 0 && text->u.str[etype->len] == '.' &&
           memcmp(text->u.str + etype->len + 1, label->u.str, label->len) == 0;
}

/* Of two commands for the same new name the later counts. */
static const struct inst_value *find(const struct inst_renames *renames,
                                     const struct inst_value *etype,
                                     const struct inst_value *label) {
    for (size_t i = renames->count; i > 0; i--) {
        if (is_name(&renames->items[i - 1].to, etype, label)) {
            return &renames->items[i - 1].from;
        }
    }
    return NULL;
}

int inst_renames_find_attr(const struct inst_renames *renames, const struct inst_value *etype,
                           const struct inst_value *label,
                           const struct inst_schema_attr *const *gone, size_t count) {
    const struct inst_value *from = find(renames, etype, label);
    for (size_t i = 0; from && i < count; i++) {
        if (gone[i] && is_name(from, etype, &gone[i]->label)) {
            return (int)i;
        }
    }
    return -1;
}

int inst_renames_find_link(const struct inst_renames *renames, const struct inst_schema_link *link,
                           const struct inst_schema_link *const *gone, size_t count) {
    const struct inst_value *from = find(renames, &link->forward.etype, &link->forward.label);
    if (!from) {
        from = find(renames, &link->reverse.etype, &link->reverse.label);
    }
    for (size_t i = 0; from && i < count; i++) {
        if (gone[i] && (is_name(from, &gone[i]->forward.etype, &gone[i]->forward.label) ||
                        is_name(from, &gone[i]->reverse.etype, &gone[i]->reverse.label))) {
            return (int)i;
        }
    }
    return -1;
}
