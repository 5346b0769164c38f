/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/statvfs.h>

#include "util/cleanup.h"
#include "util/trust.h"

/* Its modes say nothing: those of a volume of Kubernetes let everybody write. */
static bool is_read_only(const char *path)
{
        struct statvfs fs;

        return statvfs(path, &fs) == 0 && fs.f_flag & ST_RDONLY;
}

/* Why a file or a directory cannot be trusted; NULL: it can. */
static const char *fault_of(const struct stat *st, const char *path)
{
        if (st->st_uid != 0 && st->st_uid != geteuid())
                return "is owned by a user other than root and the user of brickd";
        /* In a sticky directory other users cannot replace our files. */
        if (S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX))
                return NULL;
        if (st->st_mode & (S_IWGRP | S_IWOTH) && !is_read_only(path))
                return "is writable by users other than its owner; run chmod go-w";
        return NULL;
}

static int verdict(int r, const char *path, const char *what, const char *fault, char **ret_why)
{
        return asprintf(ret_why, "%s: %s%s", path, what, fault) < 0 ? -ENOMEM : r;
}

static int judge_directory(const char *file, char **ret_why)
{
        const char *slash = strrchr(file, '/');
        _cleanup_free_ char *dir = NULL;
        const char *fault;
        struct stat st;
        int r;

        if (slash)
                dir = strndup(file, slash > file ? (size_t)(slash - file) : 1);
        else
                dir = strdup(".");
        if (!dir)
                return -ENOMEM;
        if (stat(dir, &st) < 0) {
                r = -errno;
                return verdict(r, dir, "", strerror(-r), ret_why);
        }
        fault = fault_of(&st, dir);
        return fault ? verdict(-EPERM, file, "its directory ", fault, ret_why) : 0;
}

int trust_file(const struct stat *st, const char *given, const char *real, char **ret_why)
{
        const char *fault = fault_of(st, real);
        int r;

        if (fault)
                return verdict(-EPERM, real, "", fault, ret_why);
        r = judge_directory(given, ret_why);
        if (r < 0 || strcmp(given, real) == 0)
                return r;
        return judge_directory(real, ret_why);
}
