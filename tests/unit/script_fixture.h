/*
 * script_fixture.h - a server with one app, its data in a file, and the scripts of a test.
 */
#ifndef INST_TESTS_SCRIPT_FIXTURE_H
#define INST_TESTS_SCRIPT_FIXTURE_H

#include "io_server_http_fixture.h"

#include "base/digest.h"
#include "script.h"

#define SCHEMA                                                                                     \
    "{'entities':{'todos':{'attrs':{'title':{'valueType':'string','config':{'indexed':true}},"     \
    "'slug':{'valueType':'string','config':{'unique':true,'indexed':true}},"                       \
    "'rank':{'valueType':'number'}}},'lists':{'attrs':{'name':{'valueType':'string'}}}},"          \
    "'links':{'list':{'forward':{'on':'todos','label':'list','has':'one','onDelete':'cascade'},"   \
    "'reverse':{'on':'lists','label':'todos','has':'many'}},"                                      \
    "'tags':{'forward':{'on':'todos','label':'tags','has':'many'},"                                \
    "'reverse':{'on':'lists','label':'tagged','has':'many'}}}}"

#define TOKEN "bbbbbbbb-0000-4000-8000-000000000001"
#define USER "authorization: Bearer " TOKEN
#define ADMIN_TOKEN "authorization: {bearer}"
#define FN "/apps/{app}/functions/"

static char folder[32];
static struct inst_scripts *scripts;

static inline void load(struct world *w, const char *text) {
    static const struct inst_sandbox_limits limits = {0, 1000000, 3600000};
    struct inst_err err = {0};
    if (scripts == NULL)
        assert_int_equal(inst_scripts_new(w->server, &w->env, &limits, &scripts, &err), INST_OK);
    if (inst_scripts_load(scripts, NULL, "@app.lua", text, strlen(text), NULL, &err) != INST_OK)
        fail_msg("%s", err.message);
}

static inline int open_world(void **state) {
    struct world *w = malloc(sizeof *w);
    struct inst_uuid token;
    char hash[INST_SHA256_HEX + 1], steps[1024];
    world_open_dir(w, folder, SCHEMA);
    w->admin = enter(w, true);
    inst_uuid_parse(TOKEN, INST_UUID_TEXT, &token);
    inst_sha256_hex(token.bytes, sizeof token.bytes, hash);
    snprintf(steps, sizeof steps,
             "[['add-triple','#1','@$users.id','#1'],['add-triple','#1','@$users.email','a@b.c'],"
             "['add-triple','#9','@$userRefreshTokens.id','#9'],"
             "['add-triple','#9','@$userRefreshTokens.hashedToken','%s'],"
             "['add-triple','#9','@$userRefreshTokens.$user','#1'],"
             "['add-triple','#11','@todos.id','#11'],['add-triple','#11','@todos.title','one'],"
             "['add-triple','#11','@todos.rank',1]]",
             hash);
    transact(w, w->admin, steps);
    forget_messages(w->admin);
    *state = w;
    return 0;
}

static inline int close_world(void **state) {
    struct world *w = *state;
    disconnect(w->admin);
    inst_scripts_free(scripts);
    scripts = NULL;
    world_close_dir(w, folder);
    free(w);
    return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_world, close_world)

#endif
