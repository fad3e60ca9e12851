#include "io/sqlite_internal.h"
#include "io_app_db_fixture.h"

static void test_empty_file_knows_nothing(void **state) {
    struct fixture *f = *state;
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE)};
    assert_string_equal(scan_text(f, &scan), "");
    assert_int_equal(f->db->db_ops->last_tx_id(f->db), 0);
    assert_int_equal(inst_attrs_count(f->db->store.attrs), A_COUNT);
    assert_int_equal(f->db->store.ops->entity(&f->db->store, "x", 1), 0);
    assert_int_equal(f->db->store.ops->entity_id(&f->db->store, 17).tag, INST_UNDEFINED);
}

static void test_values_come_back_as_written(void **state) {
    static const char *const values[] = {
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "1.5",
        "1e300",
        "9007199254740993",
        "''",
        "'abc'",
        "'a\\u0000b'",
        "[]",
        "{}",
        "[1]",
        "{'a':[1,{}]}",
        "'\\ud800'",
        "'\xc3\xa9\xf0\x9f\x98\x80'",
        "'true'",
        "'2020-01-01'",
    };
    struct fixture *f = *state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    /* An indexed attr, one without an index, one indexed as a date. */
    for (uint32_t row = A_TITLE; row <= A_DUE; row++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            begin(f);
            uint32_t e = entity_of(f, (uint32_t)i + 1);
            struct inst_value v = json_of(&arena, values[i]);
            put(f, e, row, v, 0, 100, NULL);
            commit(f);
            struct inst_buf want;
            inst_buf_init(&want);
            inst_buf_addf(&want, "%u=", e);
            inst_json_write(&want, &v);
            struct inst_scan scan = {.attr = attr_of(f->db, row), .e = e};
            assert_string_equal(scan_text(f, &scan), want.data);
            if (v.tag != INST_ARRAY && v.tag != INST_OBJECT) {
                scan = (struct inst_scan){.attr = scan.attr, .has_v = true, .v = v};
                assert_string_equal(scan_text(f, &scan), want.data);
                scan.e = e;
                assert_string_equal(scan_text(f, &scan), want.data);
                scan.e = e + 1;
                assert_string_equal(scan_text(f, &scan), "");
            }
            inst_buf_free(&want);
        }
    }
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
    inst_arena_free(&arena);
}

static void test_one_megabyte(void **state) {
    struct fixture *f = *state;
    size_t len = 1 << 20;
    char *big = malloc(len);
    for (size_t i = 0; i < len; i++) {
        big[i] = (char)(i % 251);
    }
    begin(f);
    uint32_t e = entity_of(f, 1);
    put(f, e, A_BODY, inst_string(big, len), 0, 1, NULL);
    commit(f);
    close_file(f);
    open_file(f, NULL);
    struct inst_scan scan = {.attr = attr_of(f->db, A_BODY)};
    struct inst_cursor cursor;
    struct inst_triple triple;
    must(f->db->store.ops->scan(&f->db->store, &scan, &cursor, &f->err), &f->err);
    assert_int_equal(f->db->store.ops->next(&cursor, &triple, &f->err), 1);
    assert_int_equal(triple.v.len, len);
    assert_memory_equal(triple.v.u.str, big, len);
    f->db->store.ops->close(&cursor);
    free(big);
}

static struct inst_triple triple_of(uint32_t e, uint32_t ref, struct inst_value v, int64_t t) {
    return (struct inst_triple){.e = e, .ref = ref, .v = v, .t = t};
}

static void test_overwriting_moves_the_index(void **state) {
    struct fixture *f = *state;
    struct inst_value a = inst_cstring("a"), b = inst_cstring("b");
    begin(f);
    uint32_t e = entity_of(f, 1);
    put(f, e, A_TITLE, a, 0, 5, NULL);
    struct inst_triple old = triple_of(e, 0, a, 5);
    put(f, e, A_TITLE, b, 0, 5, &old);
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE), .has_v = true, .v = a};
    assert_string_equal(scan_text(f, &scan), "");
    scan.v = b;
    assert_string_equal(scan_text(f, &scan), "1=\"b\"");
    /* The same value at another time. */
    old = triple_of(e, 0, b, 5);
    put(f, e, A_TITLE, b, 0, 6, &old);
    commit(f);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
    begin(f);
    old = triple_of(e, 0, b, 6);
    must(f->db->db_ops->retract(f->db, scan.attr, &old, &f->err), &f->err);
    must(f->db->db_ops->retract(f->db, scan.attr, &old, &f->err), &f->err);
    commit(f);
    assert_string_equal(scan_text(f, &scan), "");
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static void test_an_old_value_that_is_not_there_is_an_error(void **state) {
    struct fixture *f = *state;
    struct inst_value v = inst_cstring("a");
    begin(f);
    uint32_t e = entity_of(f, 1);
    struct inst_triple old = triple_of(e, 0, v, 5);
    const struct inst_attr *attr = attr_of(f->db, A_TITLE);
    assert_int_equal(f->db->db_ops->put(f->db, e, attr, &v, 0, 5, &old, &f->err), INST_FAILED);
    assert_string_equal(f->err.type, "data-file");
    f->db->db_ops->rollback(f->db);
    assert_int_equal(f->db->db_ops->put(f->db, e, attr, &v, 0, 5, NULL, &f->err), INST_FAILED);
    assert_non_null(strstr(f->err.message, "outside a group"));
}

