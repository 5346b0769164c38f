/* SPDX-License-Identifier: MIT */
/* Offers what its service does not have. */
#include "zoo.h"

ZOO_MODULE(module.methods |= 1u << BRICK_METHOD_BIDI_STREAMING);
