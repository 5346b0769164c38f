/* SPDX-License-Identifier: MIT */
/* Needs a library that is not there. */
#include "zoo.h"

int absent(void);

ZOO_MODULE(module.flags = (uint32_t)absent());
