/* SPDX-License-Identifier: MIT */
/* Calls a function that no library has. */
#include "zoo.h"

int brick_zoo_undefined(void);

ZOO_MODULE(module.flags = (uint32_t)brick_zoo_undefined());
