#include "rules/cel_lex.h"

#include "base/number.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct inst_arena *arena;
    struct inst_cel_issues *issues;
    struct inst_cel_lexer lexer;
    struct inst_cel_token token; /* the one at hand */
    int depth;
    bool is_bad; /* an issue was found: unwinding */
};

/* A growing list of nodes. */
struct nodes {
    struct inst_cel_node **at;
    uint32_t count;
    uint32_t cap;
};

static struct inst_cel_node *parse_expr(struct parser *p);

/* ---- issues ---- */

void inst_cel_issues_init(struct inst_cel_issues *issues, struct inst_arena *arena) {
    *issues = (struct inst_cel_issues){.arena = arena};
    issues->end = &issues->first;
}

void inst_cel_issue(struct inst_cel_issues *issues, uint32_t offset, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct inst_cel_issue *issue = inst_arena_zalloc(issues->arena, sizeof *issue);
    char *message = inst_arena_dup(issues->arena, text, strlen(text));
    if (!issue || !message) {
        issues->failed = true;
        return;
    }
    issue->offset = offset;
    issue->message = message;
    *issues->end = issue;
    issues->end = &issue->next;
}

static void *bad(struct parser *p, uint32_t offset, const char *message) {
    if (!p->is_bad)
        inst_cel_issue(p->issues, offset, "%s", message);
    p->is_bad = true;
    return NULL;
}

static void *unexpected(struct parser *p) {
    if (p->token.kind == INST_CEL_T_ERROR)
        p->is_bad = true; /* the lexer said why */
    return bad(p, p->token.offset,
               p->token.kind == INST_CEL_T_END ? "Syntax error: mismatched input '<EOF>'"
                                               : "Syntax error: mismatched input");
}

static void *no_memory(struct parser *p) {
    p->issues->failed = true;
    p->is_bad = true;
    return NULL;
}

/* ---- tokens and nodes ---- */

static void advance(struct parser *p) { inst_cel_lex(&p->lexer, &p->token); }

static bool is_mark(const struct parser *p, const char *mark) {
    return p->token.kind == INST_CEL_T_MARK && strcmp(p->token.mark, mark) == 0;
}

static bool is_word(const struct parser *p, const char *word) {
    return p->token.kind == INST_CEL_T_IDENT && strcmp(p->token.text, word) == 0;
}

static bool accept(struct parser *p, const char *mark) {
    if (!is_mark(p, mark))
        return false;
    advance(p);
    return true;
}

static bool expect(struct parser *p, const char *mark) {
    if (accept(p, mark))
        return true;
    unexpected(p);
    return false;
}

static bool add_node(struct parser *p, struct nodes *list, struct inst_cel_node *node) {
    if (!node && !p->is_bad)
        return false;
    if (list->count == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 4;
        struct inst_cel_node **at = inst_arena_alloc(p->arena, cap * sizeof *at);
        if (!at)
            return no_memory(p) != NULL;
        if (list->count)
            memcpy(at, list->at, list->count * sizeof *at);
        list->at = at;
        list->cap = cap;
    }
    list->at[list->count++] = node;
    return !p->is_bad;
}

static struct inst_cel_node *new_node(struct parser *p, enum inst_cel_node_kind kind,
                                      uint32_t offset, const char *name, const struct nodes *args) {
    struct inst_cel_node *node = inst_arena_zalloc(p->arena, sizeof *node);
    if (!node)
        return no_memory(p);
    node->kind = kind;
    node->offset = offset;
    node->name = name;
    if (args) {
        node->args = args->at;
        node->count = args->count;
    }
    return node;
}

static struct inst_cel_node *call(struct parser *p, uint32_t offset, const char *function,
                                  struct inst_cel_node *a, struct inst_cel_node *b,
                                  struct inst_cel_node *c) {
    struct nodes args = {0};
    struct inst_cel_node *given[] = {a, b, c};
    for (size_t i = 0; i < 3 && given[i]; i++)
        if (!add_node(p, &args, given[i]))
            return NULL;
    return new_node(p, INST_CEL_N_CALL, offset, function, &args);
}

