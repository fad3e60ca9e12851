/* bind.c - named parts of rules: which ones an expression uses, and in what order (permissions.md
 * 2.2). */
#include "rules/rules.h"

#include "base/buf.h"
#include "base/text.h"

#include <string.h>

struct bind {
    const char *name;
    size_t name_len;
    const char *text;
    size_t len;
    uint32_t order; /* see set_order */
    bool is_used;
    enum { NEW, OPEN, DONE } state;
    struct bind **needs;
    size_t need_count;
};

struct binds {
    struct inst_arena *arena;
    struct bind *at;
    size_t count;
    struct bind *user;  /* whose names are being collected; NULL: the expression's */
    struct bind **path; /* of the search for cycles */
    size_t path_len;
    struct inst_buf out;
    size_t closing; /* parentheses */
    const char *problem;
    bool failed; /* out of memory */
};

/* ---- the order of upstream's set of names, so that the code shown is the same ---- */

static void add_java_hash(void *ctx, uint16_t unit) {
    uint32_t *hash = ctx;
    *hash = *hash * 31 + unit;
}

static uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* Its trie takes five bits of the hash after the other, the lowest first: their reverse order. */
static uint32_t set_order(const char *name, size_t len) {
    uint32_t k = 0, h = 0, order = 0;
    inst_text_each_unit(name, len, add_java_hash, &k);
    if (k) { /* murmur3 of one integer */
        k = rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
        h = rotate(k, 13) * 5 + 0xe6546b64u;
        h ^= 4;
        h = (h ^ h >> 16) * 0x85ebca6bu;
        h = (h ^ h >> 13) * 0xc2b2ae35u;
        h ^= h >> 16;
    }
    for (int i = 0; i < 6; i++)
        order = order << 5 | (h >> (5 * i) & 31);
    return order;
}

/* ---- reading binds ---- */

static void add(struct binds *b, const char *name, size_t name_len,
                const struct inst_value *value) {
    const char *text;
    size_t len;
    struct bind *bind = NULL;
    if (!inst_rules_text(value, &text, &len)) {
        text = NULL;
        len = 0;
    }
    for (size_t i = 0; i < b->count && !bind; i++)
        if (b->at[i].name_len == name_len && memcmp(b->at[i].name, name, name_len) == 0)
            bind = &b->at[i]; /* a later one wins */
    if (!bind)
        bind = &b->at[b->count++];
    *bind = (struct bind){.name = name,
                          .name_len = name_len,
                          .text = text,
                          .len = len,
                          .order = set_order(name, name_len)};
}

static size_t count_of(const struct inst_value *binds) {
    if (!binds)
        return 0;
    return binds->tag == INST_OBJECT ? binds->len : binds->tag == INST_ARRAY ? binds->len / 2 : 0;
}

static void add_all(struct binds *b, const struct inst_value *binds) {
    for (uint32_t i = 0; binds && binds->tag == INST_OBJECT && i < binds->len; i++)
        add(b, binds->u.members[i].key, binds->u.members[i].key_len, &binds->u.members[i].value);
    for (uint32_t i = 0; binds && binds->tag == INST_ARRAY && i + 1 < binds->len; i += 2)
        if (binds->u.items[i].tag == INST_STRING)
            add(b, binds->u.items[i].u.str, binds->u.items[i].len, &binds->u.items[i + 1]);
}

static bool is_uneven(const struct inst_value *binds) {
    return binds && binds->tag == INST_ARRAY && binds->len % 2 != 0;
}

/* ---- what uses what ---- */

static void need(void *ctx, const char *name) {
    struct binds *b = ctx;
    size_t len = strlen(name);
    for (size_t i = 0; i < b->count; i++) {
        struct bind *bind = &b->at[i];
        if (bind->name_len != len || memcmp(bind->name, name, len) != 0)
            continue;
        if (!b->user) {
            bind->is_used = true;
            continue;
        }
        bool is_known = false;
        for (size_t k = 0; k < b->user->need_count; k++)
            is_known |= b->user->needs[k] == bind;
        if (!is_known)
            b->user->needs[b->user->need_count++] = bind;
    }
}

/* A text that does not parse uses nothing; compiling it tells why. */
static void collect(struct binds *b, struct bind *user, const char *text, size_t len) {
    struct inst_cel_issues issues;
    inst_cel_issues_init(&issues, b->arena);
    b->user = user;
    if (user && !user->needs) {
        user->needs = inst_arena_alloc(b->arena, b->count * sizeof *user->needs);
        if (!user->needs) {
            b->failed = true;
            return;
        }
    }
    struct inst_cel_node *root = inst_cel_parse(b->arena, text, len, &issues);
    if (root && !issues.first)
        inst_cel_free_names(root, need, b);
    b->failed |= issues.failed;
}

