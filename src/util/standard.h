/* SPDX-License-Identifier: MIT */
#pragma once

#include <fcntl.h>
#include <unistd.h>

/*
 * Opens those of the descriptors 0 to 2 that are closed, before another file can get the number and
 * be written to as if it were the standard one: the first thing that a program does. Reading and
 * writing them fails, as with closed ones.
 */
static inline void standard_open(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
