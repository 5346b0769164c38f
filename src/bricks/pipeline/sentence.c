/* SPDX-License-Identifier: MIT */
#include "sentence.h"

#include <string.h>

#include "util/utf8.h"

static bool is_blank(char c)
{
        return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The length of the mark at the end of a sentence; 0: there is none here. In Chinese and Japanese,
 * no blank follows it. */
static size_t mark_at(const char *text, size_t length, size_t at)
{
        static const char *const wide[] = { "。", "！", "？" };

        if (text[at] == '\n')
                return 1;
        if (strchr(".!?", text[at]) && text[at] && at + 1 < length && is_blank(text[at + 1]))
                return 2;
        for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
                if (length - at >= 3 && memcmp(text + at, wide[i], 3) == 0)
                        return 3;
        return 0;
}

/* The end of the last blank of a text, or of its last whole character. */
static size_t cut(const char *text, size_t length, size_t hold)
{
        for (size_t i = hold; i > hold / 2; i--)
                if (is_blank(text[i - 1]))
                        return i;
        return utf8_prefix(text, length, hold);
}

size_t sentence_end(const char *text, size_t length, size_t hold, bool all)
{
        size_t end = 0;

        if (all)
                return length;
        for (size_t i = 0; i < length; i++) {
                size_t n = mark_at(text, length, i);

                if (n > 0)
                        end = i + n;
        }
        if (end > 0 || length < hold)
                return end;
        return cut(text, length, hold);
}
