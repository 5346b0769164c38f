/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * How much of a text to judge now: up to the end of its last whole sentence; of a text of `hold`
 * bytes or more without one, up to a blank, or a character's end. With `all`, all of it. 0: wait
 * for more.
 */
size_t sentence_end(const char *text, size_t length, size_t hold, bool all);
