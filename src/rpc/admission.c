/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "conf/identities.h"
#include "module/instance.h"
#include "module/share.h"
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

bool admission_listens(struct rpc_call *call, struct outcome *ret)
{
        struct unread *unread = &call->port->rpc->unread;

        if (!unread_is_too_much(unread, rpc_call_connection(call), call->base.max_reply,
                                call->base.started))
                return true;
        rpc_log_idle(call, "The client has too many replies to read");
        rpc_call_push_back(call, RPC_PUSHBACK_MS);
        return refuse(call, STATS_REJECTED_UNREAD, GRPC_STATUS_RESOURCE_EXHAUSTED,
                      "The client has too many replies to read", ret);
}

bool admission_has_room(struct rpc_call *call, struct outcome *ret)
{
        const struct rpc *rpc = call->port->rpc;
        struct unread *requests = &call->port->rpc->requests;
        uintptr_t connection = rpc_call_connection(call);
        size_t size = grpc_byte_buffer_length(call->payload);

        if (unread_has_room(requests, connection, size, (size_t)call->port->conf->max_unfinished,
                            (size_t)rpc->conf->memory / 2)) {
                if (unread_add(requests, connection, size))
                        call->requested = size;
                return true;
        }
        rpc_call_push_back(call, RPC_PUSHBACK_MS);
        return refuse(call, STATS_REJECTED_MEMORY, GRPC_STATUS_RESOURCE_EXHAUSTED,
                      "Too many large requests at a time", ret);
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
                quota_release(auth_quota(call->port->rpc->auth), call->quota_slot);
}

_Static_assert(1 + IDENTITY_NAME_MAX <= SHARE_CLIENT_MAX, "the names of all identities differ");

/* What kind of name the rest of `client` is. */
enum {
        CLIENT_CONNECTION, /* none: the connection */
        CLIENT_IDENTITY,
        CLIENT_IPV4,
        CLIENT_IPV6,
};

static void set_client(struct share_party *party, char kind, const void *name, size_t length)
{
        party->client[0] = kind;
        memcpy(party->client + 1, name, length);
}

static bool has_prefix(struct brick_str s, const char *prefix)
{
        return s.len > strlen(prefix) && memcmp(s.ptr, prefix, strlen(prefix)) == 0;
}

/* "ipv4:127.0.0.1:41234" */
static bool parse_ipv4(struct brick_str peer, struct in_addr *ret)
{
        char text[INET_ADDRSTRLEN] = "";

        return has_prefix(peer, "ipv4:") && sscanf(peer.ptr, "ipv4:%15[0-9.]:", text) == 1 &&
               inet_pton(AF_INET, text, ret) == 1;
}

/* "ipv6:%5B::1%5D:41234", as in a URI, or "ipv6:[::1]:41234" */
static bool parse_ipv6(struct brick_str peer, struct in6_addr *ret)
{
        char text[INET6_ADDRSTRLEN] = "";

        return has_prefix(peer, "ipv6:") &&
               (sscanf(peer.ptr, "ipv6:%%5B%45[0-9a-fA-F:.]", text) == 1 ||
                sscanf(peer.ptr, "ipv6:[%45[0-9a-fA-F:.]", text) == 1) &&
               inet_pton(AF_INET6, text, ret) == 1;
}

/* An IPv6 client owns its network of 64 bits as a rule. */
void admission_client(struct brick_str identity, struct brick_str peer, struct share_party *ret)
{
        struct in_addr v4;
        struct in6_addr v6;

        if (identity.len > 0)
                set_client(ret, CLIENT_IDENTITY, identity.ptr, identity.len);
        else if (parse_ipv4(peer, &v4))
                set_client(ret, CLIENT_IPV4, &v4, sizeof v4);
        else if (!parse_ipv6(peer, &v6))
                set_client(ret, CLIENT_CONNECTION, &ret->connection, sizeof ret->connection);
        else if (IN6_IS_ADDR_V4MAPPED(&v6))
                set_client(ret, CLIENT_IPV4, v6.s6_addr + 12, 4);
        else
                set_client(ret, CLIENT_IPV6, &v6, 8);
}
