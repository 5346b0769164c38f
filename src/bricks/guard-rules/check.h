/* SPDX-License-Identifier: MIT */
#pragma once

/* Arithmetic that a pattern cannot do: is this number what it looks like? */

#include <stdbool.h>
#include <stddef.h>

typedef bool check_fn(const char *text, size_t length);

/* "luhn", "iban", "tw-id", "cn-id". NULL: no such check. */
check_fn *check_find(const char *name);

/* All names, for messages. */
extern const char check_names[];