static struct inst_value ref_value(uint32_t e) {
    return (struct inst_value){.tag = INST_ENTITY, .u.entity = e};
}

static void test_links(void **state) {
    struct fixture *f = *state;
    begin(f);
    uint32_t note = entity_of(f, 1), other = entity_of(f, 2), ann = entity_of(f, 3),
             bob = entity_of(f, 4);
    put(f, note, A_AUTHOR, ref_value(ann), ann, 7, NULL);
    put(f, other, A_AUTHOR, ref_value(ann), ann, 7, NULL);
    struct inst_triple old = triple_of(note, ann, ref_value(ann), 7);
    put(f, note, A_AUTHOR, ref_value(bob), bob, 8, &old);
    put(f, note, A_TAGS, ref_value(bob), bob, 9, NULL);
    put(f, note, A_TAGS, ref_value(ann), ann, 9, NULL);
    put(f, note, A_TAGS, ref_value(ann), ann, 10, NULL); /* there already */
    commit(f);
    struct inst_scan scan = {.attr = attr_of(f->db, A_AUTHOR)};
    assert_string_equal(scan_text(f, &scan), "2=#3 1=#4");
    scan.e = note;
    assert_string_equal(scan_text(f, &scan), "1=#4");
    scan.ref = ann;
    assert_string_equal(scan_text(f, &scan), "");
    scan.e = 0;
    assert_string_equal(scan_text(f, &scan), "2=#3");
    scan = (struct inst_scan){.attr = attr_of(f->db, A_TAGS), .e = note};
    assert_string_equal(scan_text(f, &scan), "1=#3 1=#4");
    assert_int_equal(f->db->store.ops->estimate(&f->db->store, &scan, 10), 2);
    assert_int_equal(f->db->store.ops->estimate(&f->db->store, &scan, 1), 1);
    /* A link's value given as the text of a uuid, and one that nobody has. */
    char text[INST_UUID_TEXT + 1];
    struct inst_uuid id = uuid_of(4);
    inst_uuid_print(&id, text);
    scan = (struct inst_scan){.attr = scan.attr, .has_v = true, .v = inst_cstring(text)};
    assert_string_equal(scan_text(f, &scan), "1=#4");
    scan.v = inst_cstring("nobody");
    assert_string_equal(scan_text(f, &scan), "");
    enum inst_presence presence;
    struct inst_store *store = &f->db->store;
    must(store->ops->presence(store, bob, attr_of(f->db, A_TAGS), true, &presence, &f->err),
         &f->err);
    assert_int_equal(presence, INST_PRESENT);
    must(store->ops->presence(store, other, attr_of(f->db, A_TAGS), false, &presence, &f->err),
         &f->err);
    assert_int_equal(presence, INST_MISSING);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

struct seen {
    char text[256];
    int limit;
};

static bool see(void *ctx, uint32_t attr_row, const struct inst_triple *triple) {
    struct seen *seen = ctx;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%u:%u>%u@%d ", attr_row, triple->e,
             triple->ref, (int)triple->t);
    return --seen->limit > 0;
}

static void test_triples_whatever_their_attr(void **state) {
    struct fixture *f = *state;
    begin(f);
    uint32_t note = entity_of(f, 1), other = entity_of(f, 2), ann = entity_of(f, 3);
    put(f, note, A_ID, inst_undefined(), note, 1, NULL);
    put(f, note, A_TITLE, inst_number(ann), 0, 2, NULL); /* a number is no link */
    put(f, note, A_AUTHOR, ref_value(ann), ann, 3, NULL);
    put(f, other, A_TAGS, ref_value(ann), ann, 4, NULL);
    put(f, note, A_TAGS, ref_value(ann), ann, 5, NULL);
    commit(f);
    struct seen seen = {.limit = 10};
    must(f->db->db_ops->each_link_to(f->db, ann, see, &seen, &f->err), &f->err);
    assert_string_equal(seen.text, "5:1>3@3 6:1>3@5 6:2>3@4 ");
    seen = (struct seen){.limit = 1};
    must(f->db->db_ops->each_link_to(f->db, ann, see, &seen, &f->err), &f->err);
    assert_string_equal(seen.text, "5:1>3@3 ");
    seen = (struct seen){.limit = 10};
    must(f->db->db_ops->each_of(f->db, note, see, &seen, &f->err), &f->err);
    assert_string_equal(seen.text, "1:1>1@1 2:1>0@2 5:1>3@3 6:1>3@5 ");
}

