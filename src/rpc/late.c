/* SPDX-License-Identifier: MIT */
#include "rpc/late.h"
#include "rpc/gather.h"
#include "util/clock.h"

/* A request of this size waits if the polling thread has not waited for so long. */
#define LATE_SIZE ((size_t)2 * 1024)
#define LATE_NS (5 * NSEC_PER_MSEC)

/* A request that has been put off for so long is taken even so: the core may let another thread
 * wait in place of the polling thread, which then never does. */
#define LATE_ANYWAY_NS (50 * NSEC_PER_MSEC)

static bool is_late(uint64_t now)
{
        return now - gather_waited() > LATE_NS;
}

bool late_post(struct run_item *item, const grpc_byte_buffer *request)
{
        if (late_size(request) < LATE_SIZE || !is_late(clock_recent()))
                return false;
        runner_post_last(&runner_polling, item);
        return true;
}

/* What the brick does with a request runs before the next one is looked at here. So `since` is the
 * time after that, however long it took, and between two requests there is time for a wait. */
bool late_put_off(struct run_item *item)
{
        static uint64_t since; /* the first of those that wait was put off; 0: none was */
        uint64_t now = clock_now();

        if (since == 0)
                since = now;
        if (is_late(now) && now - since < LATE_ANYWAY_NS) {
                runner_post_last(&runner_polling, item);
                return true;
        }
        since = 0;
        return false;
}
