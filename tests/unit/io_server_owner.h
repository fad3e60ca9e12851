/*
 * io_server_owner.h - one app without a schema, as its owner manages it, and other servers beside.
 */
#ifndef INST_TESTS_IO_SERVER_OWNER_H
#define INST_TESTS_IO_SERVER_OWNER_H

#include "io_server_outside.h"

static struct world world;
static char world_dir[32];

static inline void owner_open(void) {
    world_open_dir(&world, world_dir, "{'entities':{},'links':{}}");
    outside_open(&world);
}

static inline int owner_close(void **state) {
    (void)state;
    world_close_dir(&world, world_dir);
    outside_close();
    return 0;
}

/* Good until 64 more were made. */
static inline const char *text_of(const char *fmt, ...) INST_PRINTF(1, 2);
static inline const char *text_of(const char *fmt, ...) {
    static char texts[64][4096];
    static unsigned at;
    char *text = texts[at++ % 64];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof texts[0], fmt, args);
    va_end(args);
    return text;
}

/* A route of the app's owner, and what it answers. */
static inline const char *at(const char *rest) {
    return text_of("/dash/apps/%s/%s", world.app.id, rest);
}

static inline const struct inst_value *post(const char *rest, const char *body) {
    return done(&world, "POST", at(rest), ADMIN, body);
}

#endif
