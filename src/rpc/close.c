/* SPDX-License-Identifier: MIT */
#include "rpc/close.h"

void rpc_arm_close(struct rpc_call *call)
{
        grpc_op op;

        batch_close(&op, &call->cancelled);
        if (rpc_call_start_batch(call, &op, 1, &call->on_close))
                call->close_armed = true;
}

void rpc_on_close(void *owner, bool ok)
{
        struct rpc_call *call = owner;
        struct call *base = &call->served.base;

        call_lock(base);
        call->closed = true;
        if (call->cancelled) {
                call_drop_replies(base);
                /* The call cannot end meanwhile: `tags` still counts this event. */
                call_unlock(base);
                call_cancel(base);
                call_lock(base);
        }
        call->tags--;
        rpc_unlock_and_end(call);
}

void rpc_expire(struct served *served, const char *why)
{
        struct call *base = &served->base;

        call_ref(base);
        served->expired = true;
        (void)grpc_call_cancel_with_status(rpc_call_of(base)->call, GRPC_STATUS_DEADLINE_EXCEEDED,
                                           why, NULL);
        call_cancel(base);
        call_unref(base);
}
