/* Magic codes (http.md 4.1). */
#include "base/digest.h"
#include "rules/rate_limit.h"
#include "server/login_settings.h"
#include "server/refusal.h"
#include "server/rows.h"
#include "server/users.h"

#include <stdio.h>
#include <stdlib.h>

/* Digits run from 0 to 8, as the original's do. */
#define DIGITS 9
/* Codes of anybody that are too old, cleared away at every new one. */
#define SWEPT 20
/* Rows that are looked at for one code and address. */
#define CANDIDATES 256

/* ---- how often ---- */

static const struct inst_rate_limit_config per_hour = {
    .limits = {{.capacity = INST_MAGIC_CODES_PER_HOUR,
                .amount = INST_MAGIC_CODES_PER_HOUR,
                .period_ms = 60 * 60 * 1000,
                .is_interval = true}},
    .count = 1,
};

/* Anybody can make an app that expires: what all of its users are sent together is counted too. */
static const struct inst_rate_limit_config per_expiring_app = {
    .limits = {{.capacity = INST_MAILS_OF_EXPIRING_APP,
                .amount = INST_MAILS_OF_EXPIRING_APP,
                .period_ms = 60 * 60 * 1000,
                .is_interval = true}},
    .count = 1,
};

/* Counted in memory: a restart forgives, which does nobody harm. email "": of the whole app. */
static enum inst_status take(struct inst_app *app, const struct inst_rate_limit_config *limit,
                             const char *what, const char *email, bool *is_allowed,
                             struct inst_err *err) {
    struct inst_server *server = app->server;
    char key[INST_UUID_TEXT + 1 + INST_USERS_MAX_EMAIL + 1];
    struct inst_cel_limit answer;
    enum inst_status st = INST_OK;
    if (server->code_limits == NULL)
        st = inst_rate_limits_new(server->seed, &server->code_limits, err);
    snprintf(key, sizeof key, "%s %s", app->info.id, email);
    struct inst_value v = inst_cstring(key);
    if (st == INST_OK)
        st = inst_rate_limits_take(server->code_limits, limit, what, strlen(what), &v, 1,
                                   server->env->now_ms(server->env->ctx), &answer, err);
    *is_allowed = st == INST_OK && answer.is_allowed;
    return st;
}

static enum inst_status count(struct inst_app *app, const char *what, const char *email,
                              struct inst_err *err) {
    bool is_allowed;
    enum inst_status st = take(app, &per_hour, what, email, &is_allowed, err);
    if (st != INST_OK || is_allowed)
        return st;
    return inst_err_set(err, "rate-limited", 400,
                        "Too many verification codes requested for this email. Please try again "
                        "later.");
}

static enum inst_status count_mail(struct inst_app *app, struct inst_err *err) {
    bool is_allowed = true;
    enum inst_status st = app->info.expires_ms == 0
                              ? INST_OK
                              : take(app, &per_expiring_app, "mail", "", &is_allowed, err);
    if (st != INST_OK || is_allowed)
        return st;
    return inst_err_set(err, "rate-limited", 400,
                        "Too many verification codes requested for this app. Please try again "
                        "later.");
}

/* ---- rows ---- */

/* Codes that were made before this are good no more. */
static enum inst_status oldest_good(struct inst_app *app, int64_t *out, struct inst_err *err) {
    const struct inst_env *env = app->server->env;
    int minutes;
    enum inst_status st = inst_code_minutes(app, &minutes, err);
    *out = st == INST_OK ? env->now_ms(env->ctx) - minutes * 60ll * 1000 : 0;
    return st;
}

static void delete_row(struct inst_app *app, struct inst_row_steps *steps, uint32_t e) {
    char *id = inst_arena_alloc(&app->server->scratch, INST_UUID_TEXT + 1);
    if (id == NULL)
        steps->failed = true;
    else if (inst_row_id(app, e, id))
        inst_row_delete(steps, id, "$magicCodes");
}

