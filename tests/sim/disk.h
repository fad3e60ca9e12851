/*
 * disk.h - the storage of one simulated client. It outlives the client, answers in any order, late
 * or with an error, and of a write that was on its way in a crash some of the pairs are there.
 */
#ifndef INST_TESTS_SIM_DISK_H
#define INST_TESTS_SIM_DISK_H

#include "client/disk.h"

#include <stdbool.h>
#include <stddef.h>

#define SIM_DISK_KEYS 256
#define SIM_DISK_ASKED 256

struct sim_world;

struct sim_entry {
    const char *store; /* the reactor's, a literal */
    char key[80];
    char *text;
};

enum sim_disk_mood {
    SIM_DISK_FINE,   /* an error now and then */
    SIM_DISK_FULL,   /* no write succeeds */
    SIM_DISK_FROZEN, /* no answer comes */
};

struct sim_disk {
    enum sim_disk_mood mood;
    unsigned mood_left; /* steps */
    struct sim_entry entries[SIM_DISK_KEYS];
    size_t count;
    struct inst_disk_request asked[SIM_DISK_ASKED]; /* and not answered */
    size_t asked_count;
};

/* Listens to what the reactor wants. */
void sim_disk_take(struct sim_disk *disk, struct inst_reactor *reactor);
/* Answers one request, whichever; it fails now and then, unless the world is calm. */
void sim_disk_step(struct sim_world *world, struct sim_disk *disk, struct inst_reactor *reactor);
/* Answers everything until nothing is left to write. */
void sim_disk_finish(struct sim_world *world, struct sim_disk *disk, struct inst_reactor *reactor);
/* The client is gone, and in half of the cases the power: what need not be durable is then torn or
 * as if it had never been written. */
void sim_disk_crash(struct sim_world *world, struct sim_disk *disk);
void sim_disk_free(struct sim_disk *disk);

#endif
