/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Copies the letters and digits of a number, in upper case, without its separators. Returns their
 * number; max + 1: there are more than max, and ret has the first max. */
static size_t squeeze(const char *text, size_t length, char *ret, size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i < length; i++) {
                if (!isalnum((unsigned char)text[i]))
                        continue;
                if (n == max)
                        return max + 1;
                ret[n++] = (char)toupper((unsigned char)text[i]);
        }
        return n;
}

static bool all_digits(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!isdigit((unsigned char)s[i]))
                        return false;
        return true;
}

/* Payment cards, ISO/IEC 7812. A number that repeats one digit passes the sum but is not a card. */
static bool check_luhn(const char *text, size_t length)
{
        char s[19];
        size_t n = squeeze(text, length, s, sizeof s);
        bool varied = false;
        int sum = 0;

        if (n < 13 || n > sizeof s || !all_digits(s, n))
                return false;
        for (size_t i = 0; i < n; i++) {
                int digit = s[n - 1 - i] - '0';

                if (i % 2 == 1)
                        digit = digit > 4 ? digit * 2 - 9 : digit * 2;
                sum += digit;
                varied = varied || s[i] != s[0];
        }
        return varied && sum % 10 == 0;
}

/* The length of an IBAN in each country, from the SWIFT registry. */
static const char iban_lengths[] =
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29"
        "ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20"
        "LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29"
        "PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20"
        "YE30";

/* 0: unknown country. */
static size_t iban_length(const char *country)
{
        for (const char *p = iban_lengths; *p; p += 4)
                if (memcmp(p, country, 2) == 0)
                        return (size_t)(p[2] - '0') * 10 + (size_t)(p[3] - '0');
        return 0;
}

/*
 * ISO 13616: with the first four characters moved to the end and letters replaced by 10 to 35, the
 * number is 1 modulo 97. Its length depends on the country: a pattern cannot tell the last group
 * from the next word.
 */
static bool check_iban(const char *text, size_t length)
{
        char s[34];
        size_t n, size, end = 0;
        unsigned rest = 0;

        n = squeeze(text, length, s, sizeof s);
        size = n >= 4 ? iban_length(s) : 0;
        if (size == 0 || n < size || !all_digits(s + 2, 2))
                return false;
        for (size_t i = 0; i < size; end++)
                i += isalnum((unsigned char)text[end]) != 0;
        if (end < length && isalnum((unsigned char)text[end]))
                return false;
        for (size_t i = 0; i < size; i++) {
                char c = s[(i + 4) % size];

                if (isdigit((unsigned char)c))
                        rest = (rest * 10 + (unsigned)(c - '0')) % 97;
                else
                        rest = (rest * 100 + (unsigned)(c - 'A') + 10) % 97;
        }
        return rest == 1;
}

/* Taiwan's national and resident numbers: a letter and nine digits. */
static bool check_tw_id(const char *text, size_t length)
{
        static const char letters[] = "ABCDEFGHJKLMNPQRSTUVXYWZIO"; /* mean 10, 11, ... 35 */
        const char *letter;
        char s[10];
        int code, sum;

        if (squeeze(text, length, s, sizeof s) != sizeof s || !all_digits(s + 1, 9))
                return false;
        letter = memchr(letters, s[0], sizeof letters - 1);
        if (!letter)
                return false;
        code = (int)(letter - letters) + 10;
        sum = code / 10 + code % 10 * 9;
        for (int i = 1; i < 9; i++)
                sum += (s[i] - '0') * (9 - i);
        return (sum + s[9] - '0') % 10 == 0;
}

/* China's resident number, GB 11643: 17 digits and a check character. */
static bool check_cn_id(const char *text, size_t length)
{
        static const int weights[17] = { 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2 };
        char s[18];
        int sum = 0;

        if (squeeze(text, length, s, sizeof s) != sizeof s || !all_digits(s, 17))
                return false;
        for (int i = 0; i < 17; i++)
                sum += (s[i] - '0') * weights[i];
        return s[17] == "10X98765432"[sum % 11];
}

static const struct {
        const char *name;
        check_fn *function;
} checks[] = {
        { "luhn", check_luhn },
        { "iban", check_iban },
        { "tw-id", check_tw_id },
        { "cn-id", check_cn_id },
};

const char check_names[] = "luhn, iban, tw-id, cn-id";

check_fn *check_find(const char *name)
{
        for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
                if (strcmp(checks[i].name, name) == 0)
                        return checks[i].function;
        return NULL;
}
