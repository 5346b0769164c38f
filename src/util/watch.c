/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "util/watch.h"

static struct watch_mark read_mark(const char *path)
{
        struct watch_mark mark;
        struct stat st;

        /* Clears the padding as well: marks are compared as bytes. */
        memset(&mark, 0, sizeof mark);
        if (stat(path, &st) < 0)
                return mark;
        mark.device = st.st_dev;
        mark.inode = st.st_ino;
        mark.size = st.st_size;
        mark.modified = st.st_mtim;
        mark.changed = st.st_ctim;
        return mark;
}

static bool same(const struct watch_mark *a, const struct watch_mark *b)
{
        return memcmp(a, b, sizeof *a) == 0;
}

void watch_init(struct watch *watch, const char *path)
{
        watch->path = path;
        watch->done = watch->seen = read_mark(path);
        watch->rests = true;
}

bool watch_changed(struct watch *watch)
{
        const struct watch_mark mark = read_mark(watch->path);

        watch->rests = same(&mark, &watch->seen);
        watch->seen = mark;
        return watch->rests && !same(&mark, &watch->done);
}

void watch_done(struct watch *watch)
{
        watch->done = watch->seen;
}
