#include "base/json.h"
#include "base/number.h"
#include "base/text.h"
#include "instaql/filter.h"
#include "server/admin_steps.h"
#include "server/evaluation.h"
#include "server/http_routes.h"
#include "server/names.h"
#include "server/refusal.h"

/* Answers of `/admin/query_perms_check` and `/admin/transact_perms_check` (http.md 6.3). */

static bool is_given(const struct inst_value *v) {
    return v != NULL && !inst_is_nullish(v) && v->tag != INST_FALSE;
}

/* The rules to try out: the override of the body, else the app's own. *own is to be freed. */
static enum inst_status read_override(const struct inst_value *body, struct inst_arena *arena,
                                      struct inst_rules **own, struct inst_err *err) {
    static const char *const path[] = {"body", "rules-override"};
    const struct inst_value *code = inst_getz(body, "rules-override");
    *own = NULL;
    if (!is_given(code))
        return INST_OK;
    if (code->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, code);
    enum inst_status st = inst_check_rules(code, arena, err);
    return st == INST_OK ? inst_rules_new(code, own, err) : st;
}

/* A text to try out in place of what the request says of itself. */
static enum inst_status read_text(const struct inst_value *body, const char *name,
                                  struct inst_arena *arena, const char **out,
                                  struct inst_err *err) {
    const char *const path[] = {"body", name};
    const struct inst_value *v = inst_getz(body, name);
    bool is_blank = true;
    if (!is_given(v))
        return INST_OK;
    if (v->tag == INST_NUMBER) { /* as upstream reads one */
        char *text = inst_arena_alloc(arena, INST_NUMBER_TEXT_MAX);
        if (text == NULL)
            return inst_err_nomem(err);
        inst_number_text(v->u.num, text);
        *out = text;
        return INST_OK;
    }
    for (uint32_t i = 0; v->tag == INST_STRING && i < v->len; i++)
        is_blank = is_blank && strchr(" \t\r\n", v->u.str[i]) != NULL;
    if (is_blank)
        return inst_refuse_malformed(err, path, 2, v);
    *out = inst_arena_dup(arena, v->u.str, v->len);
    return *out != NULL ? INST_OK : inst_err_nomem(err);
}

/* Only an admin may ask, and only about somebody else. */
static enum inst_status read_request(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_value *body, struct inst_app **app,
                                     struct inst_viewer *viewer, struct inst_err *err) {
    struct inst_value input = inst_cstring("non-admin");
    enum inst_status st;
    if ((st = inst_http_body(server, request, body, err)) != INST_OK ||
        (st = inst_http_admin_app(server, request, app, err)) != INST_OK ||
        (st = inst_http_viewer(server, request, app, viewer, err)) != INST_OK)
        return st;
    if (viewer->is_admin)
        return inst_refuse_validation(err, "non-admin", &input, NULL, "Cannot test perms as admin");
    if ((st = read_text(body, "ip-override", &server->scratch, &viewer->from.ip, err)) != INST_OK)
        return st;
    return read_text(body, "origin-override", &server->scratch, &viewer->from.origin, err);
}

/* ---- queries ---- */

struct checked {
    struct inst_permissions permissions;
    struct inst_table seen; /* (e, hash of etype and label) */
    struct inst_buf json;
};

static void write_check(struct checked *checked, const struct inst_rule *rule,
                        const struct inst_rule_input *input, const struct inst_value *label,
                        const struct inst_value *value) {
    struct inst_store *store = checked->permissions.data.store;
    struct inst_buf *buf = &checked->json;
    struct inst_value id = store->ops->entity_id(store, input->e);
    inst_buf_add_str(buf, buf->len > 0 ? ",{\"id\":" : "{\"id\":");
    inst_json_write(buf, &id);
    inst_buf_add_str(buf, ",\"entity\":");
    inst_json_write(buf, &input->etype);
    inst_buf_add_str(buf, ",\"label\":");
    if (label != NULL)
        inst_json_write(buf, label);
    else
        inst_buf_add_str(buf, "null");
    inst_buf_add_str(buf, ",\"record\":");
    inst_json_write(buf, input->data);
    inst_buf_add_str(buf, ",\"program\":");
    inst_permissions_write_program(buf, rule);
    inst_buf_add_str(buf, ",\"check\":");
    inst_json_write(buf, value);
    inst_buf_add_char(buf, '}');
}

