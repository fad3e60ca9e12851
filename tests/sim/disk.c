#include "disk.h"

#include "client/reactor.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sim_entry *find(struct sim_disk *disk, const char *store, const char *key) {
    for (size_t i = 0; i < disk->count; i++) {
        if (strcmp(disk->entries[i].store, store) == 0 && strcmp(disk->entries[i].key, key) == 0) {
            return &disk->entries[i];
        }
    }
    return NULL;
}

static void put(struct sim_disk *disk, const char *store, const struct inst_disk_pair *pair) {
    struct sim_entry *entry = find(disk, store, pair->key);
    if (!entry && pair->value) {
        if (disk->count == SIM_DISK_KEYS) {
            abort();
        }
        entry = &disk->entries[disk->count++];
        *entry = (struct sim_entry){.store = store};
        snprintf(entry->key, sizeof entry->key, "%s", pair->key);
    }
    if (!entry) {
        return;
    }
    free(entry->text);
    entry->text = pair->value ? strndup(pair->value, pair->len) : NULL;
    if (!pair->value) {
        *entry = disk->entries[--disk->count];
    }
}

void sim_disk_take(struct sim_disk *disk, struct inst_reactor *reactor) {
    while (disk->asked_count < SIM_DISK_ASKED &&
           inst_reactor_next_disk(reactor, &disk->asked[disk->asked_count])) {
        disk->asked_count++;
    }
}

static void answer(struct sim_disk *disk, struct inst_reactor *reactor, size_t i, bool fails) {
    struct inst_disk_request request = disk->asked[i];
    struct inst_disk_answer answer = {0};
    struct inst_err err = {0};
    const char *keys[SIM_DISK_KEYS];
    disk->asked[i] = disk->asked[--disk->asked_count];
    if (fails) {
        inst_err_set(&err, "storage-failed", 0, "the simulated disk failed");
        answer.err = &err;
    } else if (request.op == INST_DISK_WRITE) {
        for (size_t k = 0; k < request.pair_count; k++) {
            put(disk, request.store, &request.pairs[k]);
        }
    } else if (request.op == INST_DISK_LOAD) {
        struct sim_entry *entry = find(disk, request.store, request.key);
        answer.value = entry ? entry->text : NULL;
        answer.len = entry ? strlen(entry->text) : 0;
    } else {
        answer.keys = keys;
        for (size_t k = 0; k < disk->count; k++) {
            if (strcmp(disk->entries[k].store, request.store) == 0) {
                keys[answer.key_count++] = disk->entries[k].key;
            }
        }
    }
    inst_reactor_disk_done(reactor, request.id, &answer);
    inst_err_clear(&err);
}

void sim_disk_step(struct sim_world *world, struct sim_disk *disk, struct inst_reactor *reactor) {
    sim_disk_take(disk, reactor);
    if (disk->asked_count > 0) {
        bool fails = !world->is_calm && sim_random(world, 20) == 0;
        answer(disk, reactor, sim_random(world, disk->asked_count), fails);
    }
}

void sim_disk_finish(struct sim_world *world, struct sim_disk *disk, struct inst_reactor *reactor) {
    for (int i = 0; i < 1000; i++) {
        sim_disk_take(disk, reactor);
        if (disk->asked_count == 0) {
            break;
        }
        answer(disk, reactor, sim_random(world, disk->asked_count), false);
    }
    if (!inst_reactor_is_flushed(reactor)) {
        sim_violation(world, "a client that was shut down never comes to its end");
    }
}

void sim_disk_crash(struct sim_world *world, struct sim_disk *disk) {
    for (size_t i = 0; i < disk->asked_count; i++) {
        const struct inst_disk_request *request = &disk->asked[i];
        size_t done = request->op == INST_DISK_WRITE && sim_random(world, 2)
                          ? sim_random(world, request->pair_count + 1)
                          : 0;
        for (size_t k = 0; k < done; k++) {
            put(disk, request->store, &request->pairs[k]);
        }
    }
    disk->asked_count = 0;
}

void sim_disk_free(struct sim_disk *disk) {
    for (size_t i = 0; disk && i < disk->count; i++) {
        free(disk->entries[i].text);
    }
    free(disk);
}
