/*
 * login_settings.h - what an app's owner says of magic codes (http.md 4.1, 9.3): how long they are
 * good, who signs in without mail, what the mail says.
 *
 *     note "magic-code-expiry"   minutes
 *     note "test-users"          [{"id","email","code"}]: fixed codes of test accounts
 *     note "email-template"      {"id","subject","body","name","email"?}
 */
#ifndef INST_SERVER_LOGIN_SETTINGS_H
#define INST_SERVER_LOGIN_SETTINGS_H

#include "server/engine.h"

#define INST_CODE_MAX_MINUTES 1440
#define INST_TEST_USERS_MAX 100
#define INST_TEMPLATE_MAX_SUBJECT 1000
#define INST_TEMPLATE_MAX_BODY (256u << 10)

enum inst_status inst_code_minutes(struct inst_app *app, int *out, struct inst_err *err);
/* err: `validation-failed` app. */
enum inst_status inst_code_set_minutes(struct inst_app *app, double minutes, struct inst_err *err);

/* The list, on server->scratch. */
enum inst_status inst_test_users(struct inst_app *app, struct inst_value *out,
                                 struct inst_err *err);
/* Adds one, in place of one with that address, and gives it. err: `validation-failed` code. */
enum inst_status inst_test_user_add(struct inst_app *app, const char *email, const char *code,
                                    struct inst_value *out, struct inst_err *err);
enum inst_status inst_test_user_remove(struct inst_app *app, const char *id, struct inst_value *out,
                                       struct inst_err *err);
/* Is it the fixed code of this address? */
enum inst_status inst_test_user_matches(struct inst_app *app, const char *email, const char *code,
                                        size_t code_len, bool *out, struct inst_err *err);

/* The template as kept, on server->scratch; null when there is none. */
enum inst_status inst_template(struct inst_app *app, struct inst_value *out, struct inst_err *err);
/* Keeps it (null: the default again). */
enum inst_status inst_template_set(struct inst_app *app, const struct inst_value *template,
                                   struct inst_err *err);
/* What the mail says when nobody says otherwise. */
extern const char inst_template_subject[];
extern const char inst_template_body[];

/* Mails what this template makes of a code that is none. err: `validation-failed` when no mail can
 * be sent. */
enum inst_status inst_template_try(struct inst_app *app, const struct inst_value *template,
                                   const char *email, struct inst_err *err);

/* Mails the code outside of the turn, or puts it into the log when no mail can be sent. Failures
 * are logged, and not told: whoever asked learns nothing of the address. */
void inst_code_mail(struct inst_app *app, const char *email, const char *code);

#endif
