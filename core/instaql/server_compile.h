/*
 * server_compile.h - what the files of the server's compiler share.
 *
 *     server_pattern    conditions and fields of a form
 *     server_paging     its order, limit and cursors
 *     server_refusal    sentences about an attr and a value
 */
#ifndef INST_INSTAQL_SERVER_COMPILE_H
#define INST_INSTAQL_SERVER_COMPILE_H

#include "instaql/compile.h"
#include "instaql/limits.h"
#include "instaql/query.h"

struct inst_server_compiler {
    struct inst_compiler c;
    const struct inst_query *query;
    struct inst_value path[INST_INSTAQL_MAX_DEPTH + 8]; /* of the form, room for what follows */
    uint32_t path_len;
};

/* More of the path to a condition: "$", "where", label, and an operator. */
struct inst_server_place {
    struct inst_value items[4];
    uint32_t count;
};

struct inst_server_place inst_server_condition(const char *label, size_t len,
                                               const struct inst_value *op);

/* All give false, with the compiler's status set. Takes text. */
bool inst_server_refuse(struct inst_server_compiler *s, const char *key, const char *expected,
                        const struct inst_value *more, uint32_t more_count,
                        struct inst_buf *text_take);
bool inst_server_refuse_attr(struct inst_server_compiler *s, const struct inst_attr *attr,
                             const char *expected, const struct inst_server_place *place,
                             const char *rest);
bool inst_server_refuse_type(struct inst_server_compiler *s, const struct inst_attr *attr,
                             const char *expected, const struct inst_server_place *place,
                             const char *before_value, const struct inst_value *v);
/* What a value is, in a refusal's words. */
const char *inst_server_type_name(const struct inst_value *v);
/* "The `et.x` attribute ...": the name, in backquotes. */
void inst_server_add_name(struct inst_buf *text, const struct inst_attr *attr);

bool inst_server_is_name(const struct inst_member *m, const char *name);
/* The option, or NULL when it is absent, null or false. */
const struct inst_value *inst_server_option(const struct inst_form *form, const char *name);

enum inst_status inst_server_compile_paging(struct inst_server_compiler *s, struct inst_form *form);

#endif
