/* SPDX-License-Identifier: MIT */
#include "util/json-read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/utf8.h"

#define NUMBER_MAX 400 /* characters; more are of no use to a double */

/* --- checking -----------------------------------------------------------------------------------
 */

struct check {
        const char *at;
        const char *end;
        const char *mistake; /* NULL: none so far */
        unsigned depth;
};

static bool fail(struct check *c, const char *mistake)
{
        c->mistake = mistake;
        return false;
}

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static const char *skip_space(const char *at, const char *end)
{
        while (at < end && is_space(*at))
                at++;
        return at;
}

/* Four hexadecimal digits; UINT32_MAX: they are not. */
static uint32_t read_hex(const char *at, const char *end)
{
        uint32_t value = 0;

        if (end - at < 4)
                return UINT32_MAX;
        for (size_t i = 0; i < 4; i++) {
                char c = at[i];

                if (is_digit(c))
                        value = value << 4 | (uint32_t)(c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
                else
                        return UINT32_MAX;
        }
        return value;
}

static bool is_high(uint32_t c)
{
        return c >= 0xd800 && c < 0xdc00;
}

static bool is_low(uint32_t c)
{
        return c >= 0xdc00 && c < 0xe000;
}

/* Behind a backslash. A half of a surrogate pair alone is taken, and read as U+FFFD: clients cut
 * texts inside characters, and should not lose the rest. */
static bool check_escape(struct check *c)
{
        if (c->at == c->end)
                return fail(c, "the text ends inside a string");
        if (*c->at == 'u') {
                if (read_hex(c->at + 1, c->end) == UINT32_MAX)
                        return fail(c, "\\u needs four hexadecimal digits");
                c->at += 5;
                return true;
        }
        if (!strchr("\"\\/bfnrt", *c->at) || *c->at == '\0')
                return fail(c, "there is no such escape");
        c->at++;
        return true;
}

static bool check_string(struct check *c)
{
        for (c->at++; c->at < c->end;) {
                unsigned char byte = (unsigned char)*c->at;

                if (byte == '"') {
                        c->at++;
                        return true;
                }
                if (byte < 0x20)
                        return fail(c, "a control character in a string must be escaped");
                if (byte == '\\') {
                        c->at++;
                        if (!check_escape(c))
                                return false;
                } else if (byte < 0x80) {
                        c->at++;
                } else {
                        uint32_t character;
                        size_t n = utf8_decode(c->at, (size_t)(c->end - c->at), &character);

                        if (n == 0)
                                return fail(c, "not UTF-8");
                        c->at += n;
                }
        }
        return fail(c, "the text ends inside a string");
}

static bool check_digits(struct check *c)
{
        if (c->at == c->end || !is_digit(*c->at))
                return fail(c, "a digit is missing");
        while (c->at < c->end && is_digit(*c->at))
                c->at++;
        return true;
}

static bool check_number(struct check *c)
{
        const char *from = c->at;

        if (*c->at == '-')
                c->at++;
        if (c->at < c->end && *c->at == '0')
                c->at++;
        else if (!check_digits(c))
                return false;
        if (c->at < c->end && *c->at == '.') {
                c->at++;
                if (!check_digits(c))
                        return false;
        }
        if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
                c->at++;
                if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
                        c->at++;
                if (!check_digits(c))
                        return false;
        }
        if (c->at - from > NUMBER_MAX ||
            !isfinite(json_value_number((struct json_value){ from, (size_t)(c->at - from) })))
                return fail(c, "the number is too large");
        return true;
}

static bool check_word(struct check *c)
{
        static const char *const words[] = { "null", "true", "false" };

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                size_t n = strlen(words[i]);

                if ((size_t)(c->end - c->at) >= n && memcmp(c->at, words[i], n) == 0) {
                        c->at += n;
                        return true;
                }
        }
        return fail(c,
                    c->at == c->end ? "the text ends where a value should be" : "expected a value");
}

static bool check_value(struct check *c);

