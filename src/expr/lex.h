/* SPDX-License-Identifier: MIT */
#pragma once

/* The words of a text: tokens of expressions, and what stands between the tags of a template. */

#include "expr/node.h"

enum expr_token_kind {
        EXPR_TOKEN_END,    /* of the text */
        EXPR_TOKEN_STRING, /* ptr, length: between its quotes */
        EXPR_TOKEN_NUMBER,
        EXPR_TOKEN_WORD,   /* a name or a keyword */
        EXPR_TOKEN_SYMBOL, /* an operator, a bracket, '.', ',', '|' */
        EXPR_TOKEN_CLOSE,  /* of a tag: "}}" or "%}" */
        EXPR_TOKEN_RAW,    /* of a template: text outside of tags; may be empty */
        EXPR_TOKEN_OPEN,   /* of a tag: "{{" or "{%" */
        EXPR_TOKEN_WRONG,  /* there is a mistake */
};

struct expr_token {
        enum expr_token_kind kind;
        const char *ptr;
        size_t length;
        struct expr_place place;
        double number;
};

struct expr_lexer {
        const char *at;
        const char *end;
        struct expr_place place; /* of `at` */
        bool in_template;        /* "}}" and "%}" are tokens */
        bool trim;               /* the last tag ended with '-': skip white space */
        struct expr_mistake *mistake;
};

/* mistake is set if a token is wrong. */
void expr_lexer_init(struct expr_lexer *lexer, const char *text, size_t length, bool in_template,
                     struct expr_mistake *mistake);

/* Reads to the end, or to the first byte that is not UTF-8 or NUL: then false. */
bool expr_lex_is_text(struct expr_lexer *lexer);

/* The next token of an expression, or the end of its tag. */
struct expr_token expr_lex(struct expr_lexer *lexer);

/* Of a template, outside of tags: in turn RAW, and OPEN or END. Comments are skipped. */
struct expr_token expr_lex_raw(struct expr_lexer *lexer);
struct expr_token expr_lex_open(struct expr_lexer *lexer);

enum { EXPR_SHOWN = 40 };
/* How many bytes of a token to show in a mistake: at most EXPR_SHOWN, whole characters. */
int expr_token_shown(const struct expr_token *token);

bool expr_token_is_keyword(const struct expr_token *token);
bool expr_token_is(const struct expr_token *token, const char *word);

/* Writes what a string means; out has room for token->length bytes. Returns the length. */
size_t expr_unescape(const struct expr_token *token, char *out);
