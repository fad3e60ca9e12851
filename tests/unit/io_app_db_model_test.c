/*
 * Random operations against the app db and against a plain array of triples; every kind of scan is
 * compared, also after undo, rollback, reindexing and reopening. The seed of a failure is printed.
 */
#include "io_app_db_fixture.h"

#include "base/date.h"

#define SEEDS 12
#define STEPS 400
#define ENTITIES 14
#define MAX_TRIPLES 400

struct model_triple {
    uint32_t e, a, ref;
    struct inst_value v; /* UNDEFINED for links and ids */
    int64_t t;
};

struct model {
    struct model_triple triples[MAX_TRIPLES];
    size_t count;
};

struct game {
    struct fixture *f;
    struct model now, saved, committed;
    bool is_begun, is_saved, is_body_indexed;
    uint64_t random;
    struct inst_arena arena;
    struct inst_value values[24];
    size_t value_count;
};

static uint32_t draw(struct game *game, uint32_t below) {
    game->random ^= game->random >> 12;
    game->random ^= game->random << 25;
    game->random ^= game->random >> 27;
    return (uint32_t)((game->random * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

static bool is_link(uint32_t a) { return a == A_AUTHOR || a == A_TAGS; }

/* ---- the order of values, written down once more ---- */

static int rank(const struct inst_value *v) {
    switch (v->tag) {
    case INST_NULL:
        return 0;
    case INST_NUMBER:
    case INST_DATE:
        return 1;
    case INST_STRING:
        return 2;
    default:
        return 3;
    }
}

static int compare_texts(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t shorter = a_len < b_len ? a_len : b_len;
    int order = shorter ? memcmp(a, b, shorter) : 0;
    return order ? order : a_len < b_len ? -1 : a_len > b_len;
}

static int compare_values(const struct inst_value *a, const struct inst_value *b) {
    if (rank(a) != rank(b)) {
        return rank(a) < rank(b) ? -1 : 1;
    }
    if (rank(a) == 1) {
        return a->u.num < b->u.num ? -1 : a->u.num > b->u.num;
    }
    if (rank(a) == 2) {
        return compare_texts(a->u.str, a->len, b->u.str, b->len);
    }
    struct inst_buf json_a, json_b;
    inst_buf_init(&json_a);
    inst_buf_init(&json_b);
    inst_json_write(&json_a, a);
    inst_json_write(&json_b, b);
    int order = compare_texts(json_a.data, json_a.len, json_b.data, json_b.len);
    inst_buf_free(&json_a);
    inst_buf_free(&json_b);
    return order;
}

static struct inst_value sort_value(uint32_t a, const struct model_triple *triple) {
    struct inst_value date;
    if (a == A_ID) {
        return inst_number((double)triple->t);
    }
    if (a == A_DUE && triple->v.tag == INST_STRING &&
        inst_date_coerce(&triple->v, &date, NULL) == INST_OK) {
        return inst_number(date.u.num);
    }
    return triple->v;
}

static int compare(uint32_t a, const struct model_triple *x, const struct model_triple *y) {
    struct inst_value vx = sort_value(a, x), vy = sort_value(a, y);
    int order = compare_values(&vx, &vy);
    return order ? order : x->e < y->e ? -1 : x->e > y->e;
}

/* ---- changing ---- */

static struct model_triple *find(struct game *game, uint32_t e, uint32_t a, uint32_t ref) {
    for (size_t i = 0; i < game->now.count; i++) {
        struct model_triple *triple = &game->now.triples[i];
        if (triple->e == e && triple->a == a && (a != A_TAGS || triple->ref == ref)) {
            return triple;
        }
    }
    return NULL;
}

static struct inst_value value_of(const struct model_triple *triple) {
    uint32_t target = triple->a == A_ID ? triple->e : triple->ref;
    return target ? (struct inst_value){.tag = INST_ENTITY, .u.entity = target} : triple->v;
}

static struct inst_triple as_triple(const struct model_triple *triple) {
    return (struct inst_triple){.e = triple->e,
                                .ref = triple->a == A_ID ? triple->e : triple->ref,
                                .v = value_of(triple),
                                .t = triple->t};
}

static void put_one(struct game *game) {
    struct model_triple made = {.e = 1 + draw(game, ENTITIES), .a = 1 + draw(game, A_COUNT)};
    made.t = 1 + draw(game, 5);
    if (is_link(made.a)) {
        made.ref = 1 + draw(game, ENTITIES);
    } else if (made.a != A_ID) {
        made.v = game->values[draw(game, (uint32_t)game->value_count)];
    }
    struct model_triple *old = find(game, made.e, made.a, made.ref);
    if (!old && game->now.count == MAX_TRIPLES) {
        return;
    }
    struct inst_triple was = old ? as_triple(old) : (struct inst_triple){0};
    bool is_many = made.a == A_TAGS;
    put(game->f, made.e, made.a, value_of(&made), made.ref, made.t, old && !is_many ? &was : NULL);
    if (!old) {
        game->now.triples[game->now.count++] = made;
    } else if (!is_many) {
        *old = made;
    }
}

static void retract_one(struct game *game) {
    if (game->now.count == 0) {
        return;
    }
    struct model_triple *triple = &game->now.triples[draw(game, (uint32_t)game->now.count)];
    struct inst_triple was = as_triple(triple);
    must(game->f->db->db_ops->retract(game->f->db, attr_of(game->f->db, triple->a), &was,
                                      &game->f->err),
         &game->f->err);
    *triple = game->now.triples[--game->now.count];
}

static void reindex(struct game *game) {
    static const char text[] =
        "[{'id':'00000000-0000-4000-8000-000000000003','value-type':'blob','cardinality':'one',"
        "'forward-identity':['10000000-0000-4000-8000-000000000003','notes','body'],"
        "'unique?':false,'index?':%s}]";
    char json[400];
    game->is_body_indexed = !game->is_body_indexed;
    snprintf(json, sizeof json, text, game->is_body_indexed ? "true" : "false");
    save_attrs(game->f, json);
    begin(game->f);
    must(
        game->f->db->db_ops->reindex_attr(game->f->db, attr_of(game->f->db, A_BODY), &game->f->err),
        &game->f->err);
    commit(game->f);
}

/* ---- scanning ---- */

static bool fits(const struct inst_scan *scan, const struct model_triple *triple) {
    uint32_t a = scan->attr->row, ref = a == A_ID ? triple->e : triple->ref;
    if (triple->a != a || (scan->e && scan->e != triple->e) || (scan->ref && scan->ref != ref) ||
        (scan->has_v && !inst_value_same(&scan->v, &triple->v))) {
        return false;
    }
    struct inst_value key = sort_value(a, triple);
    if (scan->low.is_set) {
        int order = compare_values(&key, &scan->low.v);
        if (order < 0 || (order == 0 && !scan->low.is_inclusive)) {
            return false;
        }
    }
    if (scan->high.is_set) {
        int order = compare_values(&key, &scan->high.v);
        if (order > 0 || (order == 0 && !scan->high.is_inclusive)) {
            return false;
        }
    }
    if (scan->after_e) {
        int order = compare_values(&key, &scan->after_v);
        order = order ? order : triple->e < scan->after_e ? -1 : triple->e > scan->after_e;
        return scan->order == INST_ORDER_DESC ? order < 0 : order > 0;
    }
    return true;
}

static void add_text(struct inst_buf *buf, const struct model_triple *triple) {
    struct inst_value v = value_of(triple);
    inst_buf_addf(buf, "%u=", triple->e);
    if (v.tag == INST_ENTITY) {
        inst_buf_addf(buf, "#%u", (unsigned)v.u.entity);
    } else {
        inst_json_write(buf, &v);
    }
    inst_buf_addf(buf, "@%d ", (int)triple->t);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Words of a text in order, so that results without an order compare. */
static void sort_words(char *text) {
    char *copy = strdup(text), *words[MAX_TRIPLES + 1], *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    qsort(words, count, sizeof *words, by_text);
    for (size_t i = 0; i < count; i++) {
        text += sprintf(text, "%s ", words[i]);
    }
    free(copy);
}

static void model_scan(struct game *game, const struct inst_scan *scan, struct inst_buf *out) {
    struct model_triple *found[MAX_TRIPLES];
    size_t count = 0;
    for (size_t i = 0; i < game->now.count; i++) {
        if (fits(scan, &game->now.triples[i])) {
            found[count++] = &game->now.triples[i];
        }
    }
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0; j--) {
            int order = compare(scan->attr->row, found[j - 1], found[j]);
            if (scan->order == INST_ORDER_DESC ? order >= 0 : order <= 0) {
                break;
            }
            struct model_triple *swap = found[j];
            found[j] = found[j - 1];
            found[j - 1] = swap;
        }
    }
    for (size_t i = 0; i < count; i++) {
        add_text(out, found[i]);
    }
}

static void db_scan(struct game *game, const struct inst_scan *scan, struct inst_buf *out) {
    struct inst_store *store = &game->f->db->store;
    struct inst_cursor cursor;
    struct inst_triple triple;
    int more;
    must(store->ops->scan(store, scan, &cursor, &game->f->err), &game->f->err);
    while ((more = store->ops->next(&cursor, &triple, &game->f->err)) == 1) {
        struct model_triple same = {
            .e = triple.e, .a = scan->attr->row, .ref = triple.ref, .v = triple.v, .t = triple.t};
        add_text(out, &same);
    }
    assert_int_equal(more, 0);
    store->ops->close(&cursor);
}

static struct inst_scan random_scan(struct game *game) {
    struct inst_scan scan = {.attr = attr_of(game->f->db, 1 + draw(game, A_COUNT))};
    uint32_t a = scan.attr->row;
    bool is_ordered = game->f->db->store.ops->can_range(&game->f->db->store, scan.attr);
    if (draw(game, 3) == 0) {
        scan.e = 1 + draw(game, ENTITIES);
    }
    if ((is_link(a) || a == A_ID) && draw(game, 2) == 0) {
        scan.ref = 1 + draw(game, ENTITIES);
    }
    struct inst_value v = game->values[draw(game, (uint32_t)game->value_count)];
    bool is_scalar = v.tag != INST_ARRAY && v.tag != INST_OBJECT;
    if (!is_link(a) && a != A_ID && is_scalar && draw(game, 3) == 0) {
        scan.has_v = true;
        scan.v = v;
        return scan;
    }
    if (!is_ordered || scan.ref) {
        return scan;
    }
    scan.order = draw(game, 2) ? INST_ORDER_ASC : INST_ORDER_DESC;
    struct inst_bound *bounds[] = {&scan.low, &scan.high};
    for (int i = 0; i < 2; i++) {
        struct model_triple with = {.v = game->values[draw(game, (uint32_t)game->value_count)],
                                    .t = draw(game, 6)};
        with.v = sort_value(a, &with);
        if (draw(game, 3) == 0) {
            *bounds[i] = (struct inst_bound){true, draw(game, 2), with.v};
        }
    }
    if (!scan.e && draw(game, 3) == 0) {
        struct model_triple with = {.v = inst_null(), .t = draw(game, 6)};
        scan.after_v = sort_value(a, &with);
        scan.after_e = 1 + draw(game, ENTITIES);
    }
    return scan;
}

static void compare_scan(struct game *game, int seed, int step) {
    struct inst_scan scan = random_scan(game);
    struct inst_buf want, got;
    inst_buf_init(&want);
    inst_buf_init(&got);
    inst_buf_add(&want, "", 0);
    inst_buf_add(&got, "", 0);
    inst_buf_add_str(&want, " ");
    inst_buf_add_str(&got, " ");
    model_scan(game, &scan, &want);
    db_scan(game, &scan, &got);
    size_t count = 0;
    for (size_t i = 1; i < want.len; i++) {
        count += want.data[i] == '@';
    }
    size_t estimate = game->f->db->store.ops->estimate(&game->f->db->store, &scan, 1000);
    if (scan.order == INST_ORDER_STORE) {
        sort_words(want.data);
        sort_words(got.data);
    }
    if (strcmp(want.data, got.data) != 0 || estimate < count) {
        fail_msg("seed %d step %d attr %u: want `%s`, got `%s`, estimate %zu", seed, step,
                 scan.attr->row, want.data, got.data, estimate);
    }
    inst_buf_free(&want);
    inst_buf_free(&got);
}

/* ---- the game ---- */

static void end_group(struct game *game, bool commits) {
    if (commits) {
        commit(game->f);
        game->committed = game->now;
    } else {
        game->f->db->db_ops->rollback(game->f->db);
        game->now = game->committed;
    }
    game->is_begun = game->is_saved = false;
}

static void move(struct game *game) {
    struct fixture *f = game->f;
    uint32_t choice = draw(game, 20);
    if (!game->is_begun) {
        if (choice == 0) {
            reindex(game);
        } else if (choice == 1) {
            close_file(f);
            open_file(f, NULL);
        } else {
            begin(f);
            game->is_begun = true;
        }
    } else if (choice < 11) {
        put_one(game);
    } else if (choice < 15) {
        retract_one(game);
    } else if (choice == 15) {
        end_group(game, true);
    } else if (choice == 16) {
        end_group(game, false);
    } else if (!game->is_saved) {
        must(f->db->db_ops->savepoint(f->db, &f->err), &f->err);
        game->saved = game->now;
        game->is_saved = true;
    } else if (choice == 17) {
        must(f->db->db_ops->undo(f->db, &f->err), &f->err);
        game->now = game->saved;
        game->is_saved = false;
    } else {
        must(f->db->db_ops->release(f->db, &f->err), &f->err);
        game->is_saved = false;
    }
}

static void make_values(struct game *game) {
    static const char *const texts[] = {
        "null",     "true",         "false",      "0",      "1",    "-1",           "2.5",
        "1e17",     "''",           "'a'",        "'b'",    "'ab'", "'a\\u0000'",   "'\xc3\xa9'",
        "'1'",      "[1]",          "{'a':true}", "'true'", "'~'",  "'1970-01-02'", "'1970-01-05'",
        "86400000", "'1970-01-01'",
    };
    inst_arena_init(&game->arena);
    game->value_count = sizeof texts / sizeof *texts;
    for (size_t i = 0; i < game->value_count; i++) {
        game->values[i] = json_of(&game->arena, texts[i]);
    }
}

static void play(struct fixture *f, int seed) {
    struct game *game = calloc(1, sizeof *game);
    game->f = f;
    game->random = (uint64_t)seed * 0x9e3779b97f4a7c15ULL;
    make_values(game);
    begin(f);
    for (uint32_t i = 1; i <= ENTITIES; i++) {
        assert_int_equal(entity_of(f, i), i);
    }
    commit(f);
    for (int step = 0; step < STEPS; step++) {
        move(game);
        compare_scan(game, seed, step);
        compare_scan(game, seed, step);
    }
    if (game->is_begun) {
        end_group(game, true);
    }
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
    inst_arena_free(&game->arena);
    free(game);
}

static void test_the_db_does_what_the_model_does(void **state) {
    (void)state;
    for (int seed = 1; seed <= SEEDS; seed++) {
        void *fixture = NULL;
        assert_int_equal(set_up(&fixture), 0);
        play(fixture, seed);
        tear_down(&fixture);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_db_does_what_the_model_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
