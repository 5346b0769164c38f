/* SPDX-License-Identifier: MIT */
/* A summary that is not UTF-8. */
#include "zoo.h"

ZOO_MODULE(module.summary = "sums \xff up");
