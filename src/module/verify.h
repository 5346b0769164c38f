/* SPDX-License-Identifier: MIT */
#pragma once

/* What a module says of itself, judged before anything else in it is called. */

#include <stdbool.h>

#include "brick.h"
#include "conf/option.h"

struct arena;

/* For `return verdict(...)`: r, with one line in *ret_why that starts with the path; or -ENOMEM. */
int verdict(char **ret_why, int r, const char *path, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* Whether a text can be printed, logged and sent to clients. NULL can. */
bool verify_text(const char *s);

/* 1 << BRICK_METHOD_* that bricks of a BRICK_TYPE_* may have; of BRICK_TYPE_ANY: all. */
uint32_t verify_methods(unsigned type);

/* The descriptor, without its options. */
int verify_descriptor(const struct brick_module *brick, const char *path, char **ret_why);

/* The table of options, with those inside it, turned into tables that the configuration
 * understands. The arena holds them; their texts are the module's. */
int verify_options(const struct brick_module *brick, const char *path, struct arena *arena,
                   const struct option_spec **ret, char **ret_why);
