/*
 * embedded.h - the Lua files inside the program: modules by their name, subcommands by theirs.
 * Written by embed.cmake.
 */
#ifndef INST_HOST_EMBEDDED_H
#define INST_HOST_EMBEDDED_H

#include <stddef.h>

struct inst_embedded {
    const char *name; /* NULL ends the list */
    const unsigned char *bytes;
    size_t len;
};

extern const struct inst_embedded inst_embedded_modules[];
extern const struct inst_embedded inst_embedded_scripts[];

#endif
