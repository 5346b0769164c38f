/* SPDX-License-Identifier: MIT */

/* brickctl open: the page that brickd serves for browsers. */

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/target.h"
#include "util/cleanup.h"

static bool has_desktop(void)
{
        const char *x11 = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");

        return (x11 && *x11) || (wayland && *wayland);
}

/* The user has the address anyway, so a browser that does not start is no error. */
static void start_browser(char *url)
{
        char *argv[] = { (char *)"xdg-open", url, NULL };
        posix_spawn_file_actions_t actions;
        pid_t pid;

        if (posix_spawn_file_actions_init(&actions) != 0)
                return;
        if (posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) ==
                    0 &&
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO) == 0)
                (void)posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
}

int command_open(struct ctl *ctl)
{
        _cleanup_free_ char *url = NULL;
        int r;

        r = target_find_page(ctl, &url);
        if (r != CTL_OK)
                return r;
        puts(url);
        if (has_desktop())
                start_browser(url);
        return CTL_OK;
}
