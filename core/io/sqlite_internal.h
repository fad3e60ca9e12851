/*
 * sqlite_internal.h - what the parts of the SQLite app db share. Only for sqlite_*.c.
 *
 *     sqlite_app_db   open, close, the group, attrs, log, meta
 *     sqlite_write    entities, put, retract
 *     sqlite_reindex  an attr's rows moved to where another index kind wants them; walks
 *     sqlite_undo     what a transaction wrote, to take it back
 *     sqlite_scan     the Store interface and the callbacks over triples
 *     sqlite_value    values and order keys to columns and back
 *     sqlite_log      the log and the notes
 *     sqlite_check    is the file whole?
 */
#ifndef INST_IO_SQLITE_INTERNAL_H
#define INST_IO_SQLITE_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "io/sqlite_api.h"
#include "io/sqlite_app_db.h"

/*
 * What `ave` holds for an attr; kept in attrs.index_kind. While its rows are being moved from one
 * kind to another, some are still at their old place and some at the new one:
 *
 *     bits 0..2   the kind by which scans read: of a moving attr PLAIN, which looks at every row
 *     bits 3..4   moving: from KIND_PLAIN, KIND_VALUE or KIND_DATE
 *     bits 5..6   moving: to; another one than from. Not moving: both 0
 */
enum index_kind {
    KIND_PLAIN = 0, /* blob without an index: k is 0 */
    KIND_VALUE = 1, /* blob, k is the value */
    KIND_DATE = 2,  /* blob, k is the instant in ms where the value is a date, else the value */
    KIND_ID = 3,    /* k is created-at */
    KIND_LINK = 4,  /* k is the target */
};

struct db_move {
    enum index_kind from, to; /* equal: it does not move */
};

/* An order key, or one stored value: type is SQLite's. bytes are borrowed. */
struct db_key {
    int type; /* SQLITE_NULL, _INTEGER, _FLOAT, _TEXT, _BLOB */
    sqlite3_int64 num;
    double real;
    const char *bytes;
    size_t len;
};

/* Statements that are run and reset in one go, one of each. */
enum run_stmt {
    RUN_BEGIN,
    RUN_COMMIT,
    RUN_ROLLBACK,
    RUN_SAVEPOINT,
    RUN_UNDO,
    RUN_RELEASE,
    RUN_FIND_ENTITY,
    RUN_ADD_ENTITY,
    RUN_DROP_ENTITY,
    RUN_FIND_UUID,
    RUN_ADD_TRIPLE,
    RUN_ADD_LINK,
    RUN_SET_TRIPLE,
    RUN_DROP_TRIPLE,
    RUN_ADD_AVE,
    RUN_DROP_AVE,
    RUN_HAS_AVE,
    RUN_FIND_ATTR,
    RUN_ADD_ATTR,
    RUN_SET_ATTR,
    RUN_SET_KIND,
    RUN_DROP_ATTR,
    RUN_ADD_LOG,
    RUN_DROP_LOG,
    RUN_FIND_EVENT,
    RUN_READ_LOG,
    RUN_EACH_META,
    RUN_DROP_META,
    RUN_COUNT_AVE,
    RUN_COUNT_PLACES,
    RUN_COUNT_EA,
    RUN_GET_META,
    RUN_SET_META,
    RUN_NEXT_PLACE,
    RUN_OTHER_LINK,
    RUN_OTHER_VALUE,
    RUN_COUNT,
};

/* Statements that stay open while rows are read; evaluations nest, so each kind has a pool. The
 * first sixteen are scans of ave: a sum of the four flags. */
