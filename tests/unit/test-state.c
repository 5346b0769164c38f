/* SPDX-License-Identifier: MIT */

/* What a worker and the main process say to each other, and what a brick may write there instead.
 */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/state.h"

#define BRICKS 3

static struct state *ours, *theirs;

static void test_bricks(void)
{
        for (unsigned what = 0; what < STATE_BRICKS; what++) {
                assert(state_get_brick(ours, what) == -1);
                for (ssize_t brick = -1; brick < BRICKS; brick++) {
                        state_set_brick(theirs, what, brick);
                        assert(state_get_brick(ours, what) == brick);
                }
                for (unsigned i = 0; i < STATE_BRICKS; i++)
                        assert(state_get_brick(ours, i) == (i <= what ? BRICKS - 1 : -1));
        }
        state_set_brick(theirs, STATE_CRASHED, BRICKS);
        assert(state_get_brick(ours, STATE_CRASHED) == -1);
        state_set_brick(theirs, STATE_CRASHED, -2);
        assert(state_get_brick(ours, STATE_CRASHED) == -1);
}

static void test_numbers(void)
{
        unsigned a, b;

        assert(!state_is_ready(ours));
        state_set_ready(theirs);
        assert(state_is_ready(ours));

        assert(state_get_held(ours, &a) == -1);
        state_set_held(theirs, 2, 17);
        assert(state_get_held(ours, &a) == 2 && a == 17);
        state_set_held(theirs, 2, UINT32_MAX);
        assert(state_get_held(ours, &a) == 2 && a == UINT32_MAX);
        state_set_held(theirs, BRICKS, 1);
        assert(state_get_held(ours, &a) == -1);
        state_set_held(theirs, -1, 1);
        assert(state_get_held(ours, &a) == -1);

        assert(state_get_question(theirs) == 0);
        state_ask(ours, 5);
        assert(state_get_question(theirs) == 5 && state_get_answer(ours, &a, &b) == 0);
        state_answer(theirs, 5, 100, 200);
        assert(state_get_answer(ours, &a, &b) == 5 && a == 100 && b == 200);
}

static void test_orders(void)
{
        char text[EXPLAIN_KEY_LENGTH + 1];
        struct explain_key key;

        assert(state_get_orders(theirs) == 0);
        state_order(ours, STATE_RETIRE, 7);
        assert(state_get_orders(theirs) == STATE_RETIRE && state_get_grace(theirs) == 0);
        state_order(ours, STATE_STOP, 7);
        assert(state_get_orders(theirs) == (STATE_RETIRE | STATE_STOP));
        assert(state_get_grace(theirs) == 7);
        state_order(ours, STATE_CANCEL, 9);
        assert(state_get_orders(theirs) == (STATE_RETIRE | STATE_STOP | STATE_CANCEL));
        assert(state_get_grace(theirs) == 7);
        state_set_quota_row(ours, 12);
        assert(state_get_quota_row(theirs) == 12);

        state_set_explain_key(ours, &(struct explain_key){ { 0xabc, UINT64_MAX } });
        key = state_get_explain_key(theirs);
        explain_key_print(&key, text);
        assert(strcmp(text, "0000000000000abcffffffffffffffff") == 0);
}

static void test_levels(void)
{
        for (ssize_t brick = -1; brick <= BRICKS; brick++)
                assert(state_get_log_level(theirs, brick) == 0);
        state_set_log_level(ours, -1, LOG_LEVEL_DEBUG);
        state_set_log_level(ours, BRICKS - 1, LOG_LEVEL_ERROR);
        state_set_log_level(ours, BRICKS, LOG_LEVEL_ERROR); /* there is no such brick */
        assert(state_get_log_level(theirs, -1) == LOG_LEVEL_DEBUG);
        assert(state_get_log_level(theirs, 0) == 0);
        assert(state_get_log_level(theirs, BRICKS - 1) == LOG_LEVEL_ERROR);
        assert(state_get_log_level(theirs, BRICKS) == 0);
}

/* Every byte that there can be, everywhere. */
static void test_scribbled(int fd)
{
        struct stat st;
        unsigned n, m;
        void *p;

        assert(fstat(fd, &st) == 0);
        p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert(p != MAP_FAILED);
        for (int byte = 0; byte < 256; byte++) {
                memset(p, byte, (size_t)st.st_size);
                for (unsigned what = 0; what < STATE_BRICKS; what++) {
                        ssize_t brick = state_get_brick(ours, what);

                        assert(brick >= -1 && brick < BRICKS);
                }
                assert(state_get_held(ours, &n) >= -1 && state_get_held(ours, &n) < BRICKS);
                assert(!state_is_ready(ours));
                (void)state_get_answer(ours, &n, &m);
                for (ssize_t brick = -1; brick < BRICKS; brick++) {
                        int level = state_get_log_level(theirs, brick);

                        assert(level == 0 ||
                               (level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG));
                }
        }
        assert(ftruncate(fd, 0) < 0 && errno == EPERM);
        (void)munmap(p, (size_t)st.st_size);
}

static void test_no_bricks(void)
{
        _cleanup_(state_freep) struct state *state = NULL;
        _cleanup_close_ int fd = state_create(0);

        assert(fd >= 0 && state_open(&state, fd) == 0);
        state_set_brick(state, STATE_CREATING, 0);
        assert(state_get_brick(state, STATE_CREATING) == -1);
        state_set_log_level(state, 0, LOG_LEVEL_INFO);
        assert(state_get_log_level(state, 0) == 0);
        state_set_log_level(state, -1, LOG_LEVEL_INFO);
        assert(state_get_log_level(state, -1) == LOG_LEVEL_INFO);
}

int main(void)
{
        _cleanup_close_ int fd = state_create(BRICKS);

        assert(fd >= 0 && state_open(&ours, fd) == 0 && state_open(&theirs, fd) == 0);
        test_bricks();
        test_numbers();
        test_orders();
        test_levels();
        test_scribbled(fd);
        test_no_bricks();
        ours = state_free(ours);
        theirs = state_free(theirs);
        return 0;
}
