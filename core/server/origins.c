#include "server/origins.h"

#include "base/date.h"
#include "base/json.h"
#include "server/refusal.h"
#include "server/rows.h"

#include <strings.h>

#define NOTE "redirect-origins"
#define MAX_SCHEME 64

/* ---- reading addresses ---- */

struct parts {
    char scheme[MAX_SCHEME + 1];          /* in lower case */
    char host[INST_ORIGIN_MAX_PARAM + 1]; /* with the port, in lower case; "" when there is none */
};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

static bool is_clean(const char *url) {
    for (const char *c = url; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '\\')
            return false;
    return true;
}

/* false: no address that everybody reads in the same way. */
static bool split(const char *url, struct parts *out) {
    size_t scheme = strcspn(url, ":"), host;
    *out = (struct parts){0};
    if (!is_clean(url) || url[scheme] != ':' || scheme == 0 || scheme > MAX_SCHEME ||
        lower(url[0]) < 'a' || lower(url[0]) > 'z')
        return false;
    for (size_t i = 0; i < scheme; i++) {
        if (!is_alnum(url[i]) && strchr("+-.", url[i]) == NULL)
            return false;
        out->scheme[i] = lower(url[i]);
    }
    url += scheme + 1;
    if (strncmp(url, "//", 2) != 0)
        return true;
    url += 2;
    host = strcspn(url, "/?#");
    if (host > INST_ORIGIN_MAX_PARAM)
        return false;
    for (size_t i = 0; i < host; i++) {
        if (!is_alnum(url[i]) && strchr("-._:[]", url[i]) == NULL)
            return false;
        out->host[i] = lower(url[i]);
    }
    return true;
}

/* ---- matching ---- */

static const char *param(const struct inst_value *origin, uint32_t i, char out[256]) {
    const struct inst_value *params = inst_getz(origin, "params");
    size_t n = 0;
    out[0] = '\0';
    if (params == NULL || params->tag != INST_ARRAY || i >= params->len)
        return out;
    const struct inst_value *text = &params->u.items[i];
    for (; text->tag == INST_STRING && n < text->len && n < INST_ORIGIN_MAX_PARAM; n++)
        out[n] = lower(text->u.str[n]);
    out[n] = '\0';
    return out;
}

/* host is `front` + rest, rest in *rest. */
static bool begins_with(const char *host, const char *front, const char **rest) {
    size_t len = strlen(front);
    *rest = host + len;
    return len > 0 && strncmp(host, front, len) == 0;
}

static bool ends_with(const char *host, const char *end) {
    size_t len = strlen(host), n = strlen(end);
    return n > 0 && len > n && strcmp(host + len - n, end) == 0;
}

static bool is_netlify(const char *host, const char *site) {
    const char *rest, *mark = NULL;
    if (begins_with(host, site, &rest) && strcmp(rest, ".netlify.app") == 0)
        return true;
    for (const char *at = strstr(host, "--"); at != NULL; at = strstr(at + 1, "--"))
        mark = at + 2; /* behind the last */
    return mark != NULL && mark - host > 2 && begins_with(mark, site, &rest) &&
           (strcmp(rest, ".netlify.app") == 0 || strcmp(rest, ".netlify.live") == 0);
}

/* The original lets `projectx.evilvercel.app` pass for ["vercel.app","project"]. */
static bool is_vercel(const char *host, const char *suffix, const char *project) {
    char end[INST_ORIGIN_MAX_PARAM + 2];
    const char *rest;
    end[0] = '.';
    memcpy(end + 1, suffix, strlen(suffix) + 1);
    return suffix[0] != '\0' && ends_with(host, end) && begins_with(host, project, &rest) &&
           (*rest == '.' || *rest == '-');
}

static bool matches(const struct inst_value *origin, const struct parts *parts) {
    char first[256], second[256];
    const struct inst_value *service = inst_get_string(origin, "service");
    bool is_page = parts->host[0] != '\0' &&
                   (strcmp(parts->scheme, "https") == 0 || strcmp(parts->scheme, "http") == 0);
    if (service == NULL)
        return false;
    param(origin, 0, first);
    if (inst_is_string(service, "custom-scheme"))
        return strcmp(parts->scheme, first) == 0 && !inst_origin_is_registered(parts->scheme);
    if (!is_page)
        return false;
    if (inst_is_string(service, "generic"))
        return strcmp(parts->host, first) == 0;
    if (inst_is_string(service, "netlify"))
        return is_netlify(parts->host, first);
    return inst_is_string(service, "vercel") &&
           is_vercel(parts->host, first, param(origin, 1, second));
}

bool inst_origins_allow(const struct inst_value *list, const char *url) {
    struct parts parts;
    if (!split(url, &parts))
        return false;
    for (uint32_t i = 0; i < list->len; i++)
        if (matches(&list->u.items[i], &parts))
            return true;
    return false;
}

/* ---- the list ---- */

