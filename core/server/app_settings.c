#include "server/app_settings.h"

#include "base/json.h"
#include "server/login_settings.h"
#include "server/origins.h"
#include "server/webhooks.h"

#include <stdio.h>

/* The one type of mail that there is (http.md 9.3). */
static const char template_type[] = "magic-code";

static const struct inst_value *list_of(const struct inst_value *config, const char *name) {
    static const struct inst_value none = {.tag = INST_ARRAY};
    const struct inst_value *list = inst_getz(config, name);
    return list != NULL && list->tag == INST_ARRAY ? list : &none;
}

/* ---- writing ---- */

static void write_webhooks(struct inst_app *app, struct inst_buf *out) {
    bool is_first = true;
    inst_buf_add_str(out, "\"webhooks\":[");
    for (const struct inst_webhook *webhook = inst_webhooks_first(app); webhook != NULL;
         webhook = webhook->next) {
        inst_buf_add_str(out, is_first ? "" : ",");
        inst_webhook_write_config(app, webhook, out);
        is_first = false;
    }
    inst_buf_add_char(out, ']');
}

static void write_member(struct inst_buf *out, const char *name, const struct inst_value *of) {
    static const struct inst_value null = {.tag = INST_NULL};
    const struct inst_value *v = inst_getz(of, name);
    inst_buf_addf(out, ",\"%s\":", name);
    inst_json_write(out, v != NULL ? v : &null);
}

static enum inst_status write_template(struct inst_app *app, struct inst_buf *out,
                                       struct inst_err *err) {
    static const char *const names[] = {"subject", "body", "name", "email"};
    struct inst_value template;
    enum inst_status st = inst_template(app, &template, err);
    inst_buf_add_str(out, ",\"emailTemplates\":[");
    if (st == INST_OK && template.tag == INST_OBJECT) {
        inst_buf_addf(out, "{\"type\":\"%s\"", template_type);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            write_member(out, names[i], &template);
        inst_buf_add_char(out, '}');
    }
    inst_buf_add_char(out, ']');
    return st;
}

static enum inst_status write_origins(struct inst_app *app, struct inst_buf *out,
                                      struct inst_err *err) {
    struct inst_value list;
    enum inst_status st = inst_origins_list(app, &list, err);
    inst_buf_add_str(out, ",\"authorizedRedirectOrigins\":[");
    for (uint32_t i = 0; st == INST_OK && i < list.len; i++) {
        inst_buf_add_str(out, i > 0 ? ",{\"service\":" : "{\"service\":");
        inst_json_write(out, inst_getz(&list.u.items[i], "service"));
        write_member(out, "params", &list.u.items[i]);
        inst_buf_add_char(out, '}');
    }
    inst_buf_add_char(out, ']');
    return st;
}

enum inst_status inst_settings_write(struct inst_app *app, struct inst_buf *out,
                                     struct inst_err *err) {
    write_webhooks(app, out);
    enum inst_status st = write_template(app, out, err);
    if (st == INST_OK)
        st = write_origins(app, out, err);
    inst_arena_reset(&app->server->scratch);
    return st;
}

/* ---- reading ---- */

struct reading {
    struct inst_app *app;
    inst_settings_problem_fn *problem;
    void *ctx;
    struct inst_err *err;
};

static void tell(const struct reading *reading, const char *what, const char *which,
                 const char *why) {
    char text[512];
    snprintf(text, sizeof text, "%s %s: %s", what, which[0] != 0 ? which : "of the archive", why);
    if (reading->problem != NULL)
        reading->problem(reading->ctx, text);
}

static const char *shown(const struct inst_value *v, char out[256]) {
    snprintf(out, 256, "%.*s", v != NULL && v->tag == INST_STRING ? (int)v->len : 0,
             v != NULL && v->tag == INST_STRING ? v->u.str : "");
    return out;
}

static enum inst_status read_webhooks(const struct reading *reading,
                                      const struct inst_value *list) {
    char url[256];
    enum inst_status st = INST_OK;
    /* They are written newest first. */
    for (uint32_t i = list->len; st == INST_OK && i > 0; i--) {
        const struct inst_value *one = &list->u.items[i - 1], *sink = inst_getz(one, "sink");
        bool is_there, is_new;
        st = inst_webhook_import(reading->app, one, &is_there, &is_new, reading->err);
        shown(sink != NULL ? inst_getz(sink, "url") : NULL, url);
        if (st == INST_OK && is_new)
            tell(reading, "webhook", url, "is disabled until it is enabled here");
        else if (st == INST_OK && !is_there)
            tell(reading, "webhook", url, "cannot be taken in");
    }
    return st;
}

