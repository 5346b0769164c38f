/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads JSON in place. An API may send a document as large as max_reply, and a tree of it would
 * take a hundred times its size, so only the values that are needed are unpacked. All functions
 * take linear time and allocate nothing. What servers write besides JSON is taken: NaN, Infinity,
 * and control characters and bytes that are not UTF-8 in strings.
 */

#include <stdbool.h>
#include <stddef.h>

/* A value in a document: `end` is past its last character. NULL and NULL: no value. */
struct scan {
        const char *p;
        const char *end;
};

/* Checks a document, which must be one object or list. False: it is not, is not well-formed, or is
 * nested deeper than SCAN_DEPTH_MAX. */
bool scan_document(const char *json, size_t n, struct scan *ret);

#define SCAN_DEPTH_MAX 512

struct scan_table;

/* A member that is wanted. */
struct scan_name {
        const char *text; /* in ASCII */
        size_t length;
        const struct scan_table *inner; /* what is wanted in its value, which is an object, or a
                                           list of which the first object counts; NULL: nothing */
};
#define SCAN_NAME(text)                      \
        {                                    \
                text, sizeof(text) - 1, NULL \
        }
#define SCAN_NAME_WITH(text, table)           \
        {                                     \
                text, sizeof(text) - 1, table \
        }

/* Members that are wanted. The value of names[i] becomes values[first + i]. */
struct scan_table {
        const struct scan_name *names;
        size_t n, first;
};

/*
 * Finds members of an object in one pass; of several with one name, the last. No value: there is
 * none. The object need not have been checked. Returns its end; NULL: it is not an object, or not
 * well-formed, and the values do not count.
 */
const char *scan_table(struct scan object, const struct scan_table *table, struct scan *values,
                       size_t n_values);

/* The functions below take only values from scan_document() and from each other. */

/* As scan_table(), without inner tables. */
void scan_members(struct scan object, const struct scan_name *names, size_t n, struct scan *values);

/* No value: there is no such member, or `object` is not an object. */
struct scan scan_member(struct scan object, const char *name);

/*
 * The items of a list, one after the other; none if the value is not a list:
 *
 *     for (struct scan item = scan_first(list); item.p; item = scan_next(list, item))
 */
bool scan_has_items(struct scan list);
struct scan scan_first(struct scan list);
struct scan scan_next(struct scan list, struct scan item);

static inline bool scan_is_object(struct scan value)
{
        return value.p && *value.p == '{';
}

static inline bool scan_is_string(struct scan value)
{
        return value.p && *value.p == '"';
}

/* NAN: it is not a number. */
double scan_number(struct scan value);

/* The four hexadecimal digits of an escape. */
unsigned scan_hex(const char *digits);
