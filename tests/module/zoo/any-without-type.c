/* SPDX-License-Identifier: MIT */
/* Of any type, but nobody can say which. */
#include "zoo.h"

ZOO_MODULE(module.type = BRICK_TYPE_ANY);
