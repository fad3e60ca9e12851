/*
 * features.h - what a client understands, by the version of `@instantdb/core` that it names in
 * `init` (session.md 8).
 *
 *     > 0.17.5   patch-presence      else the whole room on every change
 *     > 0.20.4   refresh-ok without attrs unless they changed      else attrs in every one
 *
 * `v?MAJOR.MINOR.PATCH`, a `-dev` build sorts behind its release; anything else, or none, has no
 * features. Message arrays (> 0.22.75) need no gate: we send none.
 */
#ifndef INST_SERVER_FEATURES_H
#define INST_SERVER_FEATURES_H

#include "base/value.h"

struct inst_features {
    bool patches_presence;
    bool skips_attrs;
};

/* versions: `init`'s member, or NULL. */
struct inst_features inst_features_of(const struct inst_value *versions);

#endif
