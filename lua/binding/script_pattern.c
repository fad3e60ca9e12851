#include "compat.h"

#if LUA_VERSION_NUM >= 504

#include "script_pattern.h"

#include "script_sandbox.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define MAX_CAPTURES 32
#define MAX_DEPTH 200
/* Steps of matching that are spent at once, and how many of them are as one of the machine. */
#define SPEND_EVERY 4096u
#define STEPS_EACH 4u

enum { OPEN = -1, POSITION = -2 };

struct capture {
    const char *at;
    ptrdiff_t len; /* or OPEN: it has not ended; POSITION: it is one */
};

struct matcher {
    lua_State *L;
    const char *from, *to; /* the subject */
    const char *end;       /* of the pattern */
    unsigned steps;
    int depth; /* what is left of it */
    int count;
    struct capture captures[MAX_CAPTURES];
};

static const char *match(struct matcher *m, const char *s, const char *p);

static void step(struct matcher *m) {
    if (++m->steps == SPEND_EVERY) {
        m->steps = 0;
        inst_sandbox_spend(m->L, SPEND_EVERY / STEPS_EACH);
    }
}

/* ---- single characters ---- */

/* Behind the class that begins at p. */
static const char *class_end(struct matcher *m, const char *p) {
    char first = *p++;
    if (first == '%') {
        if (p == m->end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (first != '[')
        return p;
    if (p < m->end && *p == '^')
        p++;
    do { /* a ']' that comes first is one of the set */
        if (p == m->end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%') {
            if (p == m->end)
                luaL_error(m->L, "malformed pattern (missing ']')");
            p++;
        }
    } while (p == m->end || *p != ']');
    return p + 1;
}

static bool is_of_class(int c, int class) {
    bool is;
    switch (tolower(class)) {
    case 'a':
        is = isalpha(c);
        break;
    case 'c':
        is = iscntrl(c);
        break;
    case 'd':
        is = isdigit(c);
        break;
    case 'g':
        is = isgraph(c);
        break;
    case 'l':
        is = islower(c);
        break;
    case 'p':
        is = ispunct(c);
        break;
    case 's':
        is = isspace(c);
        break;
    case 'u':
        is = isupper(c);
        break;
    case 'w':
        is = isalnum(c);
        break;
    case 'x':
        is = isxdigit(c);
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !is : is;
}

/* p: the '[', last: its ']'. */
static bool is_of_set(struct matcher *m, int c, const char *p, const char *last) {
    bool is_member = true;
    if (p[1] == '^') {
        is_member = false;
        p++;
    }
    while (++p < last) {
        step(m);
        if (*p == '%') {
            p++;
            if (is_of_class(c, (unsigned char)*p))
                return is_member;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
                return is_member;
        } else if ((unsigned char)*p == c) {
            return is_member;
        }
    }
    return !is_member;
}

/* Is the character at s one of the class from p to end? */
static bool fits(struct matcher *m, const char *s, const char *p, const char *end) {
    step(m);
    if (s == m->to)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return is_of_class(c, (unsigned char)p[1]);
    case '[':
        return is_of_set(m, c, p, end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

/* ---- items ---- */

static const char *most(struct matcher *m, const char *s, const char *p, const char *end) {
    ptrdiff_t count = 0;
    while (fits(m, s + count, p, end))
        count++;
    for (; count >= 0; count--) {
        const char *found = match(m, s + count, end + 1);
        if (found)
            return found;
    }
    return NULL;
}

static const char *fewest(struct matcher *m, const char *s, const char *p, const char *end) {
    for (;;) {
        const char *found = match(m, s, end + 1);
        if (found)
            return found;
        if (!fits(m, s, p, end))
            return NULL;
        s++;
    }
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t what) {
    if (m->count == MAX_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->captures[m->count++] = (struct capture){s, what};
    const char *found = match(m, s, p);
    if (!found)
        m->count--;
    return found;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p) {
    int which = m->count - 1;
    while (which >= 0 && m->captures[which].len != OPEN)
        which--;
    if (which < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->captures[which].len = s - m->captures[which].at;
    const char *found = match(m, s, p);
    if (!found)
        m->captures[which].len = OPEN;
    return found;
}

static const char *balanced(struct matcher *m, const char *s, const char *p) {
    if (p + 1 >= m->end)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s == m->to || *s != p[0])
        return NULL;
    int depth = 1;
    while (++s < m->to) {
        step(m);
        if (*s == p[1]) {
            if (--depth == 0)
                return s + 1;
        } else if (*s == p[0]) {
            depth++;
        }
    }
    return NULL;
}

static const char *same_again(struct matcher *m, const char *s, int digit) {
    int which = digit - '1';
    if (which < 0 || which >= m->count || m->captures[which].len == OPEN)
        luaL_error(m->L, "invalid capture index %%%d", which + 1);
    if (m->captures[which].len == POSITION) /* as Lua's own has it */
        return NULL;
    size_t wanted = (size_t)m->captures[which].len;
    inst_sandbox_spend(m->L, wanted / 64);
    if ((size_t)(m->to - s) < wanted || memcmp(m->captures[which].at, s, wanted) != 0)
        return NULL;
    return s + wanted;
}

/* %f[set] at p: s goes on where a run of the set begins. *end: behind the set. */
static bool is_frontier(struct matcher *m, const char *s, const char *p, const char **end) {
    if (p == m->end || *p != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    *end = class_end(m, p);
    int before = s == m->from ? 0 : (unsigned char)s[-1];
    int here = s == m->to ? 0 : (unsigned char)*s;
    return !is_of_set(m, before, p, *end - 1) && is_of_set(m, here, p, *end - 1);
}

/* One class with what may stand behind it. *p moves on; NULL and *is_over: decided. */
static const char *match_class(struct matcher *m, const char *s, const char **p, bool *is_over) {
    const char *end = class_end(m, *p);
    char suffix = end < m->end ? *end : '\0';
    *is_over = true;
    if (suffix == '*')
        return most(m, s, *p, end);
    if (suffix == '+')
        return fits(m, s, *p, end) ? most(m, s + 1, *p, end) : NULL;
    if (suffix == '-')
        return fewest(m, s, *p, end);
    bool is_there = fits(m, s, *p, end);
    if (suffix == '?') {
        const char *found = is_there ? match(m, s + 1, end + 1) : NULL;
        if (found)
            return found;
        *p = end + 1;
    } else if (!is_there) {
        return NULL;
    } else {
        *p = end;
        s++;
    }
    *is_over = false;
    return s;
}

/* The item at *p, which moves on with the result; *is_over: the result is that of the whole. */
static const char *match_item(struct matcher *m, const char *s, const char **p, bool *is_over) {
    const char *at = *p;
    *is_over = true;
    if (*at == '(') {
        bool is_position = at + 1 < m->end && at[1] == ')';
        return is_position ? open_capture(m, s, at + 2, POSITION)
                           : open_capture(m, s, at + 1, OPEN);
    }
    if (*at == ')')
        return close_capture(m, s, at + 1);
    if (*at == '$' && at + 1 == m->end)
        return s == m->to ? s : NULL;
    if (*at == '%' && at + 1 < m->end) {
        const char *end;
        *is_over = false;
        if (at[1] == 'b') {
            *p = at + 4;
            s = balanced(m, s, at + 2);
            *is_over = !s;
            return s;
        }
        if (at[1] == 'f') {
            bool is_it = is_frontier(m, s, at + 2, &end);
            *p = end;
            *is_over = !is_it;
            return is_it ? s : NULL;
        }
        if (isdigit((unsigned char)at[1])) {
            *p = at + 2;
            s = same_again(m, s, at[1]);
            *is_over = !s;
            return s;
        }
    }
    return match_class(m, s, p, is_over);
}

static const char *match(struct matcher *m, const char *s, const char *p) {
    bool is_over = false;
    if (--m->depth == 0)
        luaL_error(m->L, "pattern too complex");
    while (!is_over && p != m->end) {
        step(m);
        s = match_item(m, s, &p, &is_over);
    }
    m->depth++;
    return s;
}

/* ---- what was found ---- */

static void push_capture(struct matcher *m, int which, const char *s, const char *end) {
    if (which >= m->count) {
        if (which != 0)
            luaL_error(m->L, "invalid capture index %%%d", which + 1);
        lua_pushlstring(m->L, s, (size_t)(end - s));
        return;
    }
    const struct capture *capture = &m->captures[which];
    if (capture->len == OPEN)
        luaL_error(m->L, "unfinished capture");
    if (capture->len == POSITION)
        lua_pushinteger(m->L, capture->at - m->from + 1);
    else
        lua_pushlstring(m->L, capture->at, (size_t)capture->len);
}

/* s NULL: only what is captured. */
static int push_captures(struct matcher *m, const char *s, const char *end) {
    int count = m->count == 0 && s ? 1 : m->count;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(m, i, s, end);
    return count;
}

static void begin(struct matcher *m, lua_State *L, int subject, int pattern) {
    size_t len, pattern_len;
    m->L = L;
    m->from = luaL_checklstring(L, subject, &len);
    m->to = m->from + len;
    m->end = luaL_checklstring(L, pattern, &pattern_len);
    m->end += pattern_len;
    m->steps = 0;
}

static const char *match_at(struct matcher *m, const char *s, const char *p) {
    m->count = 0;
    m->depth = MAX_DEPTH;
    return match(m, s, p);
}

/* Where a 1-based index, which may count from the end, points: 0-based; past the end: len + 1. */
static size_t start_of(lua_State *L, int index, size_t len) {
    lua_Integer init = luaL_optinteger(L, index, 1);
    if (init > 0)
        return (size_t)init - 1 > len ? len + 1 : (size_t)init - 1;
    if (init == 0 || -init > (lua_Integer)len)
        return 0;
    return len - (size_t)-init;
}

/* ---- find, match ---- */

static bool is_plain(const char *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (p[i] == '\0' || strchr("^$*+?.([%-", p[i]))
            return false;
    return true;
}

static int find_plain(lua_State *L, const char *s, size_t len, size_t start, const char *p,
                      size_t p_len) {
    /* memmem is linear in the worst case for what it reads. */
    inst_sandbox_spend(L, (len - start) / 16 + p_len / 16);
    const char *found = memmem(s + start, len - start, p, p_len);
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - s + 1);
    lua_pushinteger(L, found - s + (lua_Integer)p_len);
    return 2;
}

static int search(lua_State *L, bool is_find) {
    struct matcher m;
    size_t p_len;
    begin(&m, L, 1, 2);
    const char *p = lua_tolstring(L, 2, &p_len);
    size_t len = (size_t)(m.to - m.from), start = start_of(L, 3, len);
    if (start > len) {
        lua_pushnil(L);
        return 1;
    }
    if (is_find && (lua_toboolean(L, 4) || is_plain(p, p_len)))
        return find_plain(L, m.from, len, start, p, p_len);
    bool is_anchored = p_len > 0 && *p == '^';
    p += is_anchored;
    for (const char *s = m.from + start; s <= m.to; s++) {
        const char *end = match_at(&m, s, p);
        if (end && is_find) {
            lua_pushinteger(L, s - m.from + 1);
            lua_pushinteger(L, end - m.from);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (end)
            return push_captures(&m, s, end);
        if (is_anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L) { return search(L, true); }

static int string_match(lua_State *L) { return search(L, false); }

/* ---- gmatch: upvalues subject, pattern, where to go on, the last match's end (or -1) ---- */

static int gmatch_next(lua_State *L) {
    struct matcher m;
    begin(&m, L, lua_upvalueindex(1), lua_upvalueindex(2));
    const char *p = lua_tostring(L, lua_upvalueindex(2));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    for (const char *s = m.from + lua_tointeger(L, lua_upvalueindex(3)); s <= m.to; s++) {
        const char *end = match_at(&m, s, p);
        if (!end || end - m.from == last)
            continue;
        lua_pushinteger(L, end - m.from);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(&m, s, end);
    }
    return 0;
}

static int string_gmatch(lua_State *L) {
    size_t len;
    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    size_t start = start_of(L, 3, len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)start);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* ---- gsub ---- */

static void add_text(struct matcher *m, luaL_Buffer *out, const char *s, const char *end) {
    lua_State *L = m->L;
    size_t len;
    const char *text = lua_tolstring(L, 3, &len), *stop = text + len;
    for (const char *at; (at = memchr(text, '%', (size_t)(stop - text))) != NULL; text = at + 2) {
        luaL_addlstring(out, text, (size_t)(at - text));
        if (at + 1 < stop && at[1] == '%') {
            luaL_addchar(out, '%');
        } else if (at + 1 < stop && at[1] == '0') {
            luaL_addlstring(out, s, (size_t)(end - s));
        } else if (at + 1 < stop && isdigit((unsigned char)at[1])) {
            push_capture(m, at[1] - '1', s, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(out);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
    luaL_addlstring(out, text, (size_t)(stop - text));
}

/* true: something else stands there now. */
static bool add_replacement(struct matcher *m, luaL_Buffer *out, const char *s, const char *end) {
    lua_State *L = m->L;
    int type = lua_type(L, 3);
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, end), 1);
    } else if (type == LUA_TTABLE) {
        push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    } else {
        add_text(m, out, s, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(out, s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(out);
    return true;
}

static int string_gsub(lua_State *L) {
    struct matcher m;
    luaL_Buffer out;
    size_t p_len;
    begin(&m, L, 1, 2);
    const char *p = lua_tolstring(L, 2, &p_len), *s = m.from, *last = NULL;
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer max = luaL_optinteger(L, 4, m.to - m.from + 1), count = 0;
    bool is_anchored = p_len > 0 && *p == '^', has_changed = false;
    p += is_anchored;
    luaL_buffinit(L, &out);
    while (count < max) {
        const char *end = match_at(&m, s, p);
        if (end && end != last) {
            count++;
            has_changed = add_replacement(&m, &out, s, end) || has_changed;
            s = last = end;
        } else if (s < m.to) {
            luaL_addchar(&out, *s);
            s++;
        } else {
            break;
        }
        if (is_anchored)
            break;
    }
    luaL_addlstring(&out, s, (size_t)(m.to - s));
    luaL_pushresult(&out);
    if (!has_changed) {
        lua_pop(L, 1);
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, count);
    return 2;
}

void inst_script_open_patterns(lua_State *L) {
    static const luaL_Reg functions[] = {{"find", string_find},
                                         {"match", string_match},
                                         {"gmatch", string_gmatch},
                                         {"gsub", string_gsub},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

#endif
