#include "world.h"

#include "base/uuid.h"
#include "io/sqlite_app_db.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_APP_FILE "app.db"
#define SIM_MESSAGE_HEAD 4
#define SIM_MAX_SETTLE_STEPS 400000

/* ---- chance and time ---- */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_random(struct sim_world *world, uint64_t n) { return next_random(&world->random) % n; }

static int64_t env_now(void *ctx) { return ((struct sim_world *)ctx)->now_ms; }

static void env_random(void *ctx, uint8_t *out, size_t len) {
    struct sim_world *world = ctx;
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)sim_random(world, 256);
    }
}

static void env_log(void *ctx, enum inst_log_level level, const char *line) {
    if (level <= INST_LOG_WARN) {
        sim_log(ctx, "log: %s", line);
    }
}

void sim_log(struct sim_world *world, const char *fmt, ...) {
    if (!world->is_verbose) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    printf("%lld ", (long long)world->now_ms);
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}

void sim_violation(struct sim_world *world, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    printf("seed %llu: ", (unsigned long long)world->seed);
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
    world->has_failed = true;
}

/* ---- the apps of this backend: one ---- */

static enum inst_status apps_create(void *ctx, const struct inst_app_info *info,
                                    const char admin_token[INST_UUID_TEXT + 1],
                                    struct inst_err *err) {
    (void)ctx, (void)info, (void)admin_token;
    return inst_err_set(err, "validation-failed", 400, "this world has one app");
}

static enum inst_status apps_find(void *ctx, const char *app_id, struct inst_app_info *out,
                                  struct inst_err *err) {
    struct sim_world *world = ctx;
    if (strcmp(app_id, world->app_id) != 0) {
        return inst_err_set(err, "record-not-found", 400, "Record not found: app");
    }
    memset(out, 0, sizeof *out);
    memcpy(out->id, world->app_id, sizeof out->id);
    return INST_OK;
}

static bool apps_is_admin_token(void *ctx, const char *app_id, const char *token, size_t len) {
    (void)ctx, (void)app_id;
    return len == strlen(SIM_ADMIN_TOKEN) && memcmp(token, SIM_ADMIN_TOKEN, len) == 0;
}

static enum inst_status apps_open(void *ctx, const char *app_id, struct inst_app_db **out,
                                  struct inst_err *err) {
    (void)app_id;
    return sim_open_app(ctx, out, err);
}

enum inst_status sim_open_app(struct sim_world *world, struct inst_app_db **out,
                              struct inst_err *err) {
    struct inst_sqlite_options options = {.vfs = crash_vfs_name(world->vfs)};
    return inst_sqlite_app_db_open(SIM_APP_FILE, &options, out, err);
}

/* Nobody manages the one app. */
static const struct inst_apps_ops apps_ops = {apps_create, apps_find, apps_is_admin_token,
                                              apps_open, NULL};

/* ---- links ---- */

static void pipe_send(struct sim_pipe *pipe, const char *bytes, size_t len) {
    unsigned char head[SIM_MESSAGE_HEAD] = {(unsigned char)(len >> 24), (unsigned char)(len >> 16),
                                            (unsigned char)(len >> 8), (unsigned char)len};
    inst_buf_add(&pipe->sent, head, sizeof head);
    inst_buf_add(&pipe->sent, bytes, len);
}

static void pipe_free(struct sim_pipe *pipe) {
    inst_buf_free(&pipe->sent);
    inst_buf_free(&pipe->partial);
}

/* Cuts a whole message off the front of what arrived; the caller frees *out. */
static bool pipe_message(struct sim_pipe *pipe, char **out, size_t *len) {
    const unsigned char *p = (const unsigned char *)pipe->partial.data;
    if (pipe->partial.len < SIM_MESSAGE_HEAD) {
        return false;
    }
    *len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    size_t whole = SIM_MESSAGE_HEAD + *len;
    if (pipe->partial.len < whole) {
        return false;
    }
    *out = malloc(*len + 1);
    if (!*out) {
        abort();
    }
    memcpy(*out, p + SIM_MESSAGE_HEAD, *len);
    (*out)[*len] = '\0';
    memmove(pipe->partial.data, pipe->partial.data + whole, pipe->partial.len - whole);
    pipe->partial.len -= whole;
    return true;
}

