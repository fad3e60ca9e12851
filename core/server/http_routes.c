#include "server/http_routes.h"

#include "base/json.h"
#include "base/text.h"
#include "server/operators.h"
#include "server/platform.h"
#include "server/refusal.h"

#include <strings.h>

/* How much of a body that is no object goes into the error's hint. */
#define ECHO_BODY_MAX 1000

/* ---- what a request says ---- */

static const char *find_field(const struct inst_http_field *fields, size_t count,
                              const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return fields[i].value;
    return NULL;
}

const char *inst_http_header(const struct inst_http_request *request, const char *name) {
    return find_field(request->fields, request->field_count, name);
}

void inst_http_origin(struct inst_server *server, const struct inst_http_request *request,
                      struct inst_buf *out) {
    const char *host = inst_http_header(request, "host");
    bool is_through_proxy = request->scheme != NULL && host != NULL;
    if (server->origin != NULL && !(server->is_origin_guess && is_through_proxy))
        inst_buf_add_str(out, server->origin);
    else
        inst_buf_addf(out, "%s://%s", request->scheme != NULL ? request->scheme : "http",
                      host != NULL ? host : "127.0.0.1");
}

struct inst_caller inst_http_caller(const struct inst_http_request *request) {
    const char *origin = inst_http_header(request, "origin");
    bool has_ip = request->ip != NULL && request->ip[0] != '\0';
    bool is_known = origin != NULL && strlen(origin) <= INST_SESSION_MAX_ORIGIN;
    return (struct inst_caller){has_ip ? request->ip : NULL, is_known ? origin : NULL};
}

const char *inst_http_path_param(const struct inst_http_request *request, const char *name) {
    return find_field(request->path_params, request->path_param_count, name);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in place behind a copy; -1 for what is no text. */
static int decode(char *text, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i] == '+' ? ' ' : text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return -1;
        text[n++] = c;
    }
    text[n] = '\0';
    return inst_text_is_utf8(text, n) ? 0 : -1;
}

/* The raw value of the first `name=value`; NULL: none. */
static const char *find_param(const char *query, const char *name, size_t *len) {
    size_t name_len = strlen(name);
    while (*query != '\0') {
        size_t pair = strcspn(query, "&");
        size_t key = strcspn(query, "=&");
        if (key == name_len && memcmp(query, name, key) == 0) {
            size_t skip = key < pair ? key + 1 : key;
            *len = pair - skip;
            return query + skip;
        }
        query += pair + (query[pair] == '&');
    }
    return NULL;
}

enum inst_status inst_http_param(const struct inst_http_request *request, const char *name,
                                 struct inst_arena *arena, const char **out, struct inst_err *err) {
    const char *const path[] = {"query-params", name};
    size_t len;
    const char *raw = find_param(request->query, name, &len);
    *out = NULL;
    if (raw == NULL)
        return INST_OK;
    char *text = inst_arena_dup(arena, raw, len);
    if (text == NULL)
        return inst_err_nomem(err);
    if (decode(text, len) != 0) {
        struct inst_value input = inst_string(raw, len);
        return inst_refuse_malformed(err, path, 2, &input);
    }
    *out = text;
    return INST_OK;
}

enum inst_status inst_http_body(struct inst_server *server, const struct inst_http_request *request,
                                struct inst_value *out, struct inst_err *err) {
    return inst_http_body_on(&server->scratch, request, out, err);
}

enum inst_status inst_http_body_on(struct inst_arena *arena,
                                   const struct inst_http_request *request, struct inst_value *out,
                                   struct inst_err *err) {
    static const char *const path[] = {"body"};
    enum inst_status st = inst_json_parse(arena, request->body, request->body_len, out, NULL);
    if (st == INST_NOMEM)
        return inst_err_nomem(err);
    if (st == INST_OK && out->tag == INST_OBJECT)
        return INST_OK;
    struct inst_value text =
        inst_string(request->body, request->body_len < ECHO_BODY_MAX ? request->body_len : 0);
    return inst_refuse_malformed(err, path, 1, &text);
}

