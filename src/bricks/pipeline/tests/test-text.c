/* SPDX-License-Identifier: MIT */

/* What a pipeline does to texts: placeholders and back, and the ends of sentences. */

#undef NDEBUG
#include <assert.h>
#include <stdio.h>

#include "mask.h"
#include "sentence.h"

static const char *add(struct mask *mask, const char *rule, const char *part)
{
        return mask_add(mask, rule, strlen(rule), part, strlen(part));
}

static void test_placeholders(void)
{
        struct mask mask = {};

        assert(strcmp(add(&mask, "pii-email", "a@b.c"), "[PII_EMAIL_1]") == 0);
        assert(strcmp(add(&mask, "pii-email", "d@e.f"), "[PII_EMAIL_2]") == 0);
        assert(strcmp(add(&mask, "pii-email", "a@b.c"), "[PII_EMAIL_1]") == 0);
        assert(strcmp(add(&mask, "pii", "a@b.c"), "[PII_1]") == 0);
        assert(strcmp(add(&mask, "電話", "1"), "[_______1]") == 0);
        assert(mask.n == 4);
        for (unsigned i = 0; i < 12; i++) {
                char part[8];

                (void)snprintf(part, sizeof part, "%u", i);
                (void)add(&mask, "many", part);
        }
        assert(strcmp(add(&mask, "many", "11"), "[MANY_12]") == 0);
        mask_done(&mask);
}

/* Restores a text in two cuts; the result is in *out. */
static void restore(const struct mask *mask, const char *text, size_t a, size_t b,
                    struct buffer *out)
{
        struct restorer restorer = { .mask = mask };
        size_t n = strlen(text);

        out->len = 0;
        assert(restorer_push(&restorer, text, a, false, out) == 0);
        assert(restorer_push(&restorer, text + a, b - a, false, out) == 0);
        assert(restorer_push(&restorer, text + b, n - b, false, out) == 0);
        assert(restorer_push(&restorer, "", 0, true, out) == 0);
        assert(restorer.held.len == 0);
        restorer_done(&restorer);
}

static void test_restore(void)
{
        static const struct {
                const char *text, *whole;
        } cases[] = {
                { "", "" },
                { "plain", "plain" },
                { "to [MAIL_1]!", "to ann@example.org!" },
                { "[MAIL_1][MAIL_1]", "ann@example.organn@example.org" },
                { "[MAIL_1", "[MAIL_1" },
                { "[[MAIL_1]]", "[ann@example.org]" },
                { "[MAIL_11] [MAIL_2] [", "eleven [MAIL_2] [" },
                { "[MAIL_[MAIL_1]", "[MAIL_ann@example.org" },
        };
        struct mask mask = {};
        struct buffer out = {};

        for (unsigned i = 1; i <= 11; i++) {
                char part[16];

                (void)snprintf(part, sizeof part, "mail %u", i);
                (void)add(&mask, "mail", i == 1 ? "ann@example.org" : i == 11 ? "eleven" : part);
        }
        /* [MAIL_2] was never given out */
        free(mask.entries[1].original);
        mask.entries[1] = mask.entries[--mask.n];

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                size_t n = strlen(cases[i].text);

                for (size_t a = 0; a <= n; a++)
                        for (size_t b = a; b <= n; b++) {
                                restore(&mask, cases[i].text, a, b, &out);
                                assert(out.len == strlen(cases[i].whole));
                                assert(out.len == 0 ||
                                       memcmp(out.ptr, cases[i].whole, out.len) == 0);
                        }
        }
        buffer_done(&out);
        mask_done(&mask);
}

/* A text that cannot become a placeholder any more is not held. */
static void test_restore_holds_little(void)
{
        struct restorer restorer;
        struct mask mask = {};
        struct buffer out = {};

        (void)add(&mask, "mail", "x");
        restorer = (struct restorer){ .mask = &mask };
        assert(restorer_push(&restorer, "a [MA", 5, false, &out) == 0 && out.len == 2);
        assert(restorer_push(&restorer, "P b", 3, false, &out) == 0 && out.len == 8);
        restorer_done(&restorer);
        buffer_done(&out);
        mask_done(&mask);
}

static size_t end_of(const char *text, size_t hold)
{
        return sentence_end(text, strlen(text), hold, false);
}

static void test_sentences(void)
{
        assert(end_of("", 100) == 0);
        assert(end_of("One two", 100) == 0);
        assert(end_of("One.", 100) == 0); /* it may be 1.5 */
        assert(end_of("One. Two", 100) == 5);
        assert(end_of("One. Two? Three! F", 100) == 17);
        assert(end_of("1.5 apples", 100) == 0);
        assert(end_of("line\nnext", 100) == 5);
        assert(end_of("一。二", 100) == 6);
        assert(end_of("真的？", 100) == 9);
        assert(sentence_end("abc", 3, 100, true) == 3);

        assert(end_of("no end at all here", 12) == 10); /* the last blank before the 12th byte */
        assert(end_of("noblanksatallhere", 12) == 12);
        assert(end_of("一二三四五六", 13) == 12); /* no character is cut */
        assert(end_of("a", 1) == 1);
}

int main(void)
{
        test_placeholders();
        test_restore();
        test_restore_holds_little();
        test_sentences();
        return 0;
}