/* The view rule of an entity (label NULL), or the rule of one field, once. */
static enum inst_status check_one(struct checked *checked, const struct inst_value *etype,
                                  uint32_t e, const struct inst_value *label,
                                  struct inst_err *err) {
    struct inst_permissions *p = &checked->permissions;
    struct inst_rule_input input = {.etype = *etype, .e = e};
    const struct inst_rule *rule;
    struct inst_cel_value value = inst_cel_bool(true);
    struct inst_value json;
    uint64_t hash = inst_text_hash(etype->u.str, etype->len, p->data.seed);
    if (label != NULL)
        hash ^= inst_text_hash(label->u.str, label->len, ~p->data.seed);
    struct inst_table_key key = {e, hash};
    if (inst_table_get(&checked->seen, key) != NULL)
        return INST_OK;
    if (!inst_table_put(&checked->seen, key, checked))
        return inst_err_nomem(err);
    enum inst_status st = inst_permissions_rule(
        p, etype, label != NULL ? INST_RULE_FIELD : INST_RULE_VIEW, label, &rule, err);
    if (st != INST_OK || (label != NULL && rule == NULL))
        return st;
    if ((st = inst_rule_data_record(&p->data, etype, e, &input.data, err)) != INST_OK)
        return st;
    if (rule != NULL)
        st = inst_permissions_evaluate(p, rule, &input, &value, err);
    if (st == INST_OK && !inst_cel_to_json(&value, p->data.arena, &json))
        st = inst_err_nomem(err);
    if (st == INST_OK)
        write_check(checked, rule, &input, label, &json);
    return st;
}

/* Every entity that the query touches, whether it may be seen or not. */
static enum inst_status check_query(struct checked *checked, struct inst_app *app,
                                    const struct inst_value *q, struct inst_err *err) {
    struct inst_collect_options options = {.collator = app->server->collator};
    struct inst_collected collected = {0};
    struct inst_query *query;
    enum inst_status st = inst_query_new(q, INST_QUERY_SERVER, &query, err);
    if (st != INST_OK)
        return st;
    st = inst_query_collect(query, &app->db->store, &options, &app->server->scratch, &collected,
                            err);
    for (size_t i = 0; st == INST_OK && i < collected.triple_count; i++) {
        const struct inst_collected_triple *t = &collected.triples[i];
        const struct inst_ident *ident = &t->attr->forward;
        st = check_one(checked, &ident->etype, t->triple.e, NULL, err);
        if (st == INST_OK)
            st = check_one(checked, &ident->etype, t->triple.e, &ident->label, err);
    }
    inst_query_free(query);
    return st;
}

/* What view rules became conditions of the query: {etype: {"short-circuit?", "where-clauses",
 * "rate-limits"}}. Rules that are asked entity by entity, as all with rate limits are, are not in
 * it (permissions.md 8, 10). */
struct wheres {
    struct inst_permissions *permissions;
    struct inst_buf json;
    struct inst_table seen; /* hash of etype */
    enum inst_status status;
    struct inst_err *err;
};

static enum inst_status write_where(struct wheres *wheres, const struct inst_value *etype) {
    struct inst_permissions *p = wheres->permissions;
    struct inst_buf *buf = &wheres->json;
    const struct inst_rule *rule;
    struct inst_cel_where where;
    struct inst_filter *filter = NULL;
    struct inst_err why = {0};
    enum inst_status st = inst_permissions_rule(p, etype, INST_RULE_VIEW, NULL, &rule, wheres->err);
    if (st != INST_OK || rule == NULL)
        return st;
    st = inst_permissions_where(p, rule, etype, &where, wheres->err);
    if (st != INST_OK || where.kind == INST_CEL_WHERE_NONE)
        return st;
    if (where.kind == INST_CEL_WHERE_SOME) {
        st = inst_filter_new(etype, &where.where, p->data.store, &filter, &why);
        inst_err_clear(&why);
        inst_filter_free(filter);
        if (st != INST_OK)
            return st == INST_NOMEM ? inst_err_nomem(wheres->err) : INST_OK;
    }
    inst_buf_add_str(buf, buf->len > 0 ? "," : "");
    inst_json_write(buf, etype);
    inst_buf_addf(buf, ":{\"short-circuit?\":%s,\"where-clauses\":",
                  where.kind == INST_CEL_WHERE_NEVER ? "true" : "false");
    if (where.kind == INST_CEL_WHERE_SOME)
        inst_json_write(buf, &where.where);
    else
        inst_buf_add_str(buf, "null");
    inst_buf_add_str(buf, ",\"rate-limits\":{}}");
    return INST_OK;
}

