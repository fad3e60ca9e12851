#include "s3.h"

static const char *field_of(lua_State *L, int table, const char *name) {
    lua_getfield(L, table, name);
    return luaL_optstring(L, -1, NULL);
}

bool inst_lua_s3_option(lua_State *L, struct inst_s3_config *s3) {
    lua_getfield(L, 1, "s3");
    if (lua_isnil(L, -1))
        return false;
    luaL_checktype(L, -1, LUA_TTABLE);
    int table = lua_gettop(L);
    *s3 = (struct inst_s3_config){.endpoint = field_of(L, table, "endpoint"),
                                  .bucket = field_of(L, table, "bucket"),
                                  .region = field_of(L, table, "region"),
                                  .access_key = field_of(L, table, "accessKey"),
                                  .secret_key = field_of(L, table, "secretKey"),
                                  .ca_file = field_of(L, table, "caFile")};
    return true;
}
