/* SPDX-License-Identifier: MIT */
#pragma once

/* Runs the other programs of brickd. */

#include "ctl/service.h"

/*
 * The type of a module, from `brickd --describe`. For users who may not ask the running brickd.
 * NULL: the module can have any type, or cannot be loaded.
 */
const struct service *program_module_type(const char *module_dir, const char *module);
