#include "base/digest.h"
#include "base/json.h"
#include "server/limits.h"
#include "server/operators.h"
#include "server/refusal.h"

#include <stdlib.h>

/*
 * How the CLI signs an operator in (http.md 8.1).
 *
 *     CLI      register ──> {secret, ticket}; asks `check` with the secret once a second
 *     browser  GET /dash?ticket= ──> a form: the operator's token, approve or refuse
 *              (or any program: POST claim | void with the ticket and the token as bearer)
 *     check    waiting ... then once the new token that the approval made
 *
 * Logins are few and short-lived: in memory only, for INST_SERVER_LOGIN_MS.
 */
enum login_state { LOGIN_WAITING, LOGIN_CLAIMED, LOGIN_VOIDED, LOGIN_USED };

struct inst_cli_login {
    struct inst_cli_login *next; /* older */
    char secret[INST_UUID_TEXT + 1], ticket[INST_UUID_TEXT + 1];
    char token[INST_OPERATOR_TOKEN + 1]; /* of a claimed one, until it is fetched */
    int64_t created_ms;
    enum login_state state;
};

static void free_login(struct inst_cli_login *login) {
    inst_wipe(login, sizeof *login);
    free(login);
}

void inst_cli_logins_free(struct inst_server *server) {
    while (server->cli_logins != NULL) {
        struct inst_cli_login *login = server->cli_logins;
        server->cli_logins = login->next;
        free_login(login);
    }
}

/* Those that ended long ago, and the oldest beyond the limit. */
static void forget_old(struct inst_server *server) {
    int64_t now = server->env->now_ms(server->env->ctx);
    struct inst_cli_login **link = &server->cli_logins;
    for (size_t i = 0; *link != NULL; i++) {
        struct inst_cli_login *login = *link;
        if (i + 1 < INST_SERVER_MAX_LOGINS && now - login->created_ms < 2 * INST_SERVER_LOGIN_MS) {
            link = &login->next;
            continue;
        }
        *link = login->next;
        free_login(login);
    }
}

static enum inst_status answer_register(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    (void)request;
    forget_old(server);
    struct inst_cli_login *login = calloc(1, sizeof *login);
    if (login == NULL)
        return inst_err_nomem(err);
    inst_uuid_make_text(server->env, login->secret);
    inst_uuid_make_text(server->env, login->ticket);
    login->created_ms = server->env->now_ms(server->env->ctx);
    login->next = server->cli_logins;
    server->cli_logins = login;
    inst_buf_addf(&response->body, "{\"secret\":\"%s\",\"ticket\":\"%s\"}", login->secret,
                  login->ticket);
    return INST_OK;
}

/* ---- which login ---- */

static struct inst_cli_login *find(struct inst_server *server, const char *uuid, bool by_secret) {
    struct inst_cli_login *found = NULL;
    for (struct inst_cli_login *at = server->cli_logins; at != NULL; at = at->next)
        if (inst_secret_equal(by_secret ? at->secret : at->ticket, uuid, INST_UUID_TEXT))
            found = at;
    return found;
}

static enum inst_status need(struct inst_server *server, const char *uuid, bool by_secret,
                             struct inst_cli_login **out, struct inst_err *err) {
    *out = find(server, uuid, by_secret);
    if (*out == NULL)
        return inst_refuse_not_found(err, "instant-cli-login", "[{}]");
    if (server->env->now_ms(server->env->ctx) - (*out)->created_ms < INST_SERVER_LOGIN_MS)
        return INST_OK;
    inst_err_set(err, "record-expired", 400, "Record expired: instant-cli-login");
    inst_err_hint(err, "{\"args\":[{}],\"record-type\":\"instant-cli-login\"}");
    return INST_FAILED;
}

static enum inst_status refuse_state(const struct inst_cli_login *login, struct inst_err *err) {
    static const struct {
        const char *issue, *message;
    } issues[] = {
        [LOGIN_WAITING] = {"waiting-for-user", "Waiting for a user to accept this request"},
        [LOGIN_CLAIMED] = {"user-already-claimed", "This request has already been claimed"},
        [LOGIN_VOIDED] = {"user-voided-request", "This request has been voided"},
        [LOGIN_USED] = {"user-already-claimed", "This request has already been claimed"},
    };
    struct inst_buf hint;
    inst_err_set(err, "validation-failed", 400, "Validation failed for instant-cli-login: %s",
                 issues[login->state].message);
    inst_buf_init(&hint);
    inst_buf_addf(&hint,
                  "{\"data-type\":\"instant-cli-login\",\"input\":\"%s\",\"errors\":[{\"issue\":"
                  "\"%s\",\"message\":\"%s\"}]}",
                  login->ticket, issues[login->state].issue, issues[login->state].message);
    if (!hint.failed)
        inst_err_hint(err, hint.data);
    inst_buf_free(&hint);
    return INST_FAILED;
}

static enum inst_status answer_check(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    struct inst_cli_login *login;
    char secret[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "secret", secret, err)) != INST_OK ||
        (st = need(server, secret, true, &login, err)) != INST_OK)
        return st;
    if (login->state != LOGIN_CLAIMED)
        return refuse_state(login, err);
    inst_buf_addf(&response->body, "{\"token\":\"%s\",\"email\":\"" INST_OPERATOR_EMAIL "\"}",
                  login->token);
    inst_wipe(login->token, sizeof login->token);
    login->state = LOGIN_USED;
    return INST_OK;
}

/* ---- the operator's say ---- */