/* Nesting, and the length of `a + b + c ...` and `a.b.c ...`, which is depth in the tree. */
static bool enter(struct parser *p) {
    if (++p->depth <= INST_CEL_MAX_DEPTH)
        return true;
    bad(p, p->token.offset, "Expression recursion limit exceeded. limit: 250");
    return false;
}

/* ---- literals ---- */

static struct inst_cel_node *literal(struct parser *p, uint32_t offset,
                                     struct inst_cel_value value) {
    struct inst_cel_node *node = new_node(p, INST_CEL_N_LITERAL, offset, "", NULL);
    if (node)
        node->literal = value;
    return node;
}

static struct inst_cel_node *number(struct parser *p, bool is_negative, uint32_t offset) {
    struct inst_cel_token token = p->token;
    char text[512];
    if (token.len + 2 > sizeof text)
        return bad(p, offset, "invalid number literal");
    snprintf(text, sizeof text, "%s%.*s", is_negative ? "-" : "", (int)token.len, token.start);
    bool is_hex = strchr(text, 'x') || strchr(text, 'X');
    char *end;
    errno = 0;
    advance(p);
    if (token.number == INST_CEL_DOUBLE_TEXT)
        return literal(p, offset, inst_cel_double(inst_number_parse(text, strlen(text))));
    if (token.number == INST_CEL_UINT_TEXT) {
        unsigned long long u = strtoull(text, &end, is_hex ? 16 : 10);
        if (errno || is_negative)
            return bad(p, offset, "invalid uint literal");
        return literal(p, offset, inst_cel_uint(u));
    }
    long long i = strtoll(text, &end, is_hex ? 16 : 10);
    if (errno)
        return bad(p, offset, "invalid int literal");
    return literal(p, offset, inst_cel_int(i));
}

/* ---- macros (permissions.md 4.3) ---- */

static bool is_name(const struct inst_cel_node *node, const char *name) {
    return node && node->kind == INST_CEL_N_IDENT && strcmp(node->name, name) == 0;
}

static struct inst_cel_node *make_has(struct parser *p, const struct nodes *args, uint32_t offset) {
    struct inst_cel_node *select = args->at[0];
    if (select->kind != INST_CEL_N_SELECT)
        return bad(p, select->offset, "invalid argument to has() macro");
    struct inst_cel_node *node = new_node(p, INST_CEL_N_HAS, offset, select->name, NULL);
    if (node) {
        node->args = select->args;
        node->count = 1;
    }
    return node;
}

static struct inst_cel_node *make_loop(struct parser *p, enum inst_cel_node_kind kind,
                                       struct inst_cel_node *range, const struct nodes *args,
                                       uint32_t offset) {
    struct nodes parts = {0};
    if (args->at[0]->kind != INST_CEL_N_IDENT)
        return bad(p, args->at[0]->offset, "The argument must be a simple name");
    if (!add_node(p, &parts, range))
        return NULL;
    for (uint32_t i = 1; i < args->count; i++)
        if (!add_node(p, &parts, args->at[i]))
            return NULL;
    return new_node(p, kind, offset, args->at[0]->name, &parts);
}

static struct inst_cel_node *make_bind(struct parser *p, const struct nodes *args,
                                       uint32_t offset) {
    if (args->at[0]->kind != INST_CEL_N_IDENT)
        return bad(p, args->at[0]->offset, "cel.bind() variable names must be simple identifiers");
    struct nodes parts = {0};
    if (!add_node(p, &parts, args->at[1]) || !add_node(p, &parts, args->at[2]))
        return NULL;
    return new_node(p, INST_CEL_N_BIND, offset, args->at[0]->name, &parts);
}

