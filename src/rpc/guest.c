/* SPDX-License-Identifier: MIT */
#include "rpc/guest.h"

#include <stdatomic.h>

#include "module/runner.h"
#include "rpc/syscall.h"

static struct guest guest;
static bool is_set;
static atomic_int watched = -1; /* the core's set in which the guest's is */
static atomic_bool queued;      /* `turn` is */
static void (*ring)(void *user);
static void *ring_user;

static void take_turn(struct run_item *item)
{
        /* Before the turn: an event that comes meanwhile needs another one. */
        atomic_store(&queued, false);
        if (guest.run(guest.user) && !atomic_exchange(&queued, true))
                runner_post_last(&runner_polling, item);
}

static struct run_item turn = { .run = take_turn };

void guest_set(const struct guest *set, void (*wake)(void *user), void *wake_user)
{
        guest = *set;
        ring = wake;
        ring_user = wake_user;
        is_set = true;
}

void guest_wait(int epoll)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = GUEST_MARK };

        if (!is_set || atomic_load_explicit(&watched, memory_order_relaxed) == epoll)
                return;
        if (sys_epoll_ctl(epoll, EPOLL_CTL_ADD, guest.epoll, &event) == 0)
                atomic_store(&watched, epoll);
}

void guest_ready(void)
{
        if (atomic_exchange(&queued, true))
                return;
        runner_post(&runner_polling, &turn);
        /* This thread waits inside the core, which returns only with an event of its own. */
        if (runner_is_here(&runner_polling))
                ring(ring_user);
}