static size_t pipe_waiting(const struct sim_pipe *pipe) { return pipe->sent.len - pipe->taken; }

/* ---- lanes ---- */

/* The value of a string member, wherever it comes first. */
static void find_text(const char *bytes, const char *key, char *out, size_t size) {
    const char *at = strstr(bytes, key), *end = at ? strchr(at + strlen(key), '"') : NULL;
    size_t len = end ? (size_t)(end - at) - strlen(key) : 0;
    snprintf(out, size, "%.*s", (int)len, end ? at + strlen(key) : "");
}

/* Messages of one lane keep their order. "": every message does, as to this one. */
static void lane_of(const char *bytes, char *out, size_t size) {
    char op[32], room[48];
    find_text(bytes, "\"op\":\"", op, sizeof op);
    find_text(bytes, "\"room-id\":\"", room, sizeof room);
    if (strcmp(op, "transact-ok") == 0 || strcmp(op, "refresh-ok") == 0) {
        snprintf(out, size, "%s", op);
    } else if (strcmp(op, "add-query-ok") == 0 || strcmp(op, "add-query-exists") == 0) {
        const char *q = strstr(bytes, "\"q\":");
        snprintf(out, size, "q %.60s", q ? q : "");
    } else if (strcmp(op, "refresh-presence") == 0 || strcmp(op, "patch-presence") == 0) {
        snprintf(out, size, "presence %s", room);
    } else if (room[0]) {
        snprintf(out, size, "room %s", room);
    } else {
        out[0] = '\0';
    }
}

static bool may_overtake(const char *lane, const char *other) {
    return lane[0] && other[0] && strcmp(lane, other) != 0;
}

/* To be told twice must do no harm, except where a message says what changed. */
static bool may_be_doubled(const char *bytes) {
    char op[32];
    find_text(bytes, "\"op\":\"", op, sizeof op);
    return strcmp(op, "transact-ok") == 0 || strcmp(op, "refresh-ok") == 0 ||
           strcmp(op, "add-query-ok") == 0 || strcmp(op, "error") == 0 ||
           strcmp(op, "refresh-presence") == 0 || strcmp(op, "join-room-ok") == 0;
}

static void link_cut(struct sim_world *world, struct sim_link *link) {
    if (!link->is_cut) {
        link->is_cut = true;
        world->cuts++;
    }
}

/* Moves up to n bytes; false when the link died on the way. */
static bool pipe_move(struct sim_world *world, struct sim_link *link, struct sim_pipe *pipe,
                      size_t n) {
    if (n > pipe_waiting(pipe)) {
        n = pipe_waiting(pipe);
    }
    if (link->budget >= 0 && (int64_t)n >= link->budget) {
        n = (size_t)link->budget;
        link_cut(world, link);
    }
    if (n > 0) {
        inst_buf_add(&pipe->partial, pipe->sent.data + pipe->taken, n);
        pipe->taken += n;
    }
    if (link->budget >= 0) {
        link->budget -= (int64_t)n;
    }
    if (pipe->taken == pipe->sent.len) {
        inst_buf_clear(&pipe->sent);
        pipe->taken = 0;
    }
    return !link->is_cut;
}

static void server_send(void *ctx, void *connection, struct inst_shared *message) {
    (void)ctx;
    struct sim_link *link = connection;
    pipe_send(&link->down, message->data, message->len);
}

static void server_close(void *ctx, void *connection) { link_cut(ctx, connection); }

/* What the server wrote in a step in which its machine went down was never sent. */
static void forget_unsent(struct sim_world *world) {
    for (struct sim_link *link = world->links; link; link = link->next) {
        link_cut(world, link);
        inst_buf_clear(&link->down.sent);
        link->down.taken = 0;
    }
}

static void server_after_step(struct sim_world *world) {
    if (world->server && crash_vfs_is_down(world->vfs)) {
        forget_unsent(world);
        sim_server_crash(world);
    }
}

