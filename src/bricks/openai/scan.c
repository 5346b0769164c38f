/* SPDX-License-Identifier: MIT */

#include "scan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "octet.h"

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

static const char *skip_escape(const char *p, const char *end)
{
        if (end - p < 2 || p[1] == '\0' || !strchr("\"\\/bfnrtu", p[1]))
                return NULL;
        return p[1] == 'u' ? skip_hex(p + 2, end) : p + 2;
}

/* Returns where the next quotation mark or backslash is, or `end`. */
static inline const char *find_special(const char *p, const char *end)
{
        for (; end - p >= 8; p += 8) {
                uint64_t word = octets_load(p);
                uint64_t found = octets_find(word, '"') | octets_find(word, '\\');

                if (found)
                        return p + octets_first(found);
        }
        while (p < end && *p != '"' && *p != '\\')
                p++;
        return p;
}

static const char *skip_rest_of_string(const char *p, const char *end)
{
        while (p && p < end && *p != '"') {
                p = skip_escape(p, end);
                if (p)
                        p = find_special(p, end);
        }
        return p && p < end ? p + 1 : NULL;
}

/* Control characters are taken as they are, since some servers do not escape them. */
static inline const char *skip_string(const char *p, const char *end)
{
        p = find_special(p + 1, end);
        return p < end && *p == '"' ? p + 1 : skip_rest_of_string(p, end);
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

/* The open lists and objects; a bit each: it is an object. */
struct nesting {
        uint64_t objects[SCAN_DEPTH_MAX / 64];
        size_t depth;
};

static bool push(struct nesting *nesting, bool is_object)
{
        const size_t word = nesting->depth / 64, bit = nesting->depth % 64;

        if (nesting->depth == SCAN_DEPTH_MAX)
                return false;
        nesting->objects[word] &= ~(UINT64_C(1) << bit);
        nesting->objects[word] |= (uint64_t)is_object << bit;
        nesting->depth++;
        return true;
}

static char closer_of(const struct nesting *nesting)
{
        const size_t last = nesting->depth - 1;

        return nesting->objects[last / 64] >> last % 64 & 1 ? '}' : ']';
}

/* Skips from the end of a value to the next one: the lists and objects that end there, the comma,
 * and the name of a member. NULL: not well-formed. If the depth is 0 then, the outermost value has
 * ended. */
static const char *skip_between(struct nesting *nesting, const char *p, const char *end)
{
        while (nesting->depth > 0) {
                char closer = closer_of(nesting);

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
        const bool is_object = *p == '{';

        if (!push(nesting, is_object))
                return NULL;
        p = skip_blanks(p + 1, end);
        if (p < end && *p == (is_object ? '}' : ']'))
                return skip_between(nesting, p, end);
        return is_object ? skip_name(p, end) : p;
}

static const char *skip_nested(const char *p, const char *end)
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

/* Returns the end of the value at p, which may follow blanks. NULL: not well-formed. */
static const char *skip_value(const char *p, const char *end)
{
        p = skip_blanks(p, end);
        if (p == end)
                return NULL;
        return *p == '{' || *p == '[' ? skip_nested(p, end) : skip_scalar(p, end);
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

/* A name with an escape. Wanted names are ASCII, for which the only escape is \uXXXX. */
static bool is_escaped_name(const char *p, const char *wanted)
{
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

/* The place of a name in a table; table->n: it is not wanted. */
static size_t find_name(struct scan name, const struct scan_table *table)
{
        const char *text = name.p + 1;
        const size_t length = (size_t)(name.end - text) - 1;
        const bool escaped = find_special(text, name.end) < name.end - 1;
        size_t i;

        for (i = 0; i < table->n; i++)
                if (escaped ? is_escaped_name(text, table->names[i].text)
                            : length == table->names[i].length &&
                                      memcmp(text, table->names[i].text, length) == 0)
                        break;
        return i;
}

static void forget(const struct scan_table *table, struct scan *values)
{
        for (size_t i = 0; i < table->n; i++) {
                values[table->first + i] = (struct scan){};
                if (table->names[i].inner)
                        forget(table->names[i].inner, values);
        }
}

static const char *read_object(const char *p, const char *end, const struct scan_table *table,
                               struct scan *values);

/* Reads a list whose first item may be an object with members that are wanted. */
static const char *read_list(const char *p, const char *end, const struct scan_table *table,
                             struct scan *values)
{
        p = skip_blanks(p + 1, end);
        if (p < end && *p == ']')
                return p + 1;
        p = p < end && *p == '{' ? read_object(p, end, table, values) : skip_value(p, end);
        while (p) {
                p = skip_blanks(p, end);
                if (p < end && *p == ']')
                        return p + 1;
                if (p == end || *p != ',')
                        return NULL;
                p = skip_value(p + 1, end);
        }
        return NULL;
}

/* Reads the value of a member, and what is wanted in it. Returns its end, or NULL. */
static const char *read_value(const char *p, const char *end, const struct scan_table *inner,
                              struct scan *values)
{
        if (inner && *p == '{')
                return read_object(p, end, inner, values);
        return inner && *p == '[' ? read_list(p, end, inner, values) : skip_value(p, end);
}

/* Reads the member at p. Returns what follows it, or `end` if it is malformed. */
static const char *read_member(const char *p, const char *end, const struct scan_table *table,
                               struct scan *values)
{
        struct scan name = { p, p < end && *p == '"' ? skip_string(p, end) : NULL }, *value = NULL;
        const struct scan_table *inner = NULL;
        const char *stop;
        size_t i;

        p = name.end ? skip_blanks(name.end, end) : end;
        if (p == end || *p != ':')
                return end;
        p = skip_blanks(p + 1, end);
        if (p == end)
                return end;
        i = find_name(name, table);
        if (i < table->n) {
                value = &values[table->first + i];
                inner = table->names[i].inner;
                if (value->p && inner)
                        forget(inner, values);
        }
        stop = read_value(p, end, inner, values);
        if (value)
                *value = (struct scan){ p, stop };
        return stop ? skip_blanks(stop, end) : end;
}

/* Returns the end of the object at p. NULL: it is malformed. */
static const char *read_object(const char *p, const char *end, const struct scan_table *table,
                               struct scan *values)
{
        p = skip_blanks(p + 1, end);
        while (p < end && *p != '}') {
                p = read_member(p, end, table, values);
                if (p == end || (*p != '}' && *p != ','))
                        return NULL;
                if (*p == ',') {
                        p = skip_blanks(p + 1, end);
                        if (p == end || *p != '"')
                                return NULL;
                }
        }
        return p < end ? p + 1 : NULL;
}

const char *scan_table(struct scan object, const struct scan_table *table, struct scan *values,
                       size_t n_values)
{
        memset(values, 0, n_values * sizeof *values);
        return scan_is_object(object) ? read_object(object.p, object.end, table, values) : NULL;
}

void scan_members(struct scan object, const struct scan_name *names, size_t n, struct scan *values)
{
        const struct scan_table table = { names, n, 0 };

        (void)scan_table(object, &table, values, n);
}

struct scan scan_member(struct scan object, const char *name)
{
        const struct scan_name wanted = { name, strlen(name), NULL };
        struct scan found;

        scan_members(object, &wanted, 1, &found);
        return found;
}

bool scan_has_items(struct scan list)
{
        return list.p && *list.p == '[' && *skip_blanks(list.p + 1, list.end) != ']';
}

struct scan scan_first(struct scan list)
{
        return scan_has_items(list) ? value_at(list.p + 1, list.end) : (struct scan){};
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
