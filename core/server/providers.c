#include "server/providers.h"

#include "base/date.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/seal.h"
#include "server/refusal.h"
#include "server/rows.h"

#include <stdio.h>
#include <stdlib.h>

static const char etype[] = "$oauthClients";

/* ---- reading ---- */

enum inst_status inst_provider_client_read(struct inst_app *app, uint32_t e,
                                           struct inst_provider_client *out, struct inst_err *err) {
    const struct {
        const char *label;
        struct inst_value *to;
    } members[] = {{"name", &out->name},
                   {"clientId", &out->client_id},
                   {"encryptedClientSecret", &out->sealed_secret},
                   {"discoveryEndpoint", &out->discovery},
                   {"meta", &out->meta},
                   {"redirectTo", &out->redirect_to}};
    enum inst_status st = INST_OK;
    *out = (struct inst_provider_client){.e = e};
    if (!inst_row_id(app, e, out->id))
        return inst_refuse_not_found(err, "app-oauth-client", "[{}]");
    for (size_t i = 0; st == INST_OK && i < sizeof members / sizeof *members; i++)
        st = inst_row_value(app, e, etype, members[i].label, members[i].to, err);
    if (st == INST_OK)
        st = inst_row_link(app, e, etype, "$oauthProvider", &out->provider, err);
    if (st == INST_OK)
        st =
            inst_row_value(app, out->provider, "$oauthProviders", "name", &out->provider_name, err);
    return st;
}

static enum inst_status find(struct inst_app *app, const char *label, const char *text,
                             struct inst_provider_client *out, struct inst_err *err) {
    uint32_t e;
    struct inst_value v = inst_cstring(text);
    enum inst_status st = inst_row_find(app, etype, label, &v, &e, err);
    if (st == INST_OK && e == 0)
        st = inst_refuse_not_found(err, "app-oauth-client", "[{}]");
    return st == INST_OK ? inst_provider_client_read(app, e, out, err) : st;
}

enum inst_status inst_provider_client_named(struct inst_app *app, const char *name,
                                            struct inst_provider_client *out,
                                            struct inst_err *err) {
    return find(app, "name", name, out, err);
}

enum inst_status inst_provider_client_of(struct inst_app *app, const char *id,
                                         struct inst_provider_client *out, struct inst_err *err) {
    struct inst_store *store = &app->db->store;
    uint32_t e = store->ops->entity(store, id, INST_UUID_TEXT);
    int64_t created = INST_NO_TIME;
    enum inst_status st = e != 0 ? inst_row_time(app, e, etype, &created, err) : INST_OK;
    if (st != INST_OK)
        return st;
    if (created == INST_NO_TIME)
        return inst_refuse_not_found(err, "app-oauth-client", "[{}]");
    return inst_provider_client_read(app, e, out, err);
}

bool inst_provider_is_github(const struct inst_provider_client *client) {
    return inst_is_string(&client->provider_name, "github");
}

/* ---- secrets ---- */

static enum inst_status sealing_key(struct inst_app *app, uint8_t out[INST_SEAL_KEY],
                                    struct inst_err *err) {
    static const char purpose[] = "oauth client secrets";
    const struct inst_server_host *host = &app->server->host;
    uint8_t key[INST_SERVER_FILES_KEY];
    if (host->files == NULL)
        return inst_err_set(err, "validation-failed", 400,
                            "This backend has no key to keep client secrets with.");
    enum inst_status st = host->files->key(host->files_ctx, key, err);
    if (st == INST_OK && !inst_hmac_sha256(key, sizeof key, purpose, sizeof purpose - 1, out))
        st = inst_err_nomem(err);
    inst_wipe(key, sizeof key);
    return st;
}

static void belongs_to(const struct inst_app *app, const char *id, char out[100]) {
    snprintf(out, 100, "%s/%s", app->info.id, id);
}

enum inst_status inst_provider_secret(struct inst_app *app,
                                      const struct inst_provider_client *client, char **out,
                                      struct inst_err *err) {
    const struct inst_value *sealed = &client->sealed_secret;
    uint8_t key[INST_SEAL_KEY];
    char what[100];
    size_t len;
    *out = NULL;
    if (sealed->tag != INST_STRING)
        return INST_OK;
    enum inst_status st = sealing_key(app, key, err);
    belongs_to(app, client->id, what);
    if (st == INST_OK && !inst_unseal(key, what, sealed->u.str, sealed->len, out, &len))
        st = inst_err_set(err, "oauth-error", 400,
                          "The client's secret cannot be read. It has to be entered again.");
    inst_wipe(key, sizeof key);
    return st;
}

enum inst_status inst_provider_seal(struct inst_app *app, const char *id,
                                    const struct inst_value *secret, struct inst_value *out,
                                    struct inst_err *err) {
    uint8_t key[INST_SEAL_KEY];
    char what[100];
    struct inst_buf text;
    inst_buf_init(&text);
    enum inst_status st = sealing_key(app, key, err);
    belongs_to(app, id, what);
    if (st == INST_OK && !inst_seal(app->server->env, key, what, secret->u.str, secret->len, &text))
        st = inst_err_nomem(err);
    struct inst_value whole = inst_string(text.data, text.len);
    if (st == INST_OK && !inst_value_dup(&app->server->scratch, &whole, out))
        st = inst_err_nomem(err);
    inst_wipe(key, sizeof key);
    inst_buf_free(&text);
    return st;
}

/* ---- what is shown ---- */

static void write_created(struct inst_buf *out, int64_t created) {
    char at[INST_DATE_TEXT_MAX];
    inst_row_iso(created, at);
    inst_buf_addf(out, ",\"created_at\":\"%s\"", at);
}

static void write_member(struct inst_buf *out, const char *name, const struct inst_value *v) {
    struct inst_value none = inst_null();
    inst_buf_addf(out, ",\"%s\":", name);
    inst_json_write(out, v->tag == INST_UNDEFINED ? &none : v);
}

enum inst_status inst_provider_write(struct inst_app *app, uint32_t provider, struct inst_buf *out,
                                     struct inst_err *err) {
    char id[INST_UUID_TEXT + 1] = "";
    struct inst_value name;
    int64_t created;
    enum inst_status st = inst_row_value(app, provider, "$oauthProviders", "name", &name, err);
    if (st == INST_OK)
        st = inst_row_time(app, provider, "$oauthProviders", &created, err);
    if (st != INST_OK)
        return st;
    inst_row_id(app, provider, id);
    inst_buf_addf(out, "{\"id\":\"%s\"", id);
    write_member(out, "provider_name", &name);
    write_created(out, created);
    inst_buf_add_char(out, '}');
    return INST_OK;
}

enum inst_status inst_provider_client_write(struct inst_app *app,
                                            const struct inst_provider_client *client,
                                            struct inst_buf *out, struct inst_err *err) {
    char provider[INST_UUID_TEXT + 1] = "";
    int64_t created;
    enum inst_status st = inst_row_time(app, client->e, etype, &created, err);
    if (st != INST_OK)
        return st;
    inst_row_id(app, client->provider, provider);
    inst_buf_addf(out, "{\"id\":\"%s\",\"provider_id\":\"%s\"", client->id, provider);
    write_member(out, "client_name", &client->name);
    write_member(out, "client_id", &client->client_id);
    write_created(out, created);
    write_member(out, "meta", &client->meta);
    write_member(out, "discovery_endpoint", &client->discovery);
    write_member(out, "redirect_to", &client->redirect_to);
    inst_buf_add_str(out, ",\"use_shared_credentials\":false}");
    return INST_OK;
}
