/*
 * crash_vfs.h - a disk in memory that forgets what was not synced.
 *
 *     xWrite ──> now (what the process reads) ── and a list of pending writes
 *     xSync  ──> pending writes go to disk, in order
 *     crash  ──> of every pending write each 512-byte sector goes to disk or is lost, by the seed;
 *                then now = disk, and every open handle is dead
 *
 *     running ── crash, or the N-th sync ──> down (everything fails) ── restart ──> running
 *
 * It is a SQLite VFS of its own name, with locks but without shared memory, so WAL works only under
 * locking_mode=EXCLUSIVE. A file that was never synced may be missing after a crash; a
 * deletion may be undone until the folder is synced: by a deletion that asks for it, or, as SQLite
 * does on real disks, by the first sync of a new journal or log. Bytes that were not written stay
 * whole (power-safe overwrite, as SQLite assumes of real disks). The same seed and the same calls
 * give the same losses. One thread.
 */
#ifndef INST_TESTS_CRASH_VFS_H
#define INST_TESTS_CRASH_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crash_vfs;

/* Registers a VFS with an empty disk; NULL when out of memory. Owned by the caller. */
struct crash_vfs *crash_vfs_new(uint64_t seed);
/* Every database on it must have been closed. NULL is fine. */
void crash_vfs_free(struct crash_vfs *vfs);
/* The name to open databases with; lives as long as the VFS. */
const char *crash_vfs_name(const struct crash_vfs *vfs);

/* The machine stops now. No effect while it is down. */
void crash_vfs_crash(struct crash_vfs *vfs);
/* It stops in the n-th sync from now (1: the next), of which some part may reach the disk; 0: no
 * longer. */
void crash_vfs_crash_at_sync(struct crash_vfs *vfs, int n);
bool crash_vfs_is_down(const struct crash_vfs *vfs);
/* The machine runs again with what is on its disk. No effect while it runs. */
void crash_vfs_restart(struct crash_vfs *vfs);

/* The n-th sync (write) from now fails once with an I/O error and the machine goes on; what was
 * pending at a failed sync may never reach the disk, even if a later sync succeeds. 0: none. */
void crash_vfs_fail_at_sync(struct crash_vfs *vfs, int n);
void crash_vfs_fail_at_write(struct crash_vfs *vfs, int n);
/* The disk holds no more than this many bytes; a write past it fails as on a full disk. 0: no
 * limit. */
void crash_vfs_set_room(struct crash_vfs *vfs, size_t bytes);
/* Bytes on the disk as the process sees it; syncs so far. */
size_t crash_vfs_used(const struct crash_vfs *vfs);
uint64_t crash_vfs_syncs(const struct crash_vfs *vfs);

#endif
