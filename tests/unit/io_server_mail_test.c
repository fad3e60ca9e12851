/*
 * Magic codes by mail, how long they are good, whose are fixed: as an app's owner says.
 */
#include "io_server_owner.h"

#include "server/login_settings.h"
#include "server/users.h"

static char logged[4096];

static void on_log(void *ctx, enum inst_log_level level, const char *line) {
    (void)ctx, (void)level;
    snprintf(logged, sizeof logged, "%s", line);
}

static int set_up(void **state) {
    (void)state;
    logged[0] = '\0';
    owner_open();
    outside.has_mail = true;
    world.env.log = on_log;
    return 0;
}

static void refuse(const char *rest, const char *body, const char *message) {
    denied(&world, "POST", at(rest), ADMIN, body, "validation-failed", message);
}

static void send_code(const char *email) {
    expect_body(&world,
                done(&world, "POST", "/runtime/auth/send_magic_code", "",
                     text_of("{'app-id':'%s','email':'%s'}", world.app.id, email)),
                "{'sent':true}");
}

static const char *verify_body(const char *email, const char *code) {
    return text_of("{'app-id':'%s','email':'%s','code':'%s'}", world.app.id, email, code);
}

static void verify(const char *email, const char *code) {
    done(&world, "POST", "/runtime/auth/verify_magic_code", "", verify_body(email, code));
}

static void refuse_code(const char *email, const char *code, const char *type,
                        const char *message) {
    denied(&world, "POST", "/runtime/auth/verify_magic_code", "", verify_body(email, code), type,
           message);
}

static const char *mailed_code(void) { return text_of("%.6s", outside.mail_text); }

/* ---- mail ---- */

static void by_mail(void **state) {
    (void)state;
    send_code("Ann@B.de");
    assert_int_equal(outside.mails, 1);
    assert_string_equal(outside.mail_to, "ann@b.de");
    assert_string_equal(outside.mail_sender, "Test");
    const char *code = mailed_code();
    assert_string_equal(outside.mail_subject,
                        text_of("%s is your verification code for Test", code));
    assert_non_null(strstr(outside.mail_html, code));
    assert_non_null(strstr(outside.mail_html, "within 24 hours"));
    assert_null(strstr(outside.mail_html, "{"));
    assert_string_equal(logged, ""); /* nobody reads it there */
    verify("ann@b.de", code);
    refuse_code("ann@b.de", code, "record-not-found", "Record not found: app-user-magic-code");
    /* Of an admin: mailed when asked, else only told. */
    done(&world, "POST", "/admin/magic_code", ADMIN, "{'email':'bob@b.de'}");
    assert_int_equal(outside.mails, 1);
    done(&world, "POST", "/admin/send_magic_code", ADMIN, "{'email':'bob@b.de'}");
    assert_int_equal(outside.mails, 2);
}

/* What goes wrong is the operator's to read, and says nothing to who asked. */
static void mail_that_fails(void **state) {
    (void)state;
    outside.fails_mail = true;
    send_code("ann@b.de");
    assert_string_equal(logged, "a mail with a code was not sent: no");
    outside.has_mail = false;
    send_code("ann@b.de");
    assert_ptr_equal(
        strstr(logged, "no e-mail is configured; the code of ann@b.de for \"Test\" is "), logged);
}

