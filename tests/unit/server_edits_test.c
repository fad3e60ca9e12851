/*
 * Edits of presence, case by case and against a model of what the official client does with them:
 * it removes whatever a nested `-` emptied, up to the peer itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "server/edits.h"
#include "server/limits.h"

#include "random_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the model: a tree that is changed in place ---- */

struct node {
    struct inst_value scalar; /* when it holds none */
    uint8_t tag;
    uint32_t count;
    struct node *parts[64];
    char *keys[64]; /* of an object */
};

static struct node *node_of(const struct inst_value *v) {
    struct node *node = calloc(1, sizeof *node);
    node->tag = v->tag;
    node->scalar = *v;
    if (v->tag != INST_OBJECT && v->tag != INST_ARRAY)
        return node;
    assert_true(v->len <= 64);
    for (uint32_t i = 0; i < v->len; i++) {
        const struct inst_member *member = v->tag == INST_OBJECT ? &v->u.members[i] : NULL;
        node->parts[i] = node_of(member != NULL ? &member->value : &v->u.items[i]);
        node->keys[i] = member != NULL ? strndup(member->key, member->key_len) : NULL;
    }
    node->count = v->len;
    return node;
}

static void free_node(struct node *node) {
    for (uint32_t i = 0; i < node->count; i++) {
        free_node(node->parts[i]);
        free(node->keys[i]);
    }
    free(node);
}

static void write_node(struct inst_buf *buf, const struct node *node) {
    bool is_object = node->tag == INST_OBJECT;
    if (!is_object && node->tag != INST_ARRAY) {
        inst_json_write(buf, &node->scalar);
        return;
    }
    inst_buf_add_char(buf, is_object ? '{' : '[');
    for (uint32_t i = 0; i < node->count; i++) {
        if (i > 0)
            inst_buf_add_char(buf, ',');
        if (is_object) {
            inst_json_write_string(buf, node->keys[i], strlen(node->keys[i]));
            inst_buf_add_char(buf, ':');
        }
        write_node(buf, node->parts[i]);
    }
    inst_buf_add_char(buf, is_object ? '}' : ']');
}

/* The place of a path's element, count when it is not there. Elements fit what they are applied to:
 * the edits name nothing else. */
static uint32_t place_of(const struct node *node, const struct inst_value *element) {
    if (node->tag == INST_ARRAY) {
        assert_int_equal(element->tag, INST_NUMBER);
        assert_true(element->u.num >= 0 && element->u.num <= node->count);
        return (uint32_t)element->u.num;
    }
    assert_int_equal(node->tag, INST_OBJECT);
    assert_int_equal(element->tag, INST_STRING);
    uint32_t i = 0;
    while (i < node->count && (strlen(node->keys[i]) != element->len ||
                               memcmp(node->keys[i], element->u.str, element->len) != 0))
        i++;
    return i;
}

static void remove_at(struct node *node, uint32_t i) {
    free_node(node->parts[i]);
    free(node->keys[i]);
    node->count--;
    memmove(node->parts + i, node->parts + i + 1, (node->count - i) * sizeof *node->parts);
    memmove(node->keys + i, node->keys + i + 1, (node->count - i) * sizeof *node->keys);
}

static void insert_at(struct node *node, uint32_t i, const struct inst_value *key,
                      const struct inst_value *value) {
    assert_true(node->count < 64);
    memmove(node->parts + i + 1, node->parts + i, (node->count - i) * sizeof *node->parts);
    memmove(node->keys + i + 1, node->keys + i, (node->count - i) * sizeof *node->keys);
    node->parts[i] = node_of(value);
    node->keys[i] = node->tag == INST_OBJECT ? strndup(key->u.str, key->len) : NULL;
    node->count++;
}

static void apply(struct node *node, const struct inst_value *path, uint32_t depth, char op,
                  const struct inst_value *value) {
    const struct inst_value *element = &path->u.items[depth];
    uint32_t i = place_of(node, element);
    if (depth + 1 < path->len) {
        assert_true(i < node->count);
        apply(node->parts[i], path, depth + 1, op, value);
        bool is_empty = (node->parts[i]->tag == INST_OBJECT || node->parts[i]->tag == INST_ARRAY) &&
                        node->parts[i]->count == 0;
        if (op == '-' && is_empty)
            remove_at(node, i);
        return;
    }
    if (op == '-') {
        assert_true(i < node->count);
        remove_at(node, i);
    } else if (op == '+' && node->tag == INST_ARRAY) {
        insert_at(node, i, element, value);
    } else {
        assert_true((i < node->count) == (op == 'r'));
        if (i < node->count)
            remove_at(node, i);
        insert_at(node, i, element, value);
    }
}

