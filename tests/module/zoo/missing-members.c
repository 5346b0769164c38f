/* SPDX-License-Identifier: MIT */
/* Nothing to call. */
#include "zoo.h"

ZOO_MODULE(module.start = NULL);