/* Titles: 1 null, 2 'b', 3 10, 4 'a', 5 true, 6 9.5, 7 'b', 8 false */
static void put_mixed(struct fixture *f) {
    struct inst_value values[] = {inst_null(),       inst_cstring("b"), inst_number(10),
                                  inst_cstring("a"), inst_bool(true),   inst_number(9.5),
                                  inst_cstring("b"), inst_bool(false)};
    begin(f);
    for (uint32_t i = 0; i < sizeof values / sizeof *values; i++) {
        put(f, entity_of(f, i + 1), A_TITLE, values[i], 0, 100 + i, NULL);
    }
    commit(f);
}

static void test_order_and_pages(void **state) {
    struct fixture *f = *state;
    put_mixed(f);
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE), .order = INST_ORDER_ASC};
    const char *all = "1=null 6=9.5 3=10 4=\"a\" 2=\"b\" 7=\"b\" 8=false 5=true";
    assert_true(f->db->store.ops->can_range(&f->db->store, scan.attr));
    assert_false(f->db->store.ops->can_range(&f->db->store, attr_of(f->db, A_BODY)));
    assert_string_equal(scan_text(f, &scan), all);
    scan.order = INST_ORDER_DESC;
    assert_string_equal(scan_text(f, &scan),
                        "5=true 8=false 7=\"b\" 2=\"b\" 4=\"a\" 3=10 6=9.5 1=null");
    scan.after_v = inst_cstring("b");
    scan.after_e = 7;
    assert_string_equal(scan_text(f, &scan), "2=\"b\" 4=\"a\" 3=10 6=9.5 1=null");
    scan.after_v = inst_null();
    scan.after_e = 1;
    assert_string_equal(scan_text(f, &scan), "");
    scan.order = INST_ORDER_ASC;
    assert_string_equal(scan_text(f, &scan), "6=9.5 3=10 4=\"a\" 2=\"b\" 7=\"b\" 8=false 5=true");
    scan.after_v = inst_cstring("b");
    scan.after_e = 2;
    assert_string_equal(scan_text(f, &scan), "7=\"b\" 8=false 5=true");
    scan.low = (struct inst_bound){true, false, inst_cstring("b")};
    assert_string_equal(scan_text(f, &scan), "8=false 5=true");
    scan.high = (struct inst_bound){true, false, inst_bool(true)};
    assert_string_equal(scan_text(f, &scan), "8=false");
}

static void test_ranges(void **state) {
    struct fixture *f = *state;
    put_mixed(f);
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE)};
    scan.low = (struct inst_bound){true, true, inst_number(9.5)};
    scan.high = (struct inst_bound){true, false, inst_cstring("b")};
    assert_string_equal(scan_text(f, &scan), "6=9.5 3=10 4=\"a\"");
    assert_int_equal(f->db->store.ops->estimate(&f->db->store, &scan, 100), 3);
    scan.low.is_inclusive = false;
    scan.high.is_inclusive = true;
    assert_string_equal(scan_text(f, &scan), "3=10 4=\"a\" 2=\"b\" 7=\"b\"");
    /* With the entity given, one value is compared. */
    scan.e = 7;
    assert_string_equal(scan_text(f, &scan), "7=\"b\"");
    scan.e = 8;
    assert_string_equal(scan_text(f, &scan), "");
    scan.e = 6;
    assert_string_equal(scan_text(f, &scan), "");
    scan = (struct inst_scan){.attr = scan.attr};
    scan.high = (struct inst_bound){true, false, inst_number(10)};
    assert_string_equal(scan_text(f, &scan), "1=null 6=9.5");
    scan.low = (struct inst_bound){true, false, inst_null()};
    assert_string_equal(scan_text(f, &scan), "6=9.5");
    /* A number and a boolean are not the same, nor are 1 and '1'. */
    scan = (struct inst_scan){.attr = scan.attr, .has_v = true, .v = inst_number(1)};
    assert_string_equal(scan_text(f, &scan), "");
    scan.v = inst_bool(true);
    assert_string_equal(scan_text(f, &scan), "5=true");
    scan.v = inst_null();
    assert_string_equal(scan_text(f, &scan), "1=null");
}