static enum inst_status decide(struct inst_server *server, const char *ticket, bool is_approved,
                               struct inst_err *err) {
    struct inst_cli_login *login;
    struct inst_operator_token who;
    enum inst_status st = need(server, ticket, false, &login, err);
    if (st != INST_OK)
        return st;
    if (login->state != LOGIN_WAITING)
        return refuse_state(login, err);
    if (is_approved)
        st = inst_operator_add(server, "instant-cli login", &who, login->token, err);
    if (st == INST_OK)
        login->state = is_approved ? LOGIN_CLAIMED : LOGIN_VOIDED;
    return st;
}

static enum inst_status answer_decision(struct inst_server *server,
                                        const struct inst_http_request *request, bool is_approved,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_value body;
    char ticket[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = inst_http_operator(server, request, err)) != INST_OK ||
        (st = inst_http_body(server, request, &body, err)) != INST_OK ||
        (st = inst_http_body_uuid(&body, "ticket", ticket, err)) != INST_OK ||
        (st = decide(server, ticket, is_approved, err)) != INST_OK)
        return st;
    inst_buf_addf(&response->body, "{\"ticket\":\"%s\"}", ticket);
    return INST_OK;
}

static enum inst_status answer_claim(struct inst_server *server,
                                     const struct inst_http_request *request,
                                     struct inst_http_response *response, struct inst_err *err) {
    return answer_decision(server, request, true, response, err);
}

static enum inst_status answer_void(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    return answer_decision(server, request, false, response, err);
}

/* ---- the page ---- */

static void begin_page(struct inst_http_response *response) {
    response->content_type = "text/html; charset=utf-8";
    inst_http_add_header(response, "Cache-Control", "no-store");
    inst_buf_add_str(&response->body, "<!doctype html><html lang=\"en\"><head><meta name=\"viewport"
                                      "\" content=\"width=device-width\"><title>Sign in to the CLI"
                                      "</title></head><body><h1>Sign in to the CLI</h1>");
}

static void end_page(struct inst_http_response *response) {
    inst_buf_add_str(&response->body, "</body></html>");
}

/* Only a ticket that is known gets into the page. No script: the form is sent as it is. */
enum inst_status inst_http_login_page(struct inst_server *server, const char *ticket,
                                      struct inst_http_response *response, struct inst_err *err) {
    struct inst_cli_login *login;
    struct inst_uuid uuid;
    char plain[INST_UUID_TEXT + 1];
    if (!inst_uuid_parse(ticket, strlen(ticket), &uuid))
        return inst_refuse_not_found(err, "instant-cli-login", "[{}]");
    inst_uuid_print(&uuid, plain);
    enum inst_status st = need(server, plain, false, &login, err);
    if (st == INST_OK && login->state != LOGIN_WAITING)
        st = refuse_state(login, err);
    if (st != INST_OK)
        return st;
    begin_page(response);
    inst_buf_addf(
        &response->body,
        "<p>A command line asks to act as an operator of this backend. Approve only if it was you "
        "who just ran <code>instant-cli login</code>.</p>"
        "<form method=\"post\" action=\"/dash/cli/auth/decide\">"
        "<input type=\"hidden\" name=\"ticket\" value=\"%s\">"
        "<p><label>Operator token <input type=\"password\" name=\"token\" required "
        "autocomplete=\"off\"></label></p>"
        "<p><button name=\"answer\" value=\"approve\">Approve</button> "
        "<button name=\"answer\" value=\"refuse\">Refuse</button></p></form>",
        plain);
    end_page(response);
    return INST_OK;
}

/* A field of the form, which is written as a query is. */
static enum inst_status form_field(struct inst_server *server,
                                   const struct inst_http_request *request, const char *name,
                                   const char **out, struct inst_err *err) {
    const char *const path[] = {"body", name};
    struct inst_http_request form = *request;
    form.query = inst_arena_dup(&server->scratch, request->body, request->body_len);
    if (form.query == NULL)
        return inst_err_nomem(err);
    enum inst_status st = inst_http_param(&form, name, &server->scratch, out, err);
    return st == INST_OK && *out == NULL ? inst_refuse_missing(err, path, 2) : st;
}

static enum inst_status answer_form(struct inst_server *server,
                                    const struct inst_http_request *request,
                                    struct inst_http_response *response, struct inst_err *err) {
    const char *ticket, *token, *answer;
    struct inst_uuid uuid;
    char plain[INST_UUID_TEXT + 1];
    enum inst_status st;
    if ((st = form_field(server, request, "ticket", &ticket, err)) != INST_OK ||
        (st = form_field(server, request, "token", &token, err)) != INST_OK ||
        (st = form_field(server, request, "answer", &answer, err)) != INST_OK ||
        (st = inst_operator_check(server, token, err)) != INST_OK)
        return st;
    if (!inst_uuid_parse(ticket, strlen(ticket), &uuid))
        return inst_refuse_not_found(err, "instant-cli-login", "[{}]");
    inst_uuid_print(&uuid, plain);
    bool is_approved = strcmp(answer, "approve") == 0;
    if ((st = decide(server, plain, is_approved, err)) != INST_OK)
        return st;
    begin_page(response);
    inst_buf_addf(&response->body, "<p>%s This page can be closed.</p>",
                  is_approved ? "Approved: the command line is signed in." : "Refused.");
    end_page(response);
    return INST_OK;
}

const struct inst_http_route inst_http_cli_login_routes[] = {
    {"POST", "/dash/cli/auth/register", answer_register},
    {"POST", "/dash/cli/auth/check", answer_check},
    {"POST", "/dash/cli/auth/claim", answer_claim},
    {"POST", "/dash/cli/auth/void", answer_void},
    {"POST", "/dash/cli/auth/decide", answer_form},
    {NULL, NULL, NULL},
};
