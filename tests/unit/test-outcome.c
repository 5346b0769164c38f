/* SPDX-License-Identifier: MIT */

/* What becomes of a brick's texts before they leave. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module/outcome.h"
#include "util/cleanup.h"
#include "util/utf8.h"

static void expect(const char *text, size_t length, const char *expected)
{
        struct brick_str kept;
        struct arena arena;

        arena_init(&arena, 4 * OUTCOME_TEXT_MAX);
        kept = outcome_text(&arena, (struct brick_str){ text, length });
        assert(kept.ptr && kept.len == strlen(expected));
        assert(memcmp(kept.ptr, expected, kept.len) == 0);
        arena_done(&arena);
}

/* Around the longest: `length` bytes of `byte`, and the character that ends it. */
static void expect_long(size_t length, char byte, size_t kept_length, const char *end)
{
        _cleanup_free_ char *text = malloc(length);
        struct brick_str kept;
        struct arena arena;

        assert(text);
        memset(text, byte, length);
        arena_init(&arena, 4 * OUTCOME_TEXT_MAX);
        kept = outcome_text(&arena, (struct brick_str){ text, length });
        assert(kept.len == kept_length && utf8_valid(kept.ptr, kept.len));
        assert(memcmp(kept.ptr + kept.len - strlen(end), end, strlen(end)) == 0);
        arena_done(&arena);
}

static void test_text(void)
{
        expect(NULL, 0, "");
        expect("plain", 5, "plain");
        expect("gr\xc3\xbc\xc3\x9f"
               "e",
               7,
               "gr\xc3\xbc\xc3\x9f"
               "e");
        expect("a\xff"
               "b",
               3,
               "a\xef\xbf\xbd"
               "b");
        expect("\xe4\xb8", 2, "\xef\xbf\xbd\xef\xbf\xbd");
        expect_long(OUTCOME_TEXT_MAX, 'x', OUTCOME_TEXT_MAX, "xx");
        expect_long(OUTCOME_TEXT_MAX + 1, 'x', OUTCOME_TEXT_MAX, "x\xe2\x80\xa6");
        expect_long(OUTCOME_TEXT_MAX / 3, '\xff', OUTCOME_TEXT_MAX / 3 * 3, "\xef\xbf\xbd");
        expect_long(OUTCOME_TEXT_MAX, '\xff', OUTCOME_TEXT_MAX / 3 * 3, "\xef\xbf\xbd\xe2\x80\xa6");
}

static void test_out_of_memory(void)
{
        static char text[64 * 1024];
        struct arena arena;

        memset(text, 'x', sizeof text);
        arena_init(&arena, 0);
        assert(outcome_text(&arena, (struct brick_str){ text, sizeof text }).len == 0);
        arena_done(&arena);
}

static void test_faults(void)
{
        assert(strstr(outcome_reply_fault(-EBADMSG), "type"));
        assert(strstr(outcome_reply_fault(-EILSEQ), "UTF-8"));
        assert(strstr(outcome_reply_fault(-EPROTO), "brick_fail()"));
        assert(!outcome_reply_fault(0) && !outcome_reply_fault(-EAGAIN));
}

int main(void)
{
        test_text();
        test_out_of_memory();
        test_faults();
        return 0;
}
