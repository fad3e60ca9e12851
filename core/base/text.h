/*
 * text.h - UTF-8 with JavaScript's UTF-16 view of it.
 *
 * Strings are UTF-8 in which a lone surrogate stands as its three-byte form (ED A0..BF xx).
 */
#ifndef INST_BASE_TEXT_H
#define INST_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at *pos (which must be < len) and moves *pos behind it. Lone surrogates come out
 * as themselves (0xD800..0xDFFF); a broken byte comes out as U+FFFD. */
uint32_t inst_text_next(const char *str, size_t len, size_t *pos);
/* Writes one code point (surrogates allowed), returns 1..4. */
size_t inst_text_put(char *out, uint32_t code_point);
/* Strict UTF-8 (no surrogates, no overlong forms)? */
bool inst_text_is_utf8(const char *str, size_t len);
/* Length in UTF-16 code units. */
size_t inst_text_utf16_len(const char *str, size_t len);
/* JavaScript's < on strings: by UTF-16 code unit. <0, 0, >0. */
int inst_text_cmp_utf16(const char *a, size_t a_len, const char *b, size_t b_len);
/* Calls back once per UTF-16 code unit. */
typedef void inst_text_unit_fn(void *ctx, uint16_t unit);
void inst_text_each_unit(const char *str, size_t len, inst_text_unit_fn *fn, void *ctx);
/* 64-bit hash for tables; seeded, so that keys from outside cannot be chosen to collide. */
uint64_t inst_text_hash(const void *bytes, size_t len, uint64_t seed);

#endif
