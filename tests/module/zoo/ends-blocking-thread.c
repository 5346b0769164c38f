/* SPDX-License-Identifier: MIT */
/* The same of a blocking brick. */
#define ROGUE_FLAGS BRICK_FLAG_BLOCKING
#include "ends-thread.c"
