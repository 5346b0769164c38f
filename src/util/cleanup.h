/* SPDX-License-Identifier: MIT */
#pragma once

/* Ownership by scope: a variable releases what it holds when it goes out of scope. */

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Moves ownership out of a variable: returns its value and clears it. */
#define TAKE_PTR(p)                        \
        ({                                 \
                __typeof__(p) *_pp = &(p); \
                __typeof__(p) _v = *_pp;   \
                *_pp = NULL;               \
                _v;                        \
        })

#define TAKE_FD(fd)                \
        ({                         \
                int *_pfd = &(fd); \
                int _v = *_pfd;    \
                *_pfd = -EBADF;    \
                _v;                \
        })

/* Defines x_freep(), for _cleanup_, from x_free(). */
#define DEFINE_CLEANUP(type, func)          \
        static inline void func##p(type *p) \
        {                                   \
                if (*p)                     \
                        func(*p);           \
        }                                   \
        struct func##p_swallows_the_semicolon

static inline void freep(void *p)
{
        int saved_errno = errno;

        free(*(void **)p);
        errno = saved_errno;
}

/* Closes fd unless it is negative; keeps errno. Returns -EBADF, for `fd = close_fd(fd)`. */
static inline int close_fd(int fd)
{
        int saved_errno = errno;

        if (fd >= 0)
                (void)close(fd);
        errno = saved_errno;
        return -EBADF;
}

static inline void close_fdp(int *fd)
{
        (void)close_fd(*fd);
}

static inline void fclosep(FILE **f)
{
        if (*f)
                (void)fclose(*f);
}

static inline void closedirp(DIR **dir)
{
        if (*dir)
                (void)closedir(*dir);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

/* The object of which p points to a member. */
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
