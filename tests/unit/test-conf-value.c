/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/nearest.h"
#include "conf/value.h"
#include "util/cleanup.h"
#include "util/utf8.h"

#define SECOND INT64_C(1000000000)

static void test_int(void)
{
        static const struct {
                const char *text;
                int r;
                int64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "42", 0, 42 },
                { "-7", 0, -7 },
                { "+7", 0, 7 },
                { "007", 0, 7 },
                { "9223372036854775807", 0, INT64_MAX },
                { "9223372036854775808", -ERANGE, 0 },
                { "-99999999999999999999", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "-", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "1 ", -EINVAL, 0 },
                { "1.0", -EINVAL, 0 },
                { "0x10", -EINVAL, 0 },
                { "1_000", -EINVAL, 0 },
                { "--1", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int64_t value = 0;

                assert(value_parse_int(cases[i].text, &value) == cases[i].r);
                assert(value == cases[i].value);
        }
}

static void test_float(void)
{
        static const struct {
                const char *text;
                int r;
                double value;
        } cases[] = {
                { "0", 0, 0 },           { "1.5", 0, 1.5 },       { "-2e3", 0, -2000 },
                { ".5", 0, 0.5 },        { "1e999", -ERANGE, 0 }, { "", -EINVAL, 0 },
                { "nan", -EINVAL, 0 },   { "inf", -EINVAL, 0 },   { "0x1p3", -EINVAL, 0 },
                { "1.5.1", -EINVAL, 0 }, { "1,5", -EINVAL, 0 },   { "e", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                double value = 0;

                assert(value_parse_float(cases[i].text, &value) == cases[i].r);
                assert(value == cases[i].value);
        }
}

static void test_bool(void)
{
        bool value = false;

        assert(value_parse_bool("true", &value) == 0 && value);
        assert(value_parse_bool("FALSE", &value) == 0 && !value);
        assert(value_parse_bool("True", &value) == 0 && value);
        assert(value_parse_bool("yes", &value) == -EINVAL);
        assert(value_parse_bool("1", &value) == -EINVAL);
        assert(value_parse_bool("", &value) == -EINVAL);
        assert(value);
}

static void test_duration(void)
{
        static const struct {
                const char *text;
                int r;
                int64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "0s", 0, 0 },
                { "1ns", 0, 1 },
                { "1us", 0, 1000 },
                { "250ms", 0, SECOND / 4 },
                { "3s", 0, 3 * SECOND },
                { "5m", 0, 300 * SECOND },
                { "1h", 0, 3600 * SECOND },
                { "1d", 0, 86400 * SECOND },
                { "1.5s", 0, SECOND * 3 / 2 },
                { "0.25h", 0, 900 * SECOND },
                { "0.0000001s", 0, 0 },
                { "106751d", 0, INT64_C(106751) * 86400 * SECOND },
                { "106752d", -ERANGE, 0 },
                { "99999999999999999999s", -ERANGE, 0 },
                { "3", -EINVAL, 0 },
                { "s", -EINVAL, 0 },
                { "-3s", -EINVAL, 0 },
                { "3 s", -EINVAL, 0 },
                { "3S", -EINVAL, 0 },
                { "3min", -EINVAL, 0 },
                { "1m30s", -EINVAL, 0 },
                { "1.s", -EINVAL, 0 },
                { "", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int64_t value = 0;

                assert(value_parse_duration(cases[i].text, &value) == cases[i].r);
                assert(value == cases[i].value);
        }
}

static void test_size(void)
{
        static const struct {
                const char *text;
                int r;
                int64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "512", 0, 512 },
                { "512B", 0, 512 },
                { "64KiB", 0, 65536 },
                { "4MiB", 0, 4194304 },
                { "4MB", 0, 4000000 },
                { "1kB", 0, 1000 },
                { "1KB", 0, 1000 },
                { "2GiB", 0, INT64_C(1) << 31 },
                { "1TiB", 0, INT64_C(1) << 40 },
                { "1.5KiB", 0, 1536 },
                { "8388607TiB", 0, INT64_MAX - ((INT64_C(1) << 40) - 1) },
                { "8388608TiB", -ERANGE, 0 },
                { "4M", -EINVAL, 0 },
                { "4mib", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "MiB", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int64_t value = 0;

                assert(value_parse_size(cases[i].text, &value) == cases[i].r);
                assert(value == cases[i].value);
        }
}

static void test_count(void)
{
        static const struct {
                const char *text;
                int r;
                int64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "250", 0, 250 },
                { "10k", 0, 10000 },
                { "10K", 0, 10000 },
                { "1.5M", 0, 1500000 },
                { "2G", 0, INT64_C(2000000000) },
                { "9223372037G", -ERANGE, 0 },
                { "10m", -EINVAL, 0 },
                { "10kB", -EINVAL, 0 },
                { "1 k", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "k", -EINVAL, 0 },
                { "", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int64_t value = 0;

                assert(value_parse_count(cases[i].text, &value) == cases[i].r);
                assert(value == cases[i].value);
        }
}

static void test_choice(void)
{
        size_t length;

        assert(value_parse_choice("one", "one|two|three") == 0);
        assert(value_parse_choice("three", "one|two|three") == 2);
        assert(value_parse_choice("four", "one|two|three") == -EINVAL);
        assert(value_parse_choice("on", "one|two") == -EINVAL);
        assert(value_parse_choice("one|two", "one|two") == -EINVAL);
        assert(value_parse_choice("", "one|two") == -EINVAL);
        assert(value_parse_choice("llm", "Common|LLM") == 1);
        assert(value_parse_choice("a", "A|a|b") == 1 && value_parse_choice("B", "A|a|b") == 2);
        assert(strncmp(value_choice("one|two|three", 1, &length), "two", 3) == 0 && length == 3);
        assert(strcmp(value_choice("one|two|three", 2, &length), "three") == 0 && length == 5);
}

static void test_format(void)
{
        static const struct {
                enum option_type type;
                int64_t value;
                const char *text;
        } cases[] = {
                { OPTION_INT, -5, "-5" },
                { OPTION_DURATION, 0, "0s" },
                { OPTION_DURATION, SECOND / 4, "250ms" },
                { OPTION_DURATION, 90 * SECOND, "90s" },
                { OPTION_DURATION, 86400 * SECOND, "1d" },
                { OPTION_DURATION, 1, "1ns" },
                { OPTION_SIZE, 0, "0" },
                { OPTION_SIZE, 65536, "64KiB" },
                { OPTION_SIZE, 1000, "1kB" },
                { OPTION_SIZE, 1001, "1001B" },
                { OPTION_SIZE, INT64_C(16) << 30, "16GiB" },
        };
        char buffer[32];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                value_format(cases[i].type, cases[i].value, buffer, sizeof buffer);
                assert(strcmp(buffer, cases[i].text) == 0);
        }
}

