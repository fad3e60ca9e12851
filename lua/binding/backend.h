/*
 * backend.h - the backend of a local file. Only for backend.c and backend_files.c.
 */
#ifndef INST_LUA_BACKEND_H
#define INST_LUA_BACKEND_H

#include "context.h"

#include "server/http.h"

#define INST_LUA_MAX_FIELDS 100

/* The backend at index 1; raises when it was closed. */
struct inst_local_backend *inst_lua_check_backend(lua_State *L);
/* Arguments method, path, query, header fields, from index 2 on; borrowed from the stack. */
void inst_lua_read_request(lua_State *L, struct inst_http_request *out,
                           struct inst_http_field fields[INST_LUA_MAX_FIELDS]);
/* Pushes {status, body, headers} of a response. May raise. */
void inst_lua_push_response(lua_State *L, const struct inst_http_response *response);

/* ---- backend_later.c ---- */
/* Waits for the answer and gives it to the function at index fn, as {status, body, headers}. false:
 * out of memory. */
bool inst_lua_later_new(lua_State *L, struct inst_local_backend *backend, struct inst_later *later,
                        int fn);

/* ---- backend_files.c ---- */
/* Puts the content that the response names into the table on top: `content`. */
void inst_lua_push_content(lua_State *L, struct inst_local_backend *backend,
                           const struct inst_http_response *response);
int inst_lua_backend_upload(lua_State *L);
/* The metatables. */
void inst_lua_open_backend_files(lua_State *L);

#endif
