/* SPDX-License-Identifier: MIT */
#include "expr/lex.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/utf8.h"

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

__attribute__((format(printf, 3, 4))) static void mistake_set(struct expr_mistake *mistake,
                                                              struct expr_place place,
                                                              const char *format, ...)
{
        va_list args;

        mistake->line = place.line;
        mistake->column = place.column;
        va_start(args, format);
        (void)vsnprintf(mistake->text, sizeof mistake->text, format, args);
        va_end(args);
}

void expr_lexer_init(struct expr_lexer *lexer, const char *text, size_t length, bool in_template,
                     struct expr_mistake *mistake)
{
        *lexer = (struct expr_lexer){
                .at = text,
                .end = text + length,
                .place = { 1, 1 },
                .in_template = in_template,
                .mistake = mistake,
        };
}

static size_t left(const struct expr_lexer *lexer)
{
        return (size_t)(lexer->end - lexer->at);
}

static bool next_is(const struct expr_lexer *lexer, const char *s)
{
        size_t n = strlen(s);

        return left(lexer) >= n && memcmp(lexer->at, s, n) == 0;
}

static void skip(struct expr_lexer *lexer, size_t n)
{
        for (const char *stop = lexer->at + n; lexer->at < stop; lexer->at++) {
                if (*lexer->at == '\n') {
                        lexer->place.line++;
                        lexer->place.column = 1;
                } else if (((unsigned char)*lexer->at & 0xc0) != 0x80) {
                        lexer->place.column++;
                }
        }
}

static struct expr_token take(struct expr_lexer *lexer, enum expr_token_kind kind, size_t n)
{
        struct expr_token token = {
                .kind = kind,
                .ptr = lexer->at,
                .length = n,
                .place = lexer->place,
        };

        skip(lexer, n);
        return token;
}

#define WRONG(lexer, place, ...)                            \
        (mistake_set((lexer)->mistake, place, __VA_ARGS__), \
         (struct expr_token){ .kind = EXPR_TOKEN_WRONG })

bool expr_token_is(const struct expr_token *token, const char *word)
{
        return token->kind != EXPR_TOKEN_STRING && token->kind != EXPR_TOKEN_RAW &&
               token->length == strlen(word) && memcmp(token->ptr, word, token->length) == 0;
}

bool expr_token_is_keyword(const struct expr_token *token)
{
        static const char *const keywords[] = { "and",   "or",   "not", "in", "true",
                                                "false", "null", "if",  "for" };

        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
                if (expr_token_is(token, keywords[i]))
                        return true;
        return false;
}

int expr_token_shown(const struct expr_token *token)
{
        return (int)utf8_prefix(token->ptr, token->length, EXPR_SHOWN);
}

static char unescaped(char c)
{
        switch (c) {
        case 'n':
                return '\n';
        case 't':
                return '\t';
        case 'r':
                return '\r';
        case '\\':
        case '"':
        case '\'':
                return c;
        default:
                return '\0';
        }
}

static struct expr_token lex_string(struct expr_lexer *lexer)
{
        struct expr_token token;
        const char *s = lexer->at + 1;

        while (s < lexer->end && *s != *lexer->at) {
                if (*s == '\\' && (s + 1 == lexer->end || !unescaped(s[1]))) {
                        skip(lexer, (size_t)(s - lexer->at));
                        return WRONG(lexer, lexer->place,
                                     "there is no such escape; \\n, \\t, \\r, \\\\, \\\" and \\' "
                                     "are the ones there are");
                }
                s += *s == '\\' ? 2 : 1;
        }
        if (s >= lexer->end)
                return WRONG(lexer, lexer->place, "the text that starts here has no closing %c",
                             *lexer->at);
        token = take(lexer, EXPR_TOKEN_STRING, (size_t)(s + 1 - lexer->at));
        token.ptr++;
        token.length -= 2;
        return token;
}

size_t expr_unescape(const struct expr_token *token, char *out)
{
        char *start = out;

        for (size_t i = 0; i < token->length; i++)
                *out++ = token->ptr[i] == '\\' ? unescaped(token->ptr[++i]) : token->ptr[i];
        return (size_t)(out - start);
}

static const char *skip_digits(const char *s, const char *end)
{
        while (s < end && is_digit(*s))
                s++;
        return s;
}

/* The length of a number: digits, a fraction, an exponent. */
static size_t number_length(const struct expr_lexer *lexer)
{
        const char *s = skip_digits(lexer->at, lexer->end), *exponent;

        if (lexer->end - s >= 2 && s[0] == '.' && is_digit(s[1]))
                s = skip_digits(s + 1, lexer->end);
        if (s < lexer->end && (*s == 'e' || *s == 'E')) {
                exponent = s + 1;
                if (exponent < lexer->end && (*exponent == '+' || *exponent == '-'))
                        exponent++;
                if (exponent < lexer->end && is_digit(*exponent))
                        s = skip_digits(exponent, lexer->end);
        }
        return (size_t)(s - lexer->at);
}

static struct expr_token lex_number(struct expr_lexer *lexer)
{
        size_t n = number_length(lexer);
        struct expr_token token;
        char digits[64];

        if (n >= sizeof digits)
                return WRONG(lexer, lexer->place, "a number has at most %zu digits",
                             sizeof digits - 1);
        if (lexer->at + n < lexer->end && is_letter(lexer->at[n]))
                return WRONG(lexer, lexer->place,
                             "neither a number nor a name: a name starts with a letter");
        token = take(lexer, EXPR_TOKEN_NUMBER, n);
        memcpy(digits, token.ptr, n);
        digits[n] = '\0';
        token.number = strtod(digits, NULL);
        return isfinite(token.number) ? token
                                      : WRONG(lexer, token.place, "the number is too large");
}