enum inst_status inst_origins_list(struct inst_app *app, struct inst_value *out,
                                   struct inst_err *err) {
    enum inst_status st = inst_row_note(app, NOTE, out, err);
    if (out->tag != INST_ARRAY)
        *out = inst_array(NULL, 0);
    return st;
}

static const char *problem_of(const char *service, const struct inst_value *params) {
    static const struct {
        const char *service;
        uint32_t count;
        const char *wrong_count, *no_text;
    } services[] = {
        {"netlify", 1, "Netlify should have only the site name param.",
         "Netlify site-name should be a string."},
        {"vercel", 2, "Vercel should have deployment suffix and project name params.",
         "Vercel deployment suffix and project name should both be strings."},
        {"generic", 1, "Host should be the only parameter.", "Host should be a string."},
        {"custom-scheme", 1, "Custom scheme should have only one parameter.",
         "Custom scheme should be a string."},
    };
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        if (strcmp(service, services[i].service) != 0)
            continue;
        if (params->len != services[i].count)
            return services[i].wrong_count;
        for (uint32_t k = 0; k < params->len; k++)
            if (params->u.items[k].tag != INST_STRING || params->u.items[k].len == 0 ||
                params->u.items[k].len > INST_ORIGIN_MAX_PARAM)
                return services[i].no_text;
        return NULL;
    }
    return "";
}

static enum inst_status check(const char *service, const struct inst_value *params,
                              struct inst_err *err) {
    const char *problem = problem_of(service, params);
    char scheme[256];
    if (problem != NULL && problem[0] == '\0')
        return inst_refuse_validation(err, "origin-request", NULL, NULL, "Unrecognized service %s",
                                      service);
    if (problem != NULL)
        return inst_refuse_validation(err, "origin-request", NULL, NULL, "%s", problem);
    struct inst_member member = {"params", 6, *params};
    struct inst_value origin = inst_object(&member, 1);
    if (strcmp(service, "custom-scheme") == 0 &&
        inst_origin_is_registered(param(&origin, 0, scheme)))
        return inst_refuse_validation(err, "origin-request", NULL, NULL,
                                      "The scheme `%s` is not allowed.", scheme);
    return INST_OK;
}

enum inst_status inst_origins_add(struct inst_app *app, const char *service,
                                  const struct inst_value *params, struct inst_value *out,
                                  struct inst_err *err) {
    struct inst_server *server = app->server;
    struct inst_value list;
    struct inst_array_builder b;
    struct inst_object_builder o;
    enum inst_status st = check(service, params, err);
    if (st == INST_OK)
        st = inst_origins_list(app, &list, err);
    if (st != INST_OK)
        return st;
    if (list.len >= INST_ORIGINS_MAX)
        return inst_refuse_validation(err, "origin-request", NULL, NULL,
                                      "An app has at most %d origins.", INST_ORIGINS_MAX);
    char *id = inst_arena_alloc(&server->scratch, INST_UUID_TEXT + 1);
    char *at = inst_arena_alloc(&server->scratch, INST_DATE_TEXT_MAX);
    if (id == NULL || at == NULL)
        return inst_err_nomem(err);
    inst_uuid_make_text(server->env, id);
    inst_row_iso(server->env->now_ms(server->env->ctx), at);
    inst_object_begin(&o, &server->scratch);
    inst_object_addz(&o, "id", inst_cstring(id));
    inst_object_addz(&o, "service", inst_cstring(service));
    inst_object_addz(&o, "params", *params);
    inst_object_addz(&o, "created_at", inst_cstring(at));
    inst_array_begin(&b, &server->scratch);
    for (uint32_t i = 0; i < list.len; i++)
        inst_array_add(&b, list.u.items[i]);
    if (!inst_object_end(&o, out))
        return inst_err_nomem(err);
    inst_array_add(&b, *out);
    return inst_array_end(&b, &list) ? inst_row_set_note(app, NOTE, &list, err)
                                     : inst_err_nomem(err);
}

enum inst_status inst_origins_remove(struct inst_app *app, const char *id, struct inst_value *out,
                                     struct inst_err *err) {
    struct inst_value list;
    struct inst_array_builder b;
    *out = inst_undefined();
    enum inst_status st = inst_origins_list(app, &list, err);
    if (st != INST_OK)
        return st;
    inst_array_begin(&b, &app->server->scratch);
    for (uint32_t i = 0; i < list.len; i++) {
        const struct inst_value *found = inst_get_string(&list.u.items[i], "id");
        if (found != NULL && inst_is_string(found, id))
            *out = list.u.items[i];
        else
            inst_array_add(&b, list.u.items[i]);
    }
    if (out->tag == INST_UNDEFINED)
        return inst_refuse_not_found(err, "app-authorized-redirect-origin", "[{}]");
    return inst_array_end(&b, &list) ? inst_row_set_note(app, NOTE, &list, err)
                                     : inst_err_nomem(err);
}
