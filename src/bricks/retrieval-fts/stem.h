/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Cuts an English word, in lower case and n bytes long, to what its inflected forms have in common,
 * and returns the new length: "running" and "runs" become "run". Nouns of action become their verb
 * ("installation": "install"). Other derived words stay apart, because they mean something else:
 * "organization" and "organ", "important" and "import". Words of other scripts stay as they are.
 * The result is no word: "universe" becomes "univers".
 */
size_t stem(char *word, size_t n);
