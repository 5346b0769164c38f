/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/memfd.h"
#include "shared/programs.h"

static void test_two_sides(void)
{
        _cleanup_(programs_freep) struct programs *ours = NULL, *theirs = NULL;

        assert(programs_new(&ours, 2) == 0);
        programs_add(ours, 4, "/run/a/0");
        programs_add(ours, 7, "/run/b/0");
        assert(programs_open(&theirs, programs_fd(ours)) == 0);
        assert(programs_count(theirs) == 2);
        assert(programs_brick(theirs, 0) == 4 && programs_brick(theirs, 1) == 7);
        assert(strcmp(programs_socket(theirs, 1), "/run/b/0") == 0);
        assert(programs_health(theirs, 0) == PROGRAM_AWAY && !programs_started(theirs));

        programs_set(ours, "/run/a/0", PROGRAM_READY);
        assert(programs_health(theirs, 0) == PROGRAM_READY);
        assert(programs_health(theirs, 1) == PROGRAM_AWAY && !programs_started(theirs));
        assert(programs_has_started(ours, "/run/a/0") && !programs_has_started(ours, "/run/b/0"));
        programs_set(ours, "/run/b/0", PROGRAM_READY);
        assert(programs_started(theirs));

        /* Once it has served, the generation does, whatever happens to it. */
        programs_set(ours, "/run/b/0", PROGRAM_AWAY);
        assert(programs_health(theirs, 1) == PROGRAM_AWAY && programs_started(theirs));
        programs_set(ours, "/run/b/0", PROGRAM_READY);
        programs_set(ours, "/run/b/0", PROGRAM_READY);
        assert(programs_starts(theirs, 1) == 2);
}

static void test_none(void)
{
        _cleanup_(programs_freep) struct programs *ours = NULL, *theirs = NULL;

        assert(programs_new(&ours, 0) == 0);
        assert(programs_open(&theirs, programs_fd(ours)) == 0);
        assert(programs_count(theirs) == 0 && programs_started(theirs));
}

/* A worker, whose bricks may write anywhere, cannot say where processes are. */
static void test_workers_cannot_write(void)
{
        _cleanup_(programs_freep) struct programs *ours = NULL;

        assert(programs_new(&ours, 1) == 0);
        assert(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, programs_fd(ours), 0) ==
               MAP_FAILED);
        assert(write(programs_fd(ours), "x", 1) < 0);
}

static void test_other_memory(void)
{
        struct programs *none = NULL;
        _cleanup_close_ int fd = memfd_share("test", 100);

        assert(programs_open(&none, fd) == -EINVAL);
        assert(!none);
}

int main(void)
{
        test_two_sides();
        test_none();
        test_workers_cannot_write();
        test_other_memory();
        return 0;
}
