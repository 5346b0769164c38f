/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Writes text, which is UTF-8, as a JSON string. */
void json_put_string(FILE *f, const char *s, size_t length);
