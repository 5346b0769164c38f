/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * JSON that is read where it stands. An API may send any document as large as max_reply, and a tree
 * of it would take a hundred times its size: of what is not wanted nothing is unpacked here. All
 * takes time linear in the length, and no memory but scan_load().
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A value in a document, from its first character to past its last one. NULL and NULL: none. */
struct scan {
        const char *p;
        const char *end;
};

/*
 * A document that is an object or a list, and nothing else. False: it is not well-formed, or nested
 * deeper than SCAN_DEPTH_MAX. Text is not checked to be UTF-8: see scan_load().
 */
bool scan_document(const char *json, size_t n, struct scan *ret);

#define SCAN_DEPTH_MAX 512

/* The member of an object, the last one if there are several of the name. None if the value is none
 * or no object. Values are those of scan_document() and of these functions. */
struct scan scan_member(struct scan object, const char *name);

/*
 * The items of a list one after the other; none if the value is none or no list:
 *
 *     for (struct scan item = scan_first(list); item.p; item = scan_next(list, item))
 */
struct scan scan_first(struct scan list);
struct scan scan_next(struct scan list, struct scan item);

bool scan_is_object(struct scan value);
bool scan_is_string(struct scan value);
bool scan_is_null(struct scan value);

/* A string or a number, unpacked. NULL: it is neither, or its text is not UTF-8, or the number is
 * larger than a double may be; or there is no memory. */
json_t *scan_load(struct scan value);