/* The oldest codes of all, while they are too old. */
static enum inst_status sweep(struct inst_app *app, struct inst_row_steps *steps,
                              struct inst_err *err) {
    uint32_t oldest[SWEPT];
    size_t found = 0;
    int64_t good;
    enum inst_status st = oldest_good(app, &good, err);
    if (st == INST_OK)
        st = inst_row_oldest(app, "$magicCodes", oldest, SWEPT, &found, err);
    for (size_t i = 0; st == INST_OK && i < found; i++) {
        int64_t created;
        st = inst_row_time(app, oldest[i], "$magicCodes", &created, err);
        if (st != INST_OK || created >= good)
            return st;
        delete_row(app, steps, oldest[i]);
    }
    return st;
}

struct dated {
    uint32_t e;
    int64_t created;
};

static int by_age(const void *a, const void *b) {
    int64_t x = ((const struct dated *)a)->created, y = ((const struct dated *)b)->created;
    return x < y ? -1 : x > y;
}

/* Room for one more code of this address. */
static enum inst_status make_room(struct inst_app *app, struct inst_row_steps *steps,
                                  const char *email, struct inst_err *err) {
    uint32_t found[CANDIDATES];
    struct dated codes[CANDIDATES];
    size_t n = 0;
    int64_t good;
    struct inst_value v = inst_cstring(email);
    enum inst_status st = oldest_good(app, &good, err);
    if (st == INST_OK)
        st = inst_row_find_all(app, "$magicCodes", "email", &v, found, CANDIDATES, &n, err);
    for (size_t i = 0; st == INST_OK && i < n; i++) {
        codes[i].e = found[i];
        st = inst_row_time(app, found[i], "$magicCodes", &codes[i].created, err);
    }
    if (st != INST_OK || n < INST_MAGIC_CODES_KEPT)
        return st;
    qsort(codes, n, sizeof *codes, by_age);
    for (size_t i = 0; i + INST_MAGIC_CODES_KEPT <= n; i++)
        if (codes[i].created >= good) /* those the sweep takes, or verifying refuses */
            delete_row(app, steps, codes[i].e);
    return INST_OK;
}

static void make_code(const struct inst_env *env, char code[INST_MAGIC_CODE_DIGITS + 1]) {
    for (int i = 0; i < INST_MAGIC_CODE_DIGITS;) {
        uint8_t byte;
        env->random(env->ctx, &byte, 1);
        if (byte < 256 / DIGITS * DIGITS) /* else the first digits would be likelier */
            code[i++] = (char)('0' + byte % DIGITS);
    }
    code[INST_MAGIC_CODE_DIGITS] = '\0';
}

enum inst_status inst_code_create(struct inst_app *app, const char *email,
                                  char code[INST_MAGIC_CODE_DIGITS + 1], struct inst_err *err) {
    struct inst_row_steps steps;
    char id[INST_UUID_TEXT + 1], hash[INST_SHA256_HEX + 1];
    inst_row_begin(&steps, app);
    enum inst_status st = sweep(app, &steps, err);
    if (st == INST_OK)
        st = make_room(app, &steps, email, err);
    if (st != INST_OK)
        return st;
    make_code(app->server->env, code);
    inst_sha256_hex(code, INST_MAGIC_CODE_DIGITS, hash);
    inst_uuid_make_text(app->server->env, id);
    inst_row_set(&steps, id, "$magicCodes", "id", inst_cstring(id));
    inst_row_set(&steps, id, "$magicCodes", "codeHash", inst_cstring(hash));
    inst_row_set(&steps, id, "$magicCodes", "email", inst_cstring(email));
    return inst_row_write(&steps, err);
}

enum inst_status inst_code_count_mail(struct inst_app *app, const char *email,
                                      struct inst_err *err) {
    enum inst_status st = count(app, "send", email, err);
    return st == INST_OK ? count_mail(app, err) : st;
}

enum inst_status inst_code_send(struct inst_app *app, const char *email,
                                char code[INST_MAGIC_CODE_DIGITS + 1], struct inst_err *err) {
    enum inst_status st = inst_code_count_mail(app, email, err);
    if (st == INST_OK)
        st = inst_code_create(app, email, code, err);
    if (st == INST_OK)
        inst_code_mail(app, email, code);
    return st;
}

/* ---- verifying ---- */