static void a_test_mail(void **state) {
    (void)state;
    const char *body = "'subject':'{code} of {app_title}','body':'<b>{code}</b> for {user_email}'";
    expect_body(&world,
                post("send-test-email", text_of("{'to':' Ann@B.de ',%s,'sender-name':'Us'}", body)),
                "{'sent-to':'ann@b.de'}");
    assert_int_equal(outside.mails, 1);
    assert_string_equal(outside.mail_to, "ann@b.de");
    assert_string_equal(outside.mail_sender, "Us");
    assert_string_equal(outside.mail_subject, "123456 of Test");
    assert_string_equal(outside.mail_html, "<b>123456</b> for ann@b.de");
    refuse_code("ann@b.de", "123456", "record-not-found", "Record not found: app-user-magic-code");
    /* What is kept stays as it is. */
    expect_body(&world, done(&world, "GET", at("email_status"), ADMIN, NULL), "{'info':null}");
    refuse("send-test-email", "{'to':'ann@b.de','subject':'x','body':'{code}'}",
           "Validation failed for subject: Subject does not contain template variable: '{code}'");
    denied(&world, "POST", at("send-test-email"), ADMIN, text_of("{'to':'x',%s}", body),
           "param-malformed", "Malformed parameter: [\"body\" \"to\"]");
    denied(&world, "POST", at("send-test-email"), ADMIN, text_of("{%s}", body), "param-missing",
           "Missing parameter: [\"body\" \"to\"]");
    for (int i = 1; i < INST_MAGIC_CODES_PER_HOUR; i++)
        post("send-test-email", text_of("{'to':'ann@b.de',%s}", body));
    assert_int_equal(
        call(&world, "POST", at("send-test-email"), ADMIN, text_of("{'to':'ann@b.de',%s}", body))
            ->status,
        429);
    outside.has_mail = false;
    refuse("send-test-email", text_of("{'to':'bob@b.de',%s}", body),
           "Validation failed for email: This backend sends no mail: see --mail.");
}

static void own_template(void **state) {
    (void)state;
    expect_body(&world, done(&world, "GET", at("email_status"), ADMIN, NULL), "{'info':null}");
    const struct inst_value *standard =
        done(&world, "GET", "/dash/default-email-template", "", NULL);
    expect_text(inst_getz(standard, "subject"), inst_template_subject);
    refuse("email_templates", "{'email-type':'magic-code','subject':'x','body':'{code}'}",
           "Validation failed for subject: Subject does not contain template variable: '{code}'");
    refuse("email_templates", "{'email-type':'magic-code','subject':'{code}','body':'x'}",
           "Validation failed for body: Body does not contain template variable: '{code}'");
    refuse(
        "email_templates",
        "{'email-type':'magic-code','subject':'{code}','body':'{code}','sender-email':'a@b.de'}",
        "Validation failed for sender-email: This backend sends mail from its operator's address "
        "only.");
    const char *id =
        text_of("%.36s", inst_get_string(post("email_templates",
                                              "{'email-type':'magic-code','subject':'{user_email}"
                                              ": {code}','body':'<b>{code}</b> {app_title} "
                                              "{user_email} {expiration} {other}',"
                                              "'sender-name':'Us'}"),
                                         "id")
                             ->u.str);
    send_code("a&{code}@b.de");
    const char *code = mailed_code();
    assert_string_equal(outside.mail_sender, "Us");
    /* Escaped, and a value brings no variable along. */
    assert_string_equal(outside.mail_subject, text_of("a&{code}@b.de: %s", code));
    assert_string_equal(outside.mail_html,
                        text_of("<b>%s</b> Test a&#38;{code}@b.de 24 hours {other}", code));
    const struct inst_value *info =
        inst_getz(done(&world, "GET", at("email_status"), ADMIN, NULL), "info");
    expect_text(inst_getz(info, "name"), "Us");
    done(&world, "DELETE", at(text_of("email_templates/%s", uuid_text(1))), ADMIN, NULL);
    send_code("ann@b.de");
    assert_string_equal(outside.mail_sender, "Us");
    done(&world, "DELETE", at(text_of("email_templates/%s", id)), ADMIN, NULL);
    send_code("ann@b.de");
    assert_string_equal(outside.mail_sender, "Test");
}

