/* SPDX-License-Identifier: MIT */
#pragma once

#include "module/load.h"

/* The modules that are part of brickd-worker, for module_set_builtins(). */
extern const struct module_builtin worker_modules[];
