/*
 * uuid.h - parse, print, make.
 */
#ifndef INST_BASE_UUID_H
#define INST_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INST_UUID_TEXT 36

struct inst_env;

struct inst_uuid {
    uint8_t bytes[16];
};

/* 8-4-4-4-12 hex digits, any case, any version. */
bool inst_uuid_parse(const char *text, size_t len, struct inst_uuid *out);
/* Lower case; writes 36 characters and a NUL. */
void inst_uuid_print(const struct inst_uuid *uuid, char out[INST_UUID_TEXT + 1]);
/* Version 4 from the environment's randomness. */
void inst_uuid_make(const struct inst_env *env, struct inst_uuid *out);
void inst_uuid_make_text(const struct inst_env *env, char out[INST_UUID_TEXT + 1]);
/* The client's validator: version 1-8 and variant 8-b, any case, or the nil or max uuid
 * (transactions.md 6). */
bool inst_uuid_is_valid_v(const char *text, size_t len);

#endif