enum scan_stmt_kind {
    SCAN_DESC = 1,   /* backwards */
    SCAN_JOIN = 2,   /* value and t from triples, else from ave itself */
    SCAN_EQ = 4,     /* with JOIN: only rows whose stored value is ?6 */
    SCAN_PLACES = 8, /* strictly between two places (k, e); else k from one key to another, which
                      * SQLite tests in half the time */
    SCAN_EA = 16,    /* (e, a) */
    SCAN_EA_REF,     /* (e, a, ref) */
    SCAN_EA_EQ,      /* (e, a) whose stored value is ?3 */
    SCAN_OF,         /* every triple of e */
    SCAN_LINKS_TO,   /* every link to e */
    SCAN_COUNT,
};

struct scan_stmt {
    sqlite3_stmt *stmt;
    struct scan_stmt *next; /* in its pool while unused */
    enum scan_stmt_kind kind;
    struct inst_arena arena; /* arrays and objects of the current row */
};

/* One slot of the direct-mapped cache of entities. */
struct entity_slot {
    struct inst_uuid id;
    uint32_t e; /* 0: empty */
};
#define ENTITY_SLOTS 512

/* Handles whose text was given out, by e; open addressing, power of two. */
struct text_slot {
    uint32_t e; /* 0: free */
    const char *text;
};

/*
 * What one transaction did to the tables, row by row, so that it can be taken back, the last row
 * first. SQLite's own savepoint would copy every page that a transaction touches. A transaction
 * that changes attrs, and one of very many rows, goes on in a savepoint:
 *
 *     row row row ... | savepoint: attrs, more rows
 */
enum undo_kind {
    UNDO_ADDED_ENTITY,   /* key: the uuid */
    UNDO_ADDED_TRIPLE,   /* e, a, ref */
    UNDO_SET_TRIPLE,     /* and key, t: what it was */
    UNDO_DROPPED_TRIPLE, /* likewise */
    UNDO_ADDED_AVE,      /* a, key, e */
    UNDO_DROPPED_AVE,    /* and t */
    UNDO_ADDED_LOG,      /* t: tx-id */
};

struct undo_row {
    struct undo_row *before;
    enum undo_kind kind;
    uint32_t e, a, ref;
    int64_t t; /* INST_NO_TIME: none */
    struct db_key key;
};

/* Past either a transaction goes on in a savepoint. */
#define INST_SQLITE_UNDO_ROWS 4096
#define INST_SQLITE_UNDO_BYTES (1u << 20)

struct sqlite_app_db {
    struct inst_app_db base;
    sqlite3 *db;
    char *path;
    sqlite3_stmt *run[RUN_COUNT];
    struct scan_stmt *pool[SCAN_COUNT];

    bool is_begun;
    bool is_saved;         /* inside a transaction: what it writes is noted */
    bool is_deep;          /* and it goes on in a savepoint: not noted any more */
    bool is_lost;          /* SQLite gave up the group by itself: only rollback is left */
    bool is_attrs_changed; /* in this group: kinds are read again when something is undone */
    int64_t last_tx_id;
    int64_t group_tx_id; /* last_tx_id at begin */
    int64_t saved_tx_id; /* ... at savepoint */

    struct undo_row *undo_last;
    size_t undo_count;
    struct inst_arena undo_arena;

    uint8_t *kinds; /* by attr row, as in attrs.index_kind */
    uint32_t kinds_cap;

    struct entity_slot entities[ENTITY_SLOTS];

    struct text_slot *texts;
    size_t texts_cap;
    size_t texts_count;
    struct inst_arena texts_arena;

    struct inst_arena row_arena; /* what the last `row` gave */

    /* JSON text of values and keys being written: new and old at once. */
    struct inst_buf scratch[4];
};

static inline struct sqlite_app_db *of_store(struct inst_store *store) {
    return (struct sqlite_app_db *)(void *)store;
}
static inline struct sqlite_app_db *of_db(struct inst_app_db *db) {
    return (struct sqlite_app_db *)(void *)db;
}

/* ---- sqlite_app_db.c ---- */

