/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Writes a JSON string. Controls (utf8_is_control()) are escaped; each byte that is no UTF-8
 * becomes U+FFFD. */
void json_put_string(FILE *f, const char *s, size_t length);
