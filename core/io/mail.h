/*
 * mail.h - how the operator has mail sent, and the bytes of a mail. No I/O.
 *
 *     smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS     STARTTLS when the server offers it, and
 *                                                     required where a password would go in clear
 *     smtps://USER:PASSWORD@HOST:PORT?from=ADDRESS    TLS from the start
 *     postmark://TOKEN?from=ADDRESS                   HTTP providers
 *     sendgrid://TOKEN?from=ADDRESS
 *
 *     &name=NAME     the sender's, when an app does not say (none)
 *     &tls=no        smtp: never asks for TLS; &tls=required: never without
 *     &api=URL       of an HTTP provider, instead of its own
 *
 * User, password, token and parameters are percent-decoded. Errors never show them.
 */
#ifndef INST_IO_MAIL_H
#define INST_IO_MAIL_H

#include "base/buf.h"
#include "base/env.h"
#include "server/outgoing.h"

enum inst_mail_kind { INST_MAIL_SMTP, INST_MAIL_POSTMARK, INST_MAIL_SENDGRID };
enum inst_mail_tls { INST_MAIL_TLS_TRY, INST_MAIL_TLS_NO, INST_MAIL_TLS_REQUIRED };

/* Texts are owned. */
struct inst_mail_config {
    enum inst_mail_kind kind;
    enum inst_mail_tls tls;
    char *url;           /* of the SMTP server or the API, without user and password */
    char *user, *secret; /* secret: the password, or the token; NULL: none */
    char *from, *name;   /* name: NULL: none */
};

/* err: "param-malformed", one sentence without the secret. */
enum inst_status inst_mail_config_read(const char *text, struct inst_mail_config *out,
                                       struct inst_err *err);
/* One address that can stand in an envelope and a head as it is. */
bool inst_mail_is_address(const char *text);
void inst_mail_config_clear(struct inst_mail_config *config); /* wiped */

/* The whole message as SMTP carries it (RFC 5322, both parts in base64). id: of Message-ID. */
void inst_mail_write(struct inst_buf *out, const struct inst_mail_config *config,
                     const struct inst_outgoing_mail *mail, const char *id, int64_t now_ms);
/* The same as the provider's API wants it, in JSON. */
void inst_mail_write_json(struct inst_buf *out, const struct inst_mail_config *config,
                          const struct inst_outgoing_mail *mail);

#endif
