/*
 * sim_run [--seeds N] [--seed S] [--steps N] [--jobs N] [--verbose]
 *
 * Runs N schedules (seeds 1 .. N, default 200) or the one of seed S, which replays exactly. After
 * each schedule everything is repaired and settled; then
 *   - every transaction told "synced" is in the backend, every one told an error is not;
 *   - the log holds each of them once, and nothing else;
 *   - every live query of every client shows what a fresh client is answered;
 *   - every sync table of every client holds what a fresh client loads;
 *   - everybody in a room shows exactly what the others there show (rooms.h);
 *   - the data file is whole.
 */
#include "base/json.h"
#include "base/uuid.h"
#include "client/sync_tables.h"
#include "io/sqlite_app_db.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIM_ITEMS 6
#define SIM_TAGS 3

static const char *const queries[SIM_QUERIES] = {
    "{\"items\":{}}",
    "{\"items\":{\"tags\":{}}}",
    "{\"tags\":{\"items\":{}}}",
    "{\"items\":{\"$\":{\"where\":{\"value\":3}}}}",
    "{\"items\":{\"$\":{\"where\":{\"tags.name\":\"t1\"}},\"tags\":{}}}",
    "{\"items\":{\"$\":{\"where\":{\"or\":[{\"value\":1},{\"value\":{\"$in\":[4,5]}}]}}}}",
    "{\"items\":{\"$\":{\"where\":{\"value\":{\"$isNull\":true}}}}}",
    "{\"items\":{\"$\":{\"where\":{\"value\":{\"$not\":2}}}}}",
    "{\"items\":{\"$\":{\"limit\":2,\"order\":{\"serverCreatedAt\":\"desc\"}}}}",
    "{\"ops\":{}}",
};

static void parse(struct inst_arena *arena, const char *text, struct inst_value *out) {
    struct inst_err err = {0};
    if (inst_json_parse(arena, text, strlen(text), out, &err) != INST_OK) {
        fprintf(stderr, "bad text in the simulator: %s: %s\n", err.message, text);
        exit(2);
    }
}

/* ---- what clients do ---- */

static void on_result(void *ctx, const struct inst_query_result *result,
                      const struct inst_reactor_error *error) {
    struct sim_listener *listener = ctx;
    listener->results++;
    inst_buf_clear(&listener->last);
    if (error) {
        inst_buf_addf(&listener->last, "error: %s", error->err->message);
    } else {
        inst_json_write(&listener->last, result->data);
    }
    inst_buf_add(&listener->last, "", 0);
}

static void toggle_query(struct sim_world *world, struct sim_client *client) {
    int n = (int)sim_random(world, SIM_QUERIES);
    struct sim_listener *listener = &client->listeners[n];
    if (listener->id) {
        inst_reactor_unsubscribe(client->reactor, listener->id);
        listener->id = 0;
    } else {
        struct inst_arena arena;
        struct inst_value query;
        struct inst_err err = {0};
        inst_arena_init(&arena);
        parse(&arena, queries[n], &query);
        listener->client = client;
        inst_buf_clear(&listener->last);
        if (inst_reactor_subscribe_query(client->reactor, &query, NULL, on_result, listener,
                                         &listener->id, &err) != INST_OK) {
            sim_violation(world, "subscribe: %s", err.message);
        }
        inst_err_clear(&err);
        inst_arena_free(&arena);
    }
    sim_client_drain(client);
}

static void on_table(void *ctx, const struct inst_sync_event *event) {
    struct sim_client *client = ctx;
    if (strcmp(event->type, "Error") == 0) {
        if (!strstr(event->error->err->message, "No matching table")) { /* nobody wrote any yet */
            sim_violation(client->world, "a sync table failed: %s", event->error->err->message);
        }
        inst_reactor_unsubscribe_table(client->reactor, client->table, false);
        client->table = 0;
    }
    client->is_table_loaded =
        client->is_table_loaded || strcmp(event->type, "InitialSyncComplete") == 0;
}

