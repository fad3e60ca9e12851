#include "instaql/query.h"

enum inst_status inst_server_validate(const struct inst_value *query, struct inst_err *err) {
    (void)query;
    (void)err;
    return INST_OK;
}
enum inst_status inst_server_compile_form(struct inst_query *query, struct inst_form *form,
                                          const struct inst_value *path, uint32_t path_len,
                                          uint32_t *pattern_count, struct inst_err *err) {
    (void)query;
    (void)form;
    (void)path;
    (void)path_len;
    (void)pattern_count;
    (void)err;
    return INST_OK;
}