static void test_dates_are_ordered_as_instants(void **state) {
    struct fixture *f = *state;
    begin(f);
    put(f, entity_of(f, 1), A_DUE, inst_cstring("2024-03-01T00:00:00Z"), 0, 1, NULL);
    put(f, entity_of(f, 2), A_DUE, inst_number(0), 0, 1, NULL);
    put(f, entity_of(f, 3), A_DUE, inst_cstring("2024-03-01T01:00:00+02:00"), 0, 1, NULL);
    put(f, entity_of(f, 4), A_DUE, inst_null(), 0, 1, NULL);
    put(f, entity_of(f, 5), A_DUE, inst_cstring("1970-01-01T00:00:00.000Z"), 0, 1, NULL);
    commit(f);
    struct inst_scan scan = {.attr = attr_of(f->db, A_DUE), .order = INST_ORDER_ASC};
    assert_string_equal(scan_text(f, &scan),
                        "4=null 2=0 5=\"1970-01-01T00:00:00.000Z\" "
                        "3=\"2024-03-01T01:00:00+02:00\" 1=\"2024-03-01T00:00:00Z\"");
    scan.low = (struct inst_bound){true, false, inst_date(0)};
    scan.high = (struct inst_bound){true, false, inst_date(1709251200000.0)};
    assert_string_equal(scan_text(f, &scan), "3=\"2024-03-01T01:00:00+02:00\"");
    scan.e = 3;
    assert_string_equal(scan_text(f, &scan), "3=\"2024-03-01T01:00:00+02:00\"");
    scan.e = 1;
    assert_string_equal(scan_text(f, &scan), "");
    /* Equality is of what was written. */
    scan = (struct inst_scan){
        .attr = scan.attr, .has_v = true, .v = inst_cstring("1970-01-01T00:00:00.000Z")};
    assert_string_equal(scan_text(f, &scan), "5=\"1970-01-01T00:00:00.000Z\"");
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static void test_the_id_attr(void **state) {
    struct fixture *f = *state;
    begin(f);
    for (uint32_t i = 1; i <= 3; i++) {
        uint32_t e = entity_of(f, i);
        put(f, e, A_ID, inst_undefined(), e, 1000 - i, NULL);
    }
    commit(f);
    struct inst_scan scan = {.attr = attr_of(f->db, A_ID)};
    struct inst_store *store = &f->db->store;
    assert_string_equal(scan_text(f, &scan), "3=#3 2=#2 1=#1");
    assert_true(store->ops->can_range(store, scan.attr));
    scan.order = INST_ORDER_DESC;
    scan.after_v = inst_number(999);
    scan.after_e = 1;
    assert_string_equal(scan_text(f, &scan), "2=#2 3=#3");
    char text[INST_UUID_TEXT + 1];
    struct inst_uuid id = uuid_of(2);
    inst_uuid_print(&id, text);
    assert_int_equal(store->ops->entity(store, text, INST_UUID_TEXT), 2);
    struct inst_value printed = store->ops->entity_id(store, 2);
    assert_true(inst_is_string(&printed, text));
    scan = (struct inst_scan){.attr = scan.attr, .has_v = true, .v = inst_cstring(text)};
    assert_string_equal(scan_text(f, &scan), "2=#2");
    assert_int_equal(store->ops->estimate(store, &scan, 10), 1);
    scan = (struct inst_scan){.attr = scan.attr, .ref = 3};
    assert_string_equal(scan_text(f, &scan), "3=#3");
    scan.e = 2;
    assert_string_equal(scan_text(f, &scan), "");
    /* Text of an entity in a blob: found through its ref too. */
    begin(f);
    put(f, 1, A_BODY, inst_cstring(text), 0, 1, NULL);
    commit(f);
    scan = (struct inst_scan){.attr = attr_of(f->db, A_BODY), .ref = 2};
    char want[64];
    snprintf(want, sizeof want, "1=\"%s\"", text);
    assert_string_equal(scan_text(f, &scan), want);
}

static void test_cursors_nest(void **state) {
    struct fixture *f = *state;
    put_mixed(f);
    struct inst_store *store = &f->db->store;
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE)};
    struct inst_cursor outer, inner;
    struct inst_triple a, b;
    int pairs = 0;
    must(store->ops->scan(store, &scan, &outer, &f->err), &f->err);
    while (store->ops->next(&outer, &a, &f->err) == 1) {
        must(store->ops->scan(store, &scan, &inner, &f->err), &f->err);
        while (store->ops->next(&inner, &b, &f->err) == 1) {
            pairs++;
        }
        store->ops->close(&inner);
    }
    store->ops->close(&outer);
    assert_int_equal(pairs, 64);
}

static void test_an_object_in_bulk(void **state) {
    struct fixture *f = *state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    begin(f);
    uint32_t e = entity_of(f, 1), ann = entity_of(f, 2);
    put(f, e, A_ID, inst_undefined(), e, 1, NULL);
    put(f, e, A_TITLE, inst_cstring("title"), 0, 1, NULL);
    put(f, e, A_BODY, json_of(&arena, "{'a':['x']}"), 0, 1, NULL);
    put(f, e, A_AUTHOR, ref_value(ann), ann, 1, NULL);
    commit(f);
    const struct inst_attr *attrs[] = {attr_of(f->db, A_BODY), attr_of(f->db, A_DUE),
                                       attr_of(f->db, A_AUTHOR), attr_of(f->db, A_ID),
                                       attr_of(f->db, A_TITLE)};
    struct inst_value out[5], body = json_of(&arena, "{'a':['x']}");
    must(f->db->store.ops->row(&f->db->store, e, attrs, 5, out, &f->err), &f->err);
    assert_true(inst_value_equal(&out[0], &body));
    assert_int_equal(out[1].tag, INST_UNDEFINED);
    assert_int_equal(out[2].u.entity, ann);
    assert_int_equal(out[3].u.entity, e);
    assert_true(inst_is_string(&out[4], "title"));
    inst_arena_free(&arena);
}

