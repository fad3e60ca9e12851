/*
 * evaluation.h - one run of one compiled query for one viewer, as bytes to send.
 *
 *     computation  runs it over a store that records what it read
 *     HTTP routes  run it once over the app's own store
 */
#ifndef INST_SERVER_EVALUATION_H
#define INST_SERVER_EVALUATION_H

#include "server/result.h"
#include "server/viewer.h"

struct inst_app;
struct inst_rules;

struct inst_evaluation {
    const struct inst_viewer *viewer;
    bool is_tree;    /* objects (session.md 4.4); else join-rows (4.1) */
    bool infers;     /* of a tree: `inference?`, one object and not a list for singular links */
    bool is_guarded; /* rules apply to what the query may come to see */
    const struct inst_value *rule_params; /* of the query; NULL: none */
    struct inst_rules *rules;             /* to try out; NULL: the app's */
    bool explains;  /* what is wrong with a rule that fails (permissions.md 5.2) */
    bool asks_each; /* for comparing: every entity's rule is asked, none becomes conditions */
};

/* What came out; buffers are the caller's to free. */
struct inst_outcome {
    struct inst_buf result;
    struct inst_buf meta; /* "null", or what belongs to the tree */
    struct inst_result_hash sum;
    bool has_urls; /* addresses of files, which are good for some days only (files.h) */
};

void inst_outcome_init(struct inst_outcome *outcome);
void inst_outcome_free(struct inst_outcome *outcome);

/* arena is scratch, not reset. */
enum inst_status inst_evaluate(struct inst_app *app, struct inst_query *query,
                               struct inst_store *store, const struct inst_evaluation *how,
                               struct inst_arena *arena, struct inst_outcome *out,
                               struct inst_err *err);
/* Compiles q, runs it over what is committed, forgets it. The app has no open group. */
enum inst_status inst_evaluate_once(struct inst_app *app, const struct inst_value *q,
                                    const struct inst_viewer *viewer, bool is_tree, bool infers,
                                    struct inst_outcome *out, struct inst_err *err);
/* The same by other rules than the app's (NULL: the app's), and what fails is explained. */
enum inst_status inst_evaluate_by(struct inst_app *app, const struct inst_value *q,
                                  struct inst_rules *rules, const struct inst_viewer *viewer,
                                  bool is_tree, bool infers, struct inst_outcome *out,
                                  struct inst_err *err);

#endif
