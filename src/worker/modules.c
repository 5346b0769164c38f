/* SPDX-License-Identifier: MIT */
#include "worker/modules.h"

#include <stddef.h>

#include "conf/process.h"
#include "remote/modules.h"
#include "worker/process-brick.h"

const struct module_builtin worker_modules[] = {
        { "process", process_brick_module_v1, process_options },
        { "python", python_brick_module_v1, python_options },
        { "remote", remote_brick_module_v1, NULL },
        {},
};
