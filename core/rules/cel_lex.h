/*
 * cel_lex.h - the words of an expression (permissions.md 4.1).
 */
#ifndef INST_RULES_CEL_LEX_H
#define INST_RULES_CEL_LEX_H

#include "rules/cel_ast.h"

enum inst_cel_token_kind {
    INST_CEL_T_END,
    INST_CEL_T_ERROR, /* an issue was added */
    INST_CEL_T_IDENT,
    INST_CEL_T_LITERAL, /* numbers (without sign), strings, bytes */
    INST_CEL_T_MARK,    /* one of the marks below, in `mark` */
};

struct inst_cel_token {
    enum inst_cel_token_kind kind;
    uint32_t offset;   /* code points */
    char mark[3];      /* "&&", "<=", "(" ... */
    const char *text;  /* IDENT: NUL-terminated */
    const char *start; /* the source */
    size_t len;
    struct inst_cel_value value; /* LITERAL, but for numbers */
    enum { INST_CEL_NO_NUMBER, INST_CEL_INT_TEXT, INST_CEL_UINT_TEXT, INST_CEL_DOUBLE_TEXT } number;
};

struct inst_cel_lexer {
    struct inst_arena *arena;
    struct inst_cel_issues *issues;
    const char *text;
    size_t len;
    size_t at;       /* bytes */
    uint32_t offset; /* code points */
};

void inst_cel_lex(struct inst_cel_lexer *lexer, struct inst_cel_token *token);

#endif