/* ---- trying ---- */

static struct inst_value parse(struct inst_arena *arena, const char *text) {
    struct inst_value v;
    struct inst_err err = {0};
    if (inst_json_parse(arena, text, strlen(text), &v, &err) != INST_OK)
        fail_msg("%s: %s", text, err.message);
    return v;
}

/* The edits as one JSON array; checked to lead from before to after. The caller frees them. */
static char *edits_of(struct inst_arena *arena, const struct inst_value *before,
                      const struct inst_value *after) {
    struct inst_buf buf, text;
    inst_buf_init(&buf);
    inst_buf_init(&text);
    inst_edits_write(&buf, "\"s\",\"data\"", before, after);
    assert_false(buf.failed);
    inst_buf_addf(&text, "[%s]", buf.len > 0 ? buf.data + 1 : "");
    struct inst_value edits = parse(arena, text.data);

    struct inst_member data = {"data", 4, *before}, peer = {"s", 1, inst_object(&data, 1)};
    struct inst_value state = inst_object(&peer, 1);
    struct node *node = node_of(&state);
    for (uint32_t i = 0; i < edits.len; i++) {
        const struct inst_value *edit = edits.u.items[i].u.items;
        assert_int_equal(edits.u.items[i].len, edit[1].u.str[0] == '-' ? 2 : 3);
        apply(node, &edit[0], 0, edit[1].u.str[0], &edit[2]);
    }
    inst_buf_clear(&buf);
    write_node(&buf, node);
    free_node(node);
    struct inst_value got = parse(arena, buf.data);
    data.value = *after;
    if (!inst_value_equal(&got, &state))
        fail_msg("%s gave %s", text.data, buf.data);
    inst_buf_free(&buf);
    size_t len;
    return inst_buf_take(&text, &len);
}

static char *quoted(const char *text) {
    char *copy = strdup(text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return copy;
}

/* ---- tests ---- */

static void case_by_case(void **state) {
    static const struct {
        const char *before, *after, *edits; /* of paths behind 's','data' */
    } cases[] = {
        {"{}", "{}", "[]"},
        {"{'a':1,'b':{'c':[1,{}]}}", "{'b':{'c':[1,{}]},'a':1}", "[]"},
        {"{}", "{'a':1}", "[[[@,'a'],'+',1]]"},
        {"{'a':1,'b':2}", "{'b':2}", "[[[@,'a'],'-']]"},
        {"{'a':1}", "{'a':'x'}", "[[[@,'a'],'r','x']]"},
        {"{'a':1}", "{'a':null}", "[[[@,'a'],'r',null]]"},
        /* never emptied: the official client would forget the peer */
        {"{'a':1}", "{}", "[[[@],'r',{}]]"},
        {"{'a':{'x':1},'b':1}", "{'a':{},'b':1}", "[[[@,'a'],'r',{}]]"},
        {"{'a':[1,2],'b':1}", "{'a':[],'b':1}", "[[[@,'a'],'r',[]]]"},
        {"{'long name':1,'b':{'c':1}}", "{'long name':2,'b':{'d':1}}",
         "[[[@],'r',{'long name':2,'b':{'d':1}}]]"}, /* shorter as a whole */
        {"{'rest':'........................................','b':{'c':1}}",
         "{'rest':'........................................','b':{'d':1}}",
         "[[[@,'b','d'],'+',1],[[@,'b','c'],'-']]"},
        /* lists */
        {"{'l':[1,2,3],'r':'...............................'}",
         "{'l':[1,9,2,3],'r':'...............................'}", "[[[@,'l',1],'+',9]]"},
        {"{'l':[1,2,3],'r':'...............................'}",
         "{'l':[1,3],'r':'...............................'}", "[[[@,'l',1],'-']]"},
        {"{'l':[1,2,3],'r':'...............................'}",
         "{'l':[3],'r':'...............................'}", "[[[@,'l',1],'-'],[[@,'l',0],'-']]"},
        {"{'l':[{'a':1,'t':'...........................'},2]}",
         "{'l':[{'a':2,'t':'...........................'},2]}", "[[[@,'l',0,'a'],'r',2]]"},
        {"[1,'...............................']", "[2,'...............................']",
         "[[[@,0],'r',2]]"},
        /* what presence may be besides objects */
        {"null", "{}", "[[[@],'r',{}]]"},
        {"{'a':1}", "null", "[[[@],'r',null]]"},
        {"{'0':1}", "[1]", "[[[@],'r',[1]]]"},
        {"1", "1", "[]"},
        {"{'\\u00e9\\\"':1,'rest':'.....................'}",
         "{'\\u00e9\\\"':2,'rest':'.....................'}", "[[[@,'\u00e9\\\"'],'r',2]]"},
        /* a path through it would reach every object of the client's program */
        {"{'__proto__':{'a':1},'b':1}", "{'__proto__':{'a':2},'b':1}",
         "[[[@],'r',{'__proto__':{'a':2},'b':1}]]"},
        {"{'x':{'b':1,'rest':'................'}}",
         "{'x':{'b':1,'__proto__':{'c':2},'rest':'................'}}",
         "[[[@,'x'],'r',{'b':1,'__proto__':{'c':2},'rest':'................'}]]"},
    };
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *before = quoted(cases[i].before), *after = quoted(cases[i].after);
        struct inst_value b = parse(&arena, before), a = parse(&arena, after);
        char *got = edits_of(&arena, &b, &a);
        struct inst_buf wanted;
        inst_buf_init(&wanted);
        for (const char *c = cases[i].edits; *c; c++) {
            if (*c == '@')
                inst_buf_add_str(&wanted, "\"s\",\"data\"");
            else
                inst_buf_add_char(&wanted, *c == '\'' ? '"' : *c);
        }
        assert_string_equal(got, wanted.data);
        inst_buf_free(&wanted);
        free(got);
        free(before);
        free(after);
    }
    inst_arena_free(&arena);
}

