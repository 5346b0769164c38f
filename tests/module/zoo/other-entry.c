/* SPDX-License-Identifier: MIT */
/* A brick for the next major of the ABI only. */
#include "brick.h"

BRICK_EXPORT const struct brick_module *brick_module_v2(void);
const struct brick_module *brick_module_v2(void)
{
        return NULL;
}
