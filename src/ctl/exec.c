/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "config.h"
#include "ctl/ctl.h"

/* Becomes another of brickd's programs; a build tree says by a variable where they are. */
static int become(const char *variable, const char *directory, const char *name, char **argv)
{
        const char *other = getenv(variable);
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", other && *other ? other : directory, name) < 0)
                return ctl_error(EX_OSERR, "Out of memory");
        argv[0] = path;
        execv(path, argv);

        return ctl_error(EX_UNAVAILABLE, "Failed to run %s: %s", path, strerror(errno));
}

int command_check(struct ctl *ctl)
{
        char *file = ctl->n_arguments > 0 ? ctl->arguments[0] : (char *)ctl->config;
        char *argv[] = { NULL, (char *)"--check", file, NULL };

        return become("BRICKD_BIN", BRICKD_BIN_DIR, "brickd", argv);
}

int command_index(struct ctl *ctl)
{
        _cleanup_free_ char **argv = calloc(ctl->n_arguments + 2, sizeof *argv);

        if (!argv)
                return ctl_error(EX_OSERR, "Out of memory");
        memcpy(argv + 1, ctl->arguments, ctl->n_arguments * sizeof *argv);

        return become("BRICKD_LIBEXEC", BRICKD_LIBEXEC_DIR, "brickctl-index", argv);
}
