/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "module/share.h"

/* Whose turn it is, who may have a place of the reserve, and who gives up one in the queue. */

enum { CALLS = 600 };

static struct share_place calls[CALLS];
static unsigned n_calls;

static struct share_place *join(struct share *share, const char *client, uint64_t connection)
{
        struct share_place *call = &calls[n_calls++];
        struct share_party party = { .connection = connection };

        assert(n_calls <= CALLS);
        *call = (struct share_place){};
        (void)strncpy(party.client, client, sizeof party.client - 1);
        assert(share_join(share, call, &party) == 0);
        return call;
}

static struct share_place *wait_for_turn(struct share *share, const char *client,
                                         uint64_t connection)
{
        struct share_place *call = join(share, client, connection);

        share_append(share, call);
        return call;
}

static void begin(struct share *share, unsigned concurrency)
{
        n_calls = 0;
        share_init(share, concurrency);
}

static void check_empty(const struct share *share, unsigned concurrency)
{
        assert(!share->clients && !share->members && !share->turn);
        assert(share->for_connections + share->for_clients == share_reserve(concurrency));
}

static void take_next(struct share *share, struct share_place *expected)
{
        assert(share_next(share) == expected);
        share_leave(share, expected);
}

/* Neither many calls nor many connections make a client's turn come more often. */
static void test_turns(void)
{
        struct share_place *many[6], *other[2], *own;
        struct share share;

        begin(&share, 8);
        for (unsigned i = 0; i < 6; i++) /* three connections with two calls each */
                many[i] = wait_for_turn(&share, "many", 1 + i / 2);
        own = wait_for_turn(&share, "few", 7);
        for (unsigned i = 0; i < 2; i++)
                other[i] = wait_for_turn(&share, "other", 8);

        take_next(&share, many[0]);
        take_next(&share, own);
        take_next(&share, other[0]);
        take_next(&share, many[2]);
        take_next(&share, other[1]);
        take_next(&share, many[4]);
        own = wait_for_turn(&share, "few", 7);
        take_next(&share, many[1]);
        take_next(&share, own);
        take_next(&share, many[3]);
        take_next(&share, many[5]);
        assert(!share_next(&share));
        check_empty(&share, 8);
}

/* Those in the middle may leave. */
static void test_remove(void)
{
        struct share_place *c[4];
        struct share share;

        begin(&share, 8);
        for (unsigned i = 0; i < 4; i++)
                c[i] = wait_for_turn(&share, "one", i / 3);
        share_remove(&share, c[1]);
        share_leave(&share, c[1]);
        share_remove(&share, c[3]); /* all of its connection */
        share_leave(&share, c[3]);
        take_next(&share, c[0]);
        take_next(&share, c[2]);
        check_empty(&share, 8);
}

/* How many places of the reserve a connection gets, which takes all it can. */
static unsigned take_all(struct share *share, const char *client, uint64_t connection)
{
        for (unsigned n = 0;; n++) {
                struct share_place *call = join(share, client, connection);

                if (!share_take(share, call)) {
                        share_leave(share, call);
                        n_calls--;
                        return n;
                }
        }
}

static void leave_all(struct share *share)
{
        for (unsigned i = 0; i < n_calls; i++)
                share_leave(share, &calls[i]);
}

/* Whoever comes while others take all they can still finds a place: on a connection of its own, and
 * the more so from an address of its own. */
static void test_reserve(void)
{
        struct share share;
        unsigned first;

        begin(&share, 4096);
        assert(share_reserve(4096) == 512);
        first = take_all(&share, "hog", 0);
        assert(first >= 32 && first <= 80);
        for (uint64_t i = 1; i < 30; i++)
                assert(take_all(&share, "hog", i) > 0);
        for (uint64_t i = 30; i < 300; i++)
                (void)take_all(&share, "hog", i);
        assert(share.for_connections == 0); /* 300 connections have left nothing for the next, */
        assert(take_all(&share, "hog", 1000) == 0);
        assert(take_all(&share, "new", 1001) > 20); /* but for those of another client */
        leave_all(&share);
        check_empty(&share, 4096);
}

