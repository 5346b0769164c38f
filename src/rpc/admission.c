/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "module/instance.h"
#include "rpc/admission.h"
#include "rpc/auth.h"
#include "rpc/server.h"
#include "shared/stats.h"
#include "util/clock.h"

static bool refuse(struct rpc_call *call, enum stats_reason reason, unsigned status,
                   const char *message, struct outcome *ret)
{
        stats_reject(call->port->stats, reason);
        *ret = (struct outcome){ .status = status, .message = brick_str(message) };
        return false;
}

/* Of the name, a copy: the call may outlive the table that has it. */
static void remember(struct rpc_call *call, const struct auth_identity *who)
{
        memcpy(call->identity, who->name, who->name_length);
        call->base.identity = (struct brick_str){ call->identity, who->name_length };
}

bool admission_identify(struct rpc_call *call, struct outcome *ret)
{
        struct auth *auth = call->port->rpc->auth;
        const char *refusal;
        uint64_t wait;

        if (call->port->conf->authenticate == AUTHENTICATE_OFF)
                return true;
        refusal = auth_identify(auth, AUTH_CALLS, call->call, &call->metadata, &call->who);
        if (call->who)
                remember(call, call->who);
        if (refusal)
                return refuse(call, STATS_REJECTED_IDENTITY, GRPC_STATUS_UNAUTHENTICATED, refusal,
                              ret);

        stats_count(&call->port->rpc->stats->head->identities[call->who->place].requests, 1);
        wait = quota_request(auth_quota(auth), &call->who->limit, call->base.started);
        if (wait == 0)
                return true;
        rpc_call_push_back(call, (wait + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
        return refuse(call, STATS_REJECTED_RATE, GRPC_STATUS_RESOURCE_EXHAUSTED,
                      "Too many requests at this rate", ret);
}

bool admission_permit(struct rpc_call *call, const struct instance *instance, struct outcome *ret)
{
        struct rpc *rpc = call->port->rpc;
        ssize_t brick = instance ? instance->conf - rpc->conf->bricks : -1;

        if (!call->who)
                return true;
        if (!auth_allows(call->who, brick, call->base.method))
                return refuse(call, STATS_REJECTED_PERMISSION, GRPC_STATUS_PERMISSION_DENIED,
                              "This identity may not call this method of this brick", ret);
        if (!instance || call->who->limit.concurrency == 0)
                return true;
        call->counted = quota_enter(auth_quota(rpc->auth), &call->who->limit, &call->quota_slot);
        if (call->counted)
                return true;
        rpc_call_push_back(call, RPC_PUSHBACK_MS);
        return refuse(call, STATS_REJECTED_CONCURRENCY, GRPC_STATUS_RESOURCE_EXHAUSTED,
                      "Too many calls at a time", ret);
}

void admission_leave(struct rpc_call *call)
{
        if (call->counted)
                quota_leave(auth_quota(call->port->rpc->auth), call->quota_slot);
}