static const char *nearest_of(const char *word, const char *const *candidates)
{
        struct nearest nearest = nearest_to(word);

        for (; *candidates; candidates++)
                nearest_offer(&nearest, *candidates);
        return nearest.best;
}

static void test_nearest(void)
{
        static const char *const words[] = { "listen", "bricks", "limits", "allow_insecure", NULL };
        char longest[200];

        memset(longest, 'x', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';

        assert(strcmp(nearest_of("lisetn", words), "listen") == 0);
        assert(strcmp(nearest_of("brick", words), "bricks") == 0);
        assert(strcmp(nearest_of("Limits", words), "limits") == 0);
        assert(strcmp(nearest_of("allowinsecure", words), "allow_insecure") == 0);
        assert(!nearest_of("zzz", words));
        assert(!nearest_of("x", words));
        assert(!nearest_of("", words));
        assert(!nearest_of(longest, words));
}

static bool decodes(const char *s, size_t length)
{
        uint32_t c;
        size_t n;

        for (; length > 0; s += n, length -= n) {
                n = utf8_decode(s, length, &c);
                if (n == 0)
                        return false;
        }
        return true;
}

/* utf8_valid() does not decode. Of the third and the fourth byte, only the borders of what may
 * continue a character matter. */
static void test_utf8_sequences(void)
{
        static const char borders[] = { '\x7f', '\x80', '\xbf', '\xc0' };

        for (unsigned i = 0; i < 1 << 16; i++)
                for (unsigned k = 0; k < 16; k++) {
                        const char sequence[] = { (char)(i >> 8), (char)i, borders[k / 4],
                                                  borders[k % 4] };

                        for (size_t n = 1; n <= sizeof sequence; n++)
                                assert(utf8_valid(sequence, n) == decodes(sequence, n));
                }
}

static void test_utf8(void)
{
        static const char *const bad[] = { "\x80",
                                           "\xc0\xaf",
                                           "\xe0\x80\xaf",
                                           "\xed\xa0\x80",
                                           "\xf4\x90\x80\x80",
                                           "\xf8\x88\x80\x80",
                                           "\xe4\xb8",
                                           "a\xff" };
        char text[300];
        uint32_t c = 0;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert(!utf8_valid(bad[i], strlen(bad[i])));
        assert(utf8_valid("a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x99\x82", 10));
        /* one bad byte anywhere: several bytes are looked at together */
        for (size_t i = 0; i < sizeof text; i++) {
                memset(text, 'x', sizeof text);
                assert(utf8_valid(text, i));
                text[i] = '\xff';
                assert(utf8_valid(text, i));
                assert(!utf8_valid(text, i + 1) && !utf8_valid(text, sizeof text));
        }
        assert(utf8_decode("\xf0\x9f\x99\x82", 4, &c) == 4 && c == 0x1f642);
        assert(utf8_decode("", 0, &c) == 0);
        assert(utf8_prefix("\xe4\xb8\xad\xe4\xb8\xad", 6, 5) == 3);
        assert(utf8_prefix("abc", 3, 5) == 3);
        assert(utf8_width('a') == 1 && utf8_width(0x4e2d) == 2 && utf8_width(0x301) == 0);
}

static void test_utf8_repair(void)
{
        static const struct {
                const char *text;
                size_t size;
                const char *repaired;
        } cases[] = {
                { "", 0, "" },
                { "", 9, "" },
                { "plain", 5, "plain" },
                { "gr\xc3\xbc\xc3\x9f"
                  "e",
                  7,
                  "gr\xc3\xbc\xc3\x9f"
                  "e" },
                { "a\xff"
                  "b",
                  9,
                  "a\xef\xbf\xbd"
                  "b" },
                { "cut \xe2\x82", 18, "cut \xef\xbf\xbd\xef\xbf\xbd" }, /* each byte */
                { "\xed\xa0\x80", 9, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
                { "too long", 7, "too \xe2\x80\xa6" },
                { "\xc3\xbc\xc3\xbc\xc3\xbc", 5, "\xc3\xbc\xe2\x80\xa6" },
                { "abcdefg\xff", 9, "abcdef\xe2\x80\xa6" },
                { "abc", 2, "" },
                { "abcd", 3, "\xe2\x80\xa6" },
        };
        char text[32];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t n;

                memset(text, '#', sizeof text);
                n = utf8_repair(text, cases[i].size, cases[i].text, strlen(cases[i].text));
                assert(n == strlen(cases[i].repaired) && n <= cases[i].size);
                assert(memcmp(text, cases[i].repaired, n) == 0);
                assert(text[cases[i].size] == '#' && utf8_valid(text, n));
        }
        assert(utf8_repair(text, sizeof text, NULL, 0) == 0);
}

int main(void)
{
        test_int();
        test_float();
        test_bool();
        test_duration();
        test_size();
        test_count();
        test_choice();
        test_format();
        test_nearest();
        test_utf8();
        test_utf8_repair();
        test_utf8_sequences();
        return 0;
}
