/*
 * The operator's words for how mail is sent, and a mail's bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "io/mail.h"

#include <stdlib.h>
#include <string.h>

static void good_words(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum inst_mail_kind kind;
        const char *url, *user, *secret, *name;
        enum inst_mail_tls tls;
    } cases[] = {
        {"smtp://h:25?from=a@b.de", INST_MAIL_SMTP, "smtp://h:25", NULL, NULL, NULL,
         INST_MAIL_TLS_TRY},
        {"smtp://me%40x:p%3Aw%25@mail.x:587/?from=a@b.de&name=Jo%20Do", INST_MAIL_SMTP,
         "smtp://mail.x:587", "me@x", "p:w%", "Jo Do", INST_MAIL_TLS_REQUIRED},
        {"smtp://u:p@127.0.0.1:25?from=a@b.de", INST_MAIL_SMTP, "smtp://127.0.0.1:25", "u", "p",
         NULL, INST_MAIL_TLS_TRY},
        {"smtp://u:p@[::1]:25?from=a@b.de", INST_MAIL_SMTP, "smtp://[::1]:25", "u", "p", NULL,
         INST_MAIL_TLS_TRY},
        {"smtp://u:p@h?from=a@b.de&tls=no", INST_MAIL_SMTP, "smtp://h", "u", "p", NULL,
         INST_MAIL_TLS_NO},
        {"SMTPS://u:p@h?from=a@b.de", INST_MAIL_SMTP, "smtps://h", "u", "p", NULL,
         INST_MAIL_TLS_TRY},
        {"postmark://tok-en?from=a@b.de", INST_MAIL_POSTMARK, "https://api.postmarkapp.com/email",
         NULL, "tok-en", NULL, INST_MAIL_TLS_TRY},
        {"sendgrid://SG.x%2Fy?from=a@b.de&api=http%3A%2F%2Fh", INST_MAIL_SENDGRID, "http://h", NULL,
         "SG.x/y", NULL, INST_MAIL_TLS_TRY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct inst_mail_config config;
        struct inst_err err = {0};
        if (inst_mail_config_read(cases[i].text, &config, &err) != INST_OK)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_int_equal(config.kind, cases[i].kind);
        assert_int_equal(config.tls, cases[i].tls);
        assert_string_equal(config.url, cases[i].url);
        assert_string_equal(config.from, "a@b.de");
        const char *got[] = {config.user, config.secret, config.name};
        const char *wanted[] = {cases[i].user, cases[i].secret, cases[i].name};
        for (int k = 0; k < 3; k++) {
            if (wanted[k])
                assert_string_equal(got[k], wanted[k]);
            else
                assert_null(got[k]);
        }
        inst_mail_config_clear(&config);
    }
}

static void bad_words(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "http://h?from=a@b.de",
        "smtp://h",
        "smtp://?from=a@b.de",
        "smtp://h?from=a",
        "smtp://h?from=a@b.de%0aBcc:x",
        "smtp://h?from=a@b.de%3E",
        "smtp://h?from=a@b.de&from=c@d.de",
        "smtp://h?from=a@b.de&x=1",
        "smtp://h?from=",
        "smtp://h/x?from=a@b.de",
        "smtp://s3cret%zz@h?from=a@b.de",
        "smtp://h?from=a@b.de&tls=maybe",
        "smtps://h?from=a@b.de&tls=no",
        "smtp://h?from=a@b.de&api=http://x",
        "postmark://?from=a@b.de",
        "postmark://s3cret?from=nobody",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct inst_mail_config config;
        struct inst_err err = {0};
        if (inst_mail_config_read(cases[i], &config, &err) != INST_FAILED)
            fail_msg("%s", cases[i]);
        assert_string_equal(err.type, "param-malformed");
        assert_null(strstr(err.message, "s3cret"));
        assert_null(config.secret);
        inst_err_clear(&err);
    }
}

static struct inst_mail_config config = {.kind = INST_MAIL_SMTP, .from = "app@b.de", .name = "Op"};

static char *written(const struct inst_outgoing_mail *mail) {
    struct inst_buf out;
    size_t len;
    inst_buf_init(&out);
    inst_mail_write(&out, &config, mail, "id-1", 1700000000000);
    char *text = inst_buf_take(&out, &len);
    assert_int_equal(strlen(text), len);
    return text;
}

/* No line is longer than a mail's may be, and each ends as it must. */
static void check_lines(const char *text) {
    while (*text) {
        size_t len = strcspn(text, "\r\n");
        assert_in_range(len, 0, 998);
        assert_memory_equal(text + len, "\r\n", 2);
        text += len + 2;
    }
}

