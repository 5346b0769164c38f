/* SPDX-License-Identifier: MIT */

#include "scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *p, const char *end)
{
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
                p++;
        return p;
}

/* --- scalars: each of these returns where the value ends, or NULL -------------------------------
 */

static const char *skip_hex(const char *p, const char *end)
{
        if (end - p < 4)
                return NULL;
        for (size_t i = 0; i < 4; i++)
                if (p[i] == '\0' || !strchr("0123456789abcdefABCDEF", p[i]))
                        return NULL;
        return p + 4;
}

/* Control characters are taken as they are, since some servers do not escape them. */
static const char *skip_string(const char *p, const char *end)
{
        for (p++; p && p < end && *p != '"';) {
                if (*p++ != '\\')
                        continue;
                if (p == end || *p == '\0' || !strchr("\"\\/bfnrtu", *p))
                        return NULL;
                p = *p == 'u' ? skip_hex(p + 1, end) : p + 1;
        }
        return p && p < end ? p + 1 : NULL;
}

static const char *skip_digits(const char *p, const char *end)
{
        const char *start = p;

        while (p < end && *p >= '0' && *p <= '9')
                p++;
        return p > start ? p : NULL;
}

static const char *skip_number(const char *p, const char *end)
{
        if (*p == '-')
                p++;
        p = p < end && *p == '0' ? p + 1 : skip_digits(p, end);
        if (p && p < end && *p == '.')
                p = skip_digits(p + 1, end);
        if (p && p < end && (*p == 'e' || *p == 'E')) {
                p++;
                if (p < end && (*p == '+' || *p == '-'))
                        p++;
                p = skip_digits(p, end);
        }
        return p;
}

static const char *skip_word(const char *p, const char *end)
{
        /* The last three are not JSON, but programs in Python send them. */
        static const char *const words[] = {
                "true", "false", "null", "Infinity", "-Infinity", "NaN"
        };

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                size_t n = strlen(words[i]);

                if ((size_t)(end - p) >= n && memcmp(p, words[i], n) == 0)
                        return p + n;
        }
        return NULL;
}

static const char *skip_scalar(const char *p, const char *end)
{
        if (*p == '"')
                return skip_string(p, end);
        if ((*p >= '0' && *p <= '9') || (*p == '-' && end - p > 1 && p[1] != 'I'))
                return skip_number(p, end);
        return skip_word(p, end);
}

/* --- values -------------------------------------------------------------------------------------
 */

/* A name and its colon. */
static const char *skip_name(const char *p, const char *end)
{
        p = skip_blanks(p, end);
        if (p == end || *p != '"')
                return NULL;
        p = skip_string(p, end);
        if (!p)
                return NULL;
        p = skip_blanks(p, end);
        return p < end && *p == ':' ? p + 1 : NULL;
}

/* The closing characters of the open lists and objects. */
struct nesting {
        char closers[SCAN_DEPTH_MAX];
        size_t depth;
};

/* Skips from the end of a value to the next one: the lists and objects that end there, the comma,
 * and the name of a member. NULL: not well-formed. If the depth is 0 then, the outermost value has
 * ended. */
static const char *skip_between(struct nesting *nesting, const char *p, const char *end)
{
        while (nesting->depth > 0) {
                char closer = nesting->closers[nesting->depth - 1];

                p = skip_blanks(p, end);
                if (p == end)
                        return NULL;
                if (*p == ',')
                        return closer == '}' ? skip_name(p + 1, end) : p + 1;
                if (*p++ != closer)
                        return NULL;
                nesting->depth--;
        }
        return p;
}

/* Skips the opening character of a list or an object; if it is empty, its end as well. */
static const char *skip_opening(struct nesting *nesting, const char *p, const char *end)
{
        char closer = *p == '{' ? '}' : ']';

        if (nesting->depth == SCAN_DEPTH_MAX)
                return NULL;
        nesting->closers[nesting->depth++] = closer;
        p = skip_blanks(p + 1, end);
        if (p < end && *p == closer)
                return skip_between(nesting, p, end);
        return closer == '}' ? skip_name(p, end) : p;
}

