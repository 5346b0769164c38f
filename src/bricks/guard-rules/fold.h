/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Folding makes texts that look the same to a reader the same for a rule. It implements small,
 * table-driven parts of Unicode's NFKC and of its list of confusable characters; see README.md.
 */

#include <stddef.h>
#include <stdint.h>

/*
 * Folds a text into out, which has room for length bytes: folding never makes a text longer. out
 * may be text itself. Returns the folded length, or SIZE_MAX: not UTF-8.
 */
size_t fold_text(const char *text, size_t length, char *out);
