/*
 * backend.h - the backend engine on this machine: its data files, its turn, its connections.
 *
 *     inst_backend ── inst_server (the engine) ── inst_apps (SQLite)
 *          │ turn hook: inst_server_turn, once a poll brings nothing new
 *          └ engine's send(connection) -> connection->ops->send
 *
 * While messages keep coming, polls that do not wait collect them, for at most
 * INST_BACKEND_GATHER_MS: writers that answer each other's commits share the next one instead of
 * taking turns in two halves.
 *
 * Whatever carries a session (a WebSocket, the in-process pipe) begins its struct with an
 * inst_connection. A backend is shared by all of them, so several ways in see one set of apps.
 */
#ifndef INST_IO_BACKEND_H
#define INST_IO_BACKEND_H

#include "base/err.h"
#include "base/shared.h"
#include "io/file_store.h"
#include "io/loop.h"
#include "io/s3.h"
#include "server/http.h"
#include "server/server.h"

#include <stdbool.h>

#define INST_BACKEND_GATHER_MS 2
/* When contents that nobody needs are looked for: so long after opening, then once a day; in
 * between, so long a pause after each slice. */
#define INST_BACKEND_SWEEP_FIRST_MS (10ll * 60 * 1000)
#define INST_BACKEND_SWEEP_EVERY_MS (24ll * 60 * 60 * 1000)
#define INST_BACKEND_SWEEP_PAUSE_MS 20
/* When apps are opened that may have something to do from before the start, one after the other. */
#define INST_BACKEND_RESUME_FIRST_MS 100
#define INST_BACKEND_RESUME_PAUSE_MS 5
/* How often it is looked for apps whose time is over. */
#define INST_BACKEND_EXPIRE_MS (60ll * 60 * 1000)

struct inst_connection;

struct inst_connection_ops {
    /* Takes its own reference if it keeps the bytes. */
    void (*send)(struct inst_connection *connection, struct inst_shared *message);
    /* Close soon, then inst_session_close. Not from inside this call. */
    void (*close)(struct inst_connection *connection);
    /* Bytes that were sent and have not left yet; whoever has this calls inst_session_drained when
     * there are none any more. NULL: what is long is sent in one go. */
    size_t (*backlog)(struct inst_connection *connection);
};

struct inst_connection {
    const struct inst_connection_ops *ops;
};

struct inst_app_backups;
struct inst_apps;
struct inst_backend;

/* Opens a data directory with its apps (made when missing), or, with is_file, one app's data file:
 * `local:PATH`. err is one sentence that names the path. */
enum inst_status inst_backend_open(struct inst_loop *loop, const char *path, bool is_file,
                                   struct inst_backend **out, struct inst_err *err);
struct inst_server *inst_backend_server(struct inst_backend *backend);
struct inst_apps *inst_backend_apps(struct inst_backend *backend);
struct inst_loop *inst_backend_loop(struct inst_backend *backend);
/* The id of the app of a file backend; a file without one gets it when it is first used. */
const char *inst_backend_app_id(struct inst_backend *backend);
/* Calls back for every app, oldest first. */
enum inst_status inst_backend_each_app(struct inst_backend *backend,
                                       void (*fn)(void *ctx, const struct inst_app_info *info),
                                       void *ctx, struct inst_err *err);
/* Backups of single apps (app_backups.h); NULL: of a file there are none. */
struct inst_app_backups *inst_backend_app_backups(struct inst_backend *backend);
/* Where contents of files are: `files` in the data directory, `PATH-files` beside one data file, a
 * temporary folder for ":memory:". */
struct inst_file_store *inst_backend_files(struct inst_backend *backend);
/* Opens the content that a response names; the caller closes *fd. err says why there is none. */
enum inst_status inst_backend_open_content(struct inst_backend *backend,
                                           const struct inst_http_file *file, int *fd,
                                           uint64_t *size, struct inst_err *err);
/* Contents of files go to a bucket from now on (s3.h); those that are here stay. */
enum inst_status inst_backend_use_s3(struct inst_backend *backend,
                                     const struct inst_s3_config *config, struct inst_err *err);
/* Appends where whoever asks for the content is to be sent; method is GET or HEAD, headers are the
 * response's. false: nowhere, it is here. */
bool inst_backend_locate(struct inst_backend *backend, const struct inst_http_file *file,
                         const char *method, const struct inst_buf *headers, struct inst_buf *out);
/* Where it is reached from outside: what addresses of files begin with. */
enum inst_status inst_backend_set_origin(struct inst_backend *backend, const char *origin,
                                         bool is_guess, struct inst_err *err);
/* May anybody make an app that expires? */
void inst_backend_allow_ephemeral(struct inst_backend *backend, bool is_allowed);
/* Names a host that apps' sign-ins may ask wherever it is (outgoing.h). */
enum inst_status inst_backend_allow_host(struct inst_backend *backend, const char *host,
                                         struct inst_err *err);
/* How it sends mail (mail.h). */
enum inst_status inst_backend_set_mail(struct inst_backend *backend, const char *how,
                                       struct inst_err *err);
/* Commits, closes the files. Every connection must have been closed. NULL is fine. */
void inst_backend_close(struct inst_backend *backend);

#endif
