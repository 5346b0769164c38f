/* SPDX-License-Identifier: MIT */
#pragma once

/* Helpers for the JSON that the control bus sends. */

#include <jansson.h>

/* A JSON string, or null for NULL. U+FFFD stands for each byte that is not UTF-8, as in a file
 * name. NULL: out of memory. */
json_t *json_text(const char *s);

/* Writes a value as text, and releases it. NULL is an allocation that failed earlier. free() *ret.
 * 0 or -ENOMEM. */
int json_finish(json_t *json, char **ret);