static const char body_indexed[] =
    "[{'id':'00000000-0000-4000-8000-000000000003','value-type':'blob','cardinality':'one',"
    "'forward-identity':['10000000-0000-4000-8000-000000000003','notes','body'],"
    "'unique?':false,'index?':true%s}]";

static void reindex_body(struct fixture *f, const char *flags) {
    char text[512];
    snprintf(text, sizeof text, body_indexed, flags);
    save_attrs(f, text);
    begin(f);
    must(f->db->db_ops->reindex_attr(f->db, attr_of(f->db, A_BODY), &f->err), &f->err);
    commit(f);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static void test_reindexing(void **state) {
    struct fixture *f = *state;
    struct inst_value values[] = {
        inst_cstring("1970-01-02"), inst_number(-5),  inst_number(0), inst_null(), inst_bool(true),
        inst_cstring("1970-01-01"), inst_number(1e15)};
    begin(f);
    for (uint32_t i = 0; i < sizeof values / sizeof *values; i++) {
        put(f, entity_of(f, i + 1), A_BODY, values[i], 0, 50, NULL);
    }
    commit(f);
    struct inst_store *store = &f->db->store;
    struct inst_scan scan = {.attr = attr_of(f->db, A_BODY)};
    const char *by_entity = scan_text(f, &scan);
    char plain[8192];
    snprintf(plain, sizeof plain, "%s", by_entity);
    reindex_body(f, "");
    scan.attr = attr_of(f->db, A_BODY);
    assert_true(store->ops->can_range(store, scan.attr));
    assert_string_equal(scan_text(f, &scan), "4=null 2=-5 3=0 7=1000000000000000 "
                                             "6=\"1970-01-01\" 1=\"1970-01-02\" 5=true");
    reindex_body(f, ",'checked-data-type':'date'");
    scan.attr = attr_of(f->db, A_BODY);
    assert_string_equal(scan_text(f, &scan), "4=null 2=-5 3=0 6=\"1970-01-01\" 1=\"1970-01-02\" "
                                             "7=1000000000000000 5=true");
    /* An index that is wanted but not built yet is not offered. */
    char text[512];
    snprintf(text, sizeof text, body_indexed, "");
    save_attrs(f, text);
    assert_false(store->ops->can_range(store, attr_of(f->db, A_BODY)));
    char *flag = strstr(text, "'index?':true");
    memcpy(flag, "'index?':null", 13);
    save_attrs(f, text);
    begin(f);
    must(f->db->db_ops->reindex_attr(f->db, attr_of(f->db, A_BODY), &f->err), &f->err);
    commit(f);
    scan.attr = attr_of(f->db, A_BODY);
    assert_string_equal(scan_text(f, &scan), plain);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static void append(struct fixture *f, int64_t tx_id, const struct inst_uuid *event) {
    struct inst_log_record record = {.tx_id = tx_id,
                                     .at_ms = 5,
                                     .event = event,
                                     .who = "null",
                                     .who_len = 4,
                                     .changes = "[]",
                                     .changes_len = 2};
    must(f->db->db_ops->append_log(f->db, &record, &f->err), &f->err);
}

static int64_t find_event(struct fixture *f, const struct inst_uuid *event) {
    int64_t tx_id = -1;
    must(f->db->db_ops->find_event(f->db, event, &tx_id, &f->err), &f->err);
    return tx_id;
}

static void test_the_log(void **state) {
    struct fixture *f = *state;
    struct inst_uuid event = uuid_of(77), other = uuid_of(78);
    assert_int_equal(find_event(f, &event), 0);
    begin(f);
    append(f, 1, NULL);
    append(f, 2, &event);
    append(f, 3, NULL);
    assert_int_equal(find_event(f, &event), 2);
    commit(f);
    assert_int_equal(f->db->db_ops->last_tx_id(f->db), 3);
    begin(f);
    struct inst_log_record gap = {.tx_id = 5, .who = "", .changes = ""};
    assert_int_equal(f->db->db_ops->append_log(f->db, &gap, &f->err), INST_FAILED);
    must(f->db->db_ops->savepoint(f->db, &f->err), &f->err);
    gap.tx_id = 4;
    gap.event = &event; /* its event is taken */
    assert_int_equal(f->db->db_ops->append_log(f->db, &gap, &f->err), INST_FAILED);
    must(f->db->db_ops->undo(f->db, &f->err), &f->err);
    append(f, 4, &other);
    f->db->db_ops->rollback(f->db);
    assert_int_equal(f->db->db_ops->last_tx_id(f->db), 3);
    assert_int_equal(find_event(f, &other), 0);
    close_file(f);
    open_file(f, NULL);
    assert_int_equal(f->db->db_ops->last_tx_id(f->db), 3);
    assert_int_equal(find_event(f, &event), 2);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static void test_undo_takes_back_one_transaction(void **state) {
    struct fixture *f = *state;
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE)};
    begin(f);
    must(f->db->db_ops->savepoint(f->db, &f->err), &f->err);
    put(f, entity_of(f, 1), A_TITLE, inst_cstring("kept"), 0, 1, NULL);
    append(f, 1, NULL);
    must(f->db->db_ops->release(f->db, &f->err), &f->err);
    must(f->db->db_ops->savepoint(f->db, &f->err), &f->err);
    assert_int_equal(f->db->db_ops->savepoint(f->db, &f->err), INST_FAILED); /* one level */
    put(f, entity_of(f, 2), A_TITLE, inst_cstring("undone"), 0, 1, NULL);
    append(f, 2, NULL);
    assert_string_equal(scan_text(f, &scan), "1=\"kept\" 2=\"undone\"");
    struct inst_value kept = f->db->store.ops->entity_id(&f->db->store, 1);
    must(f->db->db_ops->undo(f->db, &f->err), &f->err);
    assert_int_equal(f->db->db_ops->last_tx_id(f->db), 1);
    assert_int_equal(kept.u.str[0], 'a'); /* given out in this group: still there */
    /* The undone entity is unknown again, and its handle is free for the next one. */
    char text[INST_UUID_TEXT + 1];
    struct inst_uuid id = uuid_of(2);
    inst_uuid_print(&id, text);
    assert_int_equal(f->db->store.ops->entity(&f->db->store, text, INST_UUID_TEXT), 0);
    uint32_t e = entity_of(f, 3);
    assert_int_equal(e, 2);
    struct inst_value printed = f->db->store.ops->entity_id(&f->db->store, e);
    id = uuid_of(3);
    inst_uuid_print(&id, text);
    assert_true(inst_is_string(&printed, text));
    commit(f);
    assert_string_equal(scan_text(f, &scan), "1=\"kept\"");
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

/* Every kind of row, with an old state to go back to; `count` entities are more than is noted. */
static void write_a_lot(struct fixture *f, uint32_t count) {
    struct inst_triple old = {.e = 1, .v = inst_cstring("kept"), .t = 1};
    put(f, 1, A_TITLE, inst_cstring("changed"), 0, 5, &old);
    old = (struct inst_triple){.e = 1, .v = inst_cstring("body"), .t = 1};
    must(f->db->db_ops->retract(f->db, attr_of(f->db, A_BODY), &old, &f->err), &f->err);
    old = (struct inst_triple){.e = 1, .v = inst_cstring("2020-01-01"), .t = 2};
    put(f, 1, A_DUE, inst_cstring("2021-01-01"), 0, 5, &old);
    old = (struct inst_triple){.e = 1, .ref = 2, .t = 3};
    put(f, 1, A_AUTHOR, inst_undefined(), entity_of(f, 3), 5, &old);
    put(f, 1, A_TAGS, inst_undefined(), entity_of(f, 4), 5, NULL);
    put(f, 1, A_TAGS, inst_undefined(), entity_of(f, 4), 6, NULL); /* it is there already */
    for (uint32_t n = 10; n < 10 + count; n++) {
        put(f, entity_of(f, n), A_TITLE, inst_cstring("new"), 0, 5, NULL);
    }
    append(f, f->db->db_ops->last_tx_id(f->db) + 1, NULL);
}

static void test_undo_brings_back_what_was(void **state) {
    struct fixture *f = *state;
    static const uint32_t counts[] = {0, INST_SQLITE_UNDO_ROWS};
    static const uint32_t rows[] = {A_TITLE, A_BODY, A_DUE, A_AUTHOR, A_TAGS};
    char before[5][256];
    begin(f);
    entity_of(f, 1);
    put(f, 1, A_TITLE, inst_cstring("kept"), 0, 1, NULL);
    put(f, 1, A_BODY, inst_cstring("body"), 0, 1, NULL);
    put(f, 1, A_DUE, inst_cstring("2020-01-01"), 0, 2, NULL);
    put(f, 1, A_AUTHOR, inst_undefined(), entity_of(f, 2), 3, NULL);
    for (size_t i = 0; i < 5; i++) {
        struct inst_scan scan = {.attr = attr_of(f->db, rows[i])};
        const char *text = scan_text(f, &scan);
        assert_true(strlen(text) < sizeof before[i]);
        memcpy(before[i], text, strlen(text) + 1);
    }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        must(f->db->db_ops->savepoint(f->db, &f->err), &f->err);
        write_a_lot(f, counts[i]);
        must(f->db->db_ops->undo(f->db, &f->err), &f->err);
        for (size_t k = 0; k < 5; k++) {
            struct inst_scan scan = {.attr = attr_of(f->db, rows[k])};
            assert_string_equal(scan_text(f, &scan), before[k]);
        }
        assert_int_equal(f->db->db_ops->last_tx_id(f->db), 0);
    }
    commit(f);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
    /* What is kept after all is whole too. */
    begin(f);
    must(f->db->db_ops->savepoint(f->db, &f->err), &f->err);
    write_a_lot(f, INST_SQLITE_UNDO_ROWS);
    must(f->db->db_ops->release(f->db, &f->err), &f->err);
    commit(f);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static const char extra_attr[] =
    "{'id':'00000000-0000-4000-8000-00000000000e','value-type':'ref','cardinality':'many',"
    "'forward-identity':['10000000-0000-4000-8000-00000000000e','notes','extra'],"
    "'reverse-identity':['20000000-0000-4000-8000-00000000000e','x','notes']}";

static void test_rollback_takes_back_the_group(void **state) {
    struct fixture *f = *state;
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value json = json_of(&arena, extra_attr), list = inst_array(&json, 1);
    struct inst_attrs *attrs = NULL;
    must(inst_attrs_new(&list, &attrs, &f->err), &f->err);
    uint32_t row = 0, again = 0;
    begin(f);
    begin(f);
    must(f->db->db_ops->save_attr(f->db, inst_attrs_at(attrs, 0), "{}", 2, false, &row, &f->err),
         &f->err);
    assert_int_equal(row, A_COUNT + 1);
    put(f, entity_of(f, 1), A_TITLE, inst_cstring("x"), 0, 1, NULL);
    append(f, 1, NULL);
    f->db->db_ops->rollback(f->db);
    f->db->db_ops->rollback(f->db);
    must(f->db->db_ops->commit(f->db, &f->err), &f->err); /* nothing to do */
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE)};
    assert_string_equal(scan_text(f, &scan), "");
    assert_int_equal(f->db->db_ops->last_tx_id(f->db), 0);
    load_catalog(f);
    assert_int_equal(inst_attrs_count(f->db->store.attrs), A_COUNT);
    /* Saved, hidden, saved again: the same row. */
    struct inst_buf text;
    inst_buf_init(&text);
    inst_json_write(&text, &json);
    for (int deleted = 1; deleted >= 0; deleted--) {
        begin(f);
        again = 0;
        must(f->db->db_ops->save_attr(f->db, inst_attrs_at(attrs, 0), text.data, text.len,
                                      deleted == 1, &again, &f->err),
             &f->err);
        commit(f);
        assert_int_equal(again, A_COUNT + 1);
        load_catalog(f);
        assert_int_equal(inst_attrs_count(f->db->store.attrs), A_COUNT + 1 - deleted);
    }
    assert_true(attr_of(f->db, again)->is_ref);
    inst_buf_free(&text);
    inst_attrs_unref(attrs);
    inst_arena_free(&arena);
}

