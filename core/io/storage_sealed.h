/*
 * storage_sealed.h - a storage in front of another one, which keeps the signed-in user's record,
 * with its token, out of it.
 *
 *     reactor ── kv.currentUser ──> sealed ── the text ────> a vault: the keychain where it
 * answers, │                      else a file (AES-256-GCM), its key beside └── a note where ────>
 * storage: {"keptIn":"keychain","name":...} reactor ── all else
 * ───────────────────────────────────> storage
 *
 * The note decides. It names the one vault that holds the user, so no other one is asked at the
 * next start: a keychain that does not answer then, an altered file or a lost key are errors, never
 * "nobody is signed in". Without a note nobody is. A record in plain text, as earlier versions kept
 * it, is moved when the storage is opened, and removed.
 *
 * A keychain that goes while the program runs is replaced by the file, with a warning. When that
 * cannot be used either, the user is known in memory only, with a warning that says so.
 */
#ifndef INST_IO_STORAGE_SEALED_H
#define INST_IO_STORAGE_SEALED_H

#include "io/storage.h"
#include "io/vault.h"

/* inner is taken, also by a failure. Reads the user, for which a keychain may ask its own user. */
enum inst_status inst_storage_seal(struct inst_storage *inner, const char *app_id,
                                   struct inst_storage **out, struct inst_err *err);

/* For a vault of the program's own, which holds the user from now on: moves what the storage knows
 * of the user there, under this name, unless the vault has one; the storage knows nothing after it.
 */
enum inst_status inst_storage_move_user(struct inst_storage *storage, struct inst_vault *vault,
                                        const char *name, struct inst_err *err);

#endif
