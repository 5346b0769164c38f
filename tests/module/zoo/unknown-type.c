/* SPDX-License-Identifier: MIT */
/* A kind of brick that does not exist. */
#include "zoo.h"

ZOO_MODULE(module.type = 42);