static struct expr_token lex_word(struct expr_lexer *lexer)
{
        const char *s = lexer->at;

        while (s < lexer->end && (is_letter(*s) || is_digit(*s)))
                s++;
        return take(lexer, EXPR_TOKEN_WORD, (size_t)(s - lexer->at));
}

static struct expr_token lex_close(struct expr_lexer *lexer)
{
        struct expr_token token;

        lexer->trim = *lexer->at == '-';
        if (lexer->trim)
                skip(lexer, 1);
        token = take(lexer, EXPR_TOKEN_CLOSE, 2);
        return token;
}

/* Symbols of other languages, and what to write instead. */
static const struct {
        const char *symbol;
        const char *advice;
} foreign[] = {
        { "&&", "and" }, { "&", "and" }, { "||", "or" },       { "!", "not" },
        { "=", "==" },   { "~", "+" },   { "{", "json(...)" }, { "?", "{% if %}" },
};

static struct expr_token lex_foreign(struct expr_lexer *lexer)
{
        unsigned char c = (unsigned char)*lexer->at;

        for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
                if (next_is(lexer, foreign[i].symbol))
                        return WRONG(lexer, lexer->place, "there is no '%s' here; use '%s'",
                                     foreign[i].symbol, foreign[i].advice);
        if (c >= 0x80)
                return WRONG(lexer, lexer->place,
                             "letters outside of ASCII stand only in texts: put quotes around it");
        if (c < ' ' || c == 0x7f)
                return WRONG(lexer, lexer->place, "there is a control character here: remove it");
        return WRONG(lexer, lexer->place, "there is no '%c' in expressions: remove it", c);
}

static struct expr_token lex_symbol(struct expr_lexer *lexer)
{
        static const char *const symbols[] = {
                "==", "!=", "<=", ">=", "||", "<", ">", "+", "-", "(", ")", "[", "]", ",", ".", "|",
        };

        for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
                if (next_is(lexer, symbols[i]))
                        return strcmp(symbols[i], "||") == 0
                                       ? lex_foreign(lexer)
                                       : take(lexer, EXPR_TOKEN_SYMBOL, strlen(symbols[i]));
        return lex_foreign(lexer);
}

static bool at_close(const struct expr_lexer *lexer)
{
        return lexer->in_template && (next_is(lexer, "}}") || next_is(lexer, "%}") ||
                                      next_is(lexer, "-}}") || next_is(lexer, "-%}"));
}

static void skip_spaces(struct expr_lexer *lexer)
{
        while (lexer->at < lexer->end && is_space(*lexer->at))
                skip(lexer, 1);
}

struct expr_token expr_lex(struct expr_lexer *lexer)
{
        skip_spaces(lexer);
        if (lexer->at == lexer->end)
                return take(lexer, EXPR_TOKEN_END, 0);
        if (at_close(lexer))
                return lex_close(lexer);
        if (*lexer->at == '"' || *lexer->at == '\'')
                return lex_string(lexer);
        if (is_digit(*lexer->at))
                return lex_number(lexer);
        return is_letter(*lexer->at) ? lex_word(lexer) : lex_symbol(lexer);
}

bool expr_lex_is_text(struct expr_lexer *lexer)
{
        while (lexer->at < lexer->end) {
                uint32_t c;
                size_t n = utf8_decode(lexer->at, left(lexer), &c);

                if (n == 0 || *lexer->at == '\0')
                        return false;
                skip(lexer, n);
        }
        return true;
}

/* The next "{{", "{%" or "{#"; NULL: none. */
static const char *find_tag(const char *s, const char *end)
{
        for (;; s++) {
                s = memchr(s, '{', (size_t)(end - s));
                if (!s || end - s < 2)
                        return NULL;
                if (s[1] == '{' || s[1] == '%' || s[1] == '#')
                        return s;
        }
}

struct expr_token expr_lex_raw(struct expr_lexer *lexer)
{
        struct expr_token token;
        const char *tag;

        if (lexer->trim)
                skip_spaces(lexer);
        lexer->trim = false;
        tag = find_tag(lexer->at, lexer->end);
        token = take(lexer, EXPR_TOKEN_RAW, (size_t)((tag ? tag : lexer->end) - lexer->at));
        if (left(lexer) > 2 && lexer->at[2] == '-')
                while (token.length > 0 && is_space(token.ptr[token.length - 1]))
                        token.length--;
        return token;
}

static struct expr_token skip_comment(struct expr_lexer *lexer)
{
        struct expr_place start = lexer->place;
        const char *end = memmem(lexer->at + 2, left(lexer) - 2, "#}", 2);

        if (!end)
                return WRONG(lexer, start, "the comment that starts here has no closing #}");
        lexer->trim = end > lexer->at + 2 && end[-1] == '-';
        return take(lexer, EXPR_TOKEN_RAW, (size_t)(end + 2 - lexer->at));
}

struct expr_token expr_lex_open(struct expr_lexer *lexer)
{
        struct expr_token token;

        if (lexer->at == lexer->end)
                return take(lexer, EXPR_TOKEN_END, 0);
        if (lexer->at[1] == '#') {
                token = skip_comment(lexer);
                token.length = 0;
                return token;
        }
        token = take(lexer, EXPR_TOKEN_OPEN, 2);
        if (lexer->at < lexer->end && *lexer->at == '-' && !at_close(lexer))
                skip(lexer, 1);
        return token;
}
