/*
 * An app's sign-in providers, its clients of them and its redirect origins, as the CLI and
 * dashboards manage them.
 */
#include "io_server_owner.h"

#include "server/origins.h"
#include "server/providers.h"

#define DISCOVERY "https://id.example/.well-known/openid-configuration"

static int set_up(void **state) {
    (void)state;
    owner_open();
    serve(DISCOVERY, 200, NULL, "{\"issuer\":\"https://id.example\"}");
    return 0;
}

static void refuse(const char *rest, const char *body, const char *type, const char *message) {
    denied(&world, "POST", at(rest), ADMIN, body, type, message);
}

static const char *id_in(const struct inst_value *answer, const char *name) {
    return text_of("%.36s", inst_get_string(inst_getz(answer, name), "id")->u.str);
}

static const char *provider(const char *name) {
    return id_in(post("oauth_service_providers", text_of("{'provider_name':'%s'}", name)),
                 "provider");
}

static const char *client(const char *provider_id, const char *name, const char *more) {
    return id_in(post("oauth_clients", text_of("{'provider_id':'%s','client_name':'%s'%s}",
                                               provider_id, name, more)),
                 "client");
}

static const struct inst_value *auth(void) { return done(&world, "GET", at("auth"), ADMIN, NULL); }

/* ---- providers and clients ---- */

static void making(void **state) {
    (void)state;
    expect_body(&world, auth(),
                "{'authorized_redirect_origins':null,'oauth_service_providers':null,"
                "'oauth_clients':null,'default_sender_email':null}");
    const char *google = provider("google");
    const char *id = client(google, "web",
                            ",'client_id':'c1','client_secret':'s3cret-word','discovery_endpoint':"
                            "'" DISCOVERY "','meta':{'appType':'web'},"
                            "'redirect_to':'http://localhost:3000/cb'");
    expect_body(
        &world, auth(),
        text_of("{'authorized_redirect_origins':null,'oauth_service_providers':[{'id':'%s',"
                "'provider_name':'google','created_at':'2023-11-14T22:13:20Z'}],"
                "'oauth_clients':[{'id':'%s','provider_id':'%s','client_name':'web',"
                "'client_id':'c1','created_at':'2023-11-14T22:13:20Z','meta':{'appType':'web'},"
                "'discovery_endpoint':'" DISCOVERY "','redirect_to':'http://localhost:3000/cb',"
                "'use_shared_credentials':false}],'default_sender_email':null}",
                google, id, google));
    refuse("oauth_service_providers", "{'provider_name':'google'}", "record-not-unique",
           "`name` is a unique attribute on `$oauthProviders` and an entity already exists with "
           "`$oauthProviders.name` = \"google\"");
    refuse("oauth_service_providers", "{}", "param-missing",
           "Missing parameter: [\"body\" \"provider_name\"]");
    denied(&world, "GET", at("auth"), "authorization: Bearer aaaaaaaa-0000-4000-8000-000000000000",
           NULL, "record-not-found", "Record not found: app-admin-token");
}

static void changing(void **state) {
    (void)state;
    const char *id =
        client(provider("oidc"), "web",
               ",'client_id':'c1','discovery_endpoint':'" DISCOVERY "','meta':{'a':1,'b':2}");
    const char *rest = text_of("oauth_clients/%s", id);
    const struct inst_value *now = inst_getz(post(rest, "{'client_id':'c2'}"), "client");
    expect_text(inst_getz(now, "client_id"), "c2");
    expect_text(inst_getz(now, "discovery_endpoint"), DISCOVERY);
    now = inst_getz(post(rest, "{'meta':{'b':null,'c':3}}"), "client");
    expect_body(&world, inst_getz(now, "meta"), "{'a':1,'c':3}");
    now = inst_getz(post(rest, "{'client_id':null,'redirect_to':'https://a.b/c'}"), "client");
    assert_int_equal(inst_getz(now, "client_id")->tag, INST_NULL);
    expect_text(inst_getz(now, "redirect_to"), "https://a.b/c");
    now = inst_getz(post(rest, "{'redirect_to':null}"), "client");
    assert_int_equal(inst_getz(now, "redirect_to")->tag, INST_NULL);
    refuse(rest, "{'discovery_endpoint':'https://nowhere.example/x'}", "validation-failed",
           "Validation failed for discovery-endpoint: Could not validate discovery endpoint.");
    refuse("oauth_clients/aaaaaaaa-0000-4000-8000-000000000001", "{}", "record-not-found",
           "Record not found: app-oauth-client");
    refuse("oauth_clients/x", "{}", "param-malformed", "Malformed parameter: [\"params\" \"id\"]");
    assert_string_equal(id_in(done(&world, "DELETE", at(rest), ADMIN, NULL), "client"), id);
    denied(&world, "DELETE", at(rest), ADMIN, NULL, "record-not-found",
           "Record not found: app-oauth-client");
}

