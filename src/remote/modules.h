/* SPDX-License-Identifier: MIT */
#pragma once

#include "brick.h"

/* The entry of the built-in module `remote`. */
const struct brick_module *remote_brick_module_v1(void);