static void deliver_up(struct sim_world *world, struct sim_link *link, size_t n) {
    if (!link->session && !link->is_cut && world->server) {
        struct inst_err err = {0};
        if (inst_session_open(world->server, link, &link->session, &err) != INST_OK) {
            link_cut(world, link);
        }
        inst_err_clear(&err);
        return;
    }
    pipe_move(world, link, &link->up, n);
    char *bytes;
    size_t len;
    while (link->session && pipe_message(&link->up, &bytes, &len)) {
        sim_log(world, "server <- %.200s", bytes);
        inst_session_receive(link->session, bytes, len);
        free(bytes);
        server_after_step(world);
    }
}

/* Takes the message. */
static void hand_down(struct sim_world *world, struct sim_link *link, char *bytes, size_t len) {
    struct sim_client *client = link->client;
    int times = !world->is_calm && may_be_doubled(bytes) && sim_random(world, 12) == 0 ? 2 : 1;
    world->doubled += times == 2;
    while (link->client && times-- > 0) {
        sim_log(world, "client %d <- %.300s", (int)(client - world->clients), bytes);
        inst_reactor_message(client->reactor, bytes, len);
        sim_client_drain(client);
    }
    free(bytes);
}

static void hand_late(struct sim_world *world, struct sim_link *link) {
    char *bytes = link->late.bytes;
    link->late.bytes = NULL;
    if (bytes) {
        hand_down(world, link, bytes, link->late.len);
    }
}

static void receive_down(struct sim_world *world, struct sim_link *link, char *bytes, size_t len) {
    char lane[sizeof link->late.lane];
    lane_of(bytes, lane, sizeof lane);
    if (link->late.bytes && may_overtake(lane, link->late.lane)) {
        world->overtaken++;
    } else {
        hand_late(world, link);
    }
    if (lane[0] && link->client && !link->late.bytes && sim_random(world, 8) == 0) {
        link->late.bytes = bytes;
        link->late.len = len;
        memcpy(link->late.lane, lane, sizeof lane);
        return;
    }
    if (link->client) {
        hand_down(world, link, bytes, len);
    } else {
        free(bytes);
    }
}

static void deliver_down(struct sim_world *world, struct sim_link *link, size_t n) {
    struct sim_client *client = link->client;
    if (!client) {
        return;
    }
    if (!link->is_open) {
        if (link->session) {
            link->is_open = true;
            inst_reactor_opened(client->reactor);
            sim_client_drain(client);
        }
        return;
    }
    pipe_move(world, link, &link->down, n);
    char *bytes;
    size_t len;
    /* The reactor may close the link from inside. */
    while (link->client && pipe_message(&link->down, &bytes, &len)) {
        receive_down(world, link, bytes, len);
    }
    if (link->client && !pipe_waiting(&link->down) && sim_random(world, 3) == 0) {
        hand_late(world, link);
    }
}

/* Tells the ends of a dead link, each in its own time, and forgets it when both know. */
static void bury(struct sim_world *world, struct sim_link *link) {
    if (link->client && sim_random(world, 2)) {
        struct sim_client *client = link->client;
        link->client = NULL;
        client->link = NULL;
        inst_reactor_closed(client->reactor);
        sim_client_drain(client);
    } else if (link->session && sim_random(world, 2)) {
        inst_session_close(link->session);
        link->session = NULL;
    }
    if (link->client || link->session) {
        return;
    }
    for (struct sim_link **at = &world->links; *at; at = &(*at)->next) {
        if (*at == link) {
            *at = link->next;
            break;
        }
    }
    pipe_free(&link->up);
    pipe_free(&link->down);
    free(link->late.bytes);
    free(link);
}

/* ---- clients ---- */

static void client_connect(struct sim_client *client) {
    struct sim_world *world = client->world;
    struct sim_link *link = calloc(1, sizeof *link);
    if (!link) {
        abort();
    }
    link->client = client;
    link->budget =
        !world->is_calm && sim_random(world, 3) == 0 ? (int64_t)sim_random(world, 40000) : -1;
    link->is_cut = world->server == NULL;
    link->next = world->links;
    world->links = link;
    client->link = link;
}

