/* SPDX-License-Identifier: MIT */
#pragma once

#include <errno.h>
#include <stdbool.h>

/* The process, or the machine, has no free descriptor. */
static inline bool errno_is_descriptors(int r)
{
        return r == -EMFILE || r == -ENFILE;
}

/* The machine is short of something, or a disk or its server failed: the same may succeed later,
 * and what was asked for is not to blame. r: a negative errno. */
static inline bool errno_is_transient(int r)
{
        return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS || r == -ENOSPC ||
               r == -ETOOMANYREFS || r == -EIO || r == -ESTALE;
}
