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
#include "shared/quota.h"

struct instance;
struct outcome;
struct served;
struct share_party;

/* Identity and rate, of a call of a port that authenticates. */
bool admission_identify(struct served *call, enum auth_reader reader,
                        const struct auth_proof *proof, struct outcome *ret);

/* Permission for the call's method of this brick, one more concurrent call, and tokens. instance
 * NULL: there is no such brick, which only an identity that may call every brick is told. */
bool admission_permit(struct served *call, const struct instance *instance, struct outcome *ret);

/* The call is over, for its client and its brick: releases its place in the quota, and what it
 * reserves of a budget. [any] */
/* What is left for the identity of a call that has been identified just now: of its rate, and of
 * its tokens. False: there is no limit. On the thread that serves the call. */
bool admission_requests_left(const struct served *call, struct quota_left *ret);
bool admission_tokens_left(const struct served *call, struct quota_left *ret);

void admission_release(struct served *call);

/*
 * The client that a call counts for: its identity, else its address or user, else its connection,
 * which *ret has already. peer: as peer.h has it. [any]
 */
void admission_client(struct brick_str identity, struct brick_str peer, struct share_party *ret);
