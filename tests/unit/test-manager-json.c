/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "manager/json.h"

static void check_text(const char *s, const char *expected)
{
        json_t *json = json_text(s);

        assert(json);
        assert(strcmp(json_string_value(json), expected) == 0);
        json_decref(json);
}

static void test_text(void)
{
        json_t *null = json_text(NULL);

        assert(json_is_null(null));
        json_decref(null);
        check_text("", "");
        check_text("gr\xc3\xbc\xc3\x9f\n", "gr\xc3\xbc\xc3\x9f\n");
        check_text("/etc/\xff"
                   "a\xc3",
                   "/etc/\xef\xbf\xbd"
                   "a\xef\xbf\xbd");
        check_text("\x80", "\xef\xbf\xbd");
}

static void test_finish(void)
{
        char *text = NULL;

        assert(json_finish(json_pack("{s:o, s:I}", "a", json_text("\xff\"\n"), "b",
                                     (json_int_t)INT64_MAX),
                           &text) == 0);
        assert(strcmp(text, "{\"a\":\"\xef\xbf\xbd\\\"\\n\",\"b\":9223372036854775807}") == 0);
        free(text);
        text = NULL;
        assert(json_finish(NULL, &text) == -ENOMEM && !text);
}

int main(void)
{
        test_text();
        test_finish();
        return 0;
}