void sim_client_drain(struct sim_client *client) {
    struct inst_output output;
    while (client->reactor && inst_reactor_next_output(client->reactor, &output)) {
        if (output.kind == INST_OUTPUT_SEND && client->link) {
            pipe_send(&client->link->up, output.bytes, output.len);
        } else if (output.kind != INST_OUTPUT_SEND) {
            if (client->link) {
                link_cut(client->world, client->link);
                client->link->client = NULL;
                client->link = NULL;
            }
            if (output.kind == INST_OUTPUT_CONNECT) {
                client_connect(client);
            }
        }
    }
}

enum sim_outcome sim_outcome_of(const struct inst_reactor_error *error) {
    bool is_unknown =
        strcmp(error->err->type, "timeout") == 0 || strcmp(error->err->type, "shutdown") == 0;
    return is_unknown ? SIM_UNKNOWN : SIM_FAILED;
}

void sim_storage_lost(struct sim_world *world, const struct inst_reactor *reactor) {
    for (size_t i = 0; i < world->write_count; i++) {
        struct sim_write *write = &world->writes[i];
        if (write->client->reactor == reactor && write->outcome == SIM_ENQUEUED) {
            write->outcome = SIM_UNKNOWN;
        }
    }
}

static void on_mutation_error(void *ctx, const char *event_id,
                              const struct inst_reactor_error *error) {
    struct sim_client *client = ctx;
    struct sim_world *world = client->world;
    for (size_t i = 0; i < world->write_count; i++) {
        struct sim_write *write = &world->writes[i];
        if (strcmp(write->event_id, event_id) == 0) {
            write->outcome = sim_outcome_of(error);
            snprintf(write->why, sizeof write->why, "%s", error->err->message);
        }
    }
}

bool sim_client_start(struct sim_world *world, struct sim_client *client) {
    struct inst_err err = {0};
    struct inst_reactor_config config = {.app_id = world->app_id,
                                         .admin_token = SIM_ADMIN_TOKEN, /* for sync tables */
                                         .env = world->env,
                                         .has_storage = client->disk != NULL};
    uint64_t id;
    struct sim_disk *disk = client->disk;
    memset(client, 0, sizeof *client);
    client->world = world;
    client->disk = disk;
    bool is_ok = inst_reactor_new(&config, &client->reactor, &err) == INST_OK &&
                 inst_reactor_subscribe_mutation_errors(client->reactor, on_mutation_error, client,
                                                        &id, &err) == INST_OK;
    if (!is_ok) {
        sim_violation(world, "no client: %s", err.message);
    }
    inst_err_clear(&err);
    sim_client_drain(client);
    return is_ok;
}

void sim_client_stop(struct sim_client *client) {
    if (!client->reactor) {
        return;
    }
    inst_reactor_shutdown(client->reactor);
    sim_client_drain(client);
    if (client->disk) {
        sim_disk_finish(client->world, client->disk, client->reactor);
    }
    inst_reactor_free(client->reactor);
    client->reactor = NULL;
    sim_rooms_forget(client);
    for (int i = 0; i < SIM_QUERIES; i++) {
        inst_buf_free(&client->listeners[i].last);
    }
}

/* Nobody is there any more who could be told. */
static void forget_untold(struct sim_client *client) {
    struct sim_world *world = client->world;
    for (size_t i = 0; i < world->write_count; i++) {
        struct sim_write *write = &world->writes[i];
        if (write->client == client && write->outcome == SIM_PENDING) {
            write->outcome = SIM_UNKNOWN;
        }
    }
}

static void client_kill(struct sim_client *client) {
    if (client->link) {
        link_cut(client->world, client->link);
        client->link->client = NULL;
        client->link = NULL;
    }
    sim_disk_crash(client->world, client->disk); /* what was asked is the reactor's */
    inst_reactor_free(client->reactor);
    client->reactor = NULL;
    forget_untold(client);
    sim_rooms_forget(client);
    for (int i = 0; i < SIM_QUERIES; i++) {
        inst_buf_free(&client->listeners[i].last);
    }
}

