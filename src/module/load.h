/* SPDX-License-Identifier: MIT */
#pragma once

/* Finding, opening and judging brick modules. Only load.c knows dlopen(). Main thread only. */

#include <stdio.h>

#include "brick.h"
#include "conf/option.h"
#include "util/cleanup.h"

struct module {
        const struct brick_module *brick; /* verified; a copy, as long as this brickd's struct is */
        char *path;                       /* of the file, resolved */
        struct option_spec *options;      /* brick->options as the configuration checks them */
};

/*
 * Opens the module `name` of the directory `dir`, or the absolute path `name`, and judges it: who
 * may write the file, ELF, entry symbol, magic, ABI, sizes, required members, option table. Never
 * unloaded. On failure *ret_why is one line that names the path and, where versions differ, both;
 * free() it. -ENOMEM leaves it NULL.
 *
 * The file and the directory it lies in must belong to root or to the own user, and nobody else may
 * write to them; a directory like /tmp, where others cannot replace the file, will do.
 */
int module_open(struct module **ret, const char *dir, const char *name, char **ret_why);
struct module *module_free(struct module *module);
DEFINE_CLEANUP(struct module *, module_free);

/* A symbol of a library of brickd's own that is loaded only where it is needed; never unloaded.
 * NULL: *ret_why as above. */
const void *module_symbol(const char *path, const char *name, char **ret_why);

/* In a function that libc calls, such as an exit handler: the file of the code that has called
 * libc, which is a module or a library. Any thread. */
const char *module_calling_libc(void);

/* For `brickd --inspect FILE.so` and `brickd --describe NAME`. */
void module_inspect(const struct module *module, FILE *f);
void module_describe(const struct module *module, FILE *f);
