/* SPDX-License-Identifier: MIT */
/* Needs functions that this brickd does not have. */
#include "zoo.h"

ZOO_MODULE(module.host_minor = BRICK_ABI_MINOR + 1);
