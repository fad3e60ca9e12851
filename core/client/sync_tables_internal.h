/*
 * sync_tables_internal.h - what the parts of sync tables share. Only for sync_tables.c and
 * table_events.c,
 * kept_tables.c.
 *
 *     sync_tables    who listens, what the server is told, what it says: queued as events
 *     table_events   events applied to the rows and shown
 *     table_rows     the rows
 *     kept_tables    the same on disk
 */
#ifndef INST_CLIENT_SYNC_TABLES_INTERNAL_H
#define INST_CLIENT_SYNC_TABLES_INTERNAL_H

#include "client/reactor_internal.h"
#include "client/sync_tables.h"
#include "client/table_rows.h"

struct inst_live_table {
    int refs; /* the list's, and events' */
    bool is_gone;
    bool keeps; /* the last listener said so */
    struct inst_live_table *prev, *next;
    char key[INST_QUERY_HASH_TEXT + 1];
    struct inst_arena arena; /* q, its parts */
    struct inst_value q;
    struct inst_value etype;
    struct inst_value order_field; /* UNDEFINED: serverCreatedAt */
    bool is_desc;
    struct inst_sub_list subs;
    unsigned era;                         /* moves when it starts over: older events are void */
    char start_event[INST_UUID_TEXT + 1]; /* of the start-sync that waits for its ok; else "" */
    char id[INST_UUID_TEXT + 1];          /* the server's subscription; "": none */
    char token[INST_UUID_TEXT + 1];
    int64_t tx_id;   /* 0: not whole */
    bool is_waiting; /* for what is kept */
    struct inst_kept kept;
    struct inst_table_rows rows;
};

struct inst_tables {
    struct inst_map by_key;
    struct inst_map by_id;
    struct inst_live_table *first, *last;
    size_t count;
};

enum inst_table_event_kind { INST_TABLE_MESSAGE, INST_TABLE_LOADED, INST_TABLE_ERROR };

/* A message on its way to being applied, or what is told without one. */
struct inst_table_event {
    struct inst_event event;
    struct inst_reactor *r;
    struct inst_live_table *table; /* a reference */
    enum inst_table_event_kind kind;
    unsigned era;
    uint64_t only_sub;       /* 0: for all */
    struct inst_value msg;   /* MESSAGE; in arena */
    struct inst_arena arena; /* also of what is shown */
    struct inst_problem problem;
    bool has_data; /* data was asked for */
    struct inst_value data;
};

/* Still the table that the event was for? A callback may have ended it. */
static inline bool inst_table_event_is_current(const struct inst_table_event *event) {
    return !event->table->is_gone && event->table->era == event->era;
}

/* ---- sync_tables.c ---- */

/* The server is told to end it, and everything known of it goes; listeners stay. */
void inst_tables_give_up(struct inst_reactor *r, struct inst_live_table *table);
/* The table of a subscription; NULL: none. */
struct inst_live_table *inst_tables_of_sub(struct inst_reactor *r, uint64_t id);
/* The server's subscription is this one; false: out of memory. */
bool inst_table_set_id(struct inst_reactor *r, struct inst_live_table *table, const char *id);
/* Tells all listeners LoadFromStorage. */
void inst_table_tell_loaded(struct inst_reactor *r, struct inst_live_table *table);
/* What is kept is known, or that there is nothing: the server is asked. */
void inst_table_go_on(struct inst_reactor *r, struct inst_live_table *table);

/* ---- table_events.c ---- */

/* Calls the listeners. */
void inst_table_event_tell(struct inst_table_event *event, struct inst_sync_event *shown);
/* Applies the message and tells, transaction by transaction. */
void inst_table_event_apply(struct inst_table_event *event);
/* Takes the order's attr from the catalog, before there are rows. */
enum inst_status inst_table_learn_order(struct inst_reactor *r, struct inst_live_table *table,
                                        struct inst_err *err);

/* ---- kept_tables.c ---- */

/* Once, for a new table: it is loaded, now or when the storage is ready. */
void inst_table_keep(struct inst_reactor *r, struct inst_live_table *table);

#endif
