/*
 * file_keep.h - bytes of the engine on their way to a location: a stream's flush.
 *
 *     keep ── a worker thread writes, syncs and links them ── kept(err), from the loop
 */
#ifndef INST_IO_FILE_KEEP_H
#define INST_IO_FILE_KEEP_H

#include "io/file_store.h"
#include "io/loop.h"
#include "server/server.h"

struct inst_file_keeper;

/* Borrows both. */
enum inst_status inst_file_keeper_new(struct inst_loop *loop, struct inst_file_store *store,
                                      struct inst_file_keeper **out, struct inst_err *err);
/* bytes are taken in any case. INST_OK: kept is called once, from the loop. */
enum inst_status inst_file_keeper_add(struct inst_file_keeper *keeper, const char *app,
                                      const char *location, char *bytes_take, size_t len,
                                      inst_files_kept_fn *kept, void *ctx, struct inst_err *err);
/* Waits for what is on its way and calls back. */
void inst_file_keeper_finish(struct inst_file_keeper *keeper);
/* Finished before. NULL is fine. */
void inst_file_keeper_free(struct inst_file_keeper *keeper);

#endif