static enum inst_status find_code(struct inst_app *app, const char *email, const char *code,
                                  size_t code_len, uint32_t *e, struct inst_err *err) {
    char hash[INST_SHA256_HEX + 1];
    uint32_t found[CANDIDATES];
    size_t n;
    inst_sha256_hex(code, code_len, hash);
    struct inst_value v = inst_string(hash, INST_SHA256_HEX);
    *e = 0;
    enum inst_status st =
        inst_row_find_all(app, "$magicCodes", "codeHash", &v, found, CANDIDATES, &n, err);
    for (size_t i = 0; st == INST_OK && *e == 0 && i < n; i++) {
        struct inst_value address;
        st = inst_row_value(app, found[i], "$magicCodes", "email", &address, err);
        if (st == INST_OK && inst_is_string(&address, email))
            *e = found[i];
    }
    return st;
}

static enum inst_status use_up(struct inst_app *app, uint32_t e, struct inst_err *err) {
    struct inst_row_steps steps;
    inst_row_begin(&steps, app);
    delete_row(app, &steps, e);
    return inst_row_write(&steps, err);
}

/* A code that is found but too old is used up. */
static enum inst_status check_age(struct inst_app *app, uint32_t e, struct inst_err *err) {
    int64_t created, good;
    enum inst_status st = inst_row_time(app, e, "$magicCodes", &created, err);
    if (st == INST_OK)
        st = oldest_good(app, &good, err);
    if (st != INST_OK || created >= good)
        return st;
    st = use_up(app, e, err);
    if (st != INST_OK)
        return st;
    inst_err_set(err, "record-expired", 400, "Record expired: app-user-magic-code");
    inst_err_hint(err, "{\"args\":[{}]}");
    return INST_FAILED;
}

/* Who it will be: found by e-mail, else the guest, else somebody new. */
static enum inst_status decide(struct inst_app *app, struct inst_sign_in *sign_in,
                               struct inst_err *err) {
    uint32_t known;
    enum inst_status st = inst_user_by_email(app, sign_in->email, &known, err);
    if (st != INST_OK)
        return st;
    sign_in->is_created = known == 0;
    if (!inst_row_id(app, known != 0 ? known : sign_in->guest, sign_in->user))
        inst_uuid_make_text(app->server->env, sign_in->user);
    return INST_OK;
}

static enum inst_status enter(struct inst_app *app, struct inst_sign_in *sign_in,
                              const struct inst_new_user *user, struct inst_err *err) {
    char guest[INST_UUID_TEXT + 1];
    if (sign_in->is_created)
        return inst_user_create(app, user, err);
    if (inst_row_id(app, sign_in->guest, guest) && strcmp(guest, sign_in->user) != 0)
        return inst_user_link_guest(app, guest, sign_in->user, err);
    return INST_OK;
}

enum inst_status inst_code_verify(struct inst_app *app, const char *code, size_t code_len,
                                  struct inst_sign_in *sign_in, struct inst_err *err) {
    struct inst_new_user user = {.email = sign_in->email,
                                 .type = "user",
                                 .extra_fields = sign_in->extra_fields,
                                 .is_admin = sign_in->is_admin,
                                 .from = sign_in->from};
    uint32_t e = 0;
    bool is_test = false;
    enum inst_status st = count(app, "verify", sign_in->email, err);
    if (st == INST_OK)
        st = decide(app, sign_in, err);
    memcpy(user.id, sign_in->user, sizeof user.id);
    /* Before the code is used up, so that a refusal does not cost it. */
    if (st == INST_OK && sign_in->is_created)
        st = inst_user_check_new(app, &user, err);
    if (st == INST_OK)
        st = find_code(app, sign_in->email, code, code_len, &e, err);
    if (st == INST_OK && e == 0)
        st = inst_test_user_matches(app, sign_in->email, code, code_len, &is_test, err);
    if (st == INST_OK && e == 0 && !is_test)
        st = inst_refuse_not_found(err, "app-user-magic-code", "[{}]");
    if (st == INST_OK && e != 0)
        st = check_age(app, e, err);
    if (st == INST_OK) /* a user who cannot be made does not cost the code either */
        st = enter(app, sign_in, &user, err);
    return st == INST_OK && e != 0 ? use_up(app, e, err) : st;
}
