/* SPDX-License-Identifier: MIT */
#pragma once

/* Parse and format values. 0; -EINVAL: not of the form; -ERANGE: too large for the type. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/option.h"

int value_parse_int(const char *s, int64_t *ret);
int value_parse_bool(const char *s, bool *ret);
int value_parse_float(const char *s, double *ret);
int value_parse_duration(const char *s, int64_t *ret);
int value_parse_size(const char *s, int64_t *ret);

/* "250", "10k", "1.5M" or "2G": thousands, millions and thousands of millions. */
int value_parse_count(const char *s, int64_t *ret);

/* The index of s in "one|two|three": of the choice with the same case, else of one with another
 * case. -EINVAL: there is none. */
int value_parse_choice(const char *s, const char *choices);

/* The choice with this index, which must exist. Not NUL-terminated. */
const char *value_choice(const char *choices, int index, size_t *ret_length);

/* Writes a number in the form of an option of this type: "3s", "64KiB", "17". */
void value_format(enum option_type type, int64_t value, char *buffer, size_t size);
