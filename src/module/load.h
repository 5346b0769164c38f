/* SPDX-License-Identifier: MIT */
#pragma once

/* Finds, opens and checks brick modules. Only load.c calls dlopen(). Main thread only. */

#include <stdbool.h>
#include <stdio.h>

#include "brick.h"
#include "conf/option.h"
#include "util/arena.h"
#include "util/cleanup.h"

struct module {
        const struct brick_module *brick; /* verified; a copy, as long as this brickd's struct is */
        char *path;                       /* of the file, resolved */
        const struct option_spec *options; /* brick->options as the configuration checks them */
        struct arena tables;               /* which holds them */
};

/* A module that is a part of the program. */
struct module_builtin {
        const char *name;
        const struct brick_module *(*entry)(void);
        const struct option_spec *options; /* NULL: those of the descriptor */
};

/* Sets them; the table ends with a NULL name. A file of the same name is not used. [main, once] */
void module_set_builtins(const struct module_builtin *table);

/*
 * Opens the module `name` of the directory `dir`, or the absolute path `name`, and checks it: who
 * may write the file, ELF, entry symbol, magic, ABI, sizes, required members, option table. It is
 * never unloaded. On failure *ret_why is one line that names the path and, if versions differ, both
 * versions; free() it. -ENOMEM leaves it NULL.
 *
 * The file and its directory must belong to root or to our own user, and nobody else may be able to
 * write to them. A directory with the sticky bit, such as /tmp, is allowed: others cannot replace
 * the file there.
 */
int module_open(struct module **ret, const char *dir, const char *name, char **ret_why);
struct module *module_free(struct module *module);
DEFINE_CLEANUP(struct module *, module_free);

/* Loads a library of brickd's own and returns a symbol of it. Never unloaded. NULL: *ret_why as
 * above. */
const void *module_symbol(const char *path, const char *name, char **ret_why);

/* Whether two addresses are of code of the same file, a program or a library. Any thread. */
bool module_same_file(const void *a, const void *b);

/* To be called in a function that libc calls, such as an exit handler: the file, a module or a
 * library, whose code has called libc. Any thread. */
const char *module_calling_libc(void);

/* For `brickd --inspect FILE.so` and `brickd --describe NAME`. */
void module_inspect(const struct module *module, FILE *f);
void module_describe(const struct module *module, FILE *f);
