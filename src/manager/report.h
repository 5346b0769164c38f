/* SPDX-License-Identifier: MIT */
#pragma once

/* How mistakes are shown: on a terminal as they are, in the journal one entry each with its place.
 */

#include <stddef.h>

/* Texts that begin with "NAME:LINE:" get CONFIG_FILE= and CONFIG_LINE=. */
void report_mistakes(const char *name, char *const *texts, size_t n);
