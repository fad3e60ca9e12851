#include "server/permissions.h"

#include "base/json.h"
#include "base/text.h"
#include "server/engine.h"
#include "server/limits.h"
#include "server/refusal.h"

#include "base/date.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void inst_permissions_init(struct inst_permissions *permissions, struct inst_app *app,
                           struct inst_rules *rules, const struct inst_viewer *viewer,
                           struct inst_store *store, struct inst_arena *arena) {
    *permissions = (struct inst_permissions){
        .app = app, .rules = rules, .viewer = viewer, .steps_left = INST_SERVER_MAX_RULE_STEPS};
    inst_arena_init(&permissions->scratch);
    inst_rule_data_init(&permissions->data, store, arena, app->server->seed);
}

void inst_permissions_release(struct inst_permissions *permissions) {
    inst_rule_data_release(&permissions->data);
    inst_arena_free(&permissions->scratch);
}

/* ---- errors (permissions.md 5) ---- */

/* Rules were right when they were saved, but what they may say can change. */
static enum inst_status refuse_rule(const struct inst_rule *rule, struct inst_err *err) {
    struct inst_buf text;
    inst_buf_init(&text);
    if (rule->problem != NULL)
        inst_buf_add_str(&text, rule->problem);
    for (const struct inst_cel_issue *issue = rule->program ? rule->program->issues : NULL; issue;
         issue = issue->next)
        inst_buf_addf(&text, "%s%s", text.len ? ", " : "", issue->message);
    struct inst_value input = inst_cstring(rule->etype);
    struct inst_value list = inst_array(&input, 1);
    enum inst_status st =
        text.failed ? inst_err_nomem(err)
                    : inst_refuse_validation(err, "permission", &list, NULL, "%s", text.data);
    inst_buf_free(&text);
    return st;
}

static void write_time(struct inst_buf *buf, int64_t ms) {
    char text[INST_DATE_TEXT_MAX];
    inst_date_iso((double)ms, text);
    inst_json_write_string(buf, text, strlen(text));
}

static enum inst_status refuse_rate(struct inst_permissions *p, const struct inst_cel_error *error,
                                    struct inst_err *err) {
    const struct inst_env *env = p->app->server->env;
    int64_t wait = error->retry_at_ms - env->now_ms(env->ctx);
    struct inst_buf hint;
    inst_err_set(err, "rate-limited", 400, "%s", error->text);
    inst_buf_init(&hint);
    inst_buf_add_char(&hint, '{');
    if (error->retry_at_ms != INT64_MAX) { /* more tokens than it ever holds: never */
        inst_buf_add_str(&hint, "\"retry-at\":");
        write_time(&hint, error->retry_at_ms);
        inst_buf_addf(&hint, ",\"retry-after\":%lld,",
                      (long long)(wait > 0 ? (wait + 999) / 1000 : 0));
    }
    inst_buf_addf(&hint, "\"remaining-tokens\":%lld}", (long long)floor(error->remaining));
    if (!hint.failed)
        inst_err_hint(err, hint.data);
    inst_buf_free(&hint);
    return INST_FAILED;
}

static enum inst_status refuse_evaluation(struct inst_permissions *p, const struct inst_rule *rule,
                                          const struct inst_cel_error *error,
                                          struct inst_err *err) {
    static const char typo[] = "You may have a typo";
    const char *action = inst_rule_action_name(rule->action);
    /* What went over a limit is no typo: it is said. */
    bool is_limit = error->code == INST_CEL_TOO_COSTLY || error->code == INST_CEL_HOST_FAILED;
    const char *why = is_limit ? error->text : typo;
    char text[700];
    struct inst_buf hint;
    if (error->code == INST_CEL_NO_MEMORY)
        return inst_err_nomem(err);
    if (error->code == INST_CEL_RATE_LIMITED)
        return refuse_rate(p, error, err);
    if (p->explains) {
        snprintf(text, sizeof text, "evaluation error at <input>:%u: %s", error->offset,
                 error->text);
        why = text;
    }
    inst_err_set(
        err, "permission-evaluation-failed", 400,
        "Could not evaluate permission rule for `%s.%s`. %s. Debug this in the sandbox and "
        "then update your permission rules.",
        rule->etype, action, why);
    inst_buf_init(&hint);
    inst_buf_add_str(&hint, "{\"rule\":[");
    inst_json_write_string(&hint, rule->etype, strlen(rule->etype));
    inst_buf_addf(&hint, ",\"%s\"],\"error\":{\"type\":\"%s\",\"message\":", action,
                  inst_cel_code_name(error->code));
    inst_json_write_string(&hint, err->message, strlen(err->message));
    inst_buf_add_str(&hint, ",\"hint\":");
    inst_json_write_string(&hint, why, strlen(why));
    inst_buf_add_str(&hint, "}}");
    if (!hint.failed)
        inst_err_hint(err, hint.data);
    inst_buf_free(&hint);
    return INST_FAILED;
}