static void follow_table(struct sim_world *world, struct sim_client *client) {
    struct inst_arena arena;
    struct inst_value query;
    struct inst_err err = {0};
    inst_arena_init(&arena);
    parse(&arena, "{\"rows\":{\"$\":{\"order\":{\"serverCreatedAt\":\"asc\"}}}}", &query);
    if (inst_reactor_subscribe_table(client->reactor, &query, on_table, client, &client->table,
                                     &err) != INST_OK) {
        sim_violation(world, "a sync table: %s", err.message);
    }
    inst_err_clear(&err);
    inst_arena_free(&arena);
}

static void toggle_table(struct sim_world *world, struct sim_client *client) {
    if (client->table) {
        inst_reactor_unsubscribe_table(client->reactor, client->table, sim_random(world, 2) == 0);
        client->table = 0;
    } else {
        follow_table(world, client);
    }
    sim_client_drain(client);
}

static void on_settled(void *ctx, const struct inst_transact_result *result,
                       const struct inst_reactor_error *error) {
    struct sim_write *write = ctx;
    if (write->outcome != SIM_PENDING) {
        write->outcome = SIM_FAILED;
        snprintf(write->why, sizeof write->why, "settled twice");
        return;
    }
    if (error) {
        write->outcome = sim_outcome_of(error);
        snprintf(write->why, sizeof write->why, "%s", error->err->message);
        return;
    }
    write->outcome = strcmp(result->status, "synced") == 0 ? SIM_SYNCED : SIM_ENQUEUED;
    snprintf(write->event_id, sizeof write->event_id, "%s", result->event_id);
}

static void shared_id(char out[37], int group, uint64_t n) {
    snprintf(out, 37, "00000000-0000-4000-8000-%06d%06d", group, (int)n);
}

/* One or two ops on the shared entities. */
static void add_ops(struct sim_world *world, struct inst_buf *text) {
    char item[37], tag[37];
    shared_id(item, 1, sim_random(world, SIM_ITEMS));
    shared_id(tag, 2, sim_random(world, SIM_TAGS));
    int value = (int)sim_random(world, 6);
    inst_buf_addf(text, ",{\"__etype\":\"items\",\"__ops\":[");
    switch (sim_random(world, 8)) {
    case 0:
        inst_buf_addf(text, "[\"delete\",\"items\",\"%s\"]", item);
        break;
    case 1:
        inst_buf_addf(text, "[\"link\",\"items\",\"%s\",{\"tags\":\"%s\"}]", item, tag);
        break;
    case 2:
        inst_buf_addf(text, "[\"unlink\",\"items\",\"%s\",{\"tags\":\"%s\"}]", item, tag);
        break;
    case 3:
        inst_buf_addf(text, "[\"merge\",\"items\",\"%s\",{\"meta\":{\"k%d\":%d}}]", item, value % 3,
                      value);
        break;
    case 4:
        inst_buf_addf(text, "[\"update\",\"tags\",\"%s\",{\"name\":\"t%d\"}]", tag, value % 3);
        break;
    default:
        inst_buf_addf(text, "[\"update\",\"items\",\"%s\",{\"value\":%d}]", item, value);
        break;
    }
    inst_buf_addf(text, "]}");
}

/* What sync tables show: they cover only attrs that were there when they began, so all come at
 * once. */
static void add_row_op(struct sim_world *world, struct inst_buf *text) {
    char row[37];
    shared_id(row, 3, sim_random(world, SIM_ITEMS));
    int value = (int)sim_random(world, 6);
    inst_buf_addf(text, ",{\"__etype\":\"rows\",\"__ops\":[");
    if (value == 0) {
        inst_buf_addf(text, "[\"delete\",\"rows\",\"%s\"]", row);
    } else {
        inst_buf_addf(text, "[\"update\",\"rows\",\"%s\",{\"n\":%d,\"t\":\"t%d\"}]", row, value,
                      (int)sim_random(world, 3));
    }
    inst_buf_addf(text, "]}");
}

