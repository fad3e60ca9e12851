/*
 * io_app_db_fixture.h - an app data file in a folder of its own, with a few attrs, for tests.
 */
#ifndef INST_TESTS_IO_APP_DB_FIXTURE_H
#define INST_TESTS_IO_APP_DB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "io/sqlite_app_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    char path[96];
    struct inst_app_db *db;
    struct inst_err err;
};

static const char fixture_attrs[] =
    "[{'id':'00000000-0000-4000-8000-000000000001','value-type':'blob','cardinality':'one',"
    "'forward-identity':['10000000-0000-4000-8000-000000000001','notes','id'],"
    "'unique?':true,'index?':false},"
    "{'id':'00000000-0000-4000-8000-000000000002','value-type':'blob','cardinality':'one',"
    "'forward-identity':['10000000-0000-4000-8000-000000000002','notes','title'],"
    "'unique?':false,'index?':true},"
    "{'id':'00000000-0000-4000-8000-000000000003','value-type':'blob','cardinality':'one',"
    "'forward-identity':['10000000-0000-4000-8000-000000000003','notes','body'],"
    "'unique?':false,'index?':false},"
    "{'id':'00000000-0000-4000-8000-000000000004','value-type':'blob','cardinality':'one',"
    "'forward-identity':['10000000-0000-4000-8000-000000000004','notes','due'],"
    "'unique?':false,'index?':true,'checked-data-type':'date'},"
    "{'id':'00000000-0000-4000-8000-000000000005','value-type':'ref','cardinality':'one',"
    "'forward-identity':['10000000-0000-4000-8000-000000000005','notes','author'],"
    "'reverse-identity':['20000000-0000-4000-8000-000000000005','people','notes'],"
    "'unique?':false,'index?':false},"
    "{'id':'00000000-0000-4000-8000-000000000006','value-type':'ref','cardinality':'many',"
    "'forward-identity':['10000000-0000-4000-8000-000000000006','notes','tags'],"
    "'reverse-identity':['20000000-0000-4000-8000-000000000006','tags','notes'],"
    "'unique?':false,'index?':false}]";

/* Rows of the attrs above, in that order. */
enum { A_ID = 1, A_TITLE, A_BODY, A_DUE, A_AUTHOR, A_TAGS, A_COUNT = 6 };

#define must(status, err)                                                                          \
    do {                                                                                           \
        if ((status) != INST_OK) {                                                                 \
            fail_msg("%s", (err)->message ? (err)->message : "no message");                        \
        }                                                                                          \
    } while (0)

/* JSON with ' for ". */
static inline struct inst_value json_of(struct inst_arena *arena, const char *text) {
    char *copy = strdup(text);
    struct inst_value v = {0};
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    struct inst_err err = {0};
    must(inst_json_parse(arena, copy, strlen(copy), &v, &err), &err);
    free(copy);
    return v;
}

static inline const struct inst_attr *attr_of(struct inst_app_db *db, uint32_t row) {
    for (size_t i = 0; i < inst_attrs_count(db->store.attrs); i++) {
        if (inst_attrs_at(db->store.attrs, i)->row == row) {
            return inst_attrs_at(db->store.attrs, i);
        }
    }
    fail_msg("no attr of row %u", row);
    return NULL;
}

static inline void load_catalog(struct fixture *f) {
    struct inst_attrs *attrs = NULL;
    must(f->db->db_ops->load_attrs(f->db, &attrs, &f->err), &f->err);
    inst_attrs_unref(f->db->store.attrs);
    f->db->store.attrs = attrs;
}

