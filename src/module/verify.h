/* SPDX-License-Identifier: MIT */
#pragma once

/* What a module says of itself, judged before anything else in it is called. */

#include "brick.h"
#include "conf/option.h"

/* For `return verdict(...)`: r, with one line in *ret_why that starts with the path; or -ENOMEM. */
int verdict(char **ret_why, int r, const char *path, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* The descriptor, without its options. */
int verify_descriptor(const struct brick_module *brick, const char *path, char **ret_why);

/* The table of options, turned into one that the configuration understands; free() it. */
int verify_options(const struct brick_module *brick, const char *path, struct option_spec **ret,
                   char **ret_why);
