/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>

#include "module/runner.h"
#include "rpc/guest.h"
#include "util/syscall.h"

/* The data of the guest's event. Events of connections have this bit, too (gather.c); but none of
 * them has all. */
#define MARK UINT64_MAX

static int core_epoll = -1; /* set before there are other threads */
static _Thread_local bool learning;

static struct guest guest;
static atomic_bool queued; /* `turn` is */
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

void guest_learn(void (*start)(void))
{
        learning = true;
        start();
        learning = false;
}

void guest_note(int epoll)
{
        if (learning && core_epoll < 0)
                core_epoll = epoll;
}

int guest_set(const struct guest *set, void (*wake)(void *user), void *wake_user)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = MARK };

        if (core_epoll < 0)
                return -ENOTSUP;
        guest = *set;
        ring = wake;
        ring_user = wake_user;
        return sys_epoll_ctl(core_epoll, EPOLL_CTL_ADD, guest.epoll, &event) < 0 ? -errno : 0;
}

bool guest_is_event(int epoll, uint64_t data)
{
        return data == MARK && epoll == core_epoll;
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