static void test_texts_of_entities_are_let_go(void **state) {
    struct fixture *f = *state;
    begin(f);
    for (uint32_t i = 1; i <= INST_SQLITE_KEPT_TEXTS + 10; i++) {
        entity_of(f, i);
    }
    commit(f);
    struct inst_store *store = &f->db->store;
    for (uint32_t e = 1; e <= INST_SQLITE_KEPT_TEXTS + 10; e++) {
        assert_int_equal(store->ops->entity_id(store, e).len, INST_UUID_TEXT);
    }
    f->db->db_ops->trim(f->db);
    char text[INST_UUID_TEXT + 1];
    struct inst_uuid id = uuid_of(9);
    inst_uuid_print(&id, text);
    struct inst_value printed = store->ops->entity_id(store, 9);
    assert_true(inst_is_string(&printed, text));
}

static void test_reopening_keeps_everything(void **state) {
    struct fixture *f = *state;
    put_mixed(f);
    struct inst_scan scan = {.attr = attr_of(f->db, A_TITLE), .order = INST_ORDER_ASC};
    char before[8192];
    snprintf(before, sizeof before, "%s", scan_text(f, &scan));
    begin(f);
    put(f, entity_of(f, 99), A_TITLE, inst_cstring("never committed"), 0, 1, NULL);
    close_file(f);
    open_file(f, NULL);
    scan.attr = attr_of(f->db, A_TITLE);
    assert_string_equal(scan_text(f, &scan), before);
    must(inst_sqlite_app_db_check(f->db, &f->err), &f->err);
}

