/* SPDX-License-Identifier: MIT */
#include "module/outcome.h"
#include "remote/relay.h"
#include "util/clock.h"

/* Lock held. */
static void set_due(struct relay *relay, uint64_t limit)
{
        relay->due = limit > 0 ? clock_now() + limit : UINT64_MAX;
        if (relay->due >= relay->armed) /* a timer that is early is set again when it fires */
                return;
        relay->armed = relay->due;
        relay->host->timer_set(relay->timer, relay->due);
}

/* [rpc] */
static void on_timer(void *user)
{
        struct relay *relay = user;

        (void)pthread_mutex_lock(&relay->lock);
        relay->armed = UINT64_MAX;
        if (!relay->finished && relay->due > clock_now()) {
                relay->armed = relay->due;
                relay->host->timer_set(relay->timer, relay->due);
        } else if (!relay->finished && !relay->refused) {
                relay->late = true;
                (void)grpc_call_cancel(relay->core, NULL);
        }
        (void)pthread_mutex_unlock(&relay->lock);
}

int relay_limit_init(struct relay *relay)
{
        const struct upstream *upstream = relay->upstream;

        relay->due = relay->armed = UINT64_MAX;
        if (relay->method->single || relay->method->request_stream ||
            (upstream->first_token == 0 && upstream->stall == 0))
                return 0;
        return relay->host->timer_new(relay->call, on_timer, relay, &relay->timer);
}

void relay_limit_begin(struct relay *relay)
{
        relay->late = false;
        if (relay->timer)
                set_due(relay, relay->upstream->first_token);
}

void relay_limit_passed(struct relay *relay, bool taken)
{
        if (relay->timer)
                set_due(relay, taken ? relay->upstream->stall : 0);
}

void relay_limit_refuse(struct relay *relay)
{
        if (!relay->late || relay->refused || relay->status == GRPC_STATUS_OK)
                return;
        relay->refused_status = STATUS_DEADLINE_EXCEEDED;
        relay->refused = relay->passed_on
                                 ? "The backend sent nothing more in time (stall)"
                                 : "The backend did not begin its reply in time (first_token)";
}
