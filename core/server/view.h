/*
 * view.h - what a viewer sees during one run of a query (permissions.md 7.1, 10).
 *
 *     entity ──┬─ found by its namespace's filter, or fits it ──> seen, when the filter is exact
 *              └─ else the view rule is asked, once
 *
 * A filter is the namespace's view rule as conditions, made when first wanted. One that is exact
 * spares the rule; of the others the rule is asked all the same. What either reads is read through
 * the run's store.
 */
#ifndef INST_SERVER_VIEW_H
#define INST_SERVER_VIEW_H

#include "instaql/filter.h"
#include "server/permissions.h"

struct inst_view {
    struct inst_permissions permissions;
    struct inst_table seen;    /* (e, hash of etype) -> whether it may be seen */
    struct inst_table filters; /* hash of etype -> struct view_filter */
};

/* rules NULL: the app's. */
void inst_view_init(struct inst_view *view, struct inst_app *app, struct inst_rules *rules,
                    const struct inst_viewer *viewer, const struct inst_value *rule_params,
                    struct inst_store *store, struct inst_arena *arena);
void inst_view_release(struct inst_view *view);

/* These three fit the members of inst_collect_options, with the view as ctx; not for admins, who
 * see everything. */
int inst_view_shows(void *view, const struct inst_attr *attr, const struct inst_triple *triple,
                    struct inst_err *err);
enum inst_status inst_view_filter(void *view, const struct inst_value *etype,
                                  struct inst_filter **out, struct inst_err *err);
enum inst_status inst_view_found(void *view, const struct inst_value *etype, uint32_t e,
                                 struct inst_err *err);

#endif
