/* SPDX-License-Identifier: MIT */
#include "version.h"

#include <errno.h>
#include <sys/stat.h>

int version_get(const char *path, const char *log, struct version *ret)
{
        struct stat st, log_st = {};

        if (stat(path, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode)) /* opening a FIFO would wait for its writer */
                return -EINVAL;
        (void)stat(log, &log_st);
        *ret = (struct version){
                .device = st.st_dev,
                .inode = st.st_ino,
                .changed = st.st_mtim,
                .log_changed = log_st.st_mtim,
                .log_size = log_st.st_size,
        };
        return 0;
}

bool version_same_file(const struct version *a, const struct version *b)
{
        return a->device == b->device && a->inode == b->inode;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
        return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool version_same_content(const struct version *a, const struct version *b)
{
        return version_same_file(a, b) && same_time(&a->changed, &b->changed) &&
               same_time(&a->log_changed, &b->log_changed) && a->log_size == b->log_size;
}
