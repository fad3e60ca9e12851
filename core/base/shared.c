#include "base/shared.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct inst_shared *inst_shared_new(const char *bytes, size_t len) {
    if (len > SIZE_MAX - sizeof(struct inst_shared) - INST_SHARED_HEADROOM - 1) {
        return NULL;
    }
    struct inst_shared *shared = malloc(sizeof(*shared) + INST_SHARED_HEADROOM + len + 1);
    if (!shared) {
        return NULL;
    }
    shared->refs = 1;
    shared->len = len;
    shared->data = (char *)(shared + 1) + INST_SHARED_HEADROOM;
    if (len) {
        memcpy(shared->data, bytes, len);
    }
    shared->data[len] = '\0';
    return shared;
}

struct inst_shared *inst_shared_ref(struct inst_shared *shared) {
    assert(shared->refs > 0);
    shared->refs++;
    return shared;
}

void inst_shared_unref(struct inst_shared *shared) {
    if (!shared) {
        return;
    }
    assert(shared->refs > 0);
    if (--shared->refs == 0) {
        free(shared);
    }
}
