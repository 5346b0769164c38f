/* SPDX-License-Identifier: MIT */
#pragma once

/* brickd's other programs. */

#include "ctl/service.h"

/*
 * The type of a module, as `brickd --describe` tells it, for users whom the running brickd does not
 * answer. NULL: it can be of any type, or there is no such module.
 */
const struct service *program_module_type(const char *module_dir, const char *module);
