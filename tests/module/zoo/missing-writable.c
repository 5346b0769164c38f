/* SPDX-License-Identifier: MIT */
/* Streams without threads of its own, but cannot be told that the window is open again. */
#include "zoo.h"

ZOO_MODULE(module.type = BRICK_TYPE_LLM; module.methods = 1u << BRICK_METHOD_OUTPUT_STREAMING);