static void write_something(struct sim_world *world, struct sim_client *client) {
    if (world->write_count == SIM_MAX_WRITES) {
        return;
    }
    struct sim_write *write = &world->writes[world->write_count++];
    struct inst_buf text;
    struct inst_arena arena;
    struct inst_value chunks;
    struct inst_err err = {0};
    inst_uuid_make_text(&world->env, write->id);
    write->client = client;
    inst_buf_init(&text);
    inst_arena_init(&arena);
    inst_buf_addf(&text,
                  "[{\"__etype\":\"ops\",\"__ops\":[[\"create\",\"ops\",\"%s\",{\"n\":%d}]]}",
                  write->id, (int)world->write_count);
    add_ops(world, &text);
    if (sim_random(world, 2)) {
        add_ops(world, &text);
    }
    if (sim_random(world, 3) == 0) {
        add_row_op(world, &text);
    }
    inst_buf_add_str(&text, "]");
    parse(&arena, text.data, &chunks);
    sim_log(world, "client %d writes %s", (int)(client - world->clients), text.data);
    if (inst_reactor_transact(client->reactor, &chunks, on_settled, write, &err) != INST_OK) {
        sim_violation(world, "transact: %s", err.message);
    }
    sim_client_drain(client);
    inst_err_clear(&err);
    inst_arena_free(&arena);
    inst_buf_free(&text);
}

/* ---- what must hold in the end ---- */

static bool holds(const char *json, const char *id) { return strstr(json, id) != NULL; }

static void check_writes(struct sim_world *world, const char *ops, size_t *applied) {
    *applied = 0;
    for (size_t i = 0; i < world->write_count; i++) {
        const struct sim_write *write = &world->writes[i];
        bool is_there = holds(ops, write->id);
        *applied += is_there;
        if ((write->outcome == SIM_SYNCED || write->outcome == SIM_ENQUEUED) && !is_there) {
            sim_violation(world, "write %zu (%s) was confirmed and is lost", i, write->id);
        }
        if (write->outcome == SIM_FAILED && is_there) {
            sim_violation(world, "write %zu (%s) is there, but failed with: %s", i, write->id,
                          write->why);
        }
        if (write->outcome == SIM_PENDING) {
            sim_violation(world, "write %zu (%s) was never settled", i, write->id);
        }
    }
}

static void check_live(struct sim_world *world, int query, const char *fresh) {
    for (int i = 0; i < SIM_CLIENTS; i++) {
        struct sim_listener *listener = &world->clients[i].listeners[query];
        if (listener->id && (!listener->last.data || strcmp(listener->last.data, fresh) != 0)) {
            sim_violation(world, "client %d shows for %s\n  %s\nbut the backend has\n  %s", i,
                          queries[query], listener->last.data ? listener->last.data : "nothing",
                          fresh);
        }
    }
}

static void add_table(struct sim_world *world, struct sim_client *client, struct inst_buf *out) {
    struct inst_arena arena;
    struct inst_value rows;
    struct inst_err err = {0};
    inst_arena_init(&arena);
    if (inst_reactor_table_data(client->reactor, client->table, &arena, &rows, &err) != INST_OK) {
        sim_violation(world, "no table: %s", err.message);
    } else {
        inst_json_write(out, &rows);
    }
    inst_buf_add(out, "", 1);
    inst_err_clear(&err);
    inst_arena_free(&arena);
}

static void check_tables(struct sim_world *world, struct sim_client *fresh) {
    struct inst_buf expected;
    inst_buf_init(&expected);
    follow_table(world, fresh);
    sim_client_drain(fresh);
    for (int i = 0; i < 20000 && !fresh->is_table_loaded; i++) {
        sim_step(world, true);
    }
    if (!fresh->is_table_loaded) {
        sim_violation(world, "a sync table never comes");
    }
    add_table(world, fresh, &expected);
    for (int i = 0; i < SIM_CLIENTS; i++) {
        struct inst_buf shown;
        inst_buf_init(&shown);
        if (world->clients[i].table) {
            add_table(world, &world->clients[i], &shown);
            world->tables_checked++;
        }
        if (world->clients[i].table && strcmp(shown.data, expected.data) != 0) {
            sim_violation(world, "client %d has the table\n  %s\nbut the backend has\n  %s", i,
                          shown.data, expected.data);
        }
        inst_buf_free(&shown);
    }
    inst_buf_free(&expected);
}

