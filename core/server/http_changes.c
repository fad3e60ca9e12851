#include "server/limits.h"
#include "server/polls.h"
#include "server/refusal.h"

/* POST /admin/changes (feed.h): what changed since a position, now or as soon as something does. */

static enum inst_status refuse(struct inst_err *err, const char *name,
                               const struct inst_value *value) {
    const char *const path[] = {"body", name};
    return inst_refuse_malformed(err, path, 2, value);
}

/* Texts; *out stays NULL when there is no list. */
static enum inst_status read_etypes(const struct inst_value *body, struct inst_feed_filter *out,
                                    struct inst_err *err) {
    const struct inst_value *list = inst_getz(body, "etypes");
    if (list == NULL || inst_is_nullish(list))
        return INST_OK;
    if (list->tag != INST_ARRAY || list->len == 0 || list->len > INST_FEED_MAX_ETYPES)
        return refuse(err, "etypes", list);
    for (uint32_t i = 0; i < list->len; i++)
        if (list->u.items[i].tag != INST_STRING || !inst_feed_shows(&list->u.items[i]))
            return refuse(err, "etypes", list);
    out->etypes = list->u.items;
    out->etype_count = list->len;
    return INST_OK;
}

static enum inst_status read_actions(const struct inst_value *body, unsigned *out,
                                     struct inst_err *err) {
    const struct inst_value *list = inst_getz(body, "actions");
    *out = INST_FEED_ALL;
    if (list == NULL || inst_is_nullish(list))
        return INST_OK;
    *out = 0;
    for (uint32_t i = 0; list->tag == INST_ARRAY && i < list->len; i++) {
        unsigned action = inst_feed_action_of(&list->u.items[i]);
        if (action == 0)
            return refuse(err, "actions", list);
        *out |= action;
    }
    return *out != 0 ? INST_OK : refuse(err, "actions", list);
}

static enum inst_status read_number(const struct inst_value *body, const char *name, double min,
                                    double max, double *out, struct inst_err *err) {
    const struct inst_value *v = inst_getz(body, name);
    if (v == NULL || inst_is_nullish(v))
        return INST_OK;
    if (v->tag != INST_NUMBER || !(v->u.num >= min && v->u.num <= max))
        return refuse(err, name, v);
    *out = v->u.num;
    return INST_OK;
}

/* Absent: what the log begins with. "now": its end. */
static enum inst_status read_position(struct inst_app *app, const struct inst_value *body,
                                      struct inst_feed_position *out, struct inst_err *err) {
    const struct inst_value *after = inst_getz(body, "after");
    *out = (struct inst_feed_position){0};
    if (after == NULL || inst_is_nullish(after))
        return inst_feed_start(app, out, err);
    if (inst_is_string(after, "now")) {
        out->tx = app->last_tx;
        return INST_OK;
    }
    return after->tag == INST_STRING && inst_feed_position_parse(after->u.str, after->len, out)
               ? INST_OK
               : refuse(err, "after", after);
}

static enum inst_status answer_changes(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    struct inst_poll_wish wish = {0};
    struct inst_value body;
    struct inst_app *app;
    double limit = INST_FEED_ANSWER_CHANGES, wait = 0;
    enum inst_status st;
    if ((st = inst_http_admin_app(server, request, &app, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = read_etypes(&body, &wish.filter, err)) != INST_OK ||
        (st = read_actions(&body, &wish.filter.actions, err)) != INST_OK ||
        (st = read_number(&body, "limit", 1, INST_FEED_MAX_ANSWER_CHANGES, &limit, err)) !=
            INST_OK ||
        (st = read_number(&body, "wait", 0, INST_FEED_MAX_WAIT_S, &wait, err)) != INST_OK ||
        (st = inst_app_check_read(app, err)) != INST_OK ||
        (st = read_position(app, &body, &wish.from, err)) != INST_OK)
        return st;
    wish.limit = (size_t)limit;
    wish.wait_ms = (int64_t)(wait * 1000);
    return inst_poll_start(app, &wish, response, err);
}

const struct inst_http_route inst_http_changes_routes[] = {
    {"POST", "/admin/changes", answer_changes},
    {NULL, NULL, NULL},
};
