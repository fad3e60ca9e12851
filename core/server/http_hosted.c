/*
 * Routes of the hosted service that have no meaning here (http.md 3.3, level D): teams, bills, and
 * people who sign in to a dashboard. Their callers are told so in the envelope that they read,
 * instead of a 404 that looks like a wrong address.
 */
#include "server/operators.h"
#include "server/refusal.h"

static enum inst_status answer_no_team(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    (void)response;
    return st != INST_OK
               ? st
               : inst_refuse_validation(err, "team", NULL, NULL,
                                        "There are no teams here: whoever has an operator's token "
                                        "manages every app.");
}

static enum inst_status answer_no_bill(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    (void)server, (void)request, (void)response;
    inst_err_set(err, "billing-closed", 400, "This backend has no plans and sends no bills.");
    return INST_FAILED;
}

static enum inst_status answer_no_sign_in(struct inst_server *server,
                                          const struct inst_http_request *request,
                                          struct inst_http_response *response,
                                          struct inst_err *err) {
    (void)server, (void)request, (void)response;
    inst_err_set(err, "signups-closed", 400,
                 "Nobody signs up here: use an operator's token, which `instant-lua serve` shows.");
    return INST_FAILED;
}

static enum inst_status answer_invites(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    enum inst_status st = inst_http_operator(server, request, err);
    inst_buf_add_str(&response->body, "{\"invites\":[]}");
    return st;
}

/* A client that forgets its token needs nothing of us. */
static enum inst_status answer_ok(struct inst_server *server,
                                  const struct inst_http_request *request,
                                  struct inst_http_response *response, struct inst_err *err) {
    (void)server, (void)request, (void)response, (void)err;
    return INST_OK;
}

/* The oldest command line that the original serves. */
static enum inst_status answer_version(struct inst_server *server,
                                       const struct inst_http_request *request,
                                       struct inst_http_response *response, struct inst_err *err) {
    (void)server, (void)request, (void)err;
    inst_buf_add_str(&response->body, "{\"min-version\":{\"major\":0,\"minor\":19,\"patch\":0,"
                                      "\"dev?\":false}}");
    return INST_OK;
}

const struct inst_http_route inst_http_hosted_routes[] = {
    {"GET", "/dash/cli/version", answer_version},
    {"POST", "/dash/signout", answer_ok},
    {"POST", "/dash/auth/send_magic_code", answer_no_sign_in},
    {"POST", "/dash/auth/verify_magic_code", answer_no_sign_in},
    {"GET", "/dash/oauth/start", answer_no_sign_in},
    {"GET", "/dash/oauth/callback", answer_no_sign_in},
    {"POST", "/dash/oauth/token", answer_no_sign_in},
    {"POST", "/dash/profiles", answer_ok},
    {"GET", "/dash/invites", answer_invites},
    {"POST", "/dash/invites/accept", answer_no_team},
    {"POST", "/dash/invites/decline", answer_no_team},
    {"POST", "/dash/apps/:app_id/invite/send", answer_no_team},
    {"DELETE", "/dash/apps/:app_id/invite/revoke", answer_no_team},
    {"DELETE", "/dash/apps/:app_id/members/remove", answer_no_team},
    {"POST", "/dash/apps/:app_id/members/update", answer_no_team},
    {"POST", "/dash/apps/:app_id/transfer_to_org/:org_id", answer_no_team},
    {"POST", "/dash/orgs", answer_no_team},
    {"DELETE", "/dash/orgs/:id", answer_no_team},
    {"POST", "/dash/orgs/:id/rename", answer_no_team},
    {"POST", "/dash/orgs/:id/invite/send", answer_no_team},
    {"DELETE", "/dash/orgs/:id/invite/revoke", answer_no_team},
    {"DELETE", "/dash/orgs/:id/members/remove", answer_no_team},
    {"POST", "/dash/orgs/:id/members/update", answer_no_team},
    {"POST", "/superadmin/apps/:app_id/transfers/send", answer_no_team},
    {"POST", "/superadmin/apps/:app_id/transfers/revoke", answer_no_team},
    {"GET", "/dash/apps/:app_id/billing", answer_no_bill},
    {"POST", "/dash/apps/:app_id/checkout_session", answer_no_bill},
    {"POST", "/dash/apps/:app_id/portal_session", answer_no_bill},
    {"GET", "/dash/orgs/:id/billing", answer_no_bill},
    {"POST", "/dash/orgs/:id/checkout_session", answer_no_bill},
    {"POST", "/dash/orgs/:id/portal_session", answer_no_bill},
    {NULL, NULL, NULL},
};
