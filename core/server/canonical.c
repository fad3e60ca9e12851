#include "server/canonical.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

struct sorted_member {
    const struct inst_member *member;
};

static int compare_members(const void *a, const void *b) {
    const struct inst_member *x = ((const struct sorted_member *)a)->member;
    const struct inst_member *y = ((const struct sorted_member *)b)->member;
    size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
    int c = memcmp(x->key, y->key, n);
    return c != 0 ? c : x->key_len == y->key_len ? 0 : x->key_len < y->key_len ? -1 : 1;
}

void inst_canonical_write(struct inst_buf *buf, const struct inst_value *v) {
    if (v->tag == INST_ARRAY) {
        inst_buf_add_char(buf, '[');
        for (uint32_t i = 0; i < v->len; i++) {
            if (i > 0)
                inst_buf_add_char(buf, ',');
            inst_canonical_write(buf, &v->u.items[i]);
        }
        inst_buf_add_char(buf, ']');
    } else if (v->tag == INST_OBJECT) {
        struct sorted_member *sorted = malloc((v->len + 1) * sizeof *sorted);
        if (sorted == NULL) {
            buf->failed = true;
            return;
        }
        for (uint32_t i = 0; i < v->len; i++)
            sorted[i].member = &v->u.members[i];
        qsort(sorted, v->len, sizeof *sorted, compare_members);
        inst_buf_add_char(buf, '{');
        for (uint32_t i = 0; i < v->len; i++) {
            if (i > 0)
                inst_buf_add_char(buf, ',');
            inst_json_write_string(buf, sorted[i].member->key, sorted[i].member->key_len);
            inst_buf_add_char(buf, ':');
            inst_canonical_write(buf, &sorted[i].member->value);
        }
        inst_buf_add_char(buf, '}');
        free(sorted);
    } else {
        inst_json_write(buf, v);
    }
}
