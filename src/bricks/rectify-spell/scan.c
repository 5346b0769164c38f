/* SPDX-License-Identifier: MIT */
#include "scan.h"

#include <stdint.h>
#include <string.h>

#include "util/utf8.h"
#include "web-address.h"

#define QUOTED_MAX 2000 /* bytes of a quotation; more is none */
#define TAG_MAX 500
#define UNCLOSED_MAX 1000 /* marks of a text that nothing closes: each takes time */

struct scan scan_of(const char *text, size_t length)
{
        return (struct scan){ .text = text, .length = length };
}

/* ---- characters ----------------------------------------------------------------------------- */

static bool is_ascii_letter(char c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_han(uint32_t c)
{
        return (c >= 0x3400 && c < 0xa000) || (c >= 0x20000 && c < 0x40000);
}

/* The bytes of a Latin letter; 0: it is none. */
static size_t letter(const char *text, size_t length)
{
        uint32_t c;
        size_t n;

        if (length == 0)
                return 0;
        n = utf8_next(text, length, &c);
        if (c < 0x80)
                return is_ascii_letter((char)c);
        return c >= 0xc0 && c < 0x250 && c != 0xd7 && c != 0xf7 ? n : 0;
}

static bool starts(const char *text, size_t length, const char *word)
{
        size_t n = strlen(word);

        return n <= length && memcmp(text, word, n) == 0;
}

static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ---- what is left out ----------------------------------------------------------------------- */

static size_t line_end(const char *text, size_t length)
{
        const char *end = memchr(text, '\n', length);

        return end ? (size_t)(end - text) + 1 : length;
}

/* Of a line that is a fence, its character; else 0. */
static char fence_mark(const char *text, size_t length)
{
        size_t blank = 0;

        while (blank < 3 && blank < length && text[blank] == ' ')
                blank++;
        text += blank;
        length -= blank;
        return starts(text, length, "```") || starts(text, length, "~~~") ? *text : '\0';
}

/* A fence, and all up to the next one. */
static size_t fence(const char *text, size_t length)
{
        char mark = fence_mark(text, length);
        size_t at, n;

        if (!mark)
                return 0;
        for (at = line_end(text, length); at < length; at += n) {
                n = line_end(text + at, length - at);
                if (fence_mark(text + at, length - at) == mark)
                        return at + n;
        }
        return length;
}

/* A quotation, or a line of code: indented, or with an end as code has it. */
static size_t whole_line(const char *text, size_t length)
{
        size_t n = line_end(text, length), end = n;

        if (*text == '>' || *text == '\t' || starts(text, length, "    "))
                return n;
        while (end > 0 && is_space(text[end - 1]))
                end--;
        return end > 0 && strchr(";{}", text[end - 1]) ? n : 0;
}

/* A run of backticks up to one as long. */
static size_t code_span(const char *text, size_t length)
{
        size_t n = 0, run;

        while (n < length && text[n] == '`')
                n++;
        for (size_t i = n; n > 0 && i < length; i += run) {
                for (run = 0; i + run < length && text[i + run] == '`'; run++)
                        ;
                if (run == n)
                        return i + run;
                run += run == 0;
        }
        return n;
}

/* Up to the mark that ends it, but not beyond a blank line. */
static size_t find_end(const char *text, size_t length, size_t limit, const char *end,
                       bool word_end)
{
        size_t n = strlen(end);
        const char *blank = memmem(text, limit, "\n\n", 2), *p = text + 1;

        if (blank)
                limit = (size_t)(blank - text);
        for (; p < text + limit; p++) {
                p = memmem(p, limit - (size_t)(p - text), end, n);
                if (!p)
                        return 0;
                if (!word_end || letter(p + n, length - (size_t)(p - text) - n) == 0)
                        return (size_t)(p - text) + n;
        }
        return 0;
}

static size_t up_to(struct scan *scan, size_t max, const char *end, bool word_end)
{
        size_t length = scan->length - scan->at, n;

        if (scan->unclosed == UNCLOSED_MAX)
                return 0;
        n = find_end(scan->text + scan->at, length, length < max ? length : max, end, word_end);
        scan->unclosed += n == 0;
        return n;
}

static size_t quotation(struct scan *scan)
{
        static const char *const pairs[][2] = {
                { "“", "”" },   { "„", "“" },   { "«", "»" },   { "»", "«" },
                { "「", "」" }, { "『", "』" }, { "《", "》" }, { "‘", "’" },
        };
        const char *text = scan->text + scan->at;
        size_t length = scan->length - scan->at;
        bool opens = scan->at == 0 || is_space(text[-1]) || strchr("([{-", text[-1]);

        if ((*text == '"' || *text == '\'') && opens)
                return up_to(scan, QUOTED_MAX, *text == '"' ? "\"" : "'", *text == '\'');
        for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
                if (starts(text, length, pairs[i][0]))
                        return up_to(scan, QUOTED_MAX, pairs[i][1], true);
        return 0;
}

static size_t tag(struct scan *scan)
{
        const char *text = scan->text + scan->at;

        if (*text != '<' || scan->length - scan->at < 2 ||
            !(is_ascii_letter(text[1]) || strchr("/!", text[1])))
                return 0;
        return up_to(scan, TAG_MAX, ">", false);
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* Up to white space, a Chinese character, or what may begin a quotation or code. */
static size_t chunk_length(const char *text, size_t length)
{
        size_t i = 0, n;
        uint32_t c;

        do {
                n = utf8_next(text + i, length - i, &c);
                if (c == '`' || c == '"' || c == '<' || is_han(c) ||
                    (c < 0x80 && is_space((char)c)) || (c >= 0x3000 && c < 0x3040) ||
                    (c >= 0xff00 && c < 0xff66) || (c >= 0x201c && c <= 0x201f) || c == 0xab ||
                    c == 0xbb)
                        break;
                i += n;
        } while (i < length);
        return i > 0 ? i : n;
}

/* Of accents that are characters of their own, soft hyphens, letters of other scripts, and what has
 * no width. What is beside them is not a whole word. */
static bool is_part_of_word(uint32_t c)
{
        return c == 0xad || (c >= 0x250 && c < 0x2000) || (c >= 0x200b && c < 0x2010);
}

static bool has_other_letters(const char *text, size_t length)
{
        uint32_t c;

        for (size_t i = 0; i < length;) {
                i += utf8_next(text + i, length - i, &c);
                if (is_part_of_word(c))
                        return true;
        }
        return false;
}

/* Whether it is no plain words: a path, an address, an identifier, a number. */
static bool is_technical(const char *text, size_t length)
{
        static const char around[] = "([{.,;:!?)]}'*_";
        size_t start = 0, end = length;

        while (start < end && strchr("([{'*_", text[start]))
                start++;
        while (end > start && strchr(around, text[end - 1]))
                end--;
        if (start < end && text[start] == '-')
                return true;
        if (end < length && text[end] == '(') /* f() */
                return true;
        for (size_t i = start; i < end; i++)
                if (strchr("@/\\_=$#{}<>|~^*&%+[]().:,;0123456789", text[i]) ||
                    (i > start && text[i] >= 'A' && text[i] <= 'Z' && text[i - 1] >= 'a' &&
                     text[i - 1] <= 'z'))
                        return true;
        return has_other_letters(text + start, end - start);
}

/* The bytes of a chunk that is left out. An address in it goes on behind its Chinese characters. */
static size_t technical_length(const char *text, size_t length, size_t chunk)
{
        size_t i = 0, n;

        for (; i<chunk; i += n> 0 ? n : 1)
                n = web_address(text + i, length - i);
        return i;
}

static bool take_word(struct scan *scan, struct token *ret)
{
        const char *text = scan->text;
        size_t n, end = scan->chunk;

        while (scan->at < end && letter(text + scan->at, end - scan->at) == 0) {
                uint32_t c;

                scan->at += utf8_next(text + scan->at, end - scan->at, &c);
        }
        ret->start = scan->at;
        ret->han = false;
        while (scan->at < end) {
                size_t mark = starts(text + scan->at, end - scan->at, "’") ? 3
                                                                           : text[scan->at] == '\'';

                n = letter(text + scan->at, end - scan->at);
                if (n == 0 && scan->at > ret->start && mark > 0 &&
                    letter(text + scan->at + mark, end - scan->at - mark) > 0)
                        n = mark;
                if (n == 0)
                        break;
                scan->at += n;
        }
        ret->length = scan->at - ret->start;
        return ret->length > 0;
}

static bool take_han(struct scan *scan, struct token *ret)
{
        size_t n;
        uint32_t c;

        ret->start = scan->at;
        ret->han = true;
        while (scan->at < scan->length) {
                n = utf8_next(scan->text + scan->at, scan->length - scan->at, &c);
                if (!is_han(c))
                        break;
                scan->at += n;
        }
        ret->length = scan->at - ret->start;
        return ret->length > 0;
}

/* The bytes at this place that are left out; 0: none. */
static size_t skipped(struct scan *scan)
{
        const char *text = scan->text + scan->at;
        size_t length = scan->length - scan->at, n = 0;

        if (scan->at == 0 || text[-1] == '\n') {
                n = fence(text, length);
                if (n == 0)
                        n = whole_line(text, length);
        }
        if (n == 0 && *text == '`')
                n = code_span(text, length);
        if (n == 0)
                n = quotation(scan);
        if (n == 0)
                n = tag(scan);
        return n > 0 ? n : is_space(*text);
}

bool scan_next(struct scan *scan, struct token *ret)
{
        while (scan->at < scan->length) {
                size_t n;

                if (scan->at < scan->chunk) {
                        if (take_word(scan, ret))
                                return true;
                        continue;
                }
                n = skipped(scan);
                if (n > 0) {
                        scan->at += n;
                        continue;
                }
                if (take_han(scan, ret))
                        return true;
                n = chunk_length(scan->text + scan->at, scan->length - scan->at);
                if (is_technical(scan->text + scan->at, n))
                        scan->at += technical_length(scan->text + scan->at, scan->length - scan->at,
                                                     n);
                else
                        scan->chunk = scan->at + n;
        }
        return false;
}
