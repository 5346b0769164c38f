/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/json-read.h"
#include "util/json-write.h"

static void is(const struct json_text *text, const char *expected)
{
        if (!text->failed && text->length == strlen(expected) &&
            memcmp(text->bytes, expected, text->length) == 0)
                return;
        fprintf(stderr, "expected %s, got %.*s\n", expected, (int)text->length, text->bytes);
        abort();
}

int main(void)
{
        struct json_mistake mistake;
        struct json_value value;
        struct json_text text;
        struct arena arena;
        size_t length;

        arena_init(&arena, 1 << 20);
        text = json_text(&arena);
        json_puts_string(&text, "a\"b\\c\n\t\x01/\x7f\xc3\xa9");
        is(&text, "\"a\\\"b\\\\c\\n\\t\\u0001/\x7f\xc3\xa9\"");
        assert(json_check(text.bytes, text.length, &value, &mistake));
        assert(strcmp(json_value_string(value, &arena, &length), "a\"b\\c\n\t\x01/\x7f\xc3\xa9") ==
               0);

        text = json_text(&arena);
        json_puts_string(&text, NULL);
        json_put(&text, ",", 1);
        json_put_string(&text, "", 0);
        json_put(&text, ",", 1);
        json_put_integer(&text, INT64_MIN);
        is(&text, "null,\"\",-9223372036854775808");

        text = json_text(&arena);
        json_put_double(&text, 0.1);
        json_put(&text, ",", 1);
        json_put_double(&text, 1e300);
        json_put(&text, ",", 1);
        json_put_double(&text, -0.5);
        json_put(&text, ",", 1);
        json_put_double(&text, NAN);
        is(&text, "0.1,1e+300,-0.5,null");

        /* A text that does not fit is empty, whatever is written after that. */
        arena_reset(&arena, 64 * 1024);
        text = json_text(&arena);
        for (int i = 0; i < 100000; i++)
                json_puts(&text, "0123456789");
        assert(text.failed && text.length == 0);
        json_puts_string(&text, "x");
        assert(text.failed && text.length == 0);
        arena_done(&arena);
        return 0;
}