static void check_file(struct sim_world *world, size_t applied) {
    struct inst_app_db *db = NULL;
    struct inst_err err = {0};
    inst_server_free(world->server);
    world->server = NULL;
    if (sim_open_app(world, &db, &err) != INST_OK) {
        sim_violation(world, "the data file does not open: %s", err.message);
    } else {
        if (inst_sqlite_app_db_check(db, &err) != INST_OK) {
            sim_violation(world, "the data file is not whole: %s", err.message);
        }
        int64_t logged = db->db_ops->last_tx_id(db) - 1; /* the first is the app's making */
        if (logged != (int64_t)applied) {
            sim_violation(world, "%lld transactions were logged, %zu writes are there",
                          (long long)logged, applied);
        }
        db->db_ops->close(db);
    }
    inst_err_clear(&err);
}

static void check_world(struct sim_world *world) {
    /* A client of its own asks everything anew. */
    struct sim_client *fresh = calloc(1, sizeof *fresh);
    size_t applied = 0;
    if (!fresh || !sim_client_start(world, fresh)) {
        free(fresh);
        return;
    }
    for (int n = 0; n < SIM_QUERIES; n++) {
        struct inst_arena arena;
        struct inst_value query;
        struct inst_err err = {0};
        struct sim_listener *listener = &fresh->listeners[n];
        inst_arena_init(&arena);
        parse(&arena, queries[n], &query);
        if (inst_reactor_query_once(fresh->reactor, &query, NULL, on_result, listener, &err) !=
            INST_OK) {
            sim_violation(world, "queryOnce: %s", err.message);
        }
        inst_arena_free(&arena);
        inst_err_clear(&err);
        sim_client_drain(fresh);
        for (int i = 0; i < 20000 && listener->results == 0; i++) {
            sim_step(world, true);
        }
        if (listener->results == 0) {
            sim_violation(world, "%s was never answered", queries[n]);
            continue;
        }
        check_live(world, n, listener->last.data);
        if (n == SIM_QUERIES - 1) {
            check_writes(world, listener->last.data, &applied);
        }
    }
    check_tables(world, fresh);
    sim_client_stop(fresh);
    for (int i = 0; i < SIM_CLIENTS; i++) {
        sim_client_stop(&world->clients[i]);
    }
    while (world->links) {
        sim_step(world, true);
        for (struct sim_link *link = world->links; link; link = link->next) {
            link->is_cut = true;
        }
    }
    free(fresh);
    check_file(world, applied);
}

static bool run_seed(uint64_t seed, int steps, bool is_verbose, struct sim_world *world) {
    if (sim_world_start(world, seed, is_verbose)) {
        for (int i = 0; i < steps; i++) {
            uint64_t dice = sim_random(world, 100);
            struct sim_client *client = &world->clients[sim_random(world, SIM_CLIENTS)];
            if (dice < 4) {
                write_something(world, client);
            } else if (dice < 6) {
                toggle_query(world, client);
            } else if (dice < 7 && sim_random(world, 4) == 0) {
                toggle_table(world, client);
            } else if (dice < 9) {
                sim_rooms_act(world, client);
            } else {
                sim_step(world, false);
            }
        }
        /* Before those with a storage are started anew, and after. */
        if (sim_calm_down(world)) {
            sim_rooms_check(world);
        }
        if (sim_settle(world)) {
            sim_rooms_check(world);
            check_world(world);
        }
    } else {
        world->has_failed = true;
    }
    sim_world_stop(world);
    return !world->has_failed;
}

