/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <time.h>

#include "conf/identities.h"
#include "module/groups.h"
#include "module/instance.h"
#include "module/share.h"
#include "serve/admission.h"
#include "serve/auth.h"
#include "serve/budget.h"
#include "serve/peer.h"
#include "serve/served.h"
#include "shared/stats.h"
#include "util/clock.h"
#include "util/network.h"

static bool refuse(struct served *call, enum stats_reason reason, unsigned status,
                   const char *message, struct outcome *ret)
{
        stats_reject(call->port->stats, reason);
        *ret = (struct outcome){ .status = status, .message = brick_str(message) };
        return false;
}

/* The call may outlive the table: it has a copy of the name, and a reference to the groups. */
static void remember(struct served *call, const struct auth_identity *who)
{
        memcpy(call->identity, who->name, who->name_length);
        call->base.identity = (struct brick_str){ call->identity, who->name_length };
        call->base.groups = groups_ref(who->groups);
}

bool admission_identify(struct served *call, enum auth_reader reader,
                        const struct auth_proof *proof, struct outcome *ret)
{
        const struct serve *serve = call->port->serve;
        const char *refusal;
        uint64_t wait;

        refusal = auth_identify(serve->auth, reader, proof, &call->who);
        if (call->who)
                remember(call, call->who);
        if (refusal)
                return refuse(call, STATS_REJECTED_IDENTITY, STATUS_UNAUTHENTICATED, refusal, ret);

        stats_count(&serve->stats->head->identities[call->who->place].requests, 1);
        wait = quota_request(auth_quota(serve->auth), &call->who->limit, call->base.started);
        if (wait == 0)
                return true;
        call->retry_ms = (wait + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
        return refuse(call, STATS_REJECTED_RATE, STATUS_RESOURCE_EXHAUSTED,
                      "Too many requests at this rate", ret);
}

/* One more concurrent call. */
static bool enter(struct served *call, struct outcome *ret)
{
        call->counted = quota_enter(auth_quota(call->port->serve->auth), &call->who->limit,
                                    &call->quota_slot);
        if (call->counted)
                return true;
        call->retry_ms = SERVED_RETRY_MS;
        return refuse(call, STATS_REJECTED_CONCURRENCY, STATUS_RESOURCE_EXHAUSTED,
                      "Too many calls at a time", ret);
}

bool admission_permit(struct served *call, const struct instance *instance, struct outcome *ret)
{
        const struct serve *serve = call->port->serve;
        ssize_t brick = instance ? instance->conf - serve->conf->bricks : -1;

        if (!call->who)
                return true;
        if (!auth_allows(call->who, brick, call->base.method))
                return refuse(call, STATS_REJECTED_PERMISSION, STATUS_PERMISSION_DENIED,
                              "This identity may not call this method of this brick", ret);
        if (!instance)
                return true;
        if (call->who->limit.concurrency > 0 && !enter(call, ret))
                return false;
        return !call->who->has_budget || budget_reserve(call, instance, ret);
}

bool admission_requests_left(const struct served *call, struct quota_left *ret)
{
        return call->who && quota_requests_left(auth_quota(call->port->serve->auth),
                                                &call->who->limit, clock_now(), ret);
}

bool admission_tokens_left(const struct served *call, struct quota_left *ret)
{
        return call->who && call->who->has_budget &&
               quota_tokens_left(auth_quota(call->port->serve->auth), &call->who->budget,
                                 time(NULL), ret);
}

void admission_leave(struct served *call)
{
        if (call->counted)
                quota_release(auth_quota(call->port->serve->auth), call->quota_slot);
        call->counted = false;
        if (call->budget)
                budget_settle(call);
}

void admission_release(struct served *call)
{
        if (!call->counted && !call->budget)
                return;
        call_lock(&call->base);
        admission_leave(call);
        call_unlock(&call->base);
        if (call->budget)
                budget_free(call);
}

_Static_assert(1 + IDENTITY_NAME_MAX <= SHARE_CLIENT_MAX, "the names of all identities differ");

/* The first byte of `client`: what the rest of it is. */
enum {
        CLIENT_CONNECTION, /* the number of the connection: nothing else is known */
        CLIENT_IDENTITY,
        CLIENT_IPV4,
        CLIENT_IPV6,
        CLIENT_USER, /* of this machine */
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

/* "unix:uid=1000" */
static bool parse_user(struct brick_str peer, uint32_t *ret)
{
        static const char prefix[] = "unix:" PEER_USER;
        size_t i = sizeof prefix - 1;
        uint64_t user = 0;

        if (!has_prefix(peer, prefix))
                return false;
        for (; i < peer.len && user <= UINT32_MAX; i++) {
                if (peer.ptr[i] < '0' || peer.ptr[i] > '9')
                        return false;
                user = user * 10 + (unsigned)(peer.ptr[i] - '0');
        }
        *ret = (uint32_t)user;
        return user <= UINT32_MAX;
}

/* An IPv6 client usually owns its network of 64 bits, so that is what counts. */
void admission_client(struct brick_str identity, struct brick_str peer, struct share_party *ret)
{
        unsigned char ip[IP_BYTES];
        uint32_t user;

        if (identity.len > 0)
                set_client(ret, CLIENT_IDENTITY, identity.ptr, identity.len);
        else if (parse_user(peer, &user))
                set_client(ret, CLIENT_USER, &user, sizeof user);
        else if (!peer_ip(peer, ip))
                set_client(ret, CLIENT_CONNECTION, &ret->connection, sizeof ret->connection);
        else if (ip_is_v4(ip))
                set_client(ret, CLIENT_IPV4, ip + 12, 4);
        else
                set_client(ret, CLIENT_IPV6, ip, 8);
}
