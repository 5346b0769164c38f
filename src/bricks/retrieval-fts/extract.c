/* SPDX-License-Identifier: MIT */
#include "extract.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "unicode.h"

/* A file with more than one control character per this many bytes is binary. */
#define CONTROL_SHARE 32

void extract_done(struct extract *e)
{
        free(e->text);
        e->text = NULL;
}

void extract_put(struct extract_out *out, const char *s, size_t n)
{
        if (n > out->size - out->n)
                n = unicode_floor(s, out->size - out->n);
        memcpy(out->text + out->n, s, n);
        out->n += n;
}

void extract_put_char(struct extract_out *out, uint32_t c)
{
        char s[4];
        size_t n = unicode_put(s, c);

        if (n <= out->size - out->n)
                extract_put(out, s, n);
}

void extract_break(struct extract_out *out, bool paragraph)
{
        while (out->n > 0 && out->text[out->n - 1] == ' ')
                out->n--;
        if (out->n == 0)
                return;
        if (out->text[out->n - 1] != '\n')
                extract_put(out, "\n", 1);
        if (paragraph && out->n > 1 && out->text[out->n - 2] != '\n')
                extract_put(out, "\n", 1);
}

void extract_title(struct extract *e, const char *s, size_t n)
{
        size_t length, used = 0;
        uint32_t c;

        for (size_t i = 0; i < n && used + 5 < sizeof e->title; i += length) {
                c = unicode_get(s + i, n - i, &length);
                if (!unicode_is_space(c)) {
                        memcpy(e->title + used, s + i, length);
                        used += length;
                } else if (used > 0 && e->title[used - 1] != ' ')
                        e->title[used++] = ' ';
        }
        while (used > 0 && e->title[used - 1] == ' ')
                used--;
        e->title[used] = '\0';
}

static bool is_binary(const char *data, size_t n)
{
        size_t control = 0;

        for (size_t i = 0; i < n; i++) {
                if (data[i] == '\0')
                        return true;
                if ((unsigned char)data[i] < 0x20 && !strchr("\t\n\v\f\r\b\033", data[i]))
                        control++;
        }
        return control > n / CONTROL_SHARE;
}

/* Reads text that is not UTF-8 as Latin-1, in which every byte is a character. */
static char *to_utf8(const char *data, size_t n, size_t *ret_n)
{
        size_t used = 0;
        char *s;

        s = malloc(2 * n + 1);
        if (!s)
                return NULL;
        for (size_t i = 0; i < n; i++)
                used += unicode_put(s + used, (unsigned char)data[i]);
        *ret_n = used;
        return s;
}

static bool has_suffix(const char *name, const char *suffix)
{
        size_t n = strlen(name), m = strlen(suffix);

        return n > m && strcasecmp(name + n - m, suffix) == 0;
}

/* The first "# heading" of Markdown. */
static void markdown_title(const char *data, size_t n, struct extract *e)
{
        const char *end = data + n, *line, *stop;

        for (line = data; line < end; line = stop + 1) {
                stop = memchr(line, '\n', end - line) ?: end;
                if (stop - line > 2 && line[0] == '#' && line[1] == ' ') {
                        extract_title(e, line + 2, stop - line - 2);
                        return;
                }
        }
}

static void extract_utf8(const char *name, const char *data, size_t n, struct extract *e,
                         struct extract_out *out)
{
        if (has_suffix(name, ".html") || has_suffix(name, ".htm") || has_suffix(name, ".xhtml")) {
                html_extract(data, n, e, out);
                return;
        }
        if (man_is(data, n)) {
                man_extract(name, data, n, e, out);
                return;
        }
        if (has_suffix(name, ".md") || has_suffix(name, ".markdown"))
                markdown_title(data, n, e);
        extract_put(out, data, n);
}

int extract(const char *name, const char *data, size_t n, struct extract *ret)
{
        _cleanup_free_ char *converted = NULL;
        struct extract_out out = {};

        if (is_binary(data, n))
                return EXTRACT_E_BINARY;
        if (!unicode_valid(data, n)) {
                converted = to_utf8(data, n, &n);
                if (!converted)
                        return -ENOMEM;
                data = converted;
        }
        if (n >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
                data += 3;
                n -= 3;
        }
        out.size = 2 * n;
        out.text = malloc(out.size + 1);
        if (!out.text)
                return -ENOMEM;
        *ret = (struct extract){};
        extract_utf8(name, data, n, ret, &out);
        ret->text = out.text;
        ret->n = out.n;
        return 0;
}
