/*
 * app_settings.h - what an app has beside data, schema and rules, as a backup's config.json carries
 * it (http.md 12.2): `webhooks`, `emailTemplates`, `authorizedRedirectOrigins`.
 */
#ifndef INST_SERVER_APP_SETTINGS_H
#define INST_SERVER_APP_SETTINGS_H

#include "base/buf.h"
#include "server/engine.h"

/* `"webhooks":[...],...`: members without braces. Resets server->scratch. */
enum inst_status inst_settings_write(struct inst_app *app, struct inst_buf *out,
                                     struct inst_err *err);

typedef void inst_settings_problem_fn(void *ctx, const char *message);
/* Takes in what config has, again where it was taken in before; webhooks come disabled, a template
 * without its sender. What cannot be taken is told and left out. No group is open; resets
 * server->scratch. */
enum inst_status inst_settings_read(struct inst_app *app, const struct inst_value *config,
                                    inst_settings_problem_fn *problem, void *ctx,
                                    struct inst_err *err);

#endif
