/*
 * edit.h - the line at the prompt, by libedit, which is loaded when a terminal asks for it.
 *
 * Lua module `instant.host.edit`, for lua/instant/repl.lua:
 *     open(on_line, complete) -> true, or nil and why not
 *         on_line(text or nil at the end) is called from read(); complete(word) gives a list
 *     prompt(text)      what stands in front of the line from now on
 *     read()            takes what the terminal has
 *     above(text)       prints above the prompt
 *     load(path), save(path), add(line)    history
 *     close()           gives the terminal back
 */
#ifndef INST_HOST_EDIT_H
#define INST_HOST_EDIT_H

#include <lua.h>

int inst_host_open_edit(lua_State *L);

#endif
