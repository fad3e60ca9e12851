/*
 * origins.h - where an app's sign-ins may lead, and which pages may ask for tokens (http.md 9.2).
 *
 *     note "redirect-origins": [{"id","service","params":[...],"created_at"}]
 *
 *     generic        ["example.com:3000"]       that host and port
 *     netlify        ["site"]                   site.netlify.app, x--site.netlify.app or .live
 *     vercel         ["vercel.app","project"]   project.vercel.app, project-x.vercel.app
 *     custom-scheme  ["myapp"]                  myapp:...
 *
 * Stricter than the original where that lets others in: only http and https pages match a host
 * (`javascript://example.com/...` is no page of it), and an address that programs read in different
 * ways (user names, backslashes, blanks, bytes that are not ASCII) matches nothing.
 */
#ifndef INST_SERVER_ORIGINS_H
#define INST_SERVER_ORIGINS_H

#include "server/engine.h"

#define INST_ORIGINS_MAX 1000 /* of one app */
#define INST_ORIGIN_MAX_PARAM 255

/* The note's array, on server->scratch; empty when there is none. */
enum inst_status inst_origins_list(struct inst_app *app, struct inst_value *out,
                                   struct inst_err *err);
/* Adds one and gives it. err: `validation-failed` of an origin-request. */
enum inst_status inst_origins_add(struct inst_app *app, const char *service,
                                  const struct inst_value *params, struct inst_value *out,
                                  struct inst_err *err);
/* Takes the one of that id out and gives it. err: `record-not-found`. */
enum inst_status inst_origins_remove(struct inst_app *app, const char *id, struct inst_value *out,
                                     struct inst_err *err);
/* Is the address, or the Origin of a page, one of the list's? */
bool inst_origins_allow(const struct inst_value *list, const char *url);
/* A scheme that belongs to nobody's app; in lower case. */
bool inst_origin_is_registered(const char *scheme);

#endif