/* Items up to `close`; of an object, each is a key and a value. */
static bool check_items(struct check *c, char close)
{
        if (++c->depth > JSON_READ_DEPTH)
                return fail(c, "too deep");
        c->at = skip_space(c->at + 1, c->end);
        if (c->at < c->end && *c->at == close) {
                c->at++;
                c->depth--;
                return true;
        }
        for (;;) {
                c->at = skip_space(c->at, c->end);
                if (close == '}') {
                        if (c->at == c->end || *c->at != '"')
                                return fail(c, "expected a key in quotation marks");
                        if (!check_string(c))
                                return false;
                        c->at = skip_space(c->at, c->end);
                        if (c->at == c->end || *c->at != ':')
                                return fail(c, "expected ':' after a key");
                        c->at++;
                }
                if (!check_value(c))
                        return false;
                c->at = skip_space(c->at, c->end);
                if (c->at < c->end && *c->at == close)
                        break;
                if (c->at == c->end || *c->at != ',')
                        return fail(c,
                                    close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
                c->at++;
        }
        c->at++;
        c->depth--;
        return true;
}

/* The recursion is bounded by JSON_READ_DEPTH. */
static bool check_value(struct check *c)
{
        c->at = skip_space(c->at, c->end);
        if (c->at == c->end)
                return check_word(c);
        switch (*c->at) {
        case '{':
                return check_items(c, '}');
        case '[':
                return check_items(c, ']');
        case '"':
                return check_string(c);
        default:
                return *c->at == '-' || is_digit(*c->at) ? check_number(c) : check_word(c);
        }
}

static void find_place(const char *text, const char *at, struct json_mistake *mistake)
{
        const char *line = text, *lf;

        mistake->line = 1;
        while ((lf = memchr(line, '\n', (size_t)(at - line)))) {
                mistake->line++;
                line = lf + 1;
        }
        mistake->column = (size_t)(at - line) + 1;
}

bool json_check(const char *text, size_t length, struct json_value *ret,
                struct json_mistake *ret_mistake)
{
        struct check c = { text, text + length, NULL, 0 };
        const char *from = skip_space(text, c.end);

        if (check_value(&c)) {
                *ret = (struct json_value){ from, (size_t)(c.at - from) };
                c.at = skip_space(c.at, c.end);
                if (c.at == c.end)
                        return true;
                (void)fail(&c, "something follows the value");
        }
        ret_mistake->text = c.mistake;
        find_place(text, c.at, ret_mistake);
        return false;
}

/* --- reading ------------------------------------------------------------------------------------
 */

enum json_kind json_value_kind(struct json_value value)
{
        switch (value.ptr[0]) {
        case 'n':
                return JSON_KIND_NULL;
        case 'f':
                return JSON_KIND_FALSE;
        case 't':
                return JSON_KIND_TRUE;
        case '"':
                return JSON_KIND_STRING;
        case '[':
                return JSON_KIND_LIST;
        case '{':
                return JSON_KIND_OBJECT;
        default:
                return JSON_KIND_NUMBER;
        }
}

const char *json_value_kind_name(struct json_value value)
{
        static const char *const names[] = {
                [JSON_KIND_NULL] = "null",        [JSON_KIND_FALSE] = "false",
                [JSON_KIND_TRUE] = "true",        [JSON_KIND_NUMBER] = "a number",
                [JSON_KIND_STRING] = "a string",  [JSON_KIND_LIST] = "a list",
                [JSON_KIND_OBJECT] = "an object",
        };

        return names[json_value_kind(value)];
}

/* Behind the string that begins at `at`. */
static const char *end_of_string(const char *at)
{
        for (at++; *at != '"'; at++)
                if (*at == '\\')
                        at++;
        return at + 1;
}

/* Behind the value that begins at `at`. The text is known to be right, and to go on to `end`. */
static const char *end_of_value(const char *at, const char *end)
{
        unsigned depth = 0;

        if (*at != '"' && *at != '[' && *at != '{') {
                while (at < end && !is_space(*at) && !strchr(",]}", *at))
                        at++;
                return at;
        }
        do {
                if (*at == '"') {
                        at = end_of_string(at);
                        continue;
                }
                if (*at == '[' || *at == '{')
                        depth++;
                else if (*at == ']' || *at == '}')
                        depth--;
                at++;
        } while (depth > 0);
        return at;
}

struct json_walk json_begin(struct json_value value)
{
        if (!value.ptr || (value.ptr[0] != '[' && value.ptr[0] != '{'))
                return (struct json_walk){ NULL, NULL };
        return (struct json_walk){ value.ptr + 1, value.ptr + value.length - 1 };
}

bool json_next_item(struct json_walk *walk, struct json_value *ret)
{
        const char *from;

        if (!walk->at)
                return false;
        from = skip_space(walk->at, walk->end);
        if (from == walk->end)
                return false;
        walk->at = end_of_value(from, walk->end);
        *ret = (struct json_value){ from, (size_t)(walk->at - from) };
        walk->at = skip_space(walk->at, walk->end);
        if (walk->at < walk->end) /* ',', or ':' behind a key */
                walk->at++;
        return true;
}

bool json_next_member(struct json_walk *walk, struct json_value *ret_key, struct json_value *ret)
{
        return json_next_item(walk, ret_key) && json_next_item(walk, ret);
}

/* Reads the character at *at, which may be escaped, and moves behind it. Returns its length in
 * out. */
static size_t read_character(const char **at, char out[static 4])
{
        static const char names[] = "bfnrt", meant[] = "\b\f\n\r\t";
        const char *name;
        uint32_t c, low;

        if (**at != '\\') {
                out[0] = *(*at)++;
                return 1;
        }
        if ((*at)[1] != 'u') {
                name = strchr(names, (*at)[1]);
                out[0] = name ? meant[name - names] : (*at)[1];
                *at += 2;
                return 1;
        }
        c = read_hex(*at + 2, *at + 6);
        *at += 6;
        if (is_high(c) && (*at)[0] == '\\' && (*at)[1] == 'u') {
                low = read_hex(*at + 2, *at + 6);
                if (is_low(low)) {
                        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                        *at += 6;
                }
        }
        if (is_high(c) || is_low(c))
                c = 0xfffd;
        return utf8_encode(c, out);
}

bool json_value_is(struct json_value string, const char *text)
{
        const char *at = string.ptr + 1, *end = string.ptr + string.length - 1;
        size_t length = strlen(text), done = 0;
        char bytes[4];

        while (at < end) {
                size_t n = read_character(&at, bytes);

                if (n > length - done || memcmp(text + done, bytes, n) != 0)
                        return false;
                done += n;
        }
        return done == length;
}

const char *json_value_string(struct json_value string, struct arena *arena, size_t *ret_length)
{
        const char *at = string.ptr + 1, *end = string.ptr + string.length - 1;
        char *out = arena_alloc(arena, string.length - 1, 1); /* escapes never become longer */
        size_t n = 0;

        if (!out)
                return NULL;
        while (at < end) {
                const char *escape = memchr(at, '\\', (size_t)(end - at));
                size_t plain = (size_t)((escape ? escape : end) - at);

                memcpy(out + n, at, plain);
                n += plain;
                at += plain;
                if (escape) {
                        char bytes[4];
                        size_t size = read_character(&at, bytes);

                        memcpy(out + n, bytes, size);
                        n += size;
                }
        }
        out[n] = '\0';
        *ret_length = n;
        return out;
}

double json_value_number(struct json_value number)
{
        char text[NUMBER_MAX + 1];

        if (number.length > NUMBER_MAX)
                return INFINITY;
        memcpy(text, number.ptr, number.length);
        text[number.length] = '\0';
        return strtod(text, NULL); /* brickd never leaves the C locale */
}

bool json_value_integer(struct json_value number, int64_t *ret)
{
        double value = json_value_number(number);
        char text[24];
        char *end;

        if (number.length < sizeof text && !memchr(number.ptr, '.', number.length) &&
            !memchr(number.ptr, 'e', number.length) && !memchr(number.ptr, 'E', number.length)) {
                memcpy(text, number.ptr, number.length);
                text[number.length] = '\0';
                errno = 0;
                *ret = strtoll(text, &end, 10);
                return errno == 0;
        }
        if (value != trunc(value) || fabs(value) > 9007199254740992.0)
                return false;
        *ret = (int64_t)value;
        return true;
}
