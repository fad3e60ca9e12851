/*
 * main.c - a small game with a live scoreboard, to show Instant inside a C program with a loop of
 * its own.
 *
 *     scoreboard NAME [API [APP_ID]]      API: http://host:port, or local:PATH (at first)
 *
 * Everybody who plays sees the board change. A round is a second of frames; each scores a point or
 * two. In the end the program waits until the backend has its last score, prints it and ends.
 */
#include <instant.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAME_MS 50
#define FRAMES 20
#define STEP_US 2000 /* of a frame, for Instant */

struct game {
    struct instant_loop *loop;
    struct instant_builder *values;
    struct instant_db *db;
    const char *name;
    char player[INSTANT_ID_SIZE];
    int score;
    bool is_connected;
    bool has_failed;
};

static void complain(struct game *game, const char *what, const struct instant_error *error) {
    fprintf(stderr, "scoreboard: %s: %s: %s\n", what, instant_error_type(error),
            instant_error_message(error));
    game->has_failed = true;
}

/* For calls that fail at once. */
static void check(struct game *game, bool ok, const char *what, struct instant_error *error) {
    if (!ok)
        complain(game, what, error);
    instant_error_free(error);
}

static void show_board(void *ctx, const struct instant_result *result,
                       const struct instant_error *error) {
    if (error) {
        complain(ctx, "the board", error);
        return;
    }
    const struct instant_value *players = instant_value_get(instant_result_data(result), "players");
    printf("board:");
    for (size_t i = 0; i < instant_value_count(players); i++) {
        const struct instant_value *player = instant_value_at(players, i);
        char name[64];
        instant_value_copy(instant_value_get(player, "name"), name, sizeof name);
        printf("  %s %.0f", name, instant_value_number(instant_value_get(player, "score"), 0));
    }
    printf("\n");
    fflush(stdout);
}

static void on_connection(void *ctx, const char *status, const struct instant_error *error) {
    struct game *game = ctx;
    if (error)
        complain(game, "the backend refused", error);
    game->is_connected = strcmp(status, "authenticated") == 0;
}

static void on_written(void *ctx, const char *status, const char *event_id,
                       const struct instant_error *error) {
    (void)status;
    (void)event_id;
    if (error)
        complain(ctx, "a score was not written", error);
}

/* ["update", "players", id, {"name": ..., "score": ...}] */
static void write_score(struct game *game) {
    struct instant_builder *b = game->values;
    struct instant_error *error = NULL;
    instant_build_array(b);
    instant_build_string(b, "update");
    instant_build_string(b, "players");
    instant_build_string(b, game->player);
    instant_build_object(b);
    instant_build_key(b, "name");
    instant_build_string(b, game->name);
    instant_build_key(b, "score");
    instant_build_number(b, game->score);
    instant_build_end(b);
    instant_build_end(b);
    bool ok = instant_transact(game->db, instant_built(b), on_written, game, &error);
    check(game, ok, "a score was not taken", error);
    instant_builder_clear(b);
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The game's own loop: it waits for what it likes, and for Instant's descriptor beside it. A frame
 * takes its time, however often there is something for Instant to do. */
static void frame(struct game *game) {
    struct pollfd fd = {.fd = instant_loop_fd(game->loop), .events = POLLIN};
    long long end = now_ms() + FRAME_MS;
    for (int left = FRAME_MS; left > 0; left = (int)(end - now_ms())) {
        int timeout = instant_loop_timeout(game->loop);
        poll(&fd, 1, timeout < 0 || timeout > left ? left : timeout);
        instant_step(game->loop, STEP_US);
    }
}

static bool start(struct game *game, const char *api, const char *app_id) {
    struct instant_builder *b = game->values;
    struct instant_error *error = NULL;
    instant_build_object(b);
    instant_build_key(b, "apiURI");
    instant_build_string(b, api);
    if (app_id) {
        instant_build_key(b, "appId");
        instant_build_string(b, app_id);
    }
    instant_build_end(b);
    game->db = instant_init(game->loop, instant_built(b), &error);
    if (!game->db) {
        check(game, false, api, error);
        return false;
    }
    bool ok = instant_subscribe_connection_status(game->db, on_connection, game, NULL, &error);
    check(game, ok, "the connection", error);
    ok = instant_subscribe_query(game->db, instant_parse(b, "{\"players\":{}}"), NULL, show_board,
                                 game, NULL, &error);
    check(game, ok, "the board", error);
    instant_builder_clear(b);
    return !game->has_failed;
}

static void play(struct game *game) {
    while (!game->is_connected && !game->has_failed)
        frame(game);
    for (int i = 0; i < FRAMES && !game->has_failed; i++) {
        game->score += 1 + i % 2;
        write_score(game);
        frame(game);
    }
    while (instant_pending(game->db) > 0 && !game->has_failed)
        frame(game);
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: scoreboard NAME [API [APP_ID]]\n");
        return 2;
    }
    struct game game = {.name = argv[1]};
    game.loop = instant_loop_new(NULL);
    game.values = instant_builder_new();
    if (!game.loop || !game.values) {
        fprintf(stderr, "scoreboard: not enough memory\n");
        return 1;
    }
    instant_id(game.loop, game.player);
    if (start(&game, argc > 2 ? argv[2] : "local::memory:", argc > 3 ? argv[3] : NULL))
        play(&game);
    if (!game.has_failed)
        printf("%s has %d points\n", game.name, game.score);
    instant_loop_free(game.loop);
    instant_builder_free(game.values);
    return game.has_failed ? 1 : 0;
}
