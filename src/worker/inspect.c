/* SPDX-License-Identifier: MIT */
#include "worker/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config.h"
#include "module/load.h"
#include "util/cleanup.h"
#include "util/terminal.h"

static int show_module(const char *dir, const char *name,
                       void (*show)(const struct module *, FILE *))
{
        _cleanup_(module_freep) struct module *module = NULL;
        _cleanup_free_ char *why = NULL, *text = NULL;
        size_t length;
        FILE *f;
        int r;

        r = module_open(&module, dir, name, &why);
        if (r < 0) {
                (void)fputs("brickd: ", stderr);
                terminal_put(stderr, why ? why : strerror(-r));
                (void)fputc('\n', stderr);
                return EXIT_FAILURE;
        }
        f = open_memstream(&text, &length);
        if (!f)
                return EXIT_FAILURE;
        show(module, f);
        if (fclose(f) != 0)
                return EXIT_FAILURE;
        terminal_put(stdout, text);
        return terminal_flush() ? EXIT_SUCCESS : EX_IOERR;
}

int inspect_module(const char *file)
{
        _cleanup_free_ char *path = realpath(file, NULL);

        if (!path) {
                (void)fprintf(stderr, "brickd: %s: %s\n", file, strerror(errno));
                return EXIT_FAILURE;
        }
        return show_module(BRICKD_MODULE_DIR, path, module_inspect);
}

int describe_module(const char *name)
{
        const char *dir = getenv("BRICKD_MODULES");

        return show_module(dir && *dir ? dir : BRICKD_MODULE_DIR, name, module_describe);
}
