/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* The longest text of an entity, in bytes. */
#define ENTITY_SIZE_MAX 8

/* Decodes the entity of HTML that starts at text[0], an ampersand. Returns its length, or 0 if it
 * is none; the text that it stands for has *ret_n bytes. */
size_t entity_get(const char *text, size_t n, char ret[static ENTITY_SIZE_MAX], size_t *ret_n);
