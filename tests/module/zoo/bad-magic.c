/* SPDX-License-Identifier: MIT */
/* The entry symbol is there, but what it gives is no descriptor. */
#include "zoo.h"

ZOO_MODULE(module.magic = 0x12345678);