/* ---- members of the body (http.md 1.2) ---- */

static enum inst_status member(const struct inst_value *body, const char *name,
                               const struct inst_value **out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    *out = inst_getz(body, name);
    if (*out == NULL || inst_is_nullish(*out))
        return inst_refuse_missing(err, path, 2);
    return INST_OK;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static struct inst_value trimmed(const struct inst_value *text) {
    const char *from = text->u.str, *to = from + text->len;
    while (from < to && is_space(*from))
        from++;
    while (to > from && is_space(to[-1]))
        to--;
    return inst_string(from, (size_t)(to - from));
}

static bool read_uuid(const struct inst_value *text, char out[INST_UUID_TEXT + 1]) {
    struct inst_uuid uuid;
    if (text->tag != INST_STRING)
        return false;
    struct inst_value bare = trimmed(text);
    if (!inst_uuid_parse(bare.u.str, bare.len, &uuid))
        return false;
    inst_uuid_print(&uuid, out);
    return true;
}

enum inst_status inst_http_body_uuid(const struct inst_value *body, const char *name,
                                     char out[INST_UUID_TEXT + 1], struct inst_err *err) {
    const char *const path[] = {"body", name};
    const struct inst_value *value;
    enum inst_status st = member(body, name, &value, err);
    if (st != INST_OK)
        return st;
    return read_uuid(value, out) ? INST_OK : inst_refuse_malformed(err, path, 2, value);
}

enum inst_status inst_http_body_text(const struct inst_value *body, const char *name,
                                     struct inst_arena *arena, const char **out,
                                     struct inst_err *err) {
    const char *const path[] = {"body", name};
    const struct inst_value *value;
    enum inst_status st = member(body, name, &value, err);
    if (st != INST_OK)
        return st;
    if (value->tag == INST_NUMBER) {
        struct inst_buf text;
        inst_buf_init(&text);
        inst_json_write(&text, value);
        *out = text.failed ? NULL : inst_arena_dup(arena, text.data, text.len);
        inst_buf_free(&text);
        return *out != NULL ? INST_OK : inst_err_nomem(err);
    }
    struct inst_value bare = value->tag == INST_STRING ? trimmed(value) : inst_undefined();
    if (bare.len == 0 || memchr(bare.u.str, 0, bare.len) != NULL)
        return inst_refuse_malformed(err, path, 2, value);
    *out = inst_arena_dup(arena, bare.u.str, bare.len);
    return *out != NULL ? INST_OK : inst_err_nomem(err);
}

/* ---- who asks ---- */

static enum inst_status refuse_app_id(struct inst_err *err, bool is_header, const char *text) {
    static const char *const header[] = {"headers", "app-id"};
    static const char *const query[] = {"query-params", "app_id"};
    if (text == NULL)
        return inst_refuse_missing(err, header, 2);
    struct inst_value input = inst_cstring(text);
    return inst_refuse_malformed(err, is_header ? header : query, 2, &input);
}

enum inst_status inst_http_app_id(struct inst_server *server,
                                  const struct inst_http_request *request,
                                  char out[INST_UUID_TEXT + 1], struct inst_err *err) {
    const char *text = inst_http_header(request, "app-id");
    bool is_header = text != NULL;
    if (!is_header) {
        enum inst_status st = inst_http_param(request, "app_id", &server->scratch, &text, err);
        if (st != INST_OK)
            return st;
    }
    struct inst_value value = text != NULL ? inst_cstring(text) : inst_undefined();
    return read_uuid(&value, out) ? INST_OK : refuse_app_id(err, is_header, text);
}

const char *inst_http_bearer(struct inst_server *server, const struct inst_http_request *request) {
    const char *field = inst_http_header(request, "authorization");
    if (field == NULL)
        return NULL;
    if (strncasecmp(field, "Bearer ", 7) == 0)
        field += 7;
    struct inst_value whole = inst_cstring(field);
    struct inst_value token = trimmed(&whole);
    if (token.len == 0 || inst_is_string(&token, "undefined") || inst_is_string(&token, "null"))
        return NULL;
    return inst_arena_dup(&server->scratch, token.u.str, token.len);
}

enum inst_status inst_http_app(struct inst_server *server, const struct inst_http_request *request,
                               struct inst_app **out, struct inst_err *err) {
    char id[INST_UUID_TEXT + 1];
    enum inst_status st = inst_http_app_id(server, request, id, err);
    if (st == INST_OK)
        st = inst_app_get(server, id, out, err);
    if (st == INST_OK)
        inst_app_commit(*out);
    return st;
}

static enum inst_status refuse_admin(struct inst_err *err) {
    inst_err_set(err, "record-not-found", 400, "Record not found: app-admin-token");
    inst_err_hint(err,
                  "{\"args\":[{}],\"message\":\"This admin token may be expired or invalid. Or "
                  "you may have provided an incorrect app ID.\","
                  "\"record-type\":\"app-admin-token\"}");
    return INST_FAILED;
}

enum inst_status inst_http_admin_app(struct inst_server *server,
                                     const struct inst_http_request *request, struct inst_app **out,
                                     struct inst_err *err) {
    char id[INST_UUID_TEXT + 1];
    enum inst_status st = inst_http_app_id(server, request, id, err);
    return st != INST_OK ? st : inst_http_admin_app_of(server, request, id, out, err);
}

enum inst_status inst_http_admin_app_of(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        const char id[INST_UUID_TEXT + 1], struct inst_app **out,
                                        struct inst_err *err) {
    static const char *const path[] = {"headers", "authorization"};
    const struct inst_server_host *host = &server->host;
    struct inst_uuid uuid;
    enum inst_status st;
    if (inst_http_header(request, "authorization") == NULL)
        return inst_refuse_missing(err, path, 2);
    const char *token = inst_http_bearer(server, request);
    if (token != NULL && inst_platform_is_token(token)) {
        if ((st = inst_platform_check(server, request, token, err)) != INST_OK)
            return st;
    } else if (token != NULL && inst_operator_is_token(token)) {
        if ((st = inst_operator_check(server, token, err)) != INST_OK)
            return st;
    } else {
        if (token == NULL || !inst_uuid_parse(token, strlen(token), &uuid))
            return inst_refuse_malformed(err, path, 2, NULL); /* a secret is not echoed */
        /* An app that is not there is refused in the same words: ids cannot be tried out. */
        char plain[INST_UUID_TEXT + 1];
        inst_uuid_print(&uuid, plain);
        if (!host->apps->is_admin_token(host->apps_ctx, id, plain, INST_UUID_TEXT))
            return refuse_admin(err);
    }
    if ((st = inst_app_get(server, id, out, err)) == INST_OK)
        inst_app_commit(*out);
    return st;
}

enum inst_status inst_http_path_app(struct inst_server *server,
                                    const struct inst_http_request *request, struct inst_app **out,
                                    struct inst_err *err) {
    static const char *const path[] = {"params", "app_id"};
    const char *id = inst_http_path_param(request, "app_id");
    struct inst_uuid uuid;
    char text[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(id, strlen(id), &uuid)) {
        struct inst_value input = inst_cstring(id);
        return inst_refuse_malformed(err, path, 2, &input);
    }
    inst_uuid_print(&uuid, text);
    return inst_http_admin_app_of(server, request, text, out, err);
}

/* ---- what a route answers ---- */

void inst_http_add_header(struct inst_http_response *response, const char *name,
                          const char *value) {
    for (const char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            response->headers.failed = true;
    if (name[0] == '\0' || strpbrk(name, ": \t\r\n") != NULL)
        response->headers.failed = true;
    inst_buf_addf(&response->headers, "%s: %s\r\n", name, value);
}
