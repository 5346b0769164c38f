/* SPDX-License-Identifier: MIT */
/* A shared object that is no brick. */
#include "brick.h"

BRICK_EXPORT int not_a_brick(void);
int not_a_brick(void)
{
        return 0;
}
