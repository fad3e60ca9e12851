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

/* What a storage that had to be started anew says; all that is known is written again. */
static void set_all_aside(struct sim_world *world, struct sim_disk *disk,
                          const struct inst_reactor *reactor) {
    for (size_t i = 0; i < disk->count; i++) {
        free(disk->entries[i].text);
    }
    disk->count = 0;
    sim_storage_lost(world, reactor);
}

static void answer(struct sim_disk *disk, struct inst_reactor *reactor, size_t i, bool fails,
                   bool is_anew) {
    struct inst_disk_request request = disk->asked[i];
    struct inst_disk_answer answer = {.is_anew = is_anew};
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

static void change_mood(struct sim_world *world, struct sim_disk *disk) {
    if (disk->mood_left > 0) {
        disk->mood_left--;
    } else if (disk->mood != SIM_DISK_FINE) {
        disk->mood = SIM_DISK_FINE;
    } else if (sim_random(world, 200) == 0) {
        disk->mood = sim_random(world, 2) ? SIM_DISK_FULL : SIM_DISK_FROZEN;
        disk->mood_left = (unsigned)sim_random(world, 60);
    }
    if (world->is_calm) {
        disk->mood = SIM_DISK_FINE;
    }
}

void sim_disk_step(struct sim_world *world, struct sim_disk *disk, struct inst_reactor *reactor) {
    sim_disk_take(disk, reactor);
    change_mood(world, disk);
    if (disk->asked_count > 0 && disk->mood != SIM_DISK_FROZEN) {
        size_t i = sim_random(world, disk->asked_count);
        bool is_full = disk->mood == SIM_DISK_FULL && disk->asked[i].op == INST_DISK_WRITE;
        bool is_anew = !world->is_calm && !is_full && sim_random(world, 400) == 0;
        bool fails = is_full || (!world->is_calm && sim_random(world, 20) == 0);
        if (is_anew) {
            set_all_aside(world, disk, reactor);
        }
        answer(disk, reactor, i, fails, is_anew);
    }
}

void sim_disk_finish(struct sim_world *world, struct sim_disk *disk, struct inst_reactor *reactor) {
    for (int i = 0; i < 1000; i++) {
        sim_disk_take(disk, reactor);
        if (disk->asked_count == 0) {
            break;
        }
        answer(disk, reactor, sim_random(world, disk->asked_count), false, false);
    }
    if (!inst_reactor_is_flushed(reactor)) {
        sim_violation(world, "a client that was shut down never comes to its end");
    }
}

static void lose_power(struct sim_world *world, struct sim_disk *disk) {
    for (size_t i = 0; i < disk->count; i++) {
        struct sim_entry *entry = &disk->entries[i];
        if (strcmp(entry->store, "kv") == 0 || sim_random(world, 8) > 0) {
            continue;
        }
        if (sim_random(world, 2)) {
            entry->text[sim_random(world, strlen(entry->text) + 1)] = '\0';
        } else {
            free(entry->text);
            *entry = disk->entries[--disk->count];
            i--;
        }
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
    disk->mood = SIM_DISK_FINE;
    if (sim_random(world, 2)) {
        lose_power(world, disk);
    }
}

void sim_disk_free(struct sim_disk *disk) {
    for (size_t i = 0; disk && i < disk->count; i++) {
        free(disk->entries[i].text);
    }
    free(disk);
}
