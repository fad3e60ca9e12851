#include "rooms.h"

#include "base/json.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_QUIET_STEPS 200000

static const char *const names[SIM_ROOMS] = {"r0", "r1"};

_Static_assert(SIM_CLIENTS <= 8, "sim_stay counts what it heard of eight");

static void on_presence(void *ctx, const struct inst_presence_slice *slice) {
    struct sim_stay *stay = ctx;
    inst_buf_clear(&stay->peers);
    inst_json_write(&stay->peers, slice->peers);
    stay->is_loading = slice->is_loading;
    if (slice->has_error) {
        sim_violation(stay->client->world, "a room's error: %s", slice->error.err->message);
    }
}

static void on_topic(void *ctx, const struct inst_value *data, const struct inst_value *peer) {
    struct sim_stay *stay = ctx;
    (void)peer;
    uint64_t from = (uint64_t)inst_getz(data, "from")->u.num;
    uint64_t number = (uint64_t)inst_getz(data, "n")->u.num;
    if (number <= stay->heard[from]) {
        sim_violation(stay->client->world, "message %llu came behind %llu",
                      (unsigned long long)number, (unsigned long long)stay->heard[from]);
    }
    stay->heard[from] = number;
}

/* ---- what clients do ---- */

static void add_value(struct sim_world *world, struct inst_buf *text, int depth) {
    uint64_t kind = depth == 0 ? sim_random(world, 2) : sim_random(world, 4);
    if (kind < 2) {
        inst_buf_addf(text, "%d", (int)sim_random(world, 4));
        return;
    }
    inst_buf_add_char(text, kind == 2 ? '{' : '[');
    for (int i = 0, n = (int)sim_random(world, 4); i < n; i++) {
        inst_buf_add_str(text, i ? "," : "");
        if (kind == 2) {
            inst_buf_addf(text, "\"k%d\":", i + (int)sim_random(world, 2) * 4);
        }
        add_value(world, text, depth - 1);
    }
    inst_buf_add_char(text, kind == 2 ? '}' : ']');
}

static void parse(struct inst_arena *arena, const char *text, struct inst_value *out) {
    if (inst_json_parse(arena, text, strlen(text), out, NULL) != INST_OK) {
        fprintf(stderr, "bad text in the simulator: %s\n", text);
        exit(2);
    }
}

static void show(struct sim_world *world, struct sim_client *client, int room) {
    struct inst_arena arena;
    struct inst_buf text;
    struct inst_value value;
    inst_arena_init(&arena);
    inst_buf_init(&text);
    inst_buf_addf(&text, "{\"s%d\":", (int)sim_random(world, 2));
    add_value(world, &text, 3);
    inst_buf_add_char(&text, '}');
    parse(&arena, text.data, &value);
    inst_reactor_publish_presence(client->reactor, names[room], &value, NULL);
    inst_buf_free(&text);
    inst_arena_free(&arena);
}

static void say(struct sim_world *world, struct sim_client *client, int room) {
    struct inst_member members[] = {
        {"from", 4, inst_number((double)(client - world->clients))},
        {"n", 1, inst_number((double)++world->topic_count)},
    };
    struct inst_value value = inst_object(members, 2);
    inst_reactor_publish_topic(client->reactor, names[room], "t", &value, NULL);
}

static void watch(struct sim_world *world, struct sim_client *client, int room) {
    struct sim_stay *stay = &client->stays[room];
    struct inst_err err = {0};
    stay->client = client;
    inst_buf_clear(&stay->peers);
    if (inst_reactor_subscribe_presence(client->reactor, "t", names[room], NULL, on_presence, stay,
                                        &stay->presence_sub, &err) != INST_OK ||
        inst_reactor_subscribe_topic(client->reactor, "t", names[room], "t", on_topic, stay,
                                     &stay->topic_sub, &err) != INST_OK) {
        sim_violation(world, "a room: %s", err.message);
    }
    inst_err_clear(&err);
}

static void unwatch(struct sim_client *client, int room) {
    struct sim_stay *stay = &client->stays[room];
    inst_reactor_unsubscribe(client->reactor, stay->topic_sub);
    inst_reactor_unsubscribe(client->reactor, stay->presence_sub);
    stay->presence_sub = stay->topic_sub = 0;
}