/* Of those that wait, the first who may have a place of the reserve gets it. */
static void test_next_reserved(void)
{
        struct share_place *hog, *own, *taken;
        struct share share;

        begin(&share, 256);
        (void)take_all(&share, "hog", 1);
        hog = wait_for_turn(&share, "hog", 1);
        assert(!share_next_reserved(&share));
        own = wait_for_turn(&share, "few", 2);
        taken = share_next_reserved(&share);
        assert(taken == own && own->pool != SHARE_NONE);
        assert(!share_next_reserved(&share));
        take_next(&share, hog);
        n_calls -= 2;
        leave_all(&share);
        share_leave(&share, own);
        check_empty(&share, 256);
}

static void test_victim(void)
{
        struct share_place *last = NULL, *own, *sibling;
        struct share share;

        begin(&share, 8);
        own = join(&share, "few", 9);
        assert(!share_victim(&share, own));
        for (unsigned i = 0; i < 6; i++)
                last = wait_for_turn(&share, "hog", i < 2 ? 1 : 2);
        assert(share_victim(&share, own) == last); /* the newest of the longest */
        assert(share_victim(&share, last) == NULL);

        sibling = join(&share, "hog", 3); /* another connection of the same client */
        assert(share_victim(&share, sibling) == last);
        share_leave(&share, sibling);

        for (unsigned i = 0; i < 5; i++) /* as many as it would then have: it stays */
                (void)wait_for_turn(&share, "few", 9);
        assert(!share_victim(&share, own));
        sibling = join(&share, "few", 10); /* a connection has as many as the other client */
        last = own;
        share_append(&share, last);
        assert(share_victim(&share, sibling) == last);
        share_leave(&share, sibling);
        share_remove(&share, own);
        share_leave(&share, own);
        for (struct share_place *call; (call = share_next(&share));)
                share_leave(&share, call);
        check_empty(&share, 8);
}

/* Many of every kind in random order: nobody is lost, nothing is left. */
static void test_random(void)
{
        static const char *const names[] = { "a", "b", "c", "d" };
        enum { IDLE, WAITING, HOLDING } state[200] = {};
        static struct share_place some[200];
        unsigned waiting = 0, seed = 1;
        struct share_place *next;
        struct share share;

        begin(&share, 64);
        for (unsigned step = 0; step < 200000; step++) {
                unsigned r = (unsigned)rand_r(&seed), i = r % 200;
                struct share_party party = { .connection = r / 200 % 5 };

                if (r % 7 == 0 &&
                    (next = r % 2 ? share_next(&share) : share_next_reserved(&share))) {
                        i = (unsigned)(next - some);
                        assert(state[i] == WAITING);
                        state[i] = HOLDING;
                        waiting--;
                } else if (state[i] == IDLE) {
                        party.client[0] = *names[r / 1000 % 4];
                        assert(share_join(&share, &some[i], &party) == 0);
                        state[i] = share_take(&share, &some[i]) ? HOLDING : WAITING;
                        if (state[i] == WAITING) {
                                share_append(&share, &some[i]);
                                waiting++;
                        }
                } else {
                        if (state[i] == WAITING) {
                                share_remove(&share, &some[i]);
                                waiting--;
                        }
                        share_leave(&share, &some[i]);
                        state[i] = IDLE;
                }
                assert((waiting > 0) == (share.turn != NULL));
        }
        for (; (next = share_next(&share)); waiting--)
                state[next - some] = HOLDING;
        assert(waiting == 0);
        for (unsigned i = 0; i < 200; i++)
                if (state[i] == HOLDING)
                        share_leave(&share, &some[i]);
        check_empty(&share, 64);
}

int main(void)
{
        test_turns();
        test_remove();
        test_reserve();
        test_next_reserved();
        test_victim();
        test_random();
        return 0;
}
