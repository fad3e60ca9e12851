/*
 * rooms.h - what clients of the simulator do in rooms, and what must hold of them.
 *
 * Each topic message has a number larger than those before it: nobody may get one twice, nor one
 * sender's out of order. Once all is quiet, everybody who is in a room shows exactly what each of
 * the others last said of themselves, and nobody who left or died.
 */
#ifndef INST_TESTS_SIM_ROOMS_H
#define INST_TESTS_SIM_ROOMS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_ROOMS 2

struct sim_client;
struct sim_world;

struct sim_stay {
    struct sim_client *client;
    uint64_t presence_sub, topic_sub; /* 0: none */
    struct inst_buf peers;            /* JSON, as last told */
    bool is_loading;
    uint64_t heard[8]; /* by sending client: the last number; the world has fewer */
};

/* Enters, leaves, shows or says something. */
void sim_rooms_act(struct sim_world *world, struct sim_client *client);
/* Goes on without faults until nothing is on its way, and looks. */
void sim_rooms_check(struct sim_world *world);
/* The client's process is gone. */
void sim_rooms_forget(struct sim_client *client);

#endif
