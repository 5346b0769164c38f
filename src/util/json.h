/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Writes text as a JSON string, as out_json() does: what is not UTF-8 becomes U+FFFD. */
void json_put_string(FILE *f, const char *s, size_t length);