void sim_rooms_act(struct sim_world *world, struct sim_client *client) {
    int room = (int)sim_random(world, SIM_ROOMS);
    bool is_in = client->stays[room].presence_sub != 0;
    uint64_t dice = sim_random(world, 8);
    sim_log(world, "client %d does %d in %s", (int)(client - world->clients), (int)dice,
            names[room]);
    if (!is_in) {
        watch(world, client, room);
    } else if (dice == 0) {
        unwatch(client, room);
        if (sim_random(world, 2)) { /* and is back at once */
            watch(world, client, room);
        }
    } else if (dice < 6) {
        show(world, client, room);
    } else {
        say(world, client, room);
    }
    sim_client_drain(client);
}

void sim_rooms_forget(struct sim_client *client) {
    for (int i = 0; i < SIM_ROOMS; i++) {
        inst_buf_free(&client->stays[i].peers);
        client->stays[i] = (struct sim_stay){0};
    }
}

/* ---- what must hold ---- */

static bool is_in(const struct sim_client *client, int room) {
    return client->stays[room].presence_sub != 0;
}

/* What the others in the room say of themselves. */
static void expected_peers(struct sim_world *world, int room, int of, struct inst_arena *arena,
                           struct inst_value *out) {
    struct inst_object_builder peers;
    inst_object_begin(&peers, arena);
    for (int i = 0; i < SIM_CLIENTS; i++) {
        struct inst_presence_slice slice;
        struct sim_client *client = &world->clients[i];
        if (i == of || !is_in(client, room)) {
            continue;
        }
        if (inst_reactor_get_presence(client->reactor, names[room], NULL, arena, &slice, NULL) !=
                INST_OK ||
            !slice.peers) {
            sim_violation(world, "client %d knows nothing of %s", i, names[room]);
            continue;
        }
        inst_object_addz(&peers, inst_reactor_session_id(client->reactor), *slice.user);
    }
    if (!inst_object_end(&peers, out)) {
        exit(2);
    }
}

static void check_stay(struct sim_world *world, int room, int of) {
    const struct sim_stay *stay = &world->clients[of].stays[room];
    struct inst_arena arena;
    struct inst_value wanted, got;
    struct inst_buf text;
    inst_arena_init(&arena);
    inst_buf_init(&text);
    expected_peers(world, room, of, &arena, &wanted);
    inst_json_write(&text, &wanted);
    if (!stay->peers.data || stay->is_loading) {
        sim_violation(world, "client %d was told nothing of %s", of, names[room]);
    } else {
        parse(&arena, stay->peers.data, &got);
        if (!inst_value_equal(&wanted, &got)) {
            sim_violation(world, "client %d shows in %s\n  %s\nbut there are\n  %s", of,
                          names[room], stay->peers.data, text.data);
        }
    }
    inst_buf_free(&text);
    inst_arena_free(&arena);
}

static bool is_quiet(struct sim_world *world) {
    if (!world->server || inst_server_is_pending(world->server)) {
        return false;
    }
    for (struct sim_link *link = world->links; link; link = link->next) {
        if (link->is_cut || !link->is_open || link->late.bytes ||
            link->up.sent.len > link->up.taken || link->down.sent.len > link->down.taken) {
            return false;
        }
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        if (inst_reactor_status(world->clients[i].reactor) != INST_CONNECTION_AUTHENTICATED) {
            return false;
        }
    }
    return true;
}

void sim_rooms_check(struct sim_world *world) {
    int steps = 0;
    while (!is_quiet(world) && steps++ < MAX_QUIET_STEPS && !world->has_failed) {
        sim_step(world, true);
    }
    if (!is_quiet(world)) {
        sim_violation(world, "it is never quiet");
        return;
    }
    for (int room = 0; room < SIM_ROOMS; room++) {
        for (int i = 0; i < SIM_CLIENTS; i++) {
            if (is_in(&world->clients[i], room)) {
                world->stays_checked++;
                check_stay(world, room, i);
            }
        }
    }
}
