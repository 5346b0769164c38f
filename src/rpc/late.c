/* SPDX-License-Identifier: MIT */
#include "rpc/late.h"
#include "rpc/gather.h"
#include "util/clock.h"

/* A request of this size waits if the polling thread has not waited for so long. */
#define LATE_SIZE ((size_t)2 * 1024)
#define LATE_NS (5 * NSEC_PER_MSEC)

/* One request in this time is taken even so. It must be longer than a request takes: as long as
 * requests lead to events that the core has ready, it does not wait. */
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

/* The core may let another thread wait in place of the polling thread, which then never does. */
bool late_put_off(struct run_item *item)
{
        static uint64_t last;
        uint64_t now = clock_now();

        if (is_late(now) && now - last < LATE_ANYWAY_NS) {
                runner_post_last(&runner_polling, item);
                return true;
        }
        last = now;
        return false;
}
