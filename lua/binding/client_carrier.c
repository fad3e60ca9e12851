/*
 * client_carrier.c - connections that Lua carries (io/carrier.h): nginx's cosockets.
 *
 *     driver ── connect, send, close ──> fn(op, link[, bytes])     lua/instant/nginx.lua
 *               <── link:opened(), link:message(bytes), link:sent(n), link:closed(why)
 *
 * fn only notes what is asked: it is called from inside the loop. The methods of a link give false
 * when nobody wants to hear of it any more.
 */
#include "client.h"

#include <stdlib.h>

#define LINK "instant.link"

struct inst_lua_carrier {
    struct inst_carrier base;
    struct inst_lua *lua;
    int ref;
    bool is_muted;
};

struct link {
    struct inst_transport base;
    struct inst_lua_carrier *carrier;
    struct link **box; /* the userdata, which `self` keeps */
    int self;
    size_t queued; /* bytes not reported as sent */
};

/* ---- asking ---- */

struct asked {
    const char *op;
    int self;
    const char *bytes; /* NULL: none */
    size_t len;
};

static int push_asked(lua_State *L, const void *ctx) {
    const struct asked *asked = ctx;
    lua_pushstring(L, asked->op);
    lua_rawgeti(L, LUA_REGISTRYINDEX, asked->self);
    if (!asked->bytes)
        return 2;
    lua_pushlstring(L, asked->bytes, asked->len);
    return 3;
}

static void ask(struct link *link, const char *op, const char *bytes, size_t len) {
    struct asked asked = {op, link->self, bytes, len};
    if (!link->carrier->is_muted)
        inst_lua_call(link->carrier->lua, link->carrier->ref, push_asked, &asked);
}

static bool link_send(struct inst_transport *transport, const char *bytes, size_t len) {
    struct link *link = (struct link *)transport;
    link->queued += len;
    ask(link, "send", bytes, len);
    return true;
}

static size_t link_queued(const struct inst_transport *transport) {
    return ((const struct link *)transport)->queued;
}

static void link_close(struct inst_transport *transport) {
    struct link *link = (struct link *)transport;
    *link->box = NULL;
    ask(link, "close", NULL, 0);
    if (!link->carrier->is_muted)
        luaL_unref(link->carrier->lua->current, LUA_REGISTRYINDEX, link->self);
    free(link);
}

static const struct inst_transport_ops link_ops = {link_send, link_queued, link_close};

static int make_box(lua_State *L) {
    struct link *link = lua_touserdata(L, 1);
    struct link **box = inst_newuserdata(L, sizeof *box);
    *box = link;
    luaL_getmetatable(L, LINK);
    lua_setmetatable(L, -2);
    link->self = luaL_ref(L, LUA_REGISTRYINDEX);
    link->box = box;
    return 0;
}

static enum inst_status carrier_connect(struct inst_carrier *base,
                                        const struct inst_transport_events *events,
                                        struct inst_transport **out, struct inst_err *err) {
    struct inst_lua_carrier *carrier = (struct inst_lua_carrier *)base;
    lua_State *L = carrier->lua->current;
    struct link *link = calloc(1, sizeof *link);
    if (!link || !lua_checkstack(L, 8)) {
        free(link);
        return inst_err_nomem(err);
    }
    link->base = (struct inst_transport){.ops = &link_ops, .events = *events};
    link->carrier = carrier;
    lua_pushcfunction(L, make_box);
    lua_pushlightuserdata(L, link);
    if (lua_pcall(L, 1, 0, 0) != 0) {
        lua_pop(L, 1);
        free(link);
        return inst_err_nomem(err);
    }
    *out = &link->base;
    ask(link, "connect", NULL, 0);
    return INST_OK;
}

/* ---- being told ---- */

static struct link *check_link(lua_State *L) {
    struct link **box = luaL_checkudata(L, 1, LINK);
    luaL_checkstack(L, 32, NULL);
    return *box;
}

static int answer(lua_State *L, bool is_wanted) {
    lua_pushboolean(L, is_wanted);
    return 1;
}

static int link_opened(lua_State *L) {
    struct link *link = check_link(L);
    if (!link)
        return answer(L, false);
    struct inst_lua *lua = link->carrier->lua;
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    link->base.events.opened(link->base.events.ctx);
    inst_lua_end(lua, scope);
    return answer(L, true);
}

static int link_message(lua_State *L) {
    struct link *link = check_link(L);
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    if (!link)
        return answer(L, false);
    struct inst_lua *lua = link->carrier->lua;
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    link->base.events.message(link->base.events.ctx, bytes, len);
    inst_lua_end(lua, scope);
    return answer(L, true);
}

static int link_sent(lua_State *L) {
    struct link *link = check_link(L);
    lua_Number count = luaL_checknumber(L, 2);
    luaL_argcheck(L, count >= 0, 2, "bytes, 0 or more");
    if (!link)
        return answer(L, false);
    link->queued = count < (lua_Number)link->queued ? link->queued - (size_t)count : 0;
    if (link->queued == 0)
        link->base.events.drained(link->base.events.ctx);
    return answer(L, true);
}

static int link_closed(lua_State *L) {
    struct link *link = check_link(L);
    const char *why = luaL_optstring(L, 2, "the connection was closed");
    if (!link)
        return answer(L, false);
    struct inst_lua *lua = link->carrier->lua;
    struct inst_lua_scope scope = inst_lua_begin(lua, L);
    link->base.events.closed(link->base.events.ctx, why); /* closes it */
    inst_lua_end(lua, scope);
    return answer(L, true);
}

/* ---- life ---- */

struct inst_lua_carrier *inst_lua_carrier_new(struct inst_lua *lua, int ref) {
    struct inst_lua_carrier *carrier = calloc(1, sizeof *carrier);
    if (!carrier) {
        luaL_unref(lua->current, LUA_REGISTRYINDEX, ref);
        return NULL;
    }
    carrier->base.connect = carrier_connect;
    carrier->lua = lua;
    carrier->ref = ref;
    return carrier;
}

struct inst_carrier *inst_lua_carrier_base(struct inst_lua_carrier *carrier) {
    return &carrier->base;
}

void inst_lua_carrier_free(struct inst_lua_carrier *carrier) {
    if (carrier && !carrier->is_muted)
        luaL_unref(carrier->lua->current, LUA_REGISTRYINDEX, carrier->ref);
    free(carrier);
}

void inst_lua_carrier_mute(struct inst_lua_carrier *carrier) {
    if (carrier)
        carrier->is_muted = true;
}

static int no_gc(lua_State *L) {
    (void)L; /* the registry holds it as long as there is a link */
    return 0;
}

void inst_lua_open_carrier(lua_State *L) {
    static const luaL_Reg methods[] = {{"opened", link_opened},
                                       {"message", link_message},
                                       {"sent", link_sent},
                                       {"closed", link_closed},
                                       {NULL, NULL}};
    inst_lua_class(L, LINK, no_gc, methods);
}
