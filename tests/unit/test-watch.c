/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/watch.h"

static char directory[] = "/tmp/brickd-watch-XXXXXX";

static const char *in(const char *name)
{
        static char paths[8][PATH_MAX];
        static unsigned next;
        char *path = paths[next++ % 8];

        (void)snprintf(path, PATH_MAX, "%s/%s", directory, name);
        return path;
}

static void put(const char *path, const char *text)
{
        FILE *f = fopen(path, "w");

        assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* The first look after a change sees that the file does not rest yet. */
static void expect_one_change(struct watch *watch)
{
        assert(!watch_changed(watch));
        assert(watch_changed(watch));
        assert(watch_changed(watch)); /* whoever could not read it is told again */
        watch_done(watch);
        assert(!watch_changed(watch));
}

static void test_written(void)
{
        const char *path = in("written");
        struct watch watch;

        put(path, "one");
        watch_init(&watch, path);
        assert(!watch_changed(&watch));
        assert(!watch_changed(&watch));
        put(path, "three");
        expect_one_change(&watch);

        /* While it does not rest, nothing is said. */
        for (int i = 1; i < 5; i++) {
                char text[] = "xxxxxxxx";

                text[i] = '\0';
                put(path, text);
                assert(!watch_changed(&watch));
        }
        assert(watch_changed(&watch));
}

static void test_replaced(void)
{
        const char *path = in("replaced"), *other = in("other");
        struct watch watch;

        put(path, "one");
        watch_init(&watch, path);
        put(other, "two");
        assert(rename(other, path) == 0);
        expect_one_change(&watch);
        assert(chmod(path, 0600) == 0);
        expect_one_change(&watch);
}

static void test_gone_and_back(void)
{
        const char *path = in("gone");
        struct watch watch;

        watch_init(&watch, path);
        assert(!watch_changed(&watch));
        put(path, "here");
        expect_one_change(&watch);
        assert(unlink(path) == 0);
        expect_one_change(&watch);
}

/* As Kubernetes does it: the file is reached through a link to a directory, and that is swapped. */
static void test_links(void)
{
        struct watch watch;

        assert(mkdir(in("v1"), 0700) == 0 && mkdir(in("v2"), 0700) == 0);
        put(in("v1/file"), "same");
        put(in("v2/file"), "same");
        assert(symlink("v1", in("now")) == 0 && symlink("now/file", in("file")) == 0);
        watch_init(&watch, in("file"));
        assert(!watch_changed(&watch));
        assert(symlink("v2", in("next")) == 0 && rename(in("next"), in("now")) == 0);
        expect_one_change(&watch);
}

int main(void)
{
        char command[PATH_MAX];

        assert(mkdtemp(directory));
        test_written();
        test_replaced();
        test_gone_and_back();
        test_links();
        (void)snprintf(command, sizeof command, "rm -rf %s", directory);
        return system(command);
}
