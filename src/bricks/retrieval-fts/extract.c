/* SPDX-License-Identifier: MIT */
#include "extract.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "charset.h"
#include "markdown.h"
#include "unicode.h"

void extract_done(struct extract *e)
{
        free(e->text);
        e->text = NULL;
}

int extract_skipped(struct extract *e, int code, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(e->note, sizeof e->note, format, args);
        va_end(args);
        return code;
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

static bool has_suffix(const char *name, const char *suffix)
{
        size_t n = strlen(name), m = strlen(suffix);

        return n > m && strcasecmp(name + n - m, suffix) == 0;
}

static bool starts_with(const char *data, size_t n, const char *s)
{
        return n >= strlen(s) && memcmp(data, s, strlen(s)) == 0;
}

/* HTML also without the suffix. */
static bool html_is(const char *name, const char *data, size_t n)
{
        static const char *const suffixes[] = { ".html", ".htm", ".xhtml", ".xht" };
        static const char *const starts[] = { "<!doctype html", "<html" };

        for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
                if (has_suffix(name, suffixes[i]))
                        return true;
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
                if (n > strlen(starts[i]) && strncasecmp(data, starts[i], strlen(starts[i])) == 0)
                        return true;
        return false;
}

static void extract_utf8(const char *name, const char *data, size_t n, struct extract *e,
                         struct extract_out *out)
{
        if (html_is(name, data, n)) {
                html_extract(data, n, e, out);
                return;
        }
        if (man_is(data, n)) {
                man_extract(name, data, n, e, out);
                return;
        }
        if (has_suffix(name, ".md") || has_suffix(name, ".markdown") || has_suffix(name, ".mdx"))
                markdown_title(data, n, e);
        extract_put(out, data, n);
}

static int extract_text(const char *name, const char *data, size_t n, struct extract *e)
{
        _cleanup_(charset_text_done) struct charset_text t = {};
        struct extract_out out = {};
        int r;

        r = charset_decode(data, n, &t);
        if (r == CHARSET_E_BINARY)
                return extract_skipped(e, EXTRACT_E_SKIPPED, "binary data");
        if (r < 0)
                return r;
        (void)snprintf(e->note, sizeof e->note, "%s", t.note);
        out.size = 2 * t.n;
        out.text = malloc(out.size + 1);
        if (!out.text)
                return -ENOMEM;
        extract_utf8(name, t.text, t.n, e, &out);
        e->text = out.text;
        e->n = out.n;
        return 0;
}

bool extract_is_packed(const char *data, size_t n)
{
        return starts_with(data, n, "%PDF-") || starts_with(data, n, "PK\3\4");
}

int extract(const char *name, const char *data, size_t n, size_t max, struct extract *ret)
{
        *ret = (struct extract){};
        if (starts_with(data, n, "%PDF-"))
                return pdf_extract(data, n, max, ret);
        if (starts_with(data, n, "PK\3\4"))
                return archive_extract(data, n, max, ret);
        if (starts_with(data, n, "{\\rtf"))
                return extract_skipped(ret, EXTRACT_E_SKIPPED, "RTF, which is not read");
        if (starts_with(data, n, "%!PS"))
                return extract_skipped(ret, EXTRACT_E_SKIPPED, "PostScript, which is not read");
        return extract_text(name, data, n, ret);
}