/* Anybody can make an app that expires, and is not to write mail in the operator's name with it. */
static void an_app_of_nobody(void **state) {
    (void)state;
    const struct inst_value *made =
        done(&world, "POST", "/dash/apps/ephemeral", "", "{'title':'Passing'}");
    const struct inst_value *app = inst_getz(made, "app");
    const char *id = text_of("%.36s", inst_get_string(app, "id")->u.str);
    const char *bearer =
        text_of("authorization: Bearer %.36s", inst_get_string(app, "admin-token")->u.str);
    denied(&world, "POST", text_of("/dash/apps/%s/email_templates", id), bearer,
           "{'email-type':'magic-code','subject':'{code}','body':'{code}'}", "validation-failed",
           "Validation failed for app: An app that expires cannot change its e-mail. Claim it "
           "first.");
    for (int i = 0; i < INST_MAILS_OF_EXPIRING_APP; i++)
        done(&world, "POST", "/runtime/auth/send_magic_code", "",
             text_of("{'app-id':'%s','email':'u%d@b.de'}", id, i));
    struct answer *answer = call(&world, "POST", "/runtime/auth/send_magic_code", "",
                                 text_of("{'app-id':'%s','email':'v@b.de'}", id));
    assert_int_equal(answer->status, 429);
    assert_int_equal(outside.mails, INST_MAILS_OF_EXPIRING_APP);
    world.now += 60 * 60 * 1000;
    done(&world, "POST", "/runtime/auth/send_magic_code", "",
         text_of("{'app-id':'%s','email':'v@b.de'}", id));
    /* One that somebody keeps is not counted as a whole. */
    for (int i = 0; i < INST_MAILS_OF_EXPIRING_APP + 5; i++)
        send_code(text_of("u%d@b.de", i));
}

/* ---- codes ---- */

static void expiry(void **state) {
    (void)state;
    refuse("set-magic-code-expiry", "{'expiry':0}",
           "Validation failed for app: The magic token expiry must be positive.");
    refuse("set-magic-code-expiry", "{'expiry':1441}",
           "Validation failed for app: The magic token expiry must be under 1,440 minutes (24 "
           "hours).");
    const struct inst_value *app = inst_getz(post("set-magic-code-expiry", "{'expiry':10}"), "app");
    assert_true(inst_getz(app, "magic_code_expiry_minutes")->u.num == 10);
    send_code("ann@b.de");
    assert_non_null(strstr(outside.mail_html, "within 10 minutes"));
    const char *code = mailed_code();
    world.now += 10 * 60 * 1000 + 1;
    refuse_code("ann@b.de", code, "record-expired", "Record expired: app-user-magic-code");
    send_code("ann@b.de");
    world.now += 10 * 60 * 1000 - 1;
    verify("ann@b.de", mailed_code());
}

static void test_users(void **state) {
    (void)state;
    refuse("test_users", "{'email':'t@b.de','code':'12345'}",
           "Validation failed for code: Code must be a 6-digit number.");
    const struct inst_value *user =
        inst_getz(post("test_users", "{'email':'T@b.de','code':'123456'}"), "test-user");
    const char *id = text_of("%.36s", inst_get_string(user, "id")->u.str);
    expect_text(inst_getz(user, "email"), "t@b.de");
    verify("t@b.de", "123456");
    verify("t@b.de", "123456"); /* again and again */
    refuse_code("t@b.de", "123457", "record-not-found", "Record not found: app-user-magic-code");
    refuse_code("u@b.de", "123456", "record-not-found", "Record not found: app-user-magic-code");
    post("test_users", "{'email':'t@b.de','code':'654321'}"); /* in its place */
    refuse_code("t@b.de", "123456", "record-not-found", "Record not found: app-user-magic-code");
    const struct inst_value *list =
        inst_getz(done(&world, "GET", at("test_users"), ADMIN, NULL), "test-users");
    assert_int_equal(list->len, 1);
    assert_false(inst_is_string(inst_getz(&list->u.items[0], "id"), id));
    id = text_of("%.36s", inst_get_string(&list->u.items[0], "id")->u.str);
    done(&world, "DELETE", at("test_users"), ADMIN, text_of("{'id':'%s'}", id));
    refuse_code("t@b.de", "654321", "record-not-found", "Record not found: app-user-magic-code");
    expect_body(&world, done(&world, "GET", at("test_users"), ADMIN, NULL), "{'test-users':[]}");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, owner_close)
    const struct CMUnitTest tests[] = {
        CASE(by_mail),          CASE(mail_that_fails), CASE(own_template), CASE(a_test_mail),
        CASE(an_app_of_nobody), CASE(expiry),          CASE(test_users)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