static void test_meta(void **state) {
    struct fixture *f = *state;
    char out[8];
    size_t len = 99;
    must(inst_sqlite_app_db_meta(f->db, "title", out, sizeof out, &len, &f->err), &f->err);
    assert_int_equal(len, 0);
    must(inst_sqlite_app_db_set_meta(f->db, "title", "a longer text", 13, &f->err), &f->err);
    must(inst_sqlite_app_db_meta(f->db, "title", out, sizeof out, &len, &f->err), &f->err);
    assert_string_equal(out, "a longe");
    assert_int_equal(len, 7);
}

struct heard {
    int64_t tx_ids[8];
    size_t count, limit;
    char text[256];
};

static bool hear_record(void *ctx, const struct inst_log_record *record) {
    struct heard *heard = ctx;
    heard->tx_ids[heard->count++] = record->tx_id;
    snprintf(heard->text, sizeof heard->text, "%d %.*s %.*s %s", (int)record->at_ms,
             (int)record->who_len, record->who, (int)record->changes_len, record->changes,
             record->event != NULL ? "named" : "unnamed");
    return heard->count < heard->limit;
}

static void test_reading_the_log(void **state) {
    struct fixture *f = *state;
    struct inst_uuid event = uuid_of(7);
    begin(f);
    for (int i = 1; i <= 5; i++) {
        struct inst_log_record record = {.tx_id = i,
                                         .at_ms = 100 + i,
                                         .event = i == 5 ? &event : NULL,
                                         .who = "null",
                                         .who_len = 4,
                                         .changes = "{}",
                                         .changes_len = 2};
        must(f->db->db_ops->append_log(f->db, &record, &f->err), &f->err);
    }
    commit(f);
    struct heard heard = {.limit = 8};
    must(f->db->db_ops->read_log(f->db, 2, hear_record, &heard, &f->err), &f->err);
    assert_int_equal(heard.count, 3);
    assert_int_equal(heard.tx_ids[0], 3);
    assert_string_equal(heard.text, "105 null {} named");
    heard = (struct heard){.limit = 1};
    must(f->db->db_ops->read_log(f->db, 0, hear_record, &heard, &f->err), &f->err);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.text, "101 null {} unnamed");
    heard = (struct heard){.limit = 8};
    must(f->db->db_ops->read_log(f->db, 5, hear_record, &heard, &f->err), &f->err);
    assert_int_equal(heard.count, 0);
}

