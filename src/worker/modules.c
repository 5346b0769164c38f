/* SPDX-License-Identifier: MIT */
#include "worker/modules.h"

#include <stddef.h>

#include "remote/modules.h"

const struct module_builtin worker_modules[] = {
        { "remote", remote_brick_module_v1 },
        {},
};
