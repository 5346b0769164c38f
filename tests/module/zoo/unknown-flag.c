/* SPDX-License-Identifier: MIT */
/* A flag that does not exist. */
#include "zoo.h"

ZOO_MODULE(module.flags = 1u << 31);
