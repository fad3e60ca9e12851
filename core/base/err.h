/*
 * err.h - what went wrong, as a value.
 *
 * A function that can fail returns an inst_status and takes a `struct inst_err *` last (NULL: the
 * caller does not care). On anything but INST_OK the error holds type, message and, where the wire
 * has one, a hint; on INST_OK it is untouched. The same four fields go over the wire
 * (session.md 2.3) and into Lua's err.type, err.message, err.hint, err.status.
 *
 * The struct owns `message` and `hint`: zero-initialise it, inst_err_clear() when done. Setting an
 * error clears what was there.
 */
#ifndef INST_BASE_ERR_H
#define INST_BASE_ERR_H

enum inst_status {
    INST_OK = 0,
    INST_FAILED = 1, /* err says why */
    INST_NOMEM = 2,  /* err is set too, without allocating */
};

struct inst_err {
    const char *type; /* static string, e.g. "validation-failed"; NULL when not set */
    int status;       /* HTTP status: 400, 500 ... */
    char *message;    /* never NULL once set; owned, unless it is the static out-of-memory text */
    char *hint;       /* owned; JSON text of an object, or NULL */
};

#if defined(__GNUC__)
#define INST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define INST_PRINTF(fmt, args)
#endif

/* Sets type (kept as a pointer: pass a literal), HTTP status and a formatted message.
 * Always returns INST_FAILED, so that `return inst_err_set(...)` reads well. err may be NULL. */
enum inst_status inst_err_set(struct inst_err *err, const char *type, int status, const char *fmt,
                              ...) INST_PRINTF(4, 5);

/* Adds the hint, JSON text of an object; copied. No effect when err is NULL or has no type. */
void inst_err_hint(struct inst_err *err, const char *json);

/* Out of memory: type "out-of-memory", status 500. Returns INST_NOMEM; never allocates. */
enum inst_status inst_err_nomem(struct inst_err *err);

/* Moves src into dst (dst is cleared first); src is left empty. Either may be NULL. */
void inst_err_move(struct inst_err *dst, struct inst_err *src);

void inst_err_clear(struct inst_err *err);

#endif