static bool has_text(const struct inst_value *of, const char *name, size_t max) {
    const struct inst_value *v = inst_get_string(of, name);
    return v != NULL && v->len > 0 && v->len <= max;
}

static enum inst_status read_template(const struct reading *reading, const struct inst_value *one) {
    static const char *const names[] = {"subject", "body", "name"};
    struct inst_arena *scratch = &reading->app->server->scratch;
    const struct inst_value *type = inst_getz(one, "type"), *v;
    struct inst_object_builder template;
    struct inst_value whole;
    char text[256], *id = inst_arena_alloc(scratch, INST_UUID_TEXT + 1);
    if (type == NULL || !inst_is_string(type, template_type) ||
        !has_text(one, "subject", INST_TEMPLATE_MAX_SUBJECT) ||
        !has_text(one, "body", INST_TEMPLATE_MAX_BODY)) {
        tell(reading, "e-mail template", shown(type, text), "cannot be taken in");
        return INST_OK;
    }
    if (id == NULL)
        return inst_err_nomem(reading->err);
    inst_uuid_make_text(reading->app->server->env, id);
    inst_object_begin(&template, scratch);
    inst_object_addz(&template, "id", inst_cstring(id));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((v = inst_get_string(one, names[i])) != NULL)
            inst_object_addz(&template, names[i], *v);
    return inst_object_end(&template, &whole)
               ? inst_template_set(reading->app, &whole, reading->err)
               : inst_err_nomem(reading->err);
}

static bool is_there(const struct inst_value *origins, const struct inst_value *one) {
    static const struct inst_value none = {0};
    const struct inst_value *service = inst_getz(one, "service"),
                            *params = inst_getz(one, "params");
    for (uint32_t i = 0; i < origins->len; i++) {
        const struct inst_value *at = &origins->u.items[i];
        if (inst_value_equal(inst_getz(at, "service"), service != NULL ? service : &none) &&
            inst_value_equal(inst_getz(at, "params"), params != NULL ? params : &none))
            return true;
    }
    return false;
}

static enum inst_status read_origin(const struct reading *reading, const struct inst_value *one) {
    struct inst_arena *scratch = &reading->app->server->scratch;
    const struct inst_value *service = inst_get_string(one, "service"),
                            *params = inst_getz(one, "params");
    struct inst_value origins, added;
    struct inst_err why = {0};
    char text[256];
    enum inst_status st = inst_origins_list(reading->app, &origins, reading->err);
    if (st != INST_OK || is_there(&origins, one))
        return st;
    const char *name =
        service != NULL ? inst_arena_dup(scratch, service->u.str, service->len) : NULL;
    st = name != NULL && params != NULL && params->tag == INST_ARRAY
             ? inst_origins_add(reading->app, name, params, &added, &why)
             : INST_FAILED;
    bool is_refused = st != INST_OK && (why.type == NULL || why.status == 400);
    if (is_refused) {
        tell(reading, "redirect origin", shown(service, text), "cannot be taken in");
        st = INST_OK;
    }
    if (st != INST_OK)
        inst_err_move(reading->err, &why);
    inst_err_clear(&why);
    return st;
}

enum inst_status inst_settings_read(struct inst_app *app, const struct inst_value *config,
                                    inst_settings_problem_fn *problem, void *ctx,
                                    struct inst_err *err) {
    struct reading reading = {app, problem, ctx, err};
    const struct inst_value *templates = list_of(config, "emailTemplates");
    const struct inst_value *origins = list_of(config, "authorizedRedirectOrigins");
    enum inst_status st = read_webhooks(&reading, list_of(config, "webhooks"));
    for (uint32_t i = 0; st == INST_OK && i < templates->len; i++)
        st = read_template(&reading, &templates->u.items[i]);
    for (uint32_t i = 0; st == INST_OK && i < origins->len; i++)
        st = read_origin(&reading, &origins->u.items[i]);
    inst_arena_reset(&app->server->scratch);
    return st;
}