/* The statement, prepared on first use; NULL: err is set. */
sqlite3_stmt *db_stmt(struct sqlite_app_db *db, enum run_stmt which, struct inst_err *err);
/* Runs a statement that gives no row and resets it. */
enum inst_status db_run(struct sqlite_app_db *db, sqlite3_stmt *stmt, struct inst_err *err);
/* The sentence for rc; notices when SQLite rolled the group back by itself. */
enum inst_status db_error(struct sqlite_app_db *db, int rc, struct inst_err *err);
/* "The file is damaged" with a reason. */
enum inst_status db_damaged(struct sqlite_app_db *db, const char *what, struct inst_err *err);
/* May the engine write now? */
enum inst_status db_may_write(struct sqlite_app_db *db, struct inst_err *err);
/* The kind by which the attr's rows are read. */
static inline enum index_kind db_kind(const struct sqlite_app_db *db, uint32_t row) {
    return row < db->kinds_cap ? (enum index_kind)(db->kinds[row] & 7) : KIND_PLAIN;
}
/* Where its rows are, and where new ones go (to). */
static inline struct db_move db_move_of(const struct sqlite_app_db *db, uint32_t row) {
    uint8_t code = row < db->kinds_cap ? db->kinds[row] : 0;
    if (code < 8) {
        return (struct db_move){(enum index_kind)code, (enum index_kind)code};
    }
    return (struct db_move){(enum index_kind)(code >> 3 & 3), (enum index_kind)(code >> 5)};
}
/* The kind that the attr's flags ask for. */
enum index_kind db_wanted_kind(const struct inst_attr *attr);
enum inst_status db_set_move(struct sqlite_app_db *db, uint32_t row, struct db_move move,
                             struct inst_err *err);
/* Forgets what reads have cached: entities after an undo, texts past the limit. */
void db_forget_entities(struct sqlite_app_db *db);
void db_trim(struct sqlite_app_db *db);

/* ---- sqlite_undo.c ---- */

/* db_run of a statement that writes this one row, which is noted when it does. Copies the key. */
enum inst_status db_run_noted(struct sqlite_app_db *db, sqlite3_stmt *stmt,
                              const struct undo_row *row, struct inst_err *err);
/* Before anything is written that is not noted. */
enum inst_status db_undo_deepen(struct sqlite_app_db *db, struct inst_err *err);
/* Takes everything back. When it fails only the group's rollback is left. */
enum inst_status db_undo_all(struct sqlite_app_db *db, struct inst_err *err);
/* Nothing is to be taken back any more. */
void db_undo_clear(struct sqlite_app_db *db);

/* ---- sqlite_log.c ---- */

enum inst_status db_append_log(struct inst_app_db *base, const struct inst_log_record *record,
                               struct inst_err *err);
enum inst_status db_find_event(struct inst_app_db *base, const struct inst_uuid *event,
                               int64_t *tx_id, struct inst_err *err);
enum inst_status db_read_log(struct inst_app_db *base, int64_t after,
                             bool (*fn)(void *ctx, const struct inst_log_record *record), void *ctx,
                             struct inst_err *err);
enum inst_status db_load_last_tx_id(struct sqlite_app_db *db, struct inst_err *err);
enum inst_status db_set_note(struct inst_app_db *base, const char *key, const char *bytes,
                             size_t len, struct inst_err *err);
enum inst_status db_get_note(struct inst_app_db *base, const char *key, struct inst_buf *out,
                             bool *found, struct inst_err *err);
enum inst_status db_each_note(struct inst_app_db *base, const char *prefix, const char *after,
                              bool (*fn)(void *ctx, const char *key, const char *bytes, size_t len),
                              void *ctx, struct inst_err *err);

/* ---- sqlite_value.c ---- */

/* A value as triples.v keeps it. JSON text goes to scratch; false: out of memory. */
bool db_value_key(const struct inst_value *v, struct inst_buf *scratch, struct db_key *out);
/* A blob value as its order key. */
bool db_order_key(enum index_kind kind, const struct inst_value *v, struct inst_buf *scratch,
                  struct db_key *out);
