/* SPDX-License-Identifier: MIT */
#pragma once

/* Verifies the check digits of numbers, which a pattern cannot do. */

#include <stdbool.h>
#include <stddef.h>

typedef bool check_fn(const char *text, size_t length);

/* Finds "luhn", "iban", "tw-id" or "cn-id". NULL: unknown check. */
check_fn *check_find(const char *name);

/* All names, for messages. */
extern const char check_names[];
