/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* The ending of a regular noun that follows the number n: "%zu worker%s". */
static inline const char *plural(size_t n)
{
        return n == 1 ? "" : "s";
}
