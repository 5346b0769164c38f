/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The token budget of one call: identities[].tokens. A call to a language model reserves what its
 * request and its longest answer may need, before its brick is asked; when it is over, what it has
 * used counts instead: as its brick says (usage.h), else an estimate; and what calls have used that
 * its brick has made. Calls to other bricks reserve nothing, and count only what bricks say. A call
 * without a budget has no memory here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget;
struct call;
struct child_trailers;
struct instance;
struct outcome;
struct served;

/* What the client of a call is told that its budget has refused. */
struct budget_refusal {
        uint64_t limit; /* of the window that lacks tokens */
        uint64_t left;
        uint64_t wait;     /* seconds until there are more; 0: waiting does not help */
        bool retries_help; /* the wait is short */
};

/* Before the call gets to its brick, of an identity whose tokens are limited. False: *ret is the
 * outcome with which to refuse the call. On the thread that serves the call. */
bool budget_reserve(struct served *call, const struct instance *instance, struct outcome *ret);

/* NULL: the budget has not refused the call. */
const struct budget_refusal *budget_refusal(const struct served *call);

/* The functions below are for calls with a budget only, but budget_child_ended(). The brick has
 * sent a valid reply. Lock held. */
void budget_count_reply(struct served *call, const void *bytes, size_t length);

/* transport->child_ended(), for calls with a budget and for others. [any] */
void budget_child_ended(struct call *base, const struct child_trailers *trailers);

/* What the call has used counts from now on, instead of what it has reserved. Lock held. */
void budget_settle(struct served *call);

/* The call is over for its client: it is settled; if its client has given it up, only once its
 * brick has ended, too. On the thread that serves the call. */
void budget_end(struct served *call, bool cancelled);

/* The call is over for its brick, too, and for those that it has called, and is settled. [any] */
void budget_free(struct served *call);
