/* SPDX-License-Identifier: MIT */

/*
 * Removes the markup from HTML. This is not a parser: it looks at one tag at a time, and knows
 * which tags break lines and which contain no text. It reads every byte a bounded number of times.
 */

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "entity.h"
#include "extract.h"
#include "unicode.h"

static const char *const paragraph_tags[] = {
        "address", "article", "aside",   "blockquote", "div",   "dl",   "fieldset",
        "figure",  "footer",  "form",    "h1",         "h2",    "h3",   "h4",
        "h5",      "h6",      "header",  "hr",         "main",  "nav",  "ol",
        "p",       "pre",     "section", "table",      "title", "body", "ul",
};

static const char *const line_tags[] = { "br", "caption", "dd", "dt", "li", "option", "tr" };

/* Elements whose content is not text. */
static const char *const opaque_tags[] = { "script", "style", "template", "svg", "math" };

struct html {
        const char *p;
        const char *end;
        struct extract *extract;
        struct extract_out *out;
        size_t title_start; /* in out, if in_title */
        bool in_title;
        bool preformatted;
};

struct tag {
        char name[16];
        bool closes;
        const char *attributes; /* to the closing '>' */
        size_t n;
};

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(name, names[i]) == 0)
                        return true;
        return false;
}

#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof(names) / sizeof *(names))

static void put_space(struct extract_out *out)
{
        if (out->n > 0 && out->text[out->n - 1] != ' ' && out->text[out->n - 1] != '\n')
                extract_put(out, " ", 1);
}

static void put_char(struct html *h, uint32_t c)
{
        if (c == '\n' && h->preformatted)
                extract_put(h->out, "\n", 1);
        else if (unicode_is_space(c) && !(h->preformatted && c == ' '))
                put_space(h->out);
        else
                extract_put_char(h->out, c);
}

static void put_string(struct html *h, const char *s, size_t n)
{
        size_t length;

        for (size_t i = 0; i < n; i += length)
                put_char(h, unicode_get(s + i, n - i, &length));
}

static void put_text(struct html *h)
{
        char entity[ENTITY_SIZE_MAX];
        size_t length, n;

        length = *h->p == '&' ? entity_get(h->p, h->end - h->p, entity, &n) : 0;
        if (length > 0)
                put_string(h, entity, n);
        else
                put_char(h, unicode_get(h->p, h->end - h->p, &length));
        h->p += length;
}

/* Skips "<...>" at h->p. False: it is text, not a tag. */
static bool tag_read(struct html *h, struct tag *ret)
{
        const char *p = h->p + 1, *close;
        size_t n = 0;

        *ret = (struct tag){};
        if (p < h->end && *p == '/') {
                ret->closes = true;
                p++;
        }
        if (p >= h->end || !isalpha((unsigned char)*p))
                return false;
        close = memchr(p, '>', h->end - p);
        if (!close)
                close = h->end;
        for (; p < close && isalnum((unsigned char)*p); p++)
                if (n + 1 < sizeof ret->name)
                        ret->name[n++] = (char)tolower((unsigned char)*p);
        ret->attributes = p;
        ret->n = close - p;
        h->p = close < h->end ? close + 1 : h->end;
        return true;
}

/* Skips the content of an element up to its closing tag. */
static void skip_element(struct html *h, const char *name)
{
        size_t n = strlen(name);
        const char *p = h->p;

        while ((p = memchr(p, '<', h->end - p))) {
                if ((size_t)(h->end - p) > n + 1 && p[1] == '/' && strncasecmp(p + 2, name, n) == 0)
                        break;
                p++;
        }
        h->p = p ?: h->end;
}

/* Skips a comment or a declaration. */
static bool skip_markup(struct html *h)
{
        size_t left = h->end - h->p;
        const char *close;

        if (left >= 4 && memcmp(h->p, "<!--", 4) == 0) {
                close = memmem(h->p + 4, left - 4, "-->", 3);
                h->p = close ? close + 3 : h->end;
                return true;
        }
        if (left >= 2 && (h->p[1] == '!' || h->p[1] == '?')) {
                close = memchr(h->p, '>', left);
                h->p = close ? close + 1 : h->end;
                return true;
        }
        return false;
}

static void set_language(struct html *h, const struct tag *tag)
{
        const char *s = memmem(tag->attributes, tag->n, "lang=", 5);
        const char *end = tag->attributes + tag->n;
        size_t n = 0;

        if (!s)
                return;
        for (s += 5; s < end && (*s == '"' || *s == '\''); s++)
                ;
        for (; s < end && (isalnum((unsigned char)*s) || *s == '-'); s++)
                if (n + 1 < sizeof h->extract->language)
                        h->extract->language[n++] = *s;
        h->extract->language[n] = '\0';
}

static void set_title(struct html *h, const struct tag *tag)
{
        if (h->in_title)
                extract_title(h->extract, h->out->text + h->title_start,
                              h->out->n - h->title_start);
        h->in_title = !tag->closes && h->extract->title[0] == '\0';
        h->title_start = h->out->n;
}

static void handle_tag(struct html *h, const struct tag *tag)
{
        if (IS_ONE_OF(tag->name, paragraph_tags))
                extract_break(h->out, true);
        else if (IS_ONE_OF(tag->name, line_tags))
                extract_break(h->out, false);
        else if (strcmp(tag->name, "td") == 0 || strcmp(tag->name, "th") == 0)
                put_space(h->out);
        else if (strcmp(tag->name, "html") == 0)
                set_language(h, tag);
        else if (!tag->closes && IS_ONE_OF(tag->name, opaque_tags))
                skip_element(h, tag->name);
        if (strcmp(tag->name, "title") == 0)
                set_title(h, tag);
        if (strcmp(tag->name, "pre") == 0)
                h->preformatted = !tag->closes;
}

void html_extract(const char *data, size_t n, struct extract *e, struct extract_out *out)
{
        struct html h = { .p = data, .end = data + n, .extract = e, .out = out };
        struct tag tag;

        while (h.p < h.end) {
                if (*h.p == '<' && skip_markup(&h))
                        continue;
                if (*h.p == '<' && tag_read(&h, &tag))
                        handle_tag(&h, &tag);
                else
                        put_text(&h);
        }
}
