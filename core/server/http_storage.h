/*
 * http_storage.h - what the routes of files share. Only for http_storage.c and http_upload.c.
 */
#ifndef INST_SERVER_HTTP_STORAGE_H
#define INST_SERVER_HTTP_STORAGE_H

#include "server/files.h"
#include "server/http_routes.h"

/* A copy without white space around it; NULL when out of memory. */
const char *inst_storage_trim(const char *text, struct inst_arena *arena);
/* A path as it counts: trimmed, not blank, no control characters, not too long. text NULL: missing.
 * in: where it stood, for the error. Paths are names in the app's data and never files of this
 * machine: `..` and `/` mean nothing in them. */
enum inst_status inst_storage_path(const char *text, const char *const *in, size_t in_len,
                                   struct inst_arena *arena, const char **out,
                                   struct inst_err *err);
/* The member "app_id" and the trimmed path "filename" of a body. */
enum inst_status inst_storage_body(struct inst_server *server,
                                   const struct inst_http_request *request, bool has_app,
                                   char app_id[INST_UUID_TEXT + 1], const char **path,
                                   struct inst_err *err);

/* Whoever shows a refresh token; one that is unknown is nobody's (http.md 5.1). An app that is not
 * there has no rules either: it denies in the same words. */
enum inst_status inst_storage_user(struct inst_server *server,
                                   const struct inst_http_request *request, const char *app_id,
                                   struct inst_files_viewer *viewer, struct inst_err *err);

#endif
