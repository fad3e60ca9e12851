/*
 * app_json.h - an app as clients that manage apps see it, and as they ask for one (http.md 8.2).
 */
#ifndef INST_SERVER_APP_JSON_H
#define INST_SERVER_APP_JSON_H

#include "server/engine.h"

/* `,"name":"2026-01-02T03:04:05Z"`: seconds are all that is told (http.md 1.1). */
void inst_write_time(struct inst_buf *buf, const char *name, int64_t ms);

/* The app without its closing brace. token NULL: only who made the app has it. */
void inst_app_json_begin(struct inst_buf *buf, const struct inst_app_info *info, const char *token);

/* Body member `title`, on server->scratch. */
enum inst_status inst_app_read_title(struct inst_server *server, const struct inst_value *body,
                                     const char **out, struct inst_err *err);
/* Makes what the body asks for (title, schema, rules) under the id and with the expiry of info,
 * whose title and time are filled in. The rules are judged before there is an app. */
enum inst_status inst_app_make_asked(struct inst_server *server, const struct inst_value *body,
                                     struct inst_app_info *info, const char *token,
                                     struct inst_err *err);

#endif