/* ---- what rules ask for ---- */

static enum inst_status load_auth(struct inst_permissions *p, struct inst_err *err) {
    struct inst_value users = inst_cstring("$users");
    const char *user = p->viewer->user;
    if (p->has_auth || user[0] == '\0')
        return INST_OK;
    p->user = p->data.store->ops->entity(p->data.store, user, strlen(user));
    p->has_auth = true;
    return p->user == 0 ? INST_OK : inst_rule_data_record(&p->data, &users, p->user, &p->auth, err);
}

static enum inst_status find_ref(void *ctx, enum inst_cel_object object,
                                 const struct inst_value *entity, const char *path, size_t path_len,
                                 struct inst_arena *arena, struct inst_value *out,
                                 struct inst_err *err) {
    static const char prefix[] = "$user.";
    struct inst_permissions *p = ctx;
    const struct inst_rule_input *input = p->input;
    struct inst_value users = inst_cstring("$users");
    size_t skip = sizeof prefix - 1;
    (void)entity;
    (void)arena;
    switch (object) {
    case INST_CEL_AUTH:
        if (path_len < skip || memcmp(path, prefix, skip) != 0)
            return inst_err_set(err, "validation-failed", 400,
                                "auth.ref arg must start with `$user.`");
        return inst_rule_data_ref(&p->data, &users, p->user, path + skip, path_len - skip, out,
                                  err);
    case INST_CEL_LINKED_DATA:
        return inst_rule_data_ref(&p->data, &input->linked_etype, input->linked_e, path, path_len,
                                  out, err);
    default:
        return inst_rule_data_ref(&p->data, &input->etype, input->e, path, path_len, out, err);
    }
}

static enum inst_status take_tokens(void *ctx, const char *bucket, size_t bucket_len,
                                    const struct inst_value *key, int64_t tokens,
                                    struct inst_cel_limit *out, struct inst_err *err) {
    struct inst_permissions *p = ctx;
    struct inst_app *app = p->app;
    const struct inst_env *env = app->server->env;
    const struct inst_value *configs = inst_getz(inst_rules_code(p->rules), "$rateLimits");
    const struct inst_value *config = configs != NULL && configs->tag == INST_OBJECT
                                          ? inst_get(configs, bucket, bucket_len)
                                          : NULL;
    struct inst_rate_limit_config read;
    if (config == NULL || inst_rate_limit_read(config, &read) != NULL)
        return inst_err_set(err, "validation-failed", 400,
                            "`%.*s` is not a valid rate limit config. It should be defined in the "
                            "`$rateLimits` key.",
                            (int)(bucket_len < 100 ? bucket_len : 100), bucket);
    if (app->rate_limits == NULL &&
        inst_rate_limits_new(app->server->seed, &app->rate_limits, err) != INST_OK)
        return INST_NOMEM;
    return inst_rate_limits_take(app->rate_limits, &read, bucket, bucket_len, key, tokens,
                                 env->now_ms(env->ctx), out, err);
}

/* ---- asking ---- */

enum inst_status inst_permissions_rule(struct inst_permissions *p, const struct inst_value *etype,
                                       enum inst_rule_action action, const struct inst_value *label,
                                       const struct inst_rule **out, struct inst_err *err) {
    enum inst_status st =
        inst_rules_find(p->rules, etype->u.str, etype->len, action, label ? label->u.str : NULL,
                        label ? label->len : 0, out, err);
    if (st != INST_OK || *out == NULL)
        return st;
    return (*out)->problem != NULL || (*out)->program->issues != NULL ? refuse_rule(*out, err)
                                                                      : INST_OK;
}

static void fill_request(struct inst_permissions *p, const struct inst_rule_input *input,
                         struct inst_cel_request *request) {
    const struct inst_env *env = p->app->server->env;
    const struct inst_caller *from = &p->viewer->from;
    int64_t now = env->now_ms(env->ctx);
    *request = (struct inst_cel_request){
        .time_seconds = now / 1000,
        .time_nanos = (int32_t)(now % 1000) * 1000000,
        .origin = from->origin,
        .origin_len = from->origin != NULL ? strlen(from->origin) : 0,
        .ip = from->ip,
        .ip_len = from->ip != NULL ? strlen(from->ip) : 0,
        .modified_fields = input->modified_fields,
    };
}

