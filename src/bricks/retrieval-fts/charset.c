/* SPDX-License-Identifier: MIT */
#include "charset.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "unicode.h"
#include "util/utf8.h"

/* A text with more than one control character per this many bytes is binary. */
#define CONTROL_SHARE 32

/* Where a declaration is looked for. */
#define DECLARATION_WITHIN 4096

#define NAME_MAX_SIZE 40

/* A declared set that fails for more than one character of this many is not the right one. */
#define ERROR_SHARE 20

static const char replacement[] = "\xef\xbf\xbd";

void charset_text_done(struct charset_text *t)
{
        free(t->text);
        t->text = NULL;
}

static bool is_binary(const char *data, size_t n)
{
        static const uint32_t usual = 1U << '\t' | 1U << '\n' | 1U << '\v' | 1U << '\f' |
                                      1U << '\r' | 1U << '\b' | 1U << '\033';
        size_t control = 0;

        for (size_t i = 0; i < n; i++) {
                if (data[i] == '\0')
                        return true;
                control += (unsigned char)data[i] < 0x20 && !(usual >> data[i] & 1);
        }
        return control > n / CONTROL_SHARE;
}

static int copy_valid(const char *data, size_t n, struct charset_text *ret)
{
        ret->text = malloc(n + 1);
        if (!ret->text)
                return -ENOMEM;
        memcpy(ret->text, data, n);
        ret->n = n;
        return 0;
}

/* Copies UTF-8; each byte that is not becomes U+FFFD. */
static int copy_utf8(const char *data, size_t n, struct charset_text *ret)
{
        size_t length, errors = 0;
        char *to;

        if (utf8_valid(data, n))
                return copy_valid(data, n, ret);
        ret->text = to = malloc(3 * n + 1);
        if (!to)
                return -ENOMEM;
        for (size_t i = 0; i < n; i += length) {
                if (unicode_get(data + i, n - i, &length) == 0xfffd && length == 1) {
                        to = mempcpy(to, replacement, 3);
                        errors++;
                } else
                        to = mempcpy(to, data + i, length);
        }
        ret->n = to - ret->text;
        if (errors > 0)
                (void)snprintf(ret->note, sizeof ret->note, "%zu %s not UTF-8, and read as U+FFFD",
                               errors, errors == 1 ? "byte is" : "bytes are");
        return 0;
}

/* Converts with an open converter; *ret_errors is the number of bytes that are no characters. */
static int convert(iconv_t converter, const char *data, size_t n, struct charset_text *ret,
                   size_t *ret_errors)
{
        size_t left = n, room = 4 * n + 4;
        char *from = (char *)data, *to;

        *ret_errors = 0;
        ret->text = to = malloc(room);
        if (!to)
                return -ENOMEM;
        while (left > 0 && iconv(converter, &from, &left, &to, &room) == (size_t)-1) {
                if (left == 0 || room < 4)
                        break;
                to = mempcpy(to, replacement, 3);
                room -= 3;
                from++;
                left--;
                (*ret_errors)++;
        }
        ret->n = to - ret->text;
        return 0;
}

/* -EINVAL: iconv does not know the name. */
static int decode_as(const char *name, const char *data, size_t n, struct charset_text *ret,
                     size_t *ret_errors)
{
        iconv_t converter = iconv_open("UTF-8", name);
        int r;

        if (converter == (iconv_t)-1)
                return errno == ENOMEM ? -ENOMEM : -EINVAL;
        charset_text_done(ret);
        r = convert(converter, data, n, ret, ret_errors);
        iconv_close(converter);
        return r;
}

/* The set that a byte order mark tells; *ret_length is that of the mark. */
static const char *mark_find(const char *data, size_t n, size_t *ret_length)
{
        static const struct {
                const char *mark;
                size_t n;
                const char *name;
        } marks[] = {
                { "\xef\xbb\xbf", 3, "UTF-8" },    { "\xff\xfe\0\0", 4, "UTF-32LE" },
                { "\0\0\xfe\xff", 4, "UTF-32BE" }, { "\xff\xfe", 2, "UTF-16LE" },
                { "\xfe\xff", 2, "UTF-16BE" },
        };

        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
                if (n >= marks[i].n && memcmp(data, marks[i].mark, marks[i].n) == 0) {
                        *ret_length = marks[i].n;
                        return marks[i].name;
                }
        return NULL;
}

/* UTF-16 without a mark: of the pairs of bytes, many have a zero on one side, few on the other. */
static const char *utf16_guess(const char *data, size_t n)
{
        size_t zeros[2] = {}, look = (n < 4096 ? n : 4096) & ~(size_t)1;

        for (size_t i = 0; i < look; i++)
                zeros[i % 2] += data[i] == '\0';
        if (n < 4 || n % 2 != 0)
                return NULL;
        if (zeros[1] > look / 8 && zeros[0] < zeros[1] / 16 + 1)
                return "UTF-16LE";
        if (zeros[0] > look / 8 && zeros[1] < zeros[0] / 16 + 1)
                return "UTF-16BE";
        return NULL;
}