static void a_message(void **state) {
    (void)state;
    struct inst_outgoing_mail mail = {.to = "ann@x.org",
                                      .sender_name = "My \"App\"",
                                      .subject = "123456 is it",
                                      .html = "<p>Hello &#252;</p>",
                                      .text = "Hello\n"};
    char *text = written(&mail);
    assert_string_equal(
        text, "From: \"My \\\"App\\\"\" <app@b.de>\r\nTo: <ann@x.org>\r\n"
              "Subject: 123456 is it\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
              "Message-ID: <id-1@b.de>\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n"
              "Content-Type: multipart/alternative; boundary=\"id-1\"\r\n\r\n"
              "--id-1\r\nContent-Type: text/plain; charset=utf-8\r\n"
              "Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8K\r\n"
              "--id-1\r\nContent-Type: text/html; charset=utf-8\r\n"
              "Content-Transfer-Encoding: base64\r\n\r\nPHA+SGVsbG8gJiMyNTI7PC9wPg==\r\n"
              "--id-1--\r\n");
    free(text);
}

/* What an app's owner writes cannot become another head, nor break a line. */
static void wicked_words(void **state) {
    (void)state;
    char subject[3001], html[5001];
    memset(subject, 'x', 3000);
    subject[3000] = '\0';
    for (int i = 0; i < 2990; i += 100)
        memcpy(subject + i, "\xc3\xa4\xe2\x82\xac", 5);
    memset(html, 'y', 5000);
    html[5000] = '\0';
    const char *const subjects[] = {
        "a\r\nBcc: evil@x.org", "\n\n<script>", "=?UTF-8?B?eA==?=", "\xff\xfe broken", subject, ""};
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        struct inst_outgoing_mail mail = {.to = "ann@x.org",
                                          .sender_name = subjects[i],
                                          .subject = subjects[i],
                                          .html = html,
                                          .text = subjects[i]};
        char *text = written(&mail);
        check_lines(text);
        assert_null(strstr(text, "Bcc"));
        assert_null(strstr(text, "<script>"));
        assert_true(i == 4 || strstr(text, "=?UTF-8?B?eA==?=") == NULL);
        free(text);
    }
}

static void as_json(void **state) {
    (void)state;
    struct inst_outgoing_mail mail = {
        .to = "ann@x.org", .subject = "S \"1\"", .html = "<p>", .text = "T\n"};
    struct inst_buf out;
    inst_buf_init(&out);
    config.kind = INST_MAIL_POSTMARK;
    inst_mail_write_json(&out, &config, &mail);
    assert_string_equal(out.data, "{\"From\":\"\\\"Op\\\" <app@b.de>\",\"To\":\"ann@x.org\","
                                  "\"Subject\":\"S \\\"1\\\"\",\"HtmlBody\":\"<p>\","
                                  "\"TextBody\":\"T\\n\",\"MessageStream\":\"outbound\"}");
    inst_buf_clear(&out);
    config.kind = INST_MAIL_SENDGRID;
    inst_mail_write_json(&out, &config, &mail);
    assert_string_equal(out.data,
                        "{\"personalizations\":[{\"to\":[{\"email\":\"ann@x.org\"}]}],\"from\":{"
                        "\"email\":\"app@b.de\",\"name\":\"Op\"},\"subject\":\"S \\\"1\\\"\","
                        "\"content\":[{\"type\":\"text/plain\",\"value\":\"T\\n\"},{\"type\":"
                        "\"text/html\",\"value\":\"<p>\"}]}");
    config.kind = INST_MAIL_SMTP;
    inst_buf_free(&out);
}

static void addresses(void **state) {
    (void)state;
    assert_true(inst_mail_is_address("a.b+c@d-e.org"));
    static const char *const bad[] = {"",      "a",     "@b",          "a@",
                                      "a@b@c", "a b@c", "a@b\r\nRCPT", "<a@b>",
                                      "a@b,c", "a@b;c", "\"a\"@b",     "\xc3\xa4@b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(inst_mail_is_address(bad[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_words),   cmocka_unit_test(bad_words), cmocka_unit_test(a_message),
        cmocka_unit_test(wicked_words), cmocka_unit_test(as_json),   cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
