/*
 * split.h - what of a viewer the result of a query depends on: who shares a computation (live.h).
 */
#ifndef INST_SERVER_SPLIT_H
#define INST_SERVER_SPLIT_H

#include "base/value.h"
#include "server/viewer.h"

struct inst_app;

struct inst_split {
    bool by_user;
    bool by_caller; /* address or origin */
};

/* By the app's rules of all that q may come to see. Guests are one user, admins split by nothing.
 */
struct inst_split inst_split_of(struct inst_app *app, const struct inst_viewer *viewer,
                                const struct inst_value *q);

static inline bool inst_split_equals(struct inst_split a, struct inst_split b) {
    return a.by_user == b.by_user && a.by_caller == b.by_caller;
}

#endif