void sim_client_restart(struct sim_client *client, bool is_killed) {
    struct sim_world *world = client->world;
    sim_log(world, "client %d %s", (int)(client - world->clients),
            is_killed ? "is killed" : "ends and starts again");
    world->restarts++;
    if (is_killed) {
        client_kill(client);
    } else {
        sim_client_stop(client);
    }
    sim_client_start(world, client);
}

/* ---- the server ---- */

bool sim_server_start(struct sim_world *world) {
    if (world->server) {
        return true;
    }
    struct inst_err err = {0};
    struct inst_server_host host = {.ctx = world,
                                    .send = server_send,
                                    .close = server_close,
                                    .apps = &apps_ops,
                                    .apps_ctx = world};
    crash_vfs_restart(world->vfs);
    sim_log(world, "server starts");
    bool is_ok = inst_server_new(&world->env, &host, &world->server, &err) == INST_OK;
    if (!is_ok) {
        sim_violation(world, "the server did not start: %s", err.message);
    }
    inst_err_clear(&err);
    return is_ok;
}

void sim_server_crash(struct sim_world *world) {
    if (!world->server) {
        return;
    }
    sim_log(world, "server crashes");
    world->crashes++;
    crash_vfs_crash(world->vfs);
    /* The process is gone: what it would still do reaches neither disk nor network. */
    for (struct sim_link *link = world->links; link; link = link->next) {
        link_cut(world, link);
        if (link->session) {
            inst_session_close(link->session);
            link->session = NULL;
        }
    }
    inst_server_free(world->server);
    world->server = NULL;
    forget_unsent(world);
}

/* ---- steps ---- */

static struct sim_link *any_link(struct sim_world *world) {
    size_t n = 0;
    for (struct sim_link *link = world->links; link; link = link->next) {
        n++;
    }
    if (n == 0) {
        return NULL;
    }
    struct sim_link *link = world->links;
    for (uint64_t i = sim_random(world, n); i > 0; i--) {
        link = link->next;
    }
    return link;
}

static void step_link(struct sim_world *world) {
    struct sim_link *link = any_link(world);
    if (!link) {
        return;
    }
    if (link->is_cut) {
        bury(world, link);
        return;
    }
    size_t n = sim_random(world, 4) == 0 ? 1 + sim_random(world, 64) : (size_t)1 << 20;
    if (sim_random(world, 2)) {
        deliver_up(world, link, n);
    } else {
        deliver_down(world, link, n);
    }
}

static void step_disk(struct sim_world *world) {
    struct sim_client *client = &world->clients[sim_random(world, SIM_CLIENTS)];
    if (client->disk && client->reactor) {
        sim_disk_step(world, client->disk, client->reactor);
        sim_client_drain(client);
    }
}

/* A disk is rarely slower than the time-outs of a network. */
static void catch_up(struct sim_world *world) {
    for (int i = 0; i < SIM_CLIENTS * 40 && sim_random(world, 100) > 0; i++) {
        step_disk(world);
    }
}

static void step_clock(struct sim_world *world, bool is_calm) {
    static const int64_t jumps[] = {1, 10, 100, 1000, 7000, 35000};
    int64_t jump =
        1 + (int64_t)sim_random(world, (uint64_t)jumps[sim_random(world, is_calm ? 4 : 6)]);
    if (jump > 1000) {
        catch_up(world);
    }
    world->now_ms += jump;
    for (int i = 0; i < SIM_CLIENTS; i++) {
        struct sim_client *client = &world->clients[i];
        if (client->reactor && inst_reactor_next_deadline(client->reactor) <= world->now_ms) {
            inst_reactor_tick(client->reactor);
            sim_client_drain(client);
        }
    }
}

