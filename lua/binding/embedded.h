/*
 * embedded.h - the Lua files inside the program: modules by their name, subcommands by theirs.
 * Written by embed.cmake; inst_script_modules is what every sandbox of scripts starts with.
 */
#ifndef INST_LUA_EMBEDDED_H
#define INST_LUA_EMBEDDED_H

#include <stddef.h>

struct inst_embedded {
    const char *name; /* NULL ends the list */
    const unsigned char *bytes;
    size_t len;
};

extern const struct inst_embedded inst_embedded_modules[];
extern const struct inst_embedded inst_embedded_scripts[];
extern const struct inst_embedded inst_script_modules[];

#endif
