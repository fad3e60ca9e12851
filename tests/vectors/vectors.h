/*
 * vectors.h - the vector runner: one line of a *.jsonl file is one case.
 *
 *     DIR/instaql.jsonl ──line──> inst_value ──> handler of "instaql" ──> vec_fail()? or passed
 *     DIR/data/<name>.json, DIR/<name>.json      loaded once, on first use, by vec_file()
 *
 * A handler is one function in <name>_vectors.c and one row of the table in main.c: the row names
 * the file it serves (with `-` as `_`), tests/vectors/CMakeLists.txt names the floor it needs. A
 * case has passed when its handler returns without having called vec_fail or a vec_expect_ that
 * failed; more than one failure still counts as one failed case. Memory of a case comes from its
 * arena and needs no freeing; whatever else a handler takes it gives back before it returns.
 *
 * Output, one line a file and one a failure:
 *
 *     FAIL dates.jsonl:12 "zoned/12": ms
 *       expected: 1735689600000
 *       actual:   null
 *       differs at byte 0
 *     dates.jsonl: 223 passed, 1 failed
 *     not run: cel.jsonl: no handler yet
 *     223 passed, 1 failed
 *
 * The last line is always `N passed, M failed`; the exit code is 0 when M is 0.
 */
#ifndef INST_TESTS_VECTORS_H
#define INST_TESTS_VECTORS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>

struct vec_run; /* the whole run: directory, loaded files, counts */

struct vec_case {
    struct vec_run *run;
    struct inst_arena *arena;      /* freed after the case */
    const struct inst_value *line; /* OBJECT: the whole line */
    const char *file;              /* "dates.jsonl" */
    size_t line_no;                /* from 1 */
    const char *name;              /* member "name", NUL-terminated; "" when there is none */
    bool has_failed;
    const char *skipped; /* why it was not run, a literal; NULL: it was */
};

typedef void vec_handler_fn(struct vec_case *c);

/* ---- failing ---- */

/* Prints the failure of this case with its name. */
void vec_fail(struct vec_case *c, const char *fmt, ...) INST_PRINTF(2, 3);
/* The two texts are the same bytes; else the failure shows both and where they part. `what` says
 * what was compared. */
bool vec_expect_text(struct vec_case *c, const char *what, const char *expected,
                     size_t expected_len, const char *actual, size_t actual_len);
/* Both serialise to the same JSON bytes (key order counts). */
bool vec_expect_json(struct vec_case *c, const char *what, const struct inst_value *expected,
                     const struct inst_value *actual);
/* Structurally equal; key order does not count. */
bool vec_expect_equal(struct vec_case *c, const char *what, const struct inst_value *expected,
                      const struct inst_value *actual);
/* The call succeeded; else fails with the error's message. Clears err. */
bool vec_expect_ok(struct vec_case *c, const char *what, enum inst_status status,
                   struct inst_err *err);

/* ---- input ---- */

/* DIR/<path> as a value that lives until the run ends, e.g. "data/zeneca.attrs.json" or
 * "tx-fixtures.json". NULL, and the case failed, when it is absent or not JSON. */
const struct inst_value *vec_file(struct vec_case *c, const char *path);
/* The fixture of tx-fixtures.json that a STRING names, its member `part` ("schema", "attrs");
 * anything but a STRING is given back as it is (inline), NULL too. */
const struct inst_value *vec_fixture(struct vec_case *c, const struct inst_value *name_or_value,
                                     const char *part);
/* The same for tx-triples.json: a name or an inline list. */
const struct inst_value *vec_triples(struct vec_case *c, const struct inst_value *name_or_value);
/* Replaces every `{"$js": "undefined" | "NaN" | "Infinity" | "-Infinity" | "Date" | "function"}` by
 * the value it stands for; any other kind fails the case. */
struct inst_value vec_js(struct vec_case *c, const struct inst_value *v);
/* Member of the line; a static UNDEFINED when absent. */
const struct inst_value *vec_get(const struct vec_case *c, const char *key);

#endif
