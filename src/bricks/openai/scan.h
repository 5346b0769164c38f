/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads JSON in place. An API may send a document as large as max_reply, and a tree of it would
 * take a hundred times its size, so only the values that are needed are unpacked. All functions
 * take linear time, and only scan_load() allocates.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A value in a document: `end` is past its last character. NULL and NULL: no value. */
struct scan {
        const char *p;
        const char *end;
};

/*
 * Checks a document, which must be one object or list. False: it is not, is not well-formed, or is
 * nested deeper than SCAN_DEPTH_MAX. Only scan_load() checks that text is UTF-8.
 */
bool scan_document(const char *json, size_t n, struct scan *ret);

#define SCAN_DEPTH_MAX 512

/* The member of an object with this name, the last one if there are several. No value: there is
 * none, or `object` is not an object. Pass only values from scan_document() and from these
 * functions. */
struct scan scan_member(struct scan object, const char *name);

/*
 * The items of a list, one after the other; none if the value is not a list:
 *
 *     for (struct scan item = scan_first(list); item.p; item = scan_next(list, item))
 */
struct scan scan_first(struct scan list);
struct scan scan_next(struct scan list, struct scan item);

bool scan_is_object(struct scan value);
bool scan_is_string(struct scan value);
bool scan_is_null(struct scan value);

/* Unpacks a string or a number. NULL: it is neither, the text is not UTF-8, the number is too large
 * for a double, or out of memory. */
json_t *scan_load(struct scan value);