/* true: something failed, no need to look on. */
static bool add_where(void *ctx, const struct inst_value *etype) {
    struct wheres *wheres = ctx;
    struct inst_table_key key = {
        inst_text_hash(etype->u.str, etype->len, wheres->permissions->data.seed), 0};
    if (inst_table_get(&wheres->seen, key) != NULL)
        return false;
    wheres->status = inst_table_put(&wheres->seen, key, wheres) ? write_where(wheres, etype)
                                                                : inst_err_nomem(wheres->err);
    return wheres->status != INST_OK;
}

static enum inst_status write_wheres(struct inst_permissions *p, const struct inst_value *query,
                                     struct inst_buf *out, struct inst_err *err) {
    struct wheres wheres = {.permissions = p, .status = INST_OK, .err = err};
    struct inst_reach reach = {p->data.store->attrs, add_where, &wheres};
    inst_buf_init(&wheres.json);
    inst_table_init(&wheres.seen);
    inst_query_reaches(query, &reach);
    inst_buf_add_str(out, ",\"rule-wheres\":{");
    inst_buf_add(out, wheres.json.data, wheres.json.len);
    inst_buf_add_char(out, '}');
    out->failed = out->failed || wheres.json.failed;
    inst_buf_free(&wheres.json);
    inst_table_free(&wheres.seen);
    return wheres.status;
}

static enum inst_status try_query(struct inst_app *app, const struct inst_value *query,
                                  const struct inst_viewer *viewer, struct inst_rules *rules,
                                  bool infers, struct inst_buf *out, struct inst_err *err) {
    struct inst_outcome outcome;
    struct checked checked;
    inst_outcome_init(&outcome);
    inst_permissions_init(&checked.permissions, app, rules != NULL ? rules : app->rules, viewer,
                          &app->db->store, &app->server->scratch);
    checked.permissions.explains = true;
    checked.permissions.rule_params = inst_getz(query, "$$ruleParams");
    inst_table_init(&checked.seen);
    inst_buf_init(&checked.json);
    enum inst_status st = inst_evaluate_by(app, query, rules, viewer, true, infers, &outcome, err);
    if (st == INST_OK)
        st = check_query(&checked, app, query, err);
    if (st == INST_OK) {
        inst_buf_add_str(out, "{\"result\":");
        inst_buf_add(out, outcome.result.data, outcome.result.len);
        inst_buf_add_str(out, ",\"check-results\":[");
        inst_buf_add(out, checked.json.data, checked.json.len);
        inst_buf_add_char(out, ']');
        out->failed = out->failed || checked.json.failed;
        st = write_wheres(&checked.permissions, query, out, err);
        inst_buf_add_char(out, '}');
    }
    inst_outcome_free(&outcome);
    inst_permissions_release(&checked.permissions);
    inst_table_free(&checked.seen);
    inst_buf_free(&checked.json);
    return st;
}

static enum inst_status answer_query(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "query"};
    struct inst_value body;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_rules *rules;
    enum inst_status st = read_request(server, request, &body, &app, &viewer, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *query = inst_getz(&body, "query");
    if (!is_given(query))
        return inst_refuse_missing(err, path, 2);
    if (query->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, query);
    if ((st = read_override(&body, &server->scratch, &rules, err)) != INST_OK)
        return st;
    bool infers = is_given(inst_getz(&body, "inference?"));
    st = try_query(app, query, &viewer, rules, infers, &response->body, err);
    inst_rules_free(rules);
    return st;
}

/* ---- transactions ---- */

struct trial {
    struct inst_arena *arena;
    struct inst_buf json;
    bool is_dry;
    bool all_ok;
};

static void write_part(struct inst_buf *buf, const char *name, const struct inst_value *value,
                       bool always) {
    if (value == NULL && !always)
        return;
    inst_buf_addf(buf, "%s\"%s\":", buf->data[buf->len - 1] == '{' ? "" : ",", name);
    if (value != NULL)
        inst_json_write(buf, value);
    else
        inst_buf_add_str(buf, "null");
}

