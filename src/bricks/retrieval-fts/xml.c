/* SPDX-License-Identifier: MIT */
#include "xml.h"

#include <string.h>

#include "entity.h"
#include "extract.h"

#define CDATA_START "<![CDATA["

static bool starts(const struct xml *x, const char *s)
{
        return (size_t)(x->end - x->p) >= strlen(s) && memcmp(x->p, s, strlen(s)) == 0;
}

/* Goes past the next `stop`, and returns where it starts; without one, to the end. */
static const char *skip_past(struct xml *x, const char *stop)
{
        const char *at = memmem(x->p, x->end - x->p, stop, strlen(stop));

        x->p = at ? at + strlen(stop) : x->end;
        return at ?: x->end;
}

/* The '>' of the tag at x->p: not one in a quoted attribute. */
static const char *tag_end(const struct xml *x)
{
        char quote = 0;

        for (const char *p = x->p; p < x->end; p++) {
                if (quote)
                        quote = *p == quote ? 0 : quote;
                else if (*p == '"' || *p == '\'')
                        quote = *p;
                else if (*p == '>')
                        return p;
        }
        return x->end;
}

static enum xml_kind read_tag(struct xml *x)
{
        bool closes = x->end - x->p > 1 && x->p[1] == '/', empty;
        const char *end = tag_end(x), *p = x->p + 1 + closes;

        empty = end > p && end[-1] == '/';
        x->p = end < x->end ? end + 1 : end;
        end -= empty;
        if (p > end)
                p = end;
        x->s = p;
        while (p < end && !strchr(" \t\r\n", *p))
                p++;
        x->n = p - x->s;
        x->attributes = p;
        x->attributes_n = end - p;
        return closes ? XML_CLOSE : empty ? XML_EMPTY : XML_OPEN;
}

enum xml_kind xml_next(struct xml *x)
{
        while (x->p < x->end) {
                x->s = x->p;
                if (*x->p != '<') {
                        x->p = memchr(x->p, '<', x->end - x->p) ?: x->end;
                        x->n = x->p - x->s;
                        return XML_TEXT;
                }
                if (starts(x, CDATA_START)) {
                        x->s = x->p += strlen(CDATA_START);
                        x->n = skip_past(x, "]]>") - x->s;
                        return XML_CDATA;
                }
                if (starts(x, "<!--"))
                        (void)skip_past(x, "-->");
                else if (starts(x, "<?") || starts(x, "<!"))
                        (void)skip_past(x, ">");
                else
                        return read_tag(x);
        }
        return XML_END;
}

bool xml_is(const struct xml *x, const char *name)
{
        return x->n == strlen(name) && memcmp(x->s, name, x->n) == 0;
}

bool xml_attribute(const struct xml *x, const char *name, char *ret, size_t size)
{
        const char *end = x->attributes + x->attributes_n, *value, *close;
        bool found;
        size_t n;

        for (const char *p = x->attributes; p < end; p = close + 1) {
                while (p < end && strchr(" \t\r\n", *p))
                        p++;
                value = memchr(p, '=', end - p);
                if (!value || end - value < 3 || (value[1] != '"' && value[1] != '\''))
                        return false;
                found = (size_t)(value - p) == strlen(name) && memcmp(p, name, value - p) == 0;
                value += 2;
                close = memchr(value, value[-1], end - value);
                if (!close)
                        return false;
                n = close - value;
                if (found && n < size)
                        *(char *)mempcpy(ret, value, n) = '\0';
                if (found)
                        return n < size;
        }
        return false;
}

void xml_put(const struct xml *x, enum xml_kind kind, struct extract_out *out)
{
        const char *p = x->s, *end = x->s + x->n, *next;
        char entity[ENTITY_SIZE_MAX];
        size_t n, length;

        for (; p < end; p = next) {
                length = *p == '&' && kind == XML_TEXT ? entity_get(p, end - p, entity, &n) : 0;
                if (length > 0) {
                        extract_put(out, entity, n);
                        next = p + length;
                        continue;
                }
                next = end - p > 1 ? memchr(p + 1, '&', end - p - 1) ?: end : end;
                extract_put(out, p, next - p);
        }
}
