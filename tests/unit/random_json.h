/*
 * random_json.h - JSON text of any shape, and of one much like another's; repeatable.
 */
#ifndef INST_TESTS_RANDOM_JSON_H
#define INST_TESTS_RANDOM_JSON_H

#include "base/json.h"

static uint64_t chance = 88172645463325252u;

static unsigned any(unsigned n) {
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)(chance >> 24) % n;
}

static void add_random(struct inst_buf *buf, unsigned depth) {
    static const char *const scalars[] = {"null", "true",          "0",    "1", "-1.5",
                                          "\"\"", "\"some text\"", "\"0\""};
    static const char *const keys[] = {"a", "b", "c", "0", "1", "name", "__proto__"};
    unsigned kind = depth == 0 ? 0 : any(4);
    if (kind < 2) {
        inst_buf_add_str(buf, scalars[any(8)]);
        return;
    }
    bool is_object = kind == 2;
    inst_buf_add_char(buf, is_object ? '{' : '[');
    for (unsigned n = any(5), i = 0; i < n; i++) {
        if (i > 0)
            inst_buf_add_char(buf, ',');
        if (is_object)
            inst_buf_addf(buf, "\"%s\":", keys[any(any(40) == 0 ? 7 : 6)]);
        add_random(buf, depth - 1);
    }
    inst_buf_add_char(buf, is_object ? '}' : ']');
}

/* Another value, mostly like this one. */
static void add_like(struct inst_buf *buf, const struct inst_value *v, unsigned depth) {
    bool is_object = v->tag == INST_OBJECT;
    if (any(8) == 0 || (!is_object && v->tag != INST_ARRAY)) {
        if (any(2) == 0)
            add_random(buf, depth);
        else
            inst_json_write(buf, v);
        return;
    }
    bool is_first = true;
    inst_buf_add_char(buf, is_object ? '{' : '[');
    for (uint32_t i = 0; i <= v->len; i++) {
        if (any(6) == 0) {
            if (!is_first)
                inst_buf_add_char(buf, ',');
            is_first = false;
            if (is_object)
                inst_buf_addf(buf, "\"k%u\":", any(5));
            add_random(buf, depth > 0 ? depth - 1 : 0);
        }
        if (i == v->len || any(8) == 0)
            continue;
        if (!is_first)
            inst_buf_add_char(buf, ',');
        is_first = false;
        if (is_object) {
            inst_json_write_string(buf, v->u.members[i].key, v->u.members[i].key_len);
            inst_buf_add_char(buf, ':');
        }
        add_like(buf, is_object ? &v->u.members[i].value : &v->u.items[i],
                 depth > 0 ? depth - 1 : 0);
    }
    inst_buf_add_char(buf, is_object ? '}' : ']');
}

#endif