/* Saves attrs (JSON with ' for ") in a group of their own and loads the catalog again. */
static inline void save_attrs(struct fixture *f, const char *text) {
    struct inst_arena arena;
    inst_arena_init(&arena);
    struct inst_value list = json_of(&arena, text);
    struct inst_attrs *attrs = NULL;
    must(inst_attrs_new(&list, &attrs, &f->err), &f->err);
    must(f->db->db_ops->begin(f->db, &f->err), &f->err);
    for (size_t i = 0; i < list.len; i++) {
        struct inst_buf json;
        uint32_t row = 0;
        inst_buf_init(&json);
        inst_json_write(&json, &list.u.items[i]);
        must(f->db->db_ops->save_attr(f->db, inst_attrs_at(attrs, i), json.data, json.len, false,
                                      &row, &f->err),
             &f->err);
        inst_buf_free(&json);
    }
    must(f->db->db_ops->commit(f->db, &f->err), &f->err);
    inst_attrs_unref(attrs);
    inst_arena_free(&arena);
    load_catalog(f);
}

static inline void open_file(struct fixture *f, const struct inst_sqlite_options *options) {
    must(inst_sqlite_app_db_open(f->path, options, &f->db, &f->err), &f->err);
    load_catalog(f);
}

static inline void close_file(struct fixture *f) {
    if (f->db) {
        f->db->db_ops->close(f->db);
        f->db = NULL;
    }
}

static inline int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/inst-app-db-XXXXXX");
    if (!mkdtemp(f->dir)) {
        free(f);
        return -1;
    }
    snprintf(f->path, sizeof f->path, "%s/app.db", f->dir);
    open_file(f, NULL);
    save_attrs(f, fixture_attrs);
    *state = f;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    close_file(f);
    inst_err_clear(&f->err);
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    int failed = system(command);
    free(f);
    return failed;
}

/* The n-th test entity's uuid. */
static inline struct inst_uuid uuid_of(uint32_t n) {
    struct inst_uuid id = {{0xaa, 0, 0, 0, 0, 0, 0x40, 0, 0x80}};
    for (int i = 0; i < 4; i++) {
        id.bytes[12 + i] = (uint8_t)(n >> (24 - 8 * i));
    }
    return id;
}

static inline uint32_t entity_of(struct fixture *f, uint32_t n) {
    struct inst_uuid id = uuid_of(n);
    uint32_t e = 0;
    bool is_new;
    must(f->db->db_ops->make_entity(f->db, &id, &e, &is_new, &f->err), &f->err);
    return e;
}

static inline void put(struct fixture *f, uint32_t e, uint32_t row, struct inst_value v,
                       uint32_t ref, int64_t t, const struct inst_triple *old) {
    must(f->db->db_ops->put(f->db, e, attr_of(f->db, row), &v, ref, t, old, &f->err), &f->err);
}

static inline void begin(struct fixture *f) { must(f->db->db_ops->begin(f->db, &f->err), &f->err); }
static inline void commit(struct fixture *f) {
    must(f->db->db_ops->commit(f->db, &f->err), &f->err);
}

/* The scan's triples as text: `e=value` each, links and ids as `e=#entity`; into out. */
static inline const char *scan_text(struct fixture *f, const struct inst_scan *scan) {
    static char out[8192];
    struct inst_store *store = &f->db->store;
    struct inst_cursor cursor;
    struct inst_triple triple;
    struct inst_buf buf;
    int more;
    inst_buf_init(&buf);
    inst_buf_add(&buf, "", 0);
    must(store->ops->scan(store, scan, &cursor, &f->err), &f->err);
    while ((more = store->ops->next(&cursor, &triple, &f->err)) == 1) {
        inst_buf_addf(&buf, "%s%u=", buf.len ? " " : "", triple.e);
        if (triple.v.tag == INST_ENTITY) {
            assert_int_equal(triple.ref, triple.v.u.entity);
            inst_buf_addf(&buf, "#%u", triple.ref);
        } else {
            inst_json_write(&buf, &triple.v);
        }
    }
    store->ops->close(&cursor);
    assert_int_equal(more, 0);
    assert_true(buf.len < sizeof out);
    snprintf(out, sizeof out, "%s", buf.data ? buf.data : "");
    inst_buf_free(&buf);
    return out;
}

#endif
