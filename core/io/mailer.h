/*
 * mailer.h - sends mail as the operator said (mail.h), by libcurl, a few at a time; the others wait
 * in order. One try each: whoever waits for a code asks for another one.
 */
#ifndef INST_IO_MAILER_H
#define INST_IO_MAILER_H

#include "io/loop.h"
#include "server/outgoing.h"

#define INST_MAILER_AT_ONCE 4
#define INST_MAILER_MAX_WAITING 1000
#define INST_MAILER_TIMEOUT_MS 30000

struct inst_mailer;

/* how: as in mail.h. */
enum inst_status inst_mailer_new(struct inst_loop *loop, const char *how, struct inst_mailer **out,
                                 struct inst_err *err);
/* What waits is not sent any more, and nobody is called. NULL is fine. */
void inst_mailer_free(struct inst_mailer *mailer);
/* done as of struct inst_outgoing_ops. err: "email-send-failed" when too many wait, or the address
 * is none that mail can go to. */
enum inst_status inst_mailer_send(struct inst_mailer *mailer, const struct inst_outgoing_mail *mail,
                                  inst_outgoing_done_fn *done, void *done_ctx,
                                  struct inst_err *err);

#endif