/* target NULL: a plain function. args are without the target. */
static struct inst_cel_node *make_call(struct parser *p, struct inst_cel_node *target,
                                       const char *name, const struct nodes *args,
                                       uint32_t offset) {
    static const struct {
        const char *name;
        uint32_t least, most;
        enum inst_cel_node_kind kind;
    } loops[] = {
        {"all", 2, 2, INST_CEL_N_ALL},
        {"exists", 2, 2, INST_CEL_N_EXISTS},
        {"exists_one", 2, 2, INST_CEL_N_EXISTS_ONE},
        {"map", 2, 3, INST_CEL_N_MAP_EACH},
        {"filter", 2, 2, INST_CEL_N_FILTER},
    };
    if (p->is_bad)
        return NULL;
    if (!target && strcmp(name, "has") == 0 && args->count == 1)
        return make_has(p, args, offset);
    for (size_t i = 0; target && i < sizeof loops / sizeof *loops; i++)
        if (strcmp(name, loops[i].name) == 0 && args->count >= loops[i].least &&
            args->count <= loops[i].most)
            return make_loop(p, loops[i].kind, target, args, offset);
    if (is_name(target, "cel") && strcmp(name, "bind") == 0 && args->count == 3)
        return make_bind(p, args, offset);
    struct nodes all = {0};
    if (target && !add_node(p, &all, target))
        return NULL;
    for (uint32_t i = 0; i < args->count; i++)
        if (!add_node(p, &all, args->at[i]))
            return NULL;
    struct inst_cel_node *node = new_node(p, INST_CEL_N_CALL, offset, name, &all);
    if (node)
        node->is_member = target != NULL;
    return node;
}

/* ---- primary ---- */

/* Behind the opening mark, up to and with the closing one. */
static bool parse_list(struct parser *p, const char *close, bool trailing, struct nodes *out) {
    if (accept(p, close))
        return true;
    for (;;) {
        if (!add_node(p, out, parse_expr(p)))
            return false;
        if (!accept(p, ","))
            return expect(p, close);
        if (trailing && accept(p, close))
            return true;
    }
}

static struct inst_cel_node *parse_map(struct parser *p, uint32_t offset) {
    struct nodes entries = {0};
    while (!accept(p, "}")) {
        if (!add_node(p, &entries, parse_expr(p)) || !expect(p, ":") ||
            !add_node(p, &entries, parse_expr(p)))
            return NULL;
        if (!accept(p, ",")) {
            if (!expect(p, "}"))
                return NULL;
            break;
        }
    }
    return new_node(p, INST_CEL_N_MAP, offset, "", &entries);
}

static bool is_reserved(const char *word) {
    static const char *const words[] = {
        "as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
        "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static bool is_keyword(const char *word) {
    return strcmp(word, "in") == 0 || strcmp(word, "true") == 0 || strcmp(word, "false") == 0 ||
           strcmp(word, "null") == 0;
}

static struct inst_cel_node *parse_name(struct parser *p) {
    const char *name = p->token.text;
    uint32_t offset = p->token.offset;
    if (strcmp(name, "in") == 0)
        return unexpected(p);
    advance(p);
    if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0)
        return literal(p, offset, inst_cel_bool(*name == 't'));
    if (strcmp(name, "null") == 0)
        return literal(p, offset, inst_cel_null());
    uint32_t paren = p->token.offset;
    if (accept(p, "(")) {
        struct nodes args = {0};
        if (!parse_list(p, ")", false, &args))
            return NULL;
        return make_call(p, NULL, name, &args, paren);
    }
    if (is_reserved(name)) {
        char text[64];
        snprintf(text, sizeof text, "reserved identifier: %s", name);
        return bad(p, offset, text);
    }
    return new_node(p, INST_CEL_N_IDENT, offset, name, NULL);
}

static struct inst_cel_node *parse_primary(struct parser *p) {
    uint32_t offset = p->token.offset;
    if (p->token.kind == INST_CEL_T_LITERAL) {
        if (p->token.number)
            return number(p, false, offset);
        struct inst_cel_value value = p->token.value;
        advance(p);
        return literal(p, offset, value);
    }
    if (accept(p, ".") && p->token.kind != INST_CEL_T_IDENT)
        return unexpected(p);
    if (p->token.kind == INST_CEL_T_IDENT)
        return parse_name(p);
    if (accept(p, "(")) {
        struct inst_cel_node *inner = parse_expr(p);
        return inner && expect(p, ")") ? inner : NULL;
    }
    if (accept(p, "[")) {
        struct nodes items = {0};
        return parse_list(p, "]", true, &items) ? new_node(p, INST_CEL_N_LIST, offset, "", &items)
                                                : NULL;
    }
    if (accept(p, "{"))
        return parse_map(p, offset);
    return unexpected(p);
}