static inline struct db_key db_int_key(sqlite3_int64 num) {
    return (struct db_key){.type = SQLITE_INTEGER, .num = num};
}
/* Below and above every key. */
struct db_key db_least_key(void);
struct db_key db_greatest_key(void);
/* SQLite's order. */
int db_key_cmp(const struct db_key *a, const struct db_key *b);
/* keeps: the bytes outlive the statement's run (else SQLite copies them). */
int db_bind_key(sqlite3_stmt *stmt, int at, const struct db_key *key, bool keeps);
/* Column to value; text borrows from the statement, arrays and objects from arena. is_key: a k of
 * ave, where -Infinity is null. */
enum inst_status db_read_value(struct sqlite_app_db *db, sqlite3_stmt *stmt, int column,
                               bool is_key, struct inst_arena *arena, struct inst_value *out,
                               struct inst_err *err);
struct db_key db_column_key(sqlite3_stmt *stmt, int column);

/* ---- sqlite_write.c ---- */

enum inst_status db_make_entity(struct inst_app_db *base, const struct inst_uuid *id, uint32_t *e,
                                bool *is_new, struct inst_err *err);
/* 0: none, or err is set. */
uint32_t db_find_entity(struct sqlite_app_db *db, const struct inst_uuid *id);
enum inst_status db_put(struct inst_app_db *base, uint32_t e, const struct inst_attr *attr,
                        const struct inst_value *v, uint32_t ref, int64_t t,
                        const struct inst_triple *old, struct inst_err *err);
enum inst_status db_retract(struct inst_app_db *base, const struct inst_attr *attr,
                            const struct inst_triple *triple, struct inst_err *err);
/* May this attr's triples be written now? */
enum inst_status db_may_write_attr(struct sqlite_app_db *db, const struct inst_attr *attr,
                                   struct inst_err *err);
enum inst_status db_add_ave(struct sqlite_app_db *db, enum index_kind kind, uint32_t a,
                            const struct db_key *k, uint32_t e, int64_t t, struct inst_err *err);
/* t: what the row has there, for undoing. *found says whether there was one. */
enum inst_status db_drop_ave(struct sqlite_app_db *db, uint32_t a, const struct db_key *k,
                             uint32_t e, int64_t t, bool *found, struct inst_err *err);

/* ---- sqlite_reindex.c ---- */

enum inst_status db_reindex_attr(struct inst_app_db *base, const struct inst_attr *attr,
                                 struct inst_err *err);
enum inst_status db_reindex_some(struct inst_app_db *base, const struct inst_attr *attr,
                                 size_t limit, struct inst_buf *place, size_t *count, bool *is_done,
                                 struct inst_err *err);
enum inst_status db_walk(struct inst_app_db *base, const struct inst_attr *attr, size_t limit,
                         struct inst_buf *place,
                         bool (*fn)(void *ctx, const struct inst_triple *triple), void *ctx,
                         size_t *count, bool *is_done, struct inst_err *err);
enum inst_status db_find_other(struct inst_app_db *base, const struct inst_attr *attr,
                               const struct inst_value *v, uint32_t ref, uint32_t e,
                               uint32_t *other, struct inst_err *err);

/* ---- sqlite_scan.c ---- */

extern const struct inst_store_ops inst_sqlite_store_ops;
enum inst_status db_each_link_to(struct inst_app_db *base, uint32_t e,
                                 bool (*fn)(void *ctx, uint32_t attr_row,
                                            const struct inst_triple *triple),
                                 void *ctx, struct inst_err *err);
enum inst_status db_each_of(struct inst_app_db *base, uint32_t e,
                            bool (*fn)(void *ctx, uint32_t attr_row,
                                       const struct inst_triple *triple),
                            void *ctx, struct inst_err *err);

#endif
