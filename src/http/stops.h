/* SPDX-License-Identifier: MIT */
#pragma once

/* Finds the texts at which an answer stops, in a text that comes in pieces. What may be the
 * beginning of one is held back. Pure functions. */

#include <stdbool.h>
#include <stddef.h>

/*
 * How much of a text may be given to the client, which is all that is not given yet. *ret_found: a
 * stop is there, and the answer ends before it. Each stop is at least one byte long.
 */
size_t stops_scan(const char *text, size_t length, const char *const *stops, size_t n,
                  bool *ret_found);