/* Within what is left of the steps of all rules. */
static bool run_program(struct inst_permissions *p, const struct inst_cel_program *program,
                        const struct inst_cel_bindings *bindings, const struct inst_cel_host *host,
                        struct inst_cel_value *out, struct inst_cel_error *error) {
    bool is_short = p->steps_left < INST_CEL_MAX_STEPS;
    uint32_t steps, max = is_short ? p->steps_left + 1 : INST_CEL_MAX_STEPS;
    bool ok =
        inst_cel_program_run_counted(program, bindings, host, &p->scratch, max, out, error, &steps);
    p->steps_left -= steps < p->steps_left ? steps : p->steps_left;
    if (!ok && is_short && error->code == INST_CEL_TOO_COSTLY)
        error->text = "the rules of one query or transaction take too many steps";
    return ok;
}

enum inst_status inst_permissions_evaluate(struct inst_permissions *p, const struct inst_rule *rule,
                                           const struct inst_rule_input *input,
                                           struct inst_cel_value *out, struct inst_err *err) {
    struct inst_cel_host host = {p, find_ref, take_tokens};
    struct inst_cel_error error = {0};
    enum inst_status st = rule->program->uses_auth ? load_auth(p, err) : INST_OK;
    if (st != INST_OK)
        return st;
    struct inst_cel_bindings bindings = {
        .objects =
            {
                [INST_CEL_DATA] = input->data,
                [INST_CEL_NEW_DATA] = input->new_data,
                [INST_CEL_LINKED_DATA] = input->linked_data,
                [INST_CEL_AUTH] = p->auth,
                [INST_CEL_RULE_PARAMS] = input->rule_params ? input->rule_params : p->rule_params,
                [INST_CEL_ACTIONS] = input->actions,
            },
    };
    fill_request(p, input, &bindings.request);
    p->input = input;
    inst_arena_reset(&p->scratch);
    bool ok = run_program(p, rule->program, &bindings, &host, out, &error);
    return ok ? INST_OK : refuse_evaluation(p, rule, &error, err);
}

enum inst_status inst_permissions_where(struct inst_permissions *p, const struct inst_rule *rule,
                                        const struct inst_value *etype, struct inst_cel_where *out,
                                        struct inst_err *err) {
    struct inst_cel_host host = {p, find_ref, take_tokens};
    struct inst_rule_input input = {.etype = *etype};
    struct inst_cel_where_of of = {
        .attrs = p->data.store->attrs, .etype = *etype, .is_strict = true};
    enum inst_status st = rule->program->uses_auth ? load_auth(p, err) : INST_OK;
    if (st != INST_OK)
        return st;
    struct inst_cel_bindings bindings = {
        .objects = {[INST_CEL_AUTH] = p->auth, [INST_CEL_RULE_PARAMS] = p->rule_params}};
    fill_request(p, &input, &bindings.request);
    p->input = &input;
    bool ok = inst_cel_program_where(rule->program, &bindings, &host, &of, p->data.arena, out);
    p->input = NULL;
    return ok ? INST_OK : inst_err_nomem(err);
}

void inst_permissions_write_program(struct inst_buf *buf, const struct inst_rule *rule) {
    if (rule == NULL) {
        inst_buf_add_str(buf, "{}");
        return;
    }
    const char *action = inst_rule_action_name(rule->action);
    inst_buf_add_str(buf, "{\"code\":");
    inst_json_write_string(buf, rule->code, strlen(rule->code));
    inst_buf_add_str(buf, ",\"display-code\":");
    /* The original has names for the fallbacks of what nobody may touch. */
    bool is_named = !rule->is_fallback || strcmp(rule->code, "false") != 0 ||
                    (strcmp(rule->etype, "$files") == 0 && rule->action <= INST_RULE_DELETE);
    if (is_named)
        inst_json_write_string(buf, rule->display_code, strlen(rule->display_code));
    else
        inst_buf_addf(buf, "\"disallow_%s_on_system_tables\"", action);
    inst_buf_add_str(buf, ",\"etype\":");
    inst_json_write_string(buf, rule->etype, strlen(rule->etype));
    inst_buf_addf(buf, ",\"action\":\"%s\"}", action);
}
