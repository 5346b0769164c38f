/* SPDX-License-Identifier: MIT */
#pragma once

/* What an API says of an error, in its own words, from JSON, HTML, XML or plain text. */

#include "scan.h"
#include "text.h"

/*
 * Adds the text of an error in JSON: a string; of an object, its message, wherever it is; of a
 * list, those of its items. Nothing is added if there is none. -ENOMEM.
 */
int words_of_json(struct text *to, struct scan value);

/* Adds what a person would read of a page or a text, on one line. */
int words_of_page(struct text *to, const char *body, size_t n);