static void bad_clients(void **state) {
    (void)state;
    const char *oidc = provider("oidc");
    const struct {
        const char *more, *type, *message;
    } cases[] = {
        {"", "param-missing", "Missing parameter: [\"body\" \"discovery_endpoint\"]"},
        {",'discovery_endpoint':7", "param-malformed",
         "Malformed parameter: [\"body\" \"discovery_endpoint\"]"},
        {",'discovery_endpoint':'http://nowhere/'", "validation-failed",
         "Validation failed for discovery-endpoint: Could not validate discovery endpoint."},
        {",'meta':[]", "param-malformed", "Malformed parameter: [\"body\" \"meta\"]"},
        {",'use_shared_credentials':true", "validation-failed",
         "Validation failed for use_shared_credentials: This backend has no shared credentials."},
        {",'redirect_to':'http://a.b/'", "validation-failed",
         "Validation failed for redirect_to: redirect uri must use the HTTPS scheme"},
        {",'redirect_to':'https://u@a.b/'", "validation-failed",
         "Validation failed for redirect_to: redirect uri may not contain user or password"},
        {",'redirect_to':'https://a.b/../c'", "validation-failed",
         "Validation failed for redirect_to: redirect uri may not contain a path traversal"},
        {",'redirect_to':'https://a.b/#c'", "validation-failed",
         "Validation failed for redirect_to: redirect uri may not contain the fragment component"},
        {",'redirect_to':'ftp://localhost/'", "validation-failed",
         "Validation failed for redirect_to: redirect uri must use either the HTTP or HTTPS "
         "scheme"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse("oauth_clients",
               text_of("{'provider_id':'%s','client_name':'web'%s}", oidc, cases[i].more),
               cases[i].type, cases[i].message);
    refuse("oauth_clients",
           "{'provider_id':'aaaaaaaa-0000-4000-8000-000000000001','client_name':'web',"
           "'discovery_endpoint':'" DISCOVERY "'}",
           "record-not-found", "Record not found: oauth-service-provider");
    assert_int_equal(inst_getz(auth(), "oauth_clients")->tag, INST_NULL);
}

/* ---- secrets ---- */

static bool file_has(const char *path, const char *text) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char bytes[8 << 20];
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return memmem(bytes, len, text, strlen(text)) != NULL;
}

static void secrets_at_rest(void **state) {
    (void)state;
    struct inst_app *app;
    struct inst_provider_client row;
    struct inst_err err = {0};
    char *secret;
    const char *id =
        client(provider("github"), "gh", ",'client_id':'c1','client_secret':'s3cret-word'");
    const char *other = client(provider("github2"), "gh2",
                               ",'client_id':'c2','discovery_endpoint':'" DISCOVERY "'");
    const char *path = text_of("%s/apps/%s.db", world_dir, world.app.id);
    assert_false(file_has(path, "s3cret-word") || file_has(text_of("%s-wal", path), "s3cret-word"));
    assert_int_equal(inst_app_get(world.server, world.app.id, &app, &err), INST_OK);
    assert_int_equal(inst_provider_client_of(app, id, &row, &err), INST_OK);
    assert_int_equal(inst_provider_secret(app, &row, &secret, &err), INST_OK);
    assert_string_equal(secret, "s3cret-word");
    free(secret);
    /* The sealed text opens nowhere else. */
    memcpy(row.id, other, sizeof row.id);
    assert_int_equal(inst_provider_secret(app, &row, &secret, &err), INST_FAILED);
    assert_null(secret);
    assert_string_equal(err.message,
                        "The client's secret cannot be read. It has to be entered again.");
    inst_err_clear(&err);
    post(text_of("oauth_clients/%s", id), "{'client_secret':null}");
    assert_int_equal(inst_provider_client_of(app, id, &row, &err), INST_OK);
    assert_int_equal(inst_provider_secret(app, &row, &secret, &err), INST_OK);
    assert_null(secret);
}

/* ---- origins ---- */

static const char *origin(const char *service, const char *params) {
    return id_in(post("authorized_redirect_origins",
                      text_of("{'service':'%s','params':%s}", service, params)),
                 "origin");
}

static void listing_origins(void **state) {
    (void)state;
    const char *id = origin("generic", "['localhost:3000']"), *rest = "authorized_redirect_origins";
    origin("custom-scheme", "['myapp']");
    const struct inst_value *list = inst_getz(auth(), "authorized_redirect_origins");
    assert_int_equal(list->len, 2);
    expect_body(&world, &list->u.items[0],
                text_of("{'id':'%s','service':'generic','params':['localhost:3000'],"
                        "'created_at':'2023-11-14T22:13:20Z'}",
                        id));
    done(&world, "DELETE", at(text_of("%s/%s", rest, id)), ADMIN, NULL);
    denied(&world, "DELETE", at(text_of("%s/%s", rest, id)), ADMIN, NULL, "record-not-found",
           "Record not found: app-authorized-redirect-origin");
    assert_int_equal(inst_getz(auth(), "authorized_redirect_origins")->len, 1);
    const struct {
        const char *body, *message;
    } bad[] = {
        {"{'service':'x','params':[]}", "Unrecognized service x"},
        {"{'service':'generic','params':[]}", "Host should be the only parameter."},
        {"{'service':'generic','params':[1]}", "Host should be a string."},
        {"{'service':'netlify','params':['a','b']}",
         "Netlify should have only the site name param."},
        {"{'service':'vercel','params':['a']}",
         "Vercel should have deployment suffix and project name params."},
        {"{'service':'custom-scheme','params':['https']}", "The scheme `https` is not allowed."},
        {"{'service':'custom-scheme','params':['MailTo']}", "The scheme `mailto` is not allowed."},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse(rest, bad[i].body, "validation-failed",
               text_of("Validation failed for origin-request: %s", bad[i].message));
}

static void matching_origins(void **state) {
    (void)state;
    static const struct {
        const char *service, *params, *url;
        bool is_allowed;
    } cases[] = {
        {"generic", "['example.com']", "https://example.com", true},
        {"generic", "['example.com']", "https://EXAMPLE.com/a?b#c", true},
        {"generic", "['example.com']", "http://example.com", true},
        {"generic", "['example.com']", "https://example.com:8080", false},
        {"generic", "['example.com:8080']", "https://example.com:8080/x", true},
        {"generic", "['example.com']", "https://example.com.evil.net", false},
        {"generic", "['example.com']", "https://evil.net/example.com", false},
        {"generic", "['example.com']", "https://evil.net?example.com", false},
        {"generic", "['example.com']", "https://example.com@evil.net", false},
        {"generic", "['example.com']", "https://evil.net@example.com", false},
        {"generic", "['example.com']", "https://evil.net\\@example.com", false},
        {"generic", "['example.com']", "https://evil.net#@example.com", false},
        {"generic", "['example.com']", "https:/example.com", false},
        {"generic", "['example.com']", "//example.com", false},
        {"generic", "['example.com']", "javascript://example.com/%0aalert(1)", false},
        {"generic", "['example.com']", "https://example.com\t", false},
        {"generic", "['example.com']", "https://ex%61mple.com", false},
        {"generic", "['example.com']", "null", false},
        {"generic", "['example.com']", "", false},
        {"netlify", "['site']", "https://site.netlify.app/x", true},
        {"netlify", "['site']", "https://deploy-preview-42--site.netlify.app", true},
        {"netlify", "['site']", "https://e3757530--site.netlify.live", true},
        {"netlify", "['site']", "https://site.netlify.live", false},
        {"netlify", "['site']", "https://mysite.netlify.app", false},
        {"netlify", "['site']", "https://site.netlify.app.evil.net", false},
        {"vercel", "['vercel.app','project']", "https://project.vercel.app", true},
        {"vercel", "['vercel.app','project']", "https://project-git-main-me.vercel.app", true},
        {"vercel", "['vercel.app','project']", "https://projectx.vercel.app", false},
        {"vercel", "['vercel.app','project']", "https://project.evilvercel.app", false},
        {"custom-scheme", "['myapp']", "myapp://callback", true},
        {"custom-scheme", "['myapp']", "MyApp:callback", true},
        {"custom-scheme", "['myapp']", "myapp2://callback", false},
        {"custom-scheme", "['myapp']", "https://myapp", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct inst_arena arena;
        struct inst_value list;
        char *text =
            quoted(text_of("[{'service':'%s','params':%s}]", cases[i].service, cases[i].params));
        inst_arena_init(&arena);
        assert_int_equal(inst_json_parse(&arena, text, strlen(text), &list, NULL), INST_OK);
        if (inst_origins_allow(&list, cases[i].url) != cases[i].is_allowed)
            fail_msg("%s %s %s", cases[i].service, cases[i].params, cases[i].url);
        inst_arena_free(&arena);
        free(text);
    }
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, owner_close)
    const struct CMUnitTest tests[] = {
        CASE(making),          CASE(changing),        CASE(bad_clients),
        CASE(secrets_at_rest), CASE(listing_origins), CASE(matching_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
