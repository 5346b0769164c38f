/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "util/out.h"
#include "util/utf8.h"

static char text[20000];

static const char *quote(const char *s, size_t length)
{
        struct out out = { text, text + sizeof text - 1 };

        out_json(&out, s, length);
        *out.next = '\0';
        assert(utf8_valid(text, strlen(text)));
        return text;
}

static void check(const char *s, const char *expected)
{
        const char *quoted = quote(s, strlen(s));

        if (strcmp(quoted, expected) != 0)
                fprintf(stderr, "%s, not %s\n", quoted, expected);
        assert(strcmp(quoted, expected) == 0);
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

static void test_long(void)
{
        static char s[3001], expected[3003];

        for (size_t shift = 0; shift < 4; shift++) {
                memset(s, 'x', shift);
                for (size_t i = shift; i + 3 < sizeof s; i += 3)
                        memcpy(s + i, "\xe2\x82\xac", 4);
                (void)snprintf(expected, sizeof expected, "\"%s\"", s);
                check(s, expected);
        }
        memset(s, '\x80', sizeof s);
        assert(strlen(quote(s, sizeof s)) == 2 + 6 * sizeof s);
}

int main(void)
{
        test_escapes();
        test_long();
        return 0;
}
