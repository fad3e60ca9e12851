#include "server/split.h"

#include "server/engine.h"
#include "server/names.h"

/* The rule, when there is one, else why it cannot be told: then everybody is asked for himself. */
static void split_by(enum inst_status status, const struct inst_rule *rule,
                     struct inst_split *split) {
    const struct inst_cel_program *program = rule != NULL ? rule->program : NULL;
    bool is_unknown = status != INST_OK;
    split->by_user |=
        is_unknown || (program != NULL && (program->uses_auth || program->uses_rate_limit));
    split->by_caller |= is_unknown || (program != NULL && program->uses_caller);
}

/* Adds what that which may be seen of this etype depends on. */
static void add_etype(struct inst_app *app, const struct inst_value *etype,
                      struct inst_split *split) {
    const struct inst_rule *rule = NULL;
    const struct inst_value *own = inst_get(inst_rules_code(app->rules), etype->u.str, etype->len);
    const struct inst_value *fields =
        own != NULL && own->tag == INST_OBJECT ? inst_getz(own, "fields") : NULL;
    enum inst_status st =
        inst_rules_find(app->rules, etype->u.str, etype->len, INST_RULE_VIEW, NULL, 0, &rule, NULL);
    split_by(st, rule, split);
    for (uint32_t i = 0; fields != NULL && fields->tag == INST_OBJECT && i < fields->len; i++) {
        const struct inst_member *field = &fields->u.members[i];
        st = inst_rules_find(app->rules, etype->u.str, etype->len, INST_RULE_FIELD, field->key,
                             field->key_len, &rule, NULL);
        split_by(st, rule, split);
    }
}

/* What the result of one query for one viewer depends on. */
struct splitting {
    struct inst_app *app;
    struct inst_split split;
};

static bool meets_viewers(void *ctx, const struct inst_value *etype) {
    struct splitting *splitting = ctx;
    add_etype(splitting->app, etype, &splitting->split);
    return splitting->split.by_user && splitting->split.by_caller; /* there is no more to find */
}

struct inst_split inst_split_of(struct inst_app *app, const struct inst_viewer *viewer,
                                const struct inst_value *q) {
    struct splitting splitting = {.app = app};
    struct inst_reach reach = {app->catalog->attrs, meets_viewers, &splitting};
    if (viewer->is_admin)
        return splitting.split;
    inst_query_reaches(q, &reach);
    splitting.split.by_user &= viewer->user[0] != '\0';
    splitting.split.by_caller &= viewer->from.ip != NULL || viewer->from.origin != NULL;
    return splitting.split;
}
