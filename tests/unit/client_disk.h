/*
 * client_disk.h - a disk played by hand: what reached it outlives the reactor.
 *
 *     run_disk(f)              does everything that is asked, in order
 *     take_requests(f)         only listens; then answer(f, i, ...) one by one, in any order
 */
#ifndef INST_TESTS_CLIENT_DISK_H
#define INST_TESTS_CLIENT_DISK_H

#include "client_fixture.h"

#define DISK_MAX 4096

struct disk_entry {
    char *store, *key, *text;
};

struct disk {
    struct disk_entry entries[DISK_MAX];
    size_t count;
    struct inst_disk_request asked[DISK_MAX]; /* and not answered */
    size_t asked_count;
    int writes, loads, lists;
    int fail_writes, fail_loads, fail_lists; /* so many of them from now on */
};

static inline void disk_free(struct disk *disk) {
    for (size_t i = 0; i < disk->count; i++) {
        free(disk->entries[i].store);
        free(disk->entries[i].key);
        free(disk->entries[i].text);
    }
    free(disk);
}

static inline struct disk_entry *disk_find(struct disk *disk, const char *store, const char *key) {
    for (size_t i = 0; i < disk->count; i++) {
        if (strcmp(disk->entries[i].store, store) == 0 && strcmp(disk->entries[i].key, key) == 0) {
            return &disk->entries[i];
        }
    }
    return NULL;
}

/* The text; NULL when there is none. */
static inline const char *disk_text(struct disk *disk, const char *store, const char *key) {
    struct disk_entry *entry = disk_find(disk, store, key);
    return entry ? entry->text : NULL;
}

static inline void disk_put(struct disk *disk, const char *store, const char *key, const char *text,
                            size_t len) {
    struct disk_entry *entry = disk_find(disk, store, key);
    if (!entry && text) {
        assert_true(disk->count < DISK_MAX);
        entry = &disk->entries[disk->count++];
        *entry = (struct disk_entry){strdup(store), strdup(key), NULL};
    }
    if (!entry) {
        return;
    }
    free(entry->text);
    entry->text = text ? strndup(text, len) : NULL;
    if (!text) {
        free(entry->store);
        free(entry->key);
        *entry = disk->entries[--disk->count];
    }
}

static inline void take_requests(struct fixture *f, struct disk *disk) {
    struct inst_disk_request request;
    while (inst_reactor_next_disk(f->r, &request)) {
        assert_true(disk->asked_count < DISK_MAX);
        for (size_t i = 0; i < disk->asked_count && request.op == INST_DISK_WRITE; i++) {
            /* never two of one store */
            assert_false(disk->asked[i].op == INST_DISK_WRITE &&
                         strcmp(disk->asked[i].store, request.store) == 0);
        }
        disk->asked[disk->asked_count++] = request;
    }
}

/* Does the request and answers it; with `error` it fails and nothing was done. */
static inline void answer(struct fixture *f, struct disk *disk, size_t i, const char *error) {
    struct inst_disk_request request = disk->asked[i];
    struct inst_disk_answer answer = {0};
    struct inst_err err = {0};
    static const char *keys[DISK_MAX];
    assert_true(i < disk->asked_count);
    memmove(disk->asked + i, disk->asked + i + 1, (--disk->asked_count - i) * sizeof(request));
    if (error) {
        inst_err_set(&err, "storage-failed", 0, "%s", error);
        answer.err = &err;
    } else if (request.op == INST_DISK_WRITE) {
        for (size_t k = 0; k < request.pair_count; k++) {
            const struct inst_disk_pair *pair = &request.pairs[k];
            disk_put(disk, request.store, pair->key, pair->value, pair->len);
        }
    } else if (request.op == INST_DISK_LOAD) {
        answer.value = disk_text(disk, request.store, request.key);
        answer.len = answer.value ? strlen(answer.value) : 0;
    } else {
        for (size_t k = 0; k < disk->count; k++) {
            if (strcmp(disk->entries[k].store, request.store) == 0) {
                keys[answer.key_count++] = disk->entries[k].key;
            }
        }
        answer.keys = keys;
    }
    /* what it was given is its own only during the call */
    char *copy = answer.value ? strdup(answer.value) : NULL;
    answer.value = copy;
    inst_reactor_disk_done(f->r, request.id, &answer);
    inst_reactor_disk_done(f->r, request.id, &answer); /* said twice: ignored */
    free(copy);
    inst_err_clear(&err);
}

static inline void run_disk(struct fixture *f, struct disk *disk) {
    for (;;) {
        take_requests(f, disk);
        if (!disk->asked_count) {
            return;
        }
        int *count = &disk->writes, *fails = &disk->fail_writes;
        if (disk->asked[0].op != INST_DISK_WRITE) {
            count = disk->asked[0].op == INST_DISK_LOAD ? &disk->loads : &disk->lists;
            fails = disk->asked[0].op == INST_DISK_LOAD ? &disk->fail_loads : &disk->fail_lists;
        }
        (*count)++;
        bool fails_now = *fails > 0;
        *fails -= fails_now;
        answer(f, disk, 0, fails_now ? "the disk is full" : NULL);
    }
}

/* The first unanswered request of this kind. */
static inline size_t asked_at(struct disk *disk, enum inst_disk_op op, const char *store,
                              const char *key) {
    for (size_t i = 0; i < disk->asked_count; i++) {
        if (disk->asked[i].op == op && strcmp(disk->asked[i].store, store) == 0 &&
            (!key || strcmp(disk->asked[i].key, key) == 0)) {
            return i;
        }
    }
    fail_msg("op %d of %s %s was not asked for", op, store, key ? key : "");
    return 0;
}

static inline struct inst_reactor_config disk_config(struct fixture *f) {
    struct inst_reactor_config config = fixture_config(f);
    config.has_storage = true;
    return config;
}

/* A client on the disk; nothing of the disk was done yet. */
static inline struct fixture *start_on(struct disk *disk) {
    struct inst_reactor_config config = {.app_id = APP_ID, .has_storage = true};
    disk->asked_count = 0;
    return fixture_new(&config);
}

/* Killed at this moment, with another client after it on the same disk. */
static inline struct fixture *killed(struct fixture *f, struct disk *disk) {
    int64_t now = f->now;
    fixture_free(f);
    f = start_on(disk);
    f->now = now + 1;
    f->seed = (uint64_t)now;
    return f;
}

/* ... which has read what is there. */
static inline struct fixture *restarted(struct fixture *f, struct disk *disk) {
    f = killed(f, disk);
    run_disk(f, disk);
    return f;
}

#endif