static bool hear_note(void *ctx, const char *key, const char *bytes, size_t len) {
    struct heard *heard = ctx;
    size_t at = strlen(heard->text);
    snprintf(heard->text + at, sizeof heard->text - at, "%s=%.*s ", key, (int)len,
             bytes != NULL ? bytes : "");
    return ++heard->count < heard->limit;
}

static void set_note(struct fixture *f, const char *key, const char *text) {
    must(f->db->db_ops->set_note(f->db, key, text, text != NULL ? strlen(text) : 0, &f->err),
         &f->err);
}

static void expect_note(struct fixture *f, const char *key, const char *text) {
    struct inst_buf buf;
    bool found;
    inst_buf_init(&buf);
    must(f->db->db_ops->get_note(f->db, key, &buf, &found, &f->err), &f->err);
    assert_int_equal(found, text != NULL);
    if (text != NULL) {
        assert_int_equal(buf.len, strlen(text));
        assert_memory_equal(buf.len > 0 ? buf.data : "", text, buf.len);
    }
    inst_buf_free(&buf);
}

static void test_notes(void **state) {
    struct fixture *f = *state;
    expect_note(f, "a:1", NULL);
    assert_int_equal(f->db->db_ops->set_note(f->db, "a:1", "x", 1, &f->err), INST_FAILED);
    begin(f);
    set_note(f, "a:1", "one");
    set_note(f, "a:2", "");
    set_note(f, "a:1", "first");
    set_note(f, "b:1", "other");
    commit(f);
    begin(f);
    set_note(f, "a:1", "undone");
    f->db->db_ops->rollback(f->db);
    close_file(f);
    open_file(f, NULL);
    expect_note(f, "a:1", "first");
    expect_note(f, "a:2", "");
    struct heard heard = {.limit = 8};
    must(f->db->db_ops->each_note(f->db, "a:", NULL, hear_note, &heard, &f->err), &f->err);
    assert_string_equal(heard.text, "a:1=first a:2= ");
    heard = (struct heard){.limit = 1};
    must(f->db->db_ops->each_note(f->db, "", NULL, hear_note, &heard, &f->err), &f->err);
    assert_int_equal(heard.count, 1);
    begin(f);
    set_note(f, "a:1", NULL);
    set_note(f, "never there", NULL);
    commit(f);
    expect_note(f, "a:1", NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_empty_file_knows_nothing),
        TEST(test_values_come_back_as_written),
        TEST(test_one_megabyte),
        TEST(test_overwriting_moves_the_index),
        TEST(test_an_old_value_that_is_not_there_is_an_error),
        TEST(test_links),
        TEST(test_triples_whatever_their_attr),
        TEST(test_order_and_pages),
        TEST(test_ranges),
        TEST(test_dates_are_ordered_as_instants),
        TEST(test_the_id_attr),
        TEST(test_cursors_nest),
        TEST(test_an_object_in_bulk),
        TEST(test_reindexing),
        TEST(test_the_log),
        TEST(test_undo_takes_back_one_transaction),
        TEST(test_undo_brings_back_what_was),
        TEST(test_rollback_takes_back_the_group),
        TEST(test_texts_of_entities_are_let_go),
        TEST(test_reopening_keeps_everything),
        TEST(test_meta),
        TEST(test_reading_the_log),
        TEST(test_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