/* Behind the point. */
static struct inst_cel_node *parse_select(struct parser *p, struct inst_cel_node *operand,
                                          uint32_t offset) {
    if (is_mark(p, "?"))
        return bad(p, offset, "unsupported syntax '.?'");
    if (p->token.kind != INST_CEL_T_IDENT || is_keyword(p->token.text))
        return unexpected(p);
    const char *name = p->token.text;
    advance(p);
    uint32_t paren = p->token.offset;
    struct nodes args = {0};
    if (accept(p, "("))
        return parse_list(p, ")", false, &args) ? make_call(p, operand, name, &args, paren) : NULL;
    if (!add_node(p, &args, operand))
        return NULL;
    return new_node(p, INST_CEL_N_SELECT, offset, name, &args);
}

static struct inst_cel_node *parse_member(struct parser *p) {
    struct inst_cel_node *node = parse_primary(p);
    int entered = 0;
    while (node && !p->is_bad) {
        uint32_t offset = p->token.offset;
        bool is_point = is_mark(p, ".");
        if (!is_point && !is_mark(p, "["))
            break;
        if (!enter(p))
            return NULL;
        entered++;
        advance(p);
        if (is_point) {
            node = parse_select(p, node, offset);
        } else {
            struct inst_cel_node *index = parse_expr(p);
            node = index && expect(p, "]") ? call(p, offset, "_[_]", node, index, NULL) : NULL;
        }
    }
    p->depth -= entered;
    return p->is_bad ? NULL : node;
}

/* ---- operators ---- */

static struct inst_cel_node *parse_unary(struct parser *p) {
    const char *mark = is_mark(p, "!") ? "!" : is_mark(p, "-") ? "-" : NULL;
    uint32_t offset = p->token.offset;
    bool is_odd = false;
    if (!mark)
        return parse_member(p);
    while (accept(p, mark))
        is_odd = !is_odd;
    bool is_minus = *mark == '-';
    if (is_minus && is_odd && p->token.kind == INST_CEL_T_LITERAL && p->token.number) {
        /* The sign belongs to the number: -9223372036854775808 is one. What may follow a member,
         * as in -1.abs(), goes the long way. */
        struct parser before = *p;
        struct inst_cel_node *node = number(p, true, offset);
        if (!node || (!is_mark(p, ".") && !is_mark(p, "[")))
            return node;
        *p = before;
    }
    struct inst_cel_node *operand = parse_member(p);
    if (operand && !is_odd)
        operand->is_not_not = !is_minus;
    if (!operand || !is_odd)
        return operand;
    return call(p, offset, is_minus ? "-_" : "!_", operand, NULL, NULL);
}

struct operator{
    const char *mark;
    const char *function;
};

/* A left-associative level: the operators of it, and the level that binds tighter. */
static struct inst_cel_node *parse_level(struct parser *p, const struct operator* ops,
                                         struct inst_cel_node *(*next)(struct parser *)) {
    struct inst_cel_node *left = next(p);
    int entered = 0;
    while (left && !p->is_bad) {
        const struct operator* op = ops;
        while (op->mark && !is_mark(p, op->mark) && !is_word(p, op->mark))
            op++;
        if (!op->mark)
            break;
        uint32_t offset = p->token.offset;
        if (!enter(p))
            return NULL;
        entered++;
        advance(p);
        struct inst_cel_node *right = next(p);
        left = right ? call(p, offset, op->function, left, right, NULL) : NULL;
    }
    p->depth -= entered;
    return p->is_bad ? NULL : left;
}

static struct inst_cel_node *parse_product(struct parser *p) {
    static const struct operator ops[] = {{"*", "_*_"}, {"/", "_/_"}, {"%", "_%_"}, {NULL, NULL}};
    return parse_level(p, ops, parse_unary);
}

