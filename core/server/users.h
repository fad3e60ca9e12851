/*
 * users.h - the people of an app, their tokens and codes (http.md 4, 16).
 *
 *     $users ──<── $user ── $userRefreshTokens    sha256 of the token's 16 bytes
 *        └ linkedPrimaryUser: an upgraded guest's
 *     $magicCodes                                 sha256 of the code, e-mail; age is the row's
 *
 * Secrets are kept as digests and found by them; they are given to whoever asked for them once, and
 * are in no log and no error. Users are named by their handle in the app's store.
 *
 * What writes, writes in the app's group: the caller commits (inst_row_commit), and answers after
 * that only.
 */
#ifndef INST_SERVER_USERS_H
#define INST_SERVER_USERS_H

#include "base/buf.h"
#include "server/engine.h"

/* ---- limits ---- */
#define INST_USERS_MAX_EMAIL 320u
/* How long a magic code is good (http.md 4.1: the default; login_settings.h). */
#define INST_MAGIC_CODE_MS (24ll * 60 * 60 * 1000)
#define INST_MAGIC_CODE_DIGITS 6
/* Sent and tried codes of one app and e-mail, an hour each (http.md 1.5). */
#define INST_MAGIC_CODES_PER_HOUR 20
/* Mails that an app which expires sends in an hour: whoever made it is not known. */
#define INST_MAILS_OF_EXPIRING_APP 50
/* Codes of one e-mail that are good at a time; the oldest go. Upstream keeps all of a day, so that
 * who asks for codes all day may guess at hundreds of them. */
#define INST_MAGIC_CODES_KEPT 10u

/* ---- e-mail addresses (http.md 1.2) ---- */
/* Trimmed, in lower case, NUL behind it; false when it is none. */
bool inst_email_read(const char *text, size_t len, char out[INST_USERS_MAX_EMAIL + 1]);

/* ---- finding; *user is 0 when there is none ---- */
enum inst_status inst_user_by_token(struct inst_app *app, const struct inst_uuid *token,
                                    uint32_t *user, struct inst_err *err);
enum inst_status inst_user_by_email(struct inst_app *app, const char *email, uint32_t *user,
                                    struct inst_err *err);
enum inst_status inst_user_by_id(struct inst_app *app, const char *id, uint32_t *user,
                                 struct inst_err *err);
/* `record-not-found` of an app-user, the error of who is not found. */
enum inst_status inst_user_refuse(struct inst_err *err);

/* ---- what others are shown ---- */
/* The user object of http.md 4.1, with `refresh_token` when one is given. */
enum inst_status inst_user_write(struct inst_app *app, uint32_t user, const struct inst_uuid *token,
                                 struct inst_buf *out, struct inst_err *err);
enum inst_status inst_user_is_guest(struct inst_app *app, uint32_t user, bool *is_guest,
                                    struct inst_err *err);

/* ---- making ---- */
struct inst_new_user {
    char id[INST_UUID_TEXT + 1];           /* a new one, or that of a guest who becomes a user */
    const char *email;                     /* NULL: none */
    const char *type;                      /* "user" or "guest"; NULL: says nothing of it */
    const char *image_url;                 /* NULL: none */
    const struct inst_value *extra_fields; /* custom attrs by label; NULL: none */
    bool is_admin;                         /* made by an admin: no rule is asked */
    struct inst_caller from;               /* who asks for it */
};
/* May it be made (http.md 4.4)? Before anything is consumed for it. */
enum inst_status inst_user_check_new(struct inst_app *app, const struct inst_new_user *user,
                                     struct inst_err *err);
enum inst_status inst_user_create(struct inst_app *app, const struct inst_new_user *user,
                                  struct inst_err *err);
/* The guest keeps its rows and belongs to the user from now on. */
enum inst_status inst_user_link_guest(struct inst_app *app, const char *guest, const char *user,
                                      struct inst_err *err);
/* With its tokens. */
enum inst_status inst_user_delete(struct inst_app *app, uint32_t user, struct inst_err *err);

/* ---- refresh tokens; they never expire ---- */
/* A new one of the user of this id. */
enum inst_status inst_token_create(struct inst_app *app, const char *user, struct inst_uuid *token,
                                   struct inst_err *err);
/* Nothing happens when there is none. */
enum inst_status inst_token_delete(struct inst_app *app, const struct inst_uuid *token,
                                   struct inst_err *err);
/* All of one user. */
enum inst_status inst_token_delete_all(struct inst_app *app, uint32_t user, struct inst_err *err);

/* ---- magic codes ---- */
/* A new code for an address; nobody is told, nothing is counted. */
enum inst_status inst_code_create(struct inst_app *app, const char *email,
                                  char code[INST_MAGIC_CODE_DIGITS + 1], struct inst_err *err);
/* A mail to this address that is no code's is counted as one; `rate-limited`. */
enum inst_status inst_code_count_mail(struct inst_app *app, const char *email,
                                      struct inst_err *err);
/* A code that is asked for: counted (`rate-limited`), made, and delivered. */
enum inst_status inst_code_send(struct inst_app *app, const char *email,
                                char code[INST_MAGIC_CODE_DIGITS + 1], struct inst_err *err);

/* Who signs in, and what came of it. */
struct inst_sign_in {
    const char *email;
    uint32_t guest; /* who signs in is this guest; 0: none */
    const struct inst_value *extra_fields;
    bool is_admin;
    struct inst_caller from;
    /* out */
    char user[INST_UUID_TEXT + 1];
    bool is_created;
};
/* Counts the try, uses up the code, finds or makes the user. What it wrote is to be committed also
 * when it fails: a code that is too old is used up all the same. */
enum inst_status inst_code_verify(struct inst_app *app, const char *code, size_t code_len,
                                  struct inst_sign_in *sign_in, struct inst_err *err);

#endif
