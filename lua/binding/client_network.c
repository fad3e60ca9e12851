/* client_network.c - what the program knows of the network. */
#include "client.h"

/* set_online(is_online) */
static int client_set_online(lua_State *L) {
    struct inst_lua_client *client = inst_lua_check_client(L);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    struct inst_lua_scope scope = inst_lua_begin(client->lua, L);
    inst_client_set_online(client->client, lua_toboolean(L, 2));
    inst_lua_end(client->lua, scope);
    return 0;
}

void inst_lua_add_network(lua_State *L) {
    lua_pushcfunction(L, client_set_online);
    lua_setfield(L, -2, "set_online");
}