/* Everything reachable. */
static void spread(struct binds *b) {
    for (bool is_more = true; is_more && !b->failed;) {
        is_more = false;
        for (size_t i = 0; i < b->count; i++) {
            struct bind *bind = &b->at[i];
            if (!bind->is_used || bind->needs)
                continue;
            is_more = true;
            if (!bind->text) {
                b->problem = INST_RULES_NO_TEXT;
                return;
            }
            collect(b, bind, bind->text, bind->len);
            for (size_t k = 0; k < bind->need_count; k++)
                bind->needs[k]->is_used = true;
        }
    }
}

static void sort(struct bind **list, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct bind *one = list[i];
        size_t at = i;
        for (; at > 0 && list[at - 1]->order > one->order; at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

/* ---- writing ---- */

static void report_cycle(struct binds *b, const struct bind *again) {
    struct inst_buf text;
    size_t from = 0;
    inst_buf_init(&text);
    while (b->path[from] != again)
        from++;
    inst_buf_add_str(&text, "The binds have a cyclic dependency ");
    for (size_t i = from; i < b->path_len; i++) {
        inst_buf_add(&text, b->path[i]->name, b->path[i]->name_len);
        inst_buf_add_str(&text, " -> ");
    }
    inst_buf_add(&text, again->name, again->name_len);
    b->problem = text.failed ? NULL : inst_arena_dup(b->arena, text.data, text.len);
    b->failed |= !b->problem;
    inst_buf_free(&text);
}

/* Those that it needs stand around it. */
static void write(struct binds *b, struct bind *bind) {
    if (b->problem || b->failed || bind->state == DONE)
        return;
    if (bind->state == OPEN) {
        report_cycle(b, bind);
        return;
    }
    bind->state = OPEN;
    b->path[b->path_len++] = bind;
    sort(bind->needs, bind->need_count);
    for (size_t i = 0; i < bind->need_count; i++)
        write(b, bind->needs[i]);
    b->path_len--;
    bind->state = DONE;
    inst_buf_add_str(&b->out, "cel.bind(");
    inst_buf_add(&b->out, bind->name, bind->name_len);
    inst_buf_add_str(&b->out, ", ");
    inst_buf_add(&b->out, bind->text, bind->len);
    inst_buf_add_str(&b->out, ", ");
    b->closing++;
}

static enum inst_status finish(struct binds *b, const char *text, size_t len, const char **out,
                               struct inst_err *err) {
    inst_buf_add(&b->out, text, len);
    for (; b->closing; b->closing--)
        inst_buf_add_char(&b->out, ')');
    *out = b->out.failed || b->failed
               ? NULL
               : inst_arena_dup(b->arena, b->out.data ? b->out.data : "", b->out.len);
    inst_buf_free(&b->out);
    return *out ? INST_OK : inst_err_nomem(err);
}

enum inst_status inst_rules_bind(const struct inst_value *code, const char *etype, size_t etype_len,
                                 const char *text, size_t len, struct inst_arena *arena,
                                 const char **out, const char **problem, struct inst_err *err) {
    const struct inst_value *defaults = inst_getz(code, "$default");
    const struct inst_value *own = inst_get(code, etype, etype_len);
    struct binds b = {.arena = arena};
    defaults = defaults ? inst_getz(defaults, "bind") : NULL;
    own = own ? inst_getz(own, "bind") : NULL;
    inst_buf_init(&b.out);
    *problem = NULL;
    if (is_uneven(defaults) || is_uneven(own))
        b.problem = "bind should have an even number of elements";
    size_t most = count_of(defaults) + count_of(own);
    if (most > INST_RULES_MAX_BINDS)
        b.problem = "too many binds";
    if (!b.problem && most) {
        b.at = inst_arena_alloc(arena, most * sizeof *b.at);
        b.path = inst_arena_alloc(arena, 2 * most * sizeof *b.path);
        if (!b.at || !b.path)
            return inst_err_nomem(err);
        add_all(&b, defaults);
        add_all(&b, own);
        collect(&b, NULL, text, len);
        spread(&b);
        struct bind **used = b.path + most;
        size_t used_count = 0;
        for (size_t i = 0; i < b.count; i++)
            if (b.at[i].is_used)
                used[used_count++] = &b.at[i];
        sort(used, used_count);
        for (size_t i = 0; i < used_count && !b.problem; i++)
            write(&b, used[i]);
    }
    *problem = b.problem;
    return finish(&b, text, len, out, err);
}