/* ---- many seeds ---- */

struct options {
    uint64_t seeds, one;
    int steps, jobs;
    bool is_verbose;
};

/* Shared by the processes. */
struct totals {
    uint64_t passed, failed, crashes, cuts, restarts, writes, stays, tables, overtaken, doubled;
};

static void add(uint64_t *total, uint64_t n) { __atomic_fetch_add(total, n, __ATOMIC_RELAXED); }

static void run_one(const struct options *options, uint64_t seed, struct sim_world *world,
                    struct totals *totals) {
    bool has_passed = run_seed(seed, options->steps, options->is_verbose, world);
    add(has_passed ? &totals->passed : &totals->failed, 1);
    if (!has_passed) {
        printf("replay: sim_run --seed %llu --steps %d --verbose\n", (unsigned long long)seed,
               options->steps);
    }
    add(&totals->crashes, world->crashes);
    add(&totals->cuts, world->cuts);
    add(&totals->restarts, world->restarts);
    add(&totals->writes, world->write_count);
    add(&totals->stays, world->stays_checked);
    add(&totals->tables, world->tables_checked);
    add(&totals->overtaken, world->overtaken);
    add(&totals->doubled, world->doubled);
}

/* Every jobs-th seed from `first`. */
static int run_share(const struct options *options, int first, struct totals *totals) {
    struct sim_world *world = malloc(sizeof *world);
    if (!world) {
        return 2;
    }
    for (uint64_t seed = (uint64_t)first; seed <= options->seeds; seed += (uint64_t)options->jobs) {
        run_one(options, seed, world, totals);
    }
    free(world);
    fflush(stdout);
    return 0;
}

static int run_jobs(const struct options *options, struct totals *totals) {
    int worst = 0;
    for (int job = 1; job < options->jobs; job++) {
        pid_t child = fork();
        if (child == 0) {
            exit(run_share(options, job + 1, totals));
        }
        worst = child < 0 ? 2 : worst;
    }
    worst = run_share(options, 1, totals) ? 2 : worst;
    for (int status; wait(&status) > 0;) {
        worst = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? worst : 2;
    }
    return worst;
}

static bool read_options(int argc, char **argv, struct options *out) {
    *out = (struct options){.seeds = 200, .steps = 3000, .jobs = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            out->is_verbose = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            out->seeds = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            out->one = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--steps") == 0) {
            out->steps = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--jobs") == 0) {
            out->jobs = atoi(argv[++i]);
        } else {
            return false;
        }
    }
    return out->jobs > 0;
}

static void print_totals(const struct totals *t) {
    printf("%llu writes, %llu server crashes, %llu client restarts, %llu cut connections, "
           "%llu stays in rooms, %llu sync tables, %llu messages overtaken, %llu doubled\n",
           (unsigned long long)t->writes, (unsigned long long)t->crashes,
           (unsigned long long)t->restarts, (unsigned long long)t->cuts,
           (unsigned long long)t->stays, (unsigned long long)t->tables,
           (unsigned long long)t->overtaken, (unsigned long long)t->doubled);
    printf("%llu passed, %llu failed\n", (unsigned long long)t->passed,
           (unsigned long long)t->failed);
}

int main(int argc, char **argv) {
    struct options options;
    if (!read_options(argc, argv, &options)) {
        fprintf(stderr,
                "usage: sim_run [--seeds N] [--seed S] [--steps N] [--jobs N] [--verbose]\n");
        return 2;
    }
    struct totals *totals =
        mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (totals == MAP_FAILED) {
        return 2;
    }
    int worst = 0;
    if (options.one) {
        struct sim_world *world = malloc(sizeof *world);
        if (!world) {
            return 2;
        }
        run_one(&options, options.one, world, totals);
        free(world);
    } else {
        worst = run_jobs(&options, totals);
    }
    print_totals(totals);
    return worst ? worst : totals->failed != 0;
}
