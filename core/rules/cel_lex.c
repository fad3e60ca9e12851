#include "rules/cel_lex.h"

#include "base/text.h"

#include <string.h>

static int peek(const struct inst_cel_lexer *lx, size_t ahead) {
    return lx->at + ahead < lx->len ? (unsigned char)lx->text[lx->at + ahead] : -1;
}

static void skip(struct inst_cel_lexer *lx, size_t bytes) {
    size_t end = lx->at + bytes;
    while (lx->at < end && lx->at < lx->len) {
        inst_text_next(lx->text, lx->len, &lx->at);
        lx->offset++;
    }
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_hex(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
static bool is_letter(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void skip_blank(struct inst_cel_lexer *lx) {
    for (;;) {
        int c = peek(lx, 0);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f') {
            skip(lx, 1);
        } else if (c == '/' && peek(lx, 1) == '/') {
            while (peek(lx, 0) >= 0 && peek(lx, 0) != '\n')
                skip(lx, 1);
        } else {
            return;
        }
    }
}

/* ---- strings ---- */

struct string_form {
    bool is_raw;
    bool is_bytes;
    char quote;
    size_t quotes; /* 1 or 3 */
};

static bool add(struct inst_buf *out, uint32_t code, bool as_byte) {
    char text[4];
    if (as_byte) {
        inst_buf_add_char(out, (char)code);
        return true;
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return false;
    inst_buf_add(out, text, inst_text_put(text, code));
    return true;
}

/* Digits of an escape: \x41 \u0041 \U00000041 \101. */
static bool read_code(struct inst_cel_lexer *lx, int base, size_t digits, uint32_t *code) {
    *code = 0;
    for (size_t i = 0; i < digits; i++) {
        int c = peek(lx, 0);
        if (base == 8 ? !(c >= '0' && c <= '7') : !is_hex(c))
            return false;
        *code = *code * (uint32_t)base + (uint32_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
        skip(lx, 1);
    }
    return true;
}

/* Behind the backslash. */
static bool read_escape(struct inst_cel_lexer *lx, bool is_bytes, struct inst_buf *out) {
    static const char from[] = "abfnrtv\\?\"'`", to[] = "\a\b\f\n\r\t\v\\?\"'`";
    int c = peek(lx, 0);
    uint32_t code;
    const char *simple = c > 0 ? strchr(from, c) : NULL;
    if (simple) {
        skip(lx, 1);
        inst_buf_add_char(out, to[simple - from]);
        return true;
    }
    if (c >= '0' && c <= '3')
        return read_code(lx, 8, 3, &code) && add(out, code, is_bytes);
    skip(lx, 1);
    if (c == 'x' || c == 'X')
        return read_code(lx, 16, 2, &code) && add(out, code, is_bytes);
    if (is_bytes || (c != 'u' && c != 'U'))
        return false;
    return read_code(lx, 16, c == 'u' ? 4 : 8, &code) && add(out, code, false);
}

static bool at_end(const struct inst_cel_lexer *lx, const struct string_form *form) {
    for (size_t i = 0; i < form->quotes; i++)
        if (peek(lx, i) != form->quote)
            return false;
    return true;
}

static bool read_chars(struct inst_cel_lexer *lx, const struct string_form *form,
                       struct inst_buf *out) {
    while (!at_end(lx, form)) {
        int c = peek(lx, 0);
        if (c < 0 || (form->quotes == 1 && (c == '\n' || c == '\r')))
            return false;
        if (c == '\\' && !form->is_raw) {
            skip(lx, 1);
            if (!read_escape(lx, form->is_bytes, out))
                return false;
            continue;
        }
        size_t start = lx->at;
        skip(lx, 1);
        inst_buf_add(out, lx->text + start, lx->at - start);
    }
    skip(lx, form->quotes);
    return true;
}

/* Is there a string here, behind r, b, rb or br? *prefix gets the length of that. */
static bool find_string(const struct inst_cel_lexer *lx, struct string_form *form, size_t *prefix) {
    *form = (struct string_form){0};
    for (*prefix = 0; *prefix < 3; ++*prefix) {
        int c = peek(lx, *prefix);
        if (c == '\'' || c == '"') {
            form->quote = (char)c;
            bool is_triple = peek(lx, *prefix + 1) == c && peek(lx, *prefix + 2) == c;
            form->quotes = is_triple ? 3 : 1;
            return true;
        }
        if ((c == 'r' || c == 'R') && !form->is_raw)
            form->is_raw = true;
        else if ((c == 'b' || c == 'B') && !form->is_bytes)
            form->is_bytes = true;
        else
            return false;
    }
    return false;
}

static bool lex_string(struct inst_cel_lexer *lx, struct inst_cel_token *token) {
    struct string_form form;
    size_t prefix;
    if (!find_string(lx, &form, &prefix))
        return false;
    struct inst_buf out;
    inst_buf_init(&out);
    skip(lx, prefix + form.quotes);
    if (!read_chars(lx, &form, &out)) {
        inst_cel_issue(lx->issues, token->offset, "Syntax error: token recognition error");
        token->kind = INST_CEL_T_ERROR;
    } else {
        const char *copy =
            out.failed ? NULL : inst_arena_dup(lx->arena, out.data ? out.data : "", out.len);
        lx->issues->failed |= !copy;
        token->kind = copy ? INST_CEL_T_LITERAL : INST_CEL_T_ERROR;
        token->value = inst_cel_text(copy, out.len);
        if (form.is_bytes)
            token->value.tag = INST_CEL_V_BYTES;
    }
    inst_buf_free(&out);
    return true;
}

/* ---- numbers ---- */

static void skip_digits(struct inst_cel_lexer *lx) {
    while (is_digit(peek(lx, 0)))
        skip(lx, 1);
}

static bool skip_exponent(struct inst_cel_lexer *lx) {
    int c = peek(lx, 0);
    size_t sign = peek(lx, 1) == '+' || peek(lx, 1) == '-';
    if ((c != 'e' && c != 'E') || !is_digit(peek(lx, 1 + sign)))
        return false;
    skip(lx, 1 + sign);
    skip_digits(lx);
    return true;
}

static bool lex_number(struct inst_cel_lexer *lx, struct inst_cel_token *token) {
    int c = peek(lx, 0);
    if (!is_digit(c) && !(c == '.' && is_digit(peek(lx, 1))))
        return false;
    token->kind = INST_CEL_T_LITERAL;
    token->number = INST_CEL_INT_TEXT;
    if (c == '0' && (peek(lx, 1) == 'x' || peek(lx, 1) == 'X') && is_hex(peek(lx, 2))) {
        skip(lx, 2);
        while (is_hex(peek(lx, 0)))
            skip(lx, 1);
    } else {
        skip_digits(lx);
        if (peek(lx, 0) == '.' && is_digit(peek(lx, 1))) {
            token->number = INST_CEL_DOUBLE_TEXT;
            skip(lx, 1);
            skip_digits(lx);
        }
        if (skip_exponent(lx))
            token->number = INST_CEL_DOUBLE_TEXT;
    }
    if (token->number == INST_CEL_INT_TEXT && (peek(lx, 0) == 'u' || peek(lx, 0) == 'U')) {
        token->number = INST_CEL_UINT_TEXT;
        token->len = lx->at - (size_t)(token->start - lx->text);
        skip(lx, 1);
    } else {
        token->len = lx->at - (size_t)(token->start - lx->text);
    }
    return true;
}

/* ---- names and marks ---- */

static bool lex_ident(struct inst_cel_lexer *lx, struct inst_cel_token *token) {
    if (!is_letter(peek(lx, 0)))
        return false;
    while (is_letter(peek(lx, 0)) || is_digit(peek(lx, 0)))
        skip(lx, 1);
    token->kind = INST_CEL_T_IDENT;
    token->len = lx->at - (size_t)(token->start - lx->text);
    token->text = inst_arena_dup(lx->arena, token->start, token->len);
    if (!token->text) {
        lx->issues->failed = true;
        token->kind = INST_CEL_T_ERROR;
    }
    return true;
}

static bool lex_mark(struct inst_cel_lexer *lx, struct inst_cel_token *token) {
    static const char *const marks[] = {"&&", "||", "==", "!=", "<=", ">=", "<", ">",
                                        "!",  "+",  "-",  "*",  "/",  "%",  "?", ":",
                                        ".",  ",",  "(",  ")",  "[",  "]",  "{", "}"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t n = strlen(marks[i]);
        if (lx->at + n <= lx->len && memcmp(lx->text + lx->at, marks[i], n) == 0) {
            memcpy(token->mark, marks[i], n + 1);
            token->kind = INST_CEL_T_MARK;
            skip(lx, n);
            return true;
        }
    }
    return false;
}

void inst_cel_lex(struct inst_cel_lexer *lx, struct inst_cel_token *token) {
    skip_blank(lx);
    memset(token, 0, sizeof *token);
    token->offset = lx->offset;
    token->start = lx->text + lx->at;
    if (lx->at >= lx->len) {
        token->kind = INST_CEL_T_END;
        return;
    }
    if (lex_string(lx, token) || lex_number(lx, token) || lex_ident(lx, token) ||
        lex_mark(lx, token))
        return;
    token->kind = INST_CEL_T_ERROR;
    inst_cel_issue(lx->issues, token->offset, "Syntax error: token recognition error");
}
