/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>

#include "serve/unread.h"
#include "util/clock.h"

/* How much may wait for a connection that reads, for one that does not, and for all together. */

enum { LIMIT = 1000 };

static struct unread unread;
static uint64_t now = 1000 * NSEC_PER_SEC;

static bool is_too_much(uintptr_t connection)
{
        return unread_is_too_much(&unread, connection, LIMIT, now);
}

static void add(uintptr_t connection, size_t size)
{
        assert(unread_add(&unread, connection, size));
}

static void test_silent(void)
{
        assert(!unread_any(&unread) && !is_too_much(1));
        add(1, LIMIT);
        assert(unread_any(&unread) && !is_too_much(1));
        add(1, 1);
        assert(is_too_much(1) && !is_too_much(2));
        unread_remove(&unread, 1, 1, 0); /* dropped */
        assert(!is_too_much(1));
        unread_remove(&unread, 1, LIMIT, 0);
        assert(!unread_any(&unread));
}

static void test_reader(void)
{
        for (int i = 0; i < 5; i++)
                add(1, LIMIT);
        assert(is_too_much(1));
        unread_remove(&unread, 1, LIMIT, now);
        assert(!is_too_much(1)); /* it reads, and has four times the limit */
        add(1, 1);
        assert(is_too_much(1));
        unread_remove(&unread, 1, 1, now);
        now += NSEC_PER_SEC;
        assert(is_too_much(1)); /* it has ceased to */
        for (int i = 0; i < 4; i++)
                unread_remove(&unread, 1, LIMIT, now);
        assert(!unread_any(&unread));
}

/* Many that do not read share what one may have who does. */
static void test_together(void)
{
        for (uintptr_t c = 1; c <= 8; c++) {
                add(c, LIMIT / 2);
                assert(!is_too_much(c));
        }
        add(9, 1);
        assert(is_too_much(9) && is_too_much(1));
        assert(!is_too_much(10)); /* it has nothing to read yet */
        add(10, 1);
        add(10, 1);
        unread_remove(&unread, 10, 1, now);
        assert(!is_too_much(10)); /* it reads */
        unread_remove(&unread, 10, 1, now);
        for (uintptr_t c = 1; c <= 8; c++)
                unread_remove(&unread, c, LIMIT / 2, 0);
        assert(!is_too_much(9));
        unread_remove(&unread, 9, 1, now);
        assert(!unread_any(&unread) && unread.bytes == 0);
}

static void test_room(void)
{
        assert(unread_has_room(&unread, 1, LIMIT + 1, LIMIT)); /* the first always fits */
        add(1, LIMIT / 2);
        assert(unread_has_room(&unread, 1, LIMIT / 2, LIMIT));
        assert(!unread_has_room(&unread, 1, LIMIT / 2 + 1, LIMIT));
        assert(unread_has_room(&unread, 2, LIMIT, LIMIT));
        unread_remove(&unread, 1, LIMIT / 2, 0);
}

int main(void)
{
        unread_init(&unread);
        test_silent();
        test_reader();
        test_together();
        test_room();
        unread_done(&unread);
        return 0;
}