static struct inst_cel_node *parse_sum(struct parser *p) {
    static const struct operator ops[] = {{"+", "_+_"}, {"-", "_-_"}, {NULL, NULL}};
    return parse_level(p, ops, parse_product);
}

static struct inst_cel_node *parse_relation(struct parser *p) {
    static const struct operator ops[] = {{"<=", "_<=_"}, {">=", "_>=_"}, {"==", "_==_"},
                                          {"!=", "_!=_"}, {"<", "_<_"},   {">", "_>_"},
                                          {"in", "@in"},  {NULL, NULL}};
    return parse_level(p, ops, parse_sum);
}

/* Balanced, so that a long run does not make a deep tree. */
static struct inst_cel_node *balance(struct parser *p, const char *function, struct nodes *terms,
                                     const uint32_t *offsets, uint32_t from, uint32_t to) {
    if (from + 1 == to)
        return terms->at[from];
    uint32_t mid = from + (to - from + 1) / 2;
    struct inst_cel_node *left = balance(p, function, terms, offsets, from, mid);
    struct inst_cel_node *right = balance(p, function, terms, offsets, mid, to);
    return left && right ? call(p, offsets[mid - 1], function, left, right, NULL) : NULL;
}

static struct inst_cel_node *parse_run(struct parser *p, const char *mark, const char *function,
                                       struct inst_cel_node *(*next)(struct parser *)) {
    struct nodes terms = {0};
    struct inst_cel_node *first = next(p);
    if (!first || !is_mark(p, mark))
        return first;
    uint32_t *offsets = NULL, cap = 0;
    if (!add_node(p, &terms, first))
        return NULL;
    while (is_mark(p, mark)) {
        if (terms.count > cap || !offsets) {
            cap = cap ? cap * 2 : 8;
            uint32_t *more = inst_arena_alloc(p->arena, (cap + 1) * sizeof *more);
            if (!more)
                return no_memory(p);
            if (offsets)
                memcpy(more, offsets, (terms.count - 1) * sizeof *more);
            offsets = more;
        }
        offsets[terms.count - 1] = p->token.offset;
        advance(p);
        if (!add_node(p, &terms, next(p)))
            return NULL;
    }
    return balance(p, function, &terms, offsets, 0, terms.count);
}

static struct inst_cel_node *parse_and(struct parser *p) {
    return parse_run(p, "&&", "_&&_", parse_relation);
}

static struct inst_cel_node *parse_or(struct parser *p) {
    return parse_run(p, "||", "_||_", parse_and);
}

static struct inst_cel_node *parse_expr(struct parser *p) {
    if (!enter(p))
        return NULL;
    struct inst_cel_node *node = parse_or(p);
    uint32_t offset = p->token.offset;
    if (node && accept(p, "?")) {
        struct inst_cel_node *yes = parse_or(p);
        struct inst_cel_node *no = yes && expect(p, ":") ? parse_expr(p) : NULL;
        node = no ? call(p, offset, "_?_:_", node, yes, no) : NULL;
    }
    p->depth--;
    return p->is_bad ? NULL : node;
}

/* ---- the whole ---- */

static uint32_t count_code_points(const char *text, size_t len) {
    uint32_t n = 0;
    for (size_t at = 0; at < len && n <= INST_CEL_MAX_CODE_POINTS; n++)
        inst_text_next(text, len, &at);
    return n;
}

struct inst_cel_node *inst_cel_parse(struct inst_arena *arena, const char *text, size_t len,
                                     struct inst_cel_issues *issues) {
    struct parser p = {
        .arena = arena,
        .issues = issues,
        .lexer = {.arena = arena, .issues = issues, .text = text, .len = len},
    };
    if (count_code_points(text, len) > INST_CEL_MAX_CODE_POINTS)
        return bad(&p, 0, "expression code point size exceeds limit: size: >100000, limit 100000");
    advance(&p);
    struct inst_cel_node *node = parse_expr(&p);
    if (node && p.token.kind != INST_CEL_T_END)
        return unexpected(&p);
    return node;
}