/* Returns the end of the value at p, which may follow blanks. NULL: not well-formed. */
static const char *skip_value(const char *p, const char *end)
{
        struct nesting nesting;

        nesting.depth = 0;
        do {
                p = skip_blanks(p, end);
                if (p == end)
                        return NULL;
                if (*p == '{' || *p == '[') {
                        p = skip_opening(&nesting, p, end);
                        continue;
                }
                p = skip_scalar(p, end);
                if (p)
                        p = skip_between(&nesting, p, end);
        } while (p && nesting.depth > 0);
        return p;
}

static struct scan value_at(const char *p, const char *end)
{
        p = skip_blanks(p, end);
        return (struct scan){ p, skip_value(p, end) };
}

bool scan_document(const char *json, size_t n, struct scan *ret)
{
        const char *end = json + n, *p = skip_blanks(json, end), *stop;

        if (p == end || (*p != '{' && *p != '['))
                return false;
        stop = skip_value(p, end);
        if (!stop || skip_blanks(stop, end) != end)
                return false;
        *ret = (struct scan){ p, stop };
        return true;
}

unsigned scan_hex(const char *digits)
{
        unsigned value = 0;

        for (size_t i = 0; i < 4; i++)
                value = value << 4 | (((unsigned)digits[i] & 0xf) + (digits[i] > '9' ? 9 : 0));
        return value;
}

/* Compares the name of a member. Wanted names are ASCII letters and '_', for which the only escape
 * is \uXXXX. */
static bool is_name(struct scan name, const char *wanted)
{
        const char *p = name.p + 1;

        for (; *wanted; wanted++) {
                unsigned c = (unsigned char)*p++;

                if (c == '\\' && *p == 'u') {
                        c = scan_hex(p + 1);
                        p += 5;
                }
                if (c != (unsigned char)*wanted)
                        return false;
        }
        return *p == '"';
}

/* Reads the name and the value at p. Returns what follows them, or `end` if they are malformed. */
static const char *read_member(const char *p, const char *end, struct scan *ret_name,
                               struct scan *ret_value)
{
        if (p == end || *p != '"')
                return end;
        *ret_name = (struct scan){ p, skip_string(p, end) };
        p = ret_name->end ? skip_blanks(ret_name->end, end) : end;
        if (p == end || *p != ':')
                return end;
        *ret_value = value_at(p + 1, end);
        return ret_value->end ? skip_blanks(ret_value->end, end) : end;
}

bool scan_members(struct scan object, const char *const *names, size_t n, struct scan *values)
{
        const char *p, *end = object.end;
        struct scan name, value;

        memset(values, 0, n * sizeof *values);
        if (!scan_is_object(object))
                return false;
        p = skip_blanks(object.p + 1, end);
        while (p < end && *p != '}') {
                p = read_member(p, end, &name, &value);
                if (p == end || (*p != '}' && *p != ','))
                        return false;
                for (size_t i = 0; i < n; i++)
                        if (is_name(name, names[i]))
                                values[i] = value;
                if (*p == ',') {
                        p = skip_blanks(p + 1, end);
                        if (p == end || *p != '"')
                                return false;
                }
        }
        return p < end && p + 1 == end;
}

struct scan scan_member(struct scan object, const char *name)
{
        struct scan found;

        (void)scan_members(object, &name, 1, &found);
        return found;
}

struct scan scan_first(struct scan list)
{
        const char *p;

        if (!list.p || *list.p != '[')
                return (struct scan){};
        p = skip_blanks(list.p + 1, list.end);
        return *p == ']' ? (struct scan){} : value_at(p, list.end);
}

struct scan scan_next(struct scan list, struct scan item)
{
        const char *p = skip_blanks(item.end, list.end);

        return *p == ']' ? (struct scan){} : value_at(p + 1, list.end);
}

double scan_number(struct scan value)
{
        char text[64];
        size_t n = (size_t)(value.end - value.p);

        if (!value.p || n >= sizeof text || !strchr("-0123456789", *value.p))
                return NAN;
        memcpy(text, value.p, n);
        text[n] = '\0';
        return strtod(text, NULL);
}
