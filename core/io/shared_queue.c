#include "io/shared_queue.h"

#include <stdlib.h>

static bool grow(struct inst_shared_queue *queue) {
    size_t cap = queue->cap ? queue->cap * 2 : 4;
    struct inst_shared **ring = malloc(cap * sizeof *ring);
    if (!ring)
        return false;
    for (size_t i = 0; i < queue->count; i++)
        ring[i] = queue->ring[(queue->first + i) & (queue->cap - 1)];
    free(queue->ring);
    queue->ring = ring;
    queue->first = 0;
    queue->cap = cap;
    return true;
}

bool inst_shared_queue_push(struct inst_shared_queue *queue, struct inst_shared *message,
                            size_t max_bytes) {
    if (queue->count > 0 &&
        (queue->bytes + message->len > max_bytes || queue->count >= INST_SHARED_QUEUE_MAX))
        return false;
    if (queue->count == queue->cap && !grow(queue))
        return false;
    queue->ring[(queue->first + queue->count++) & (queue->cap - 1)] = inst_shared_ref(message);
    queue->bytes += message->len;
    return true;
}

struct inst_shared *inst_shared_queue_first(const struct inst_shared_queue *queue) {
    return queue->count > 0 ? queue->ring[queue->first] : NULL;
}

void inst_shared_queue_drop_first(struct inst_shared_queue *queue) {
    struct inst_shared *message = queue->ring[queue->first];
    queue->first = (queue->first + 1) & (queue->cap - 1);
    queue->count--;
    queue->bytes -= message->len;
    inst_shared_unref(message);
}

void inst_shared_queue_clear(struct inst_shared_queue *queue) {
    while (queue->count > 0)
        inst_shared_queue_drop_first(queue);
    free(queue->ring);
    *queue = (struct inst_shared_queue){0};
}
