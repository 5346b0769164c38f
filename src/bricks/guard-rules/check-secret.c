/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define SECRET_MAX 512 /* bytes of a secret that are looked at */

/* In a key or a password of documentation. */
static const char *const placeholder_words[] = {
        "example", "placeholder", "your",   "change", "dummy",  "sample", "fake",   "redact",
        "xxxx",    "insert",      "replac", "todo",   "foobar", "secret", "passwo", "passwd",
        "mytoken", "my-",         "my_",    "_here",  "-here",  "abcdef", "12345",  "98765",
        "qwerty",  "aaaa",        "0000",   "1111",   "****",   "....",   "test",   "dead",
};

static bool has_word(const char *text, size_t length, const char *word)
{
        size_t n = strlen(word);

        for (size_t i = 0; i + n <= length; i++)
                if (strncasecmp(text + i, word, n) == 0)
                        return true;
        return false;
}

static bool is_placeholder(const char *text, size_t length, const char *const *words, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (has_word(text, length, words[i]))
                        return true;
        return false;
}

/* Bits per character that its letters and digits have. */
static double entropy(const char *text, size_t length)
{
        unsigned counts[256] = {};
        double bits = 0;

        for (size_t i = 0; i < length; i++)
                counts[(unsigned char)text[i]]++;
        for (size_t i = 0; i < 256; i++) {
                double share = (double)counts[i] / (double)length;

                if (counts[i] > 0)
                        bits -= share * log2(share);
        }
        return bits;
}

/* abcdef, 123456, aaaaaa. */
static bool is_run(const char *text, size_t length)
{
        size_t steps = 0;

        for (size_t i = 1; i < length; i++) {
                int step = tolower((unsigned char)text[i]) - tolower((unsigned char)text[i - 1]);

                steps += step == 0 || step == 1;
        }
        return length > 1 && steps * 2 > length;
}

/* A key of a known form: what is left to tell is whether its characters were drawn or typed. */
bool check_random(const char *text, size_t length, size_t before)
{
        static const char *const words[] = { "example", "placeholder", "xxxxx", "your",
                                             "redact",  "fake",        "dummy", "*****" };

        if (length > SECRET_MAX)
                length = SECRET_MAX;
        return !is_placeholder(text, length, words, sizeof words / sizeof words[0]) &&
               !is_run(text, length) && entropy(text, length) > (length < 24 ? 2.9 : 3.1);
}

/* Two of lower case, upper case, digits and signs, and a digit among them. */
static bool is_mixed(const char *text, size_t length)
{
        bool lower = false, upper = false, digit = false, sign = false;

        for (size_t i = 0; i < length; i++) {
                unsigned char c = (unsigned char)text[i];

                lower = lower || islower(c);
                upper = upper || isupper(c);
                digit = digit || isdigit(c);
                sign = sign ||
                       (ispunct(c) && c != '.' && c != '-' && c != '_' && c != '/' && c != ':');
        }
        return (digit && (lower || upper)) || (sign && lower && upper);
}

/* What follows `password:`, without quotation marks. */
bool check_password(const char *text, size_t length, size_t before)
{
        while (length > 0 && strchr(".,;\"')", text[length - 1]))
                length--;
        if (length < 6 || length > 256 || strchr("$<{[(%/&@", text[0]) ||
            memchr(text, '(', length) || memchr(text, '[', length) || has_word(text, length, "://"))
                return false;
        return is_mixed(text, length) && !is_run(text, length) &&
               entropy(text, length) > (length < 10 ? 2.0 : 2.6) &&
               !is_placeholder(text, length, placeholder_words,
                               sizeof placeholder_words / sizeof placeholder_words[0]);
}