/* Sets that are larger than what their declarations promise, as browsers read them. */
static const char *alias(const char *name)
{
        static const struct {
                const char *name;
                const char *iconv;
        } aliases[] = {
                { "gb2312", "GB18030" },        { "gbk", "GB18030" },
                { "x-gbk", "GB18030" },         { "gb_2312-80", "GB18030" },
                { "big5", "BIG5-HKSCS" },       { "x-x-big5", "BIG5-HKSCS" },
                { "cn-big5", "BIG5-HKSCS" },    { "shift_jis", "CP932" },
                { "shift-jis", "CP932" },       { "sjis", "CP932" },
                { "x-sjis", "CP932" },          { "windows-31j", "CP932" },
                { "euc-kr", "CP949" },          { "ks_c_5601-1987", "CP949" },
                { "ksc5601", "CP949" },         { "iso-8859-1", "CP1252" },
                { "iso8859-1", "CP1252" },      { "latin1", "CP1252" },
                { "latin-1", "CP1252" },        { "us-ascii", "CP1252" },
                { "ascii", "CP1252" },          { "iso-8859-9", "CP1254" },
                { "tis-620", "CP874" },         { "iso-8859-11", "CP874" },
                { "x-mac-roman", "MACINTOSH" }, { "utf8", "UTF-8" },
                { "windows-874", "CP874" },     { "x-euc-jp", "EUC-JP" },
        };

        for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
                if (strcasecmp(name, aliases[i].name) == 0)
                        return aliases[i].iconv;
        return name;
}

/* Copies the name after "charset=" and the like. */
static bool name_read(const char *p, const char *end, char ret[static NAME_MAX_SIZE])
{
        size_t n = 0;

        while (p < end && (*p == ' ' || *p == '\t'))
                p++;
        if (p == end || (*p != '=' && *p != ':'))
                return false;
        for (p++; p < end && strchr(" \t\"'", *p); p++)
                ;
        while (p < end && n + 1 < NAME_MAX_SIZE &&
               (isalnum((unsigned char)*p) || strchr("-_.:+", *p)) && *p)
                ret[n++] = *p++;
        ret[n] = '\0';
        return n > 1;
}

/* What HTML, XML, gettext, Python, Emacs and Vim declare at the beginning of a text. */
static bool declaration_find(const char *data, size_t n, char ret[static NAME_MAX_SIZE])
{
        static const char *const keys[] = { "charset", "encoding", "coding" };
        const char *end = data + (n < DECLARATION_WITHIN ? n : DECLARATION_WITHIN);
        size_t length;

        for (const char *p = data; p < end; p++)
                for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
                        length = strlen(keys[i]);
                        if ((size_t)(end - p) > length && strncasecmp(p, keys[i], length) == 0 &&
                            name_read(p + length, end, ret))
                                return true;
                }
        return false;
}

/* True: there are more characters of several bytes than bytes that are not UTF-8. */
static bool is_mostly_utf8(const char *data, size_t n)
{
        size_t length, good = 0, bad = 0;

        for (size_t i = 0; i < n; i += length) {
                bool replaced = unicode_get(data + i, n - i, &length) == 0xfffd;

                good += length > 1;
                bad += replaced && length == 1;
        }
        return good > bad;
}

static int decode_declared(const char *declared, const char *data, size_t n,
                           struct charset_text *ret)
{
        const char *name = alias(declared);
        size_t errors;
        int r;

        if (strncasecmp(name, "UTF-8", 5) == 0)
                return copy_utf8(data, n, ret);
        if (strncasecmp(name, "UTF-", 4) == 0 || strncasecmp(name, "UCS-", 4) == 0)
                return -EINVAL; /* in the declaration itself, every second byte would be zero */
        r = decode_as(name, data, n, ret, &errors);
        if (r < 0)
                return r;
        if (errors > n / ERROR_SHARE) {
                charset_text_done(ret);
                return -EINVAL;
        }
        if (errors > 0)
                (void)snprintf(ret->note, sizeof ret->note,
                               "%zu bytes are not %s, and read as U+FFFD", errors, declared);
        return 0;
}

static int decode_guessed(const char *name, const char *declared, const char *data, size_t n,
                          struct charset_text *ret)
{
        size_t errors;
        int r = decode_as(name, data, n, ret, &errors);

        if (r < 0)
                return r == -ENOMEM ? r : copy_utf8(data, n, ret);
        (void)snprintf(ret->note, sizeof ret->note,
                       declared[0]
                               ? "read as %s, a guess, because it is not %s as it says"
                               : "read as %s, a guess, because it is not UTF-8 and does not say "
                                 "what it is",
                       name, declared);
        return 0;
}

/* Text without a mark. It may be of seven bits with escapes, as of ISO-2022. */
static int decode_plain(const char *data, size_t n, struct charset_text *ret)
{
        char declared[NAME_MAX_SIZE] = "";
        bool utf8 = utf8_valid(data, n);
        int r;

        if (utf8 && !memchr(data, '\033', n))
                return copy_valid(data, n, ret);
        if (declaration_find(data, n, declared) &&
            (!utf8 || strncasecmp(declared, "iso-2022", strlen("iso-2022")) == 0)) {
                r = decode_declared(declared, data, n, ret);
                if (r != -EINVAL)
                        return r;
        }
        if (utf8 || is_mostly_utf8(data, n))
                return copy_utf8(data, n, ret);
        return decode_guessed(charset_guess(data, n), declared, data, n, ret);
}

int charset_decode(const char *data, size_t n, struct charset_text *ret)
{
        size_t length, errors;
        const char *mark = mark_find(data, n, &length), *name = NULL;
        int r;

        *ret = (struct charset_text){};
        if (mark && strcmp(mark, "UTF-8") != 0)
                r = decode_as(mark, data + length, n - length, ret, &errors);
        else if (mark)
                r = copy_utf8(data + length, n - length, ret);
        else if ((name = utf16_guess(data, n)))
                r = decode_guessed(name, "", data, n, ret);
        else if (is_binary(data, n))
                return CHARSET_E_BINARY;
        else
                r = decode_plain(data, n, ret);
        if (r == 0 && (mark || name) && is_binary(ret->text, ret->n))
                r = CHARSET_E_BINARY;
        if (r != 0)
                charset_text_done(ret);
        return r;
}
