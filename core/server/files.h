/*
 * files.h - `$files`: who may do what, the rows, and the addresses of contents (http.md 5).
 *
 *     upload     head of the request ── inst_upload_begin: who, which path ──> struct inst_upload
 *                body ── the host writes it where upload.location says, durably
 *                row ── inst_upload_done ──> `$files` row names the location; committed; answer
 *     download   address ── signature, expiry, row ──> response->file: the host sends the content
 *
 * A row names a location; every upload gets a new one, so an address always means the same bytes.
 * A row that goes only stops naming its location: the host sweeps contents that no row names
 * (inst_server_names_file). An address is good while its row names the location and no longer than
 * INST_FILES_URL_MS: signed over app, location and expiry with the host's key, its expiry is
 * rounded to a day, so that it stays the same between recomputations (http.md 5.3).
 */
#ifndef INST_SERVER_FILES_H
#define INST_SERVER_FILES_H

#include "base/arena.h"
#include "base/value.h"
#include "server/engine.h"
#include "server/http.h"

/* Addresses are good for a week at least, and change when a day (UTC) begins. */
#define INST_FILES_DAY_MS (24ll * 60 * 60 * 1000)
#define INST_FILES_URL_MS (8 * INST_FILES_DAY_MS)

/* ---- who may (permissions.md 7.4) ---- */

struct inst_files_viewer {
    struct inst_app *app; /* NULL: the app is not there, and nothing is allowed */
    struct inst_viewer who;
};

/* May they view, create or delete the file of this path? The rule sees its path only; without a
 * rule for `$files` nobody but an admin may. */
enum inst_status inst_files_check(const struct inst_files_viewer *viewer,
                                  enum inst_rule_action action, const char *path,
                                  struct inst_err *err);

/* ---- rows ---- */

/* What is known of one file, on server->scratch; UNDEFINED or null where there is nothing. */
struct inst_file_row {
    uint32_t e; /* 0: there is no such file */
    char id[INST_UUID_TEXT + 1];
    struct inst_value path, size, content_type, content_disposition, location;
};

/* label: of a unique attr, "path" or "location-id". */
enum inst_status inst_files_find(struct inst_app *app, const char *label, const char *value,
                                 struct inst_file_row *out, struct inst_err *err);
/* Calls back for every file, by path; false stops. */
enum inst_status inst_files_each(struct inst_app *app,
                                 bool (*fn)(void *ctx, const struct inst_file_row *row), void *ctx,
                                 struct inst_err *err);
/* The same with the location of every file that has one; resets server->scratch. */
enum inst_status inst_files_locations(struct inst_app *app,
                                      bool (*fn)(void *ctx, const char *location), void *ctx,
                                      struct inst_err *err);
/* Makes the row of a path, or gives the one that is there a new content. id gets the row's. */
enum inst_status inst_files_put(struct inst_app *app, const struct inst_upload *upload,
                                uint64_t size, char id[INST_UUID_TEXT + 1], struct inst_err *err);
/* Deletes the rows of these paths; ids, with room for all, gets those that were there. */
enum inst_status inst_files_delete(const struct inst_files_viewer *viewer, const char *const *paths,
                                   size_t count, struct inst_value *ids, size_t *id_count,
                                   struct inst_err *err);

/* ---- addresses ---- */

#define INST_FILES_SIGNATURE 64 /* without the NUL */
/* Signs that whoever has this may read the location until then. */
enum inst_status inst_files_sign(struct inst_server *server, const char *app_id,
                                 const char *location, int64_t expires_s,
                                 char out[INST_FILES_SIGNATURE + 1], struct inst_err *err);

/* The address of a location as of now. UNDEFINED when the host keeps no files. */
enum inst_status inst_files_url(struct inst_server *server, const char *app_id,
                                const struct inst_value *location, struct inst_arena *arena,
                                struct inst_value *out, struct inst_err *err);
/* Is the signature this server's, and the address still good? */
enum inst_status inst_files_check_url(struct inst_server *server, const char *app_id,
                                      const char *location, const char *expires,
                                      const char *signature, struct inst_err *err);

#endif
