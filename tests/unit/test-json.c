/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"
#include "util/utf8.h"

static char *quote(const char *s, size_t length)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert(f);
        json_put_string(f, s, length);
        assert(fclose(f) == 0);
        assert(strlen(text) == size && utf8_valid(text, size));
        return text;
}

static void check(const char *s, const char *expected)
{
        char *text = quote(s, strlen(s));

        if (strcmp(text, expected) != 0)
                fprintf(stderr, "%s, not %s\n", text, expected);
        assert(strcmp(text, expected) == 0);
        free(text);
}

static void test_escapes(void)
{
        check("", "\"\"");
        check("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
        check("\n\x7f\xc2\x9b", "\"\\u000a\\u007f\\u009b\"");
        check("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
        check("a\xff"
              "b\xc3",
              "\"a\\ufffd"
              "b\\ufffd\"");
}

/* A long text is written in pieces, none of which begins inside a character. */
static void test_long(void)
{
        static char s[3001], expected[3003];
        char *text;

        for (size_t shift = 0; shift < 4; shift++) {
                memset(s, 'x', shift);
                for (size_t i = shift; i + 3 < sizeof s; i += 3)
                        memcpy(s + i, "\xe2\x82\xac", 4);
                (void)snprintf(expected, sizeof expected, "\"%s\"", s);
                check(s, expected);
        }
        memset(s, '\x80', sizeof s);
        text = quote(s, sizeof s);
        assert(strlen(text) == 2 + 6 * sizeof s);
        free(text);
}

int main(void)
{
        test_escapes();
        test_long();
        return 0;
}
