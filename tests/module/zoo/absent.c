/* SPDX-License-Identifier: MIT */
/* The library that missing-dependency.c is linked with, and that nobody finds under its soname. */
#include "brick.h"

BRICK_EXPORT int absent(void);
int absent(void)
{
        return 0;
}