static enum inst_status report(void *ctx, const struct inst_tx_verdict *verdict,
                               struct inst_err *err) {
    struct trial *trial = ctx;
    struct inst_buf *buf = &trial->json;
    const struct inst_rule_input *input = &verdict->input;
    bool is_write = verdict->action == INST_RULE_CREATE || verdict->action == INST_RULE_UPDATE;
    struct inst_value result, no_fields = inst_array(NULL, 0);
    trial->all_ok = trial->all_ok && verdict->is_allowed;
    if (!inst_cel_to_json(&verdict->value, trial->arena, &result))
        return inst_err_nomem(err);
    inst_buf_addf(buf, "%s{\"scope\":\"%s\",\"action\":\"%s\",\"etype\":", buf->len > 0 ? "," : "",
                  verdict->is_attr ? "attr" : "object", inst_rule_action_name(verdict->action));
    inst_json_write(buf, &verdict->etype);
    inst_buf_add_str(buf, ",\"eid\":");
    inst_json_write(buf, &verdict->eid);
    inst_buf_add_str(buf, ",\"program\":");
    inst_permissions_write_program(buf, verdict->rule);
    inst_buf_add_str(buf, ",\"bindings\":{");
    if (!buf->failed) {
        write_part(buf, "data", input->data, true);
        write_part(buf, "new-data", input->new_data, false);
        write_part(buf, "rule-params", input->rule_params, true);
        write_part(buf, "modified-fields",
                   input->modified_fields ? input->modified_fields
                   : is_write             ? &no_fields
                                          : NULL,
                   false);
        write_part(buf, "linked-data", input->linked_data, false);
        write_part(buf, "linked-etype", input->linked_data ? &input->linked_etype : NULL, false);
        write_part(buf, "actions", input->actions, false);
    }
    inst_buf_add_str(buf, "},\"check-result\":");
    inst_json_write(buf, &result);
    inst_buf_addf(buf, ",\"check-pass?\":%s}", verdict->is_allowed ? "true" : "false");
    return buf->failed ? inst_err_nomem(err) : INST_OK;
}

static enum inst_status keep(void *ctx, bool *keep, struct inst_err *err) {
    const struct trial *trial = ctx;
    (void)err;
    *keep = !trial->is_dry && trial->all_ok;
    return INST_OK;
}

static enum inst_status try_steps(struct inst_app *app, const struct inst_value *steps,
                                  const struct inst_viewer *viewer, struct inst_rules *rules,
                                  bool is_dry, struct inst_buf *out, struct inst_err *err) {
    struct trial trial = {.arena = &app->server->scratch, .is_dry = is_dry, .all_ok = true};
    struct inst_tx_source source = {
        .viewer = viewer, .rules = rules, .report = report, .report_ctx = &trial};
    int64_t tx_id = 0;
    bool is_kept = false;
    inst_buf_init(&trial.json);
    enum inst_status st = inst_app_try(app, steps, &source, keep, &trial, &tx_id, &is_kept, err);
    if (st == INST_OK) {
        inst_buf_add_str(out, "{\"tx-id\":");
        inst_buf_add_int(out, tx_id);
        inst_buf_addf(out, ",\"all-checks-ok?\":%s,\"committed?\":%s,\"check-results\":[",
                      trial.all_ok ? "true" : "false", is_kept ? "true" : "false");
        inst_buf_add(out, trial.json.data, trial.json.len);
        inst_buf_add_str(out, "]}");
    }
    inst_buf_free(&trial.json);
    return st;
}

static enum inst_status answer_transact(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    static const char *const path[] = {"body", "steps"};
    struct inst_value body, tx_steps;
    struct inst_viewer viewer;
    struct inst_app *app;
    struct inst_rules *rules;
    enum inst_status st = read_request(server, request, &body, &app, &viewer, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *steps = inst_getz(&body, "steps");
    if (!is_given(steps))
        return inst_refuse_missing(err, path, 2);
    if (steps->tag != INST_ARRAY && steps->tag != INST_OBJECT)
        return inst_refuse_malformed(err, path, 2, steps);
    struct inst_admin_steps context = {
        .env = server->env,
        .attrs = app->catalog->attrs,
        .throw_on_missing = is_given(inst_getz(&body, "throw-on-missing-attrs?")),
    };
    st = inst_admin_steps_to_tx(&server->scratch, &context, steps, &tx_steps, err);
    if (st != INST_OK || (st = read_override(&body, &server->scratch, &rules, err)) != INST_OK)
        return st;
    bool is_dry = !is_given(inst_getz(&body, "dangerously-commit-tx"));
    st = try_steps(app, &tx_steps, &viewer, rules, is_dry, &response->body, err);
    inst_rules_free(rules);
    return st;
}

const struct inst_http_route inst_http_debug_routes[] = {
    {"POST", "/admin/query_perms_check", answer_query},
    {"POST", "/admin/transact_perms_check", answer_transact},
    {NULL, NULL, NULL},
};
