/* SPDX-License-Identifier: MIT */
/* Built for another major under this major's entry symbol. */
#include "zoo.h"

ZOO_MODULE(module.abi_major = 7; module.abi_minor = 2);
