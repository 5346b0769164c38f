/* SPDX-License-Identifier: MIT */
/* The descriptor ends before the members that the ABI has always had. */
#include "zoo.h"

ZOO_MODULE(module.struct_size = offsetof(struct brick_module, start));
