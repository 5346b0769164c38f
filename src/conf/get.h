/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Read values of a map that option_check() has completed. A value that is missing or bad reads as
 * NULL, false or 0: a configuration with mistakes is never used.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct document;
struct node;

/* map may be NULL: it has no values. */
const struct node *get_node(const struct node *map, const char *key);
const char *get_string(const struct node *map, const char *key);
bool get_bool(const struct node *map, const char *key);

/* A number, a duration in ns, or a size in bytes. */
int64_t get_number(const struct node *map, const char *key);

/* The index of the value in the choices of its option. */
int get_choice(const struct node *map, const char *key);

/*
 * The texts of a list, without the bad ones. The array belongs to doc. Leaves *ret
 * and *ret_n alone if there is no list. 0 or -ENOMEM.
 */
int get_strings(struct document *doc, const struct node *map, const char *key, const char ***ret,
                size_t *ret_n);

/* The text as an absolute path, which belongs to doc; a relative one starts at base. Leaves *ret
 * alone if there is no value. 0 or -ENOMEM. */
int get_path(struct document *doc, const char *base, const struct node *map, const char *key,
             const char **ret);