static void step_fault(struct sim_world *world) {
    struct sim_link *link;
    struct sim_client *client = &world->clients[sim_random(world, SIM_CLIENTS)];
    switch (sim_random(world, 12)) {
    case 0:
        sim_server_crash(world);
        break;
    case 1:
        /* In the middle of a commit, at one of its next syncs. */
        if (world->server) {
            crash_vfs_crash_at_sync(world->vfs, 1 + (int)sim_random(world, 4));
        }
        break;
    case 2:
    case 3:
        link = any_link(world);
        if (link) {
            link_cut(world, link);
        }
        break;
    case 4:
    case 5:
    case 6:
        if (client->disk) {
            sim_client_restart(client, true);
        }
        break;
    case 7:
        if (client->disk) {
            sim_client_restart(client, false);
        }
        break;
    default:
        sim_server_start(world);
        break;
    }
}

void sim_step(struct sim_world *world, bool is_calm) {
    uint64_t dice = sim_random(world, 100);
    if (dice < 15) {
        step_disk(world);
    } else if (dice < 70) {
        step_link(world);
    } else if (dice < 90) {
        if (world->server) {
            inst_server_turn(world->server);
            server_after_step(world);
        }
    } else if (dice < 97 || is_calm) {
        step_clock(world, is_calm);
    } else {
        step_fault(world);
    }
}

bool sim_is_busy(struct sim_world *world) {
    if (!world->server || inst_server_is_pending(world->server)) {
        return true;
    }
    for (struct sim_link *link = world->links; link; link = link->next) {
        if (link->is_cut || !link->is_open || link->late.bytes || pipe_waiting(&link->up) ||
            pipe_waiting(&link->down)) {
            return true;
        }
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (inst_reactor_status(world->clients[i].reactor) != INST_CONNECTION_AUTHENTICATED) {
            return true;
        }
    }
    for (size_t i = 0; i < world->write_count; i++) {
        if (world->writes[i].outcome == SIM_PENDING) {
            return true;
        }
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        const struct sim_client *client = &world->clients[i];
        if (client->disk && (client->disk->asked_count > 0 ||
                             inst_reactor_unconfirmed_count(client->reactor) > 0)) {
            return true;
        }
    }
    return false;
}

bool sim_calm_down(struct sim_world *world) {
    if (!sim_server_start(world)) {
        return false;
    }
    crash_vfs_crash_at_sync(world->vfs, 0);
    world->is_calm = true;
    /* Links made before may still be doomed. */
    for (struct sim_link *link = world->links; link; link = link->next) {
        link->budget = -1;
    }
    return true;
}

bool sim_settle(struct sim_world *world) {
    if (!sim_calm_down(world)) {
        return false;
    }
    /* One whose storage could not be read has not sent what is there: the next does. */
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (world->clients[i].disk) {
            sim_client_restart(&world->clients[i], true);
        }
    }
    int idle = 0;
    for (int i = 0; i < SIM_MAX_SETTLE_STEPS; i++) {
        for (struct sim_link *link = world->links; link; link = link->next) {
            link->budget = -1;
        }
        sim_step(world, true);
        idle = sim_is_busy(world) ? 0 : idle + 1;
        if (idle > 20) {
            return true;
        }
    }
    sim_violation(world, "something is still on its way after %d quiet steps",
                  SIM_MAX_SETTLE_STEPS);
    return false;
}

bool sim_world_start(struct sim_world *world, uint64_t seed, bool is_verbose) {
    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->random = seed * 0x2545f4914f6cdd1du + 1;
    world->now_ms = 1700000000000;
    world->is_verbose = is_verbose;
    world->env = (struct inst_env){world, env_now, env_random, env_log};
    inst_uuid_make_text(&world->env, world->app_id);
    world->vfs = crash_vfs_new(seed);
    if (!world->vfs || !sim_server_start(world)) {
        return false;
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (i > 0 && !(world->clients[i].disk = calloc(1, sizeof(struct sim_disk)))) {
            return false;
        }
        if (!sim_client_start(world, &world->clients[i])) {
            return false;
        }
    }
    return true;
}

void sim_world_stop(struct sim_world *world) {
    for (int i = 0; i < SIM_CLIENTS; i++) {
        sim_client_stop(&world->clients[i]);
        sim_disk_free(world->clients[i].disk);
    }
    while (world->links) {
        struct sim_link *link = world->links;
        link_cut(world, link);
        bury(world, link);
    }
    inst_server_free(world->server);
    crash_vfs_free(world->vfs);
}
