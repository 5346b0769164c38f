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
bool check_luhn(const char *text, size_t length, size_t before)
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
bool check_iban(const char *text, size_t length, size_t before)
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
bool check_tw_id(const char *text, size_t length, size_t before)
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
bool check_cn_id(const char *text, size_t length, size_t before)
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

/* Brazil's number of a taxpayer: eleven digits, two of them check digits. */
bool check_cpf(const char *text, size_t length, size_t before)
{
        char s[11];
        bool varied = false;

        if (squeeze(text, length, s, sizeof s) != sizeof s || !all_digits(s, sizeof s))
                return false;
        for (size_t n = 9; n < sizeof s; n++) {
                int sum = 0;

                for (size_t i = 0; i < n; i++)
                        sum += (s[i] - '0') * (int)(n + 1 - i);
                if (sum * 10 % 11 % 10 != s[n] - '0')
                        return false;
        }
        for (size_t i = 1; i < sizeof s; i++)
                varied = varied || s[i] != s[0];
        return varied;
}

/* Spain's DNI and NIE: eight digits, of which the first may be X, Y or Z, and a letter. */
bool check_es_id(const char *text, size_t length, size_t before)
{
        char s[9];
        int n = 0;

        if (squeeze(text, length, s, sizeof s) != sizeof s)
                return false;
        if (s[0] >= 'X' && s[0] <= 'Z')
                s[0] = (char)(s[0] - 'X' + '0');
        if (!all_digits(s, 8))
                return false;
        for (size_t i = 0; i < 8; i++)
                n = n * 10 + s[i] - '0';
        return s[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[n % 23];
}

/* France's number of social security: thirteen digits and 97 less the rest by 97. */
bool check_fr_nir(const char *text, size_t length, size_t before)
{
        char s[15];
        long long n = 0;

        if (squeeze(text, length, s, sizeof s) != sizeof s || !all_digits(s, sizeof s))
                return false;
        for (size_t i = 0; i < 13; i++)
                n = n * 10 + s[i] - '0';
        return 97 - n % 97 == (s[13] - '0') * 10 + s[14] - '0';
}

/* Singapore's NRIC: a letter, seven digits and a letter. */
bool check_sg_nric(const char *text, size_t length, size_t before)
{
        static const int weights[] = { 2, 7, 6, 5, 4, 3, 2 };
        char s[9];
        int sum;

        if (squeeze(text, length, s, sizeof s) != sizeof s || !all_digits(s + 1, 7))
                return false;
        sum = s[0] == 'T' || s[0] == 'G' ? 4 : 0;
        for (size_t i = 0; i < 7; i++)
                sum += (s[i + 1] - '0') * weights[i];
        return s[8] == (s[0] == 'S' || s[0] == 'T' ? "JZIHGFEDCBA" : "XWUTRQPNMLK")[sum % 11];
}