/* Whatever the two are, the edits lead from one to the other. */
static void any_two_values(void **state) {
    (void)state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    for (int round = 0; round < 20000; round++) {
        struct inst_buf text;
        inst_buf_init(&text);
        add_random(&text, 4);
        struct inst_value before = parse(&arena, text.data);
        inst_buf_clear(&text);
        add_like(&text, &before, 3);
        struct inst_value after = parse(&arena, text.data);
        char *edits = edits_of(&arena, &before, &after);
        if (inst_value_equal(&before, &after) && strstr(text.data, "__proto__") == NULL)
            assert_string_equal(edits, "[]");
        free(edits);
        inst_buf_free(&text);
        inst_arena_reset(&arena);
    }
    inst_arena_free(&arena);
}

/* Two large objects whose keys never stand in the same place: the search ends, the result is right.
 */
static void searches_no_longer_than_allowed(void **state) {
    (void)state;
    struct inst_arena arena;
    struct inst_buf forth, back, edits;
    inst_arena_init(&arena);
    inst_buf_init(&forth);
    inst_buf_init(&back);
    inst_buf_init(&edits);
    enum { KEYS = 30000 };
    for (int i = 0; i < KEYS; i++) {
        inst_buf_addf(&forth, "%s\"a%d\":1", i == 0 ? "{" : ",", i);
        inst_buf_addf(&back, "%s\"a%d\":1", i == 0 ? "{" : ",", KEYS - 1 - i);
    }
    inst_buf_add_str(&forth, "}");
    inst_buf_add_str(&back, "}");
    assert_true((uint64_t)KEYS * KEYS / 2 > INST_EDITS_MAX_STEPS);
    struct inst_value before = parse(&arena, forth.data), after = parse(&arena, back.data);
    inst_edits_write(&edits, "\"s\"", &before, &after);
    assert_true(strncmp(edits.data, ",[[\"s\"],\"r\",{\"a", 14) == 0);
    assert_int_equal(strlen(edits.data), edits.len);
    inst_buf_free(&forth);
    inst_buf_free(&back);
    inst_buf_free(&edits);
    inst_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_by_case),
        cmocka_unit_test(any_two_values),
        cmocka_unit_test(searches_no_longer_than_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
