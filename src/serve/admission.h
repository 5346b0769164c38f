/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The checks before a brick gets a call: who makes it, at what rate, and whether they may. On the
 * thread that serves the call, in this order. A function that returns false has set the outcome
 * with which to refuse the call, and call->retry_ms if trying again may help.
 */

#include <stdbool.h>

#include "brick.h"
#include "serve/auth.h"
#include "serve/served.h"
#include "shared/quota.h"

struct instance;
struct outcome;
struct share_party;

/* Identity and rate, of a call of a port that authenticates. */
bool admission_identify(struct served *call, enum auth_reader reader,
                        const struct auth_proof *proof, struct outcome *ret);

/* Permission for the call's method of this brick, one more concurrent call, and tokens. instance
 * NULL: there is no such brick, which only an identity that may call every brick is told. */
bool admission_permit(struct served *call, const struct instance *instance, struct outcome *ret);

/* What is left for the identity of a call that has been identified just now: of its rate, and of
 * its tokens. False: there is no limit. On the thread that serves the call. */
bool admission_requests_left(const struct served *call, struct quota_left *ret);
bool admission_tokens_left(const struct served *call, struct quota_left *ret);

/* Releases the call's place in the quota, and what it reserves of a budget. Lock held. [any] */
void admission_leave(struct served *call);

/* The end of the call is about to be sent. If its brick has finished it, it leaves now, so that its
 * client's next call finds the place and the tokens free. Lock held. [any] */
static inline void admission_answer(struct served *call)
{
        bool finished = call->base.side == SIDE_DONE || call->base.side == SIDE_UNSEEN;

        if (finished && (call->counted || call->budget))
                admission_leave(call);
}

/* The call is over, for its client and its brick. In transport->free(). [any] */
void admission_release(struct served *call);

/*
 * The client that a call counts for: its identity, else its address or user, else its connection,
 * which *ret has already. peer: as peer.h has it. [any]
 */
void admission_client(struct brick_str identity, struct brick_str peer, struct share_party *ret);
