/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/cleanup.h"
#include "util/json-read.h"

static const struct {
        const char *text;
        const char *mistake; /* NULL: it is right */
        size_t line, column;
} texts[] = {
        { "null", NULL, 0, 0 },
        { " [1, -2.5e+3, 0, \"a\", true, false, null, {}, []] ", NULL, 0, 0 },
        { "{\"a\": {\"b\": [1]}, \"a\": 2}", NULL, 0, 0 },
        { "\"\\ud83d\\ude00 \\ud83d \\u00e9 \\n\"", NULL, 0, 0 },
        { "", "the text ends where a value should be", 1, 1 },
        { "[1, 2", "expected ',' or ']'", 1, 6 },
        { "[1,]", "expected a value", 1, 4 },
        { "[1 2]", "expected ',' or ']'", 1, 4 },
        { "{\"a\" 1}", "expected ':' after a key", 1, 6 },
        { "{\"a\": 1\n \"b\": 2}", "expected ',' or '}'", 2, 2 },
        { "{a: 1}", "expected a key in quotation marks", 1, 2 },
        { "{\"a\": 1,}", "expected a key in quotation marks", 1, 9 },
        { "1 2", "something follows the value", 1, 3 },
        { "01", "something follows the value", 1, 2 },
        { "-", "a digit is missing", 1, 2 },
        { "1.", "a digit is missing", 1, 3 },
        { "1e", "a digit is missing", 1, 3 },
        { "1e999", "the number is too large", 1, 6 },
        { "NaN", "expected a value", 1, 1 },
        { "nul", "expected a value", 1, 1 },
        { "'a'", "expected a value", 1, 1 },
        { "\"a", "the text ends inside a string", 1, 3 },
        { "\"\\", "the text ends inside a string", 1, 3 },
        { "\"\\x\"", "there is no such escape", 1, 3 },
        { "\"\\u12g4\"", "\\u needs four hexadecimal digits", 1, 3 },
        { "\"a\nb\"", "a control character in a string must be escaped", 1, 3 },
        { "\"\xff\"", "not UTF-8", 1, 2 },
        { "\"\xed\xa0\x80\"", "not UTF-8", 1, 2 },
        { "[1, // one\n2]", "expected a value", 1, 5 },
};

static struct json_value parse(const char *text)
{
        struct json_mistake mistake;
        struct json_value value;

        assert(json_check(text, strlen(text), &value, &mistake));
        return value;
}

static void test_mistakes(void)
{
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                struct json_mistake mistake = { 0 };
                struct json_value value;
                bool right = json_check(texts[i].text, strlen(texts[i].text), &value, &mistake);

                if (right == !texts[i].mistake &&
                    (right || (strcmp(mistake.text, texts[i].mistake) == 0 &&
                               mistake.line == texts[i].line && mistake.column == texts[i].column)))
                        continue;
                fprintf(stderr, "%s: %s at %zu:%zu\n", texts[i].text, mistake.text, mistake.line,
                        mistake.column);
                abort();
        }
}

static void test_depth(void)
{
        char text[2 * JSON_READ_DEPTH + 3] = "";
        struct json_mistake mistake;
        struct json_value value;

        memset(text, '[', JSON_READ_DEPTH);
        memset(text + JSON_READ_DEPTH, ']', JSON_READ_DEPTH);
        assert(json_check(text, strlen(text), &value, &mistake));
        memset(text, '[', JSON_READ_DEPTH + 1);
        assert(!json_check(text, strlen(text), &value, &mistake));
        assert(strcmp(mistake.text, "too deep") == 0);
}

static void test_walk(void)
{
        struct json_value key, value;
        struct json_walk walk = json_begin(
                parse("{ \"a\" : [1, \"]\\\"\", {\"x\":[]}] , \"b\\u0063\":null,\"d\":-1.5e1}"));
        struct json_walk items;
        size_t n = 0;

        assert(json_next_member(&walk, &key, &value) && json_value_is(key, "a"));
        assert(json_value_kind(value) == JSON_KIND_LIST);
        for (items = json_begin(value); json_next_item(&items, &key);)
                n++;
        assert(n == 3 && json_value_kind(key) == JSON_KIND_OBJECT && key.length == 8);
        assert(json_next_member(&walk, &key, &value) && json_value_is(key, "bc"));
        assert(!json_value_is(key, "b") && !json_value_is(key, "bcd"));
        assert(json_value_kind(value) == JSON_KIND_NULL && value.length == 4);
        assert(json_next_member(&walk, &key, &value) && json_value_is(key, "d"));
        assert(json_value_number(value) == -15);
        assert(!json_next_member(&walk, &key, &value));

        walk = json_begin(parse("[ ]"));
        assert(!json_next_item(&walk, &value));
        walk = json_begin(parse("7"));
        assert(!json_next_item(&walk, &value));
        walk = json_begin((struct json_value){ NULL, 0 });
        assert(!json_next_item(&walk, &value));
}

static void test_strings(void)
{
        static const struct {
                const char *json, *text;
        } strings[] = {
                { "\"\"", "" },
                { "\"a\\\\b\\/\\\"\\b\\f\\n\\r\\t\"", "a\\b/\"\b\f\n\r\t" },
                { "\"\\u00e9\\u4e2d\\ud83d\\ude00\"", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80" },
                { "\"\\ud83dx\\ude00\\ud83d\\u0041\"", "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"
                                                       "A" },
        };
        struct arena arena;
        size_t n;

        arena_init(&arena, 4096);
        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                struct json_value value = parse(strings[i].json);

                assert(strcmp(json_value_string(value, &arena, &n), strings[i].text) == 0);
                assert(n == strlen(strings[i].text) && json_value_is(value, strings[i].text));
        }
        assert(json_value_string(parse("\"a\\u0000b\""), &arena, &n)[1] == '\0' && n == 3);
        arena_done(&arena);
}

static void test_numbers(void)
{
        int64_t i;

        assert(json_value_integer(parse("-9223372036854775808"), &i) && i == INT64_MIN);
        assert(!json_value_integer(parse("9223372036854775808"), &i));
        assert(json_value_integer(parse("1e3"), &i) && i == 1000);
        assert(json_value_integer(parse("2.0"), &i) && i == 2);
        assert(!json_value_integer(parse("2.5"), &i));
        assert(!json_value_integer(parse("1e300"), &i));
        assert(json_value_number(parse("0.1")) == 0.1);
}

int main(void)
{
        test_mistakes();
        test_depth();
        test_walk();
        test_strings();
        test_numbers();
        return 0;
}
