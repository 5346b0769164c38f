/* SPDX-License-Identifier: MIT */
#include "serve/budget.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "module/instance.h"
#include "serve/auth.h"
#include "serve/served.h"
#include "serve/usage.h"
#include "serve/validate.h"
#include "serve/wire-read.h"
#include "shared/stats.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* Fields of messages of LLMService. */
#define REQUEST_MAX_TOKENS 9
#define RESPONSE_TEXT 1

/* Where nobody counts, this many bytes of text are a token: it is about right for English. */
#define TOKEN_BYTES 4

/* A client waits no longer than this before it tries again: what OpenAI's libraries do. */
#define RETRY_MAX 60

/* The call's lock guards what changes after budget_reserve(). */
struct budget {
        uint32_t slot;             /* of shared/quota.h */
        unsigned place;            /* of the identity among the stats */
        bool is_model;             /* the brick is a language model */
        bool is_reserved;          /* to be settled */
        bool is_given_up;          /* by its client */
        uint64_t reserved;         /* tokens */
        uint64_t request;          /* bytes */
        uint64_t replies;          /* bytes of text */
        _Atomic uint64_t children; /* tokens of calls that the brick has made, to be counted */
        bool is_refused;
        struct budget_refusal refusal;
        char message[200]; /* of the refusal */
};

/* --- before the call ---------------------------------------------------------------------------
 */

static uint64_t tokens_of(uint64_t bytes)
{
        return (bytes + TOKEN_BYTES - 1) / TOKEN_BYTES;
}

/* 0: the request does not say. */
static uint64_t max_tokens(struct brick_bytes request)
{
        struct wire_field field;
        int32_t n = 0;

        while (wire_next_field(&request, &field))
                if (field.number == REQUEST_MAX_TOKENS)
                        n = (int32_t)field.value;
        return n > 0 ? (uint64_t)n : 0;
}

static uint64_t needed(const struct served *call)
{
        uint64_t answer = max_tokens(call->base.request);

        return tokens_of(call->base.request.len) + (answer > 0 ? answer : call->who->reserve);
}

static void describe(struct budget *budget, uint64_t n, const struct quota_shortage *shortage)
{
        const char *window = window_to_string(shortage->window);
        char ends[CLOCK_TEXT_SIZE];

        (void)clock_text(shortage->ends, ends);
        switch (shortage->kind) {
        case SHORTAGE_FOREVER:
                (void)snprintf(budget->message, sizeof budget->message,
                               "This call reserves %" PRIu64 " tokens, and its identity may use "
                               "%" PRIu64 " in a %s; ask for less with max_tokens",
                               n, shortage->limit, window);
                break;
        case SHORTAGE_OF_WINDOW:
                (void)snprintf(budget->message, sizeof budget->message,
                               "This call reserves %" PRIu64 " tokens, and %" PRIu64 " of %" PRIu64
                               " are left in this %s, which ends at %s",
                               n, shortage->left, shortage->limit, window, ends);
                break;
        case SHORTAGE_OF_RESERVED:
                (void)snprintf(budget->message, sizeof budget->message,
                               "This call reserves %" PRIu64 " tokens, and %" PRIu64 " of %" PRIu64
                               " are left in this %s while other calls reserve %" PRIu64,
                               n, shortage->left, shortage->limit, window, shortage->reserved);
                break;
        }
}

static uint64_t wait_for(const struct quota_shortage *shortage, int64_t now)
{
        if (shortage->kind == SHORTAGE_FOREVER)
                return 0;
        if (shortage->kind == SHORTAGE_OF_RESERVED || shortage->ends <= now)
                return 1;
        return (uint64_t)(shortage->ends - now);
}

static void refuse(struct served *call, uint64_t n, const struct quota_shortage *shortage,
                   int64_t now, struct outcome *ret)
{
        struct budget *budget = call->budget;

        budget->is_refused = true;
        budget->refusal = (struct budget_refusal){
                .limit = shortage->limit,
                .left = shortage->left,
                .wait = wait_for(shortage, now),
        };
        budget->refusal.retries_help = budget->refusal.wait > 0 &&
                                       budget->refusal.wait <= RETRY_MAX;
        describe(budget, n, shortage);
        if (budget->refusal.retries_help)
                call->retry_ms = budget->refusal.wait * 1000;
        stats_reject(call->port->stats, STATS_REJECTED_TOKENS);
        *ret = (struct outcome){
                .status = STATUS_RESOURCE_EXHAUSTED,
                .message = brick_str(budget->message),
        };
}

bool budget_reserve(struct served *call, const struct instance *instance, struct outcome *ret)
{
        const struct auth_identity *who = call->who;
        bool is_model = instance->type == BRICK_TYPE_LLM;
        const struct quota_budget unlimited = { .key = who->budget.key };
        struct quota_shortage shortage;
        int64_t now = time(NULL);
        struct budget *budget;
        uint64_t n;

        if (call->base.method == BRICK_METHOD_SERVICE_INFO)
                return true;
        budget = call->budget = calloc(1, sizeof *budget);
        if (!budget) {
                *ret = outcome_no_memory();
                return false;
        }
        n = is_model ? needed(call) : 0;
        budget->is_model = is_model;
        budget->place = who->place;
        budget->reserved = n;
        budget->request = call->base.request.len;
        budget->is_reserved = quota_reserve(auth_quota(call->port->serve->auth),
                                            is_model ? &who->budget : &unlimited, n, now,
                                            &budget->slot, &shortage);
        if (!budget->is_reserved)
                refuse(call, n, &shortage, now, ret);
        return budget->is_reserved;
}

const struct budget_refusal *budget_refusal(const struct served *call)
{
        return call->budget && call->budget->is_refused ? &call->budget->refusal : NULL;
}

/* --- its end -----------------------------------------------------------------------------------
 */

void budget_count_reply(struct served *call, const void *bytes, size_t length)
{
        size_t n;

        if (!call->budget->is_model)
                return;
        (void)validate_find_string(bytes, length, RESPONSE_TEXT, &n);
        call->budget->replies += n;
}

void budget_child_ended(struct call *base, const struct child_trailers *trailers)
{
        struct budget *budget = CONTAINER_OF(base, struct served, base)->budget;
        struct usage usage;

        if (!budget)
                return;
        usage_of_trailers(&usage, trailers);
        (void)atomic_fetch_add(&budget->children, (uint64_t)usage.total);
}

/* Lock held. If the brick has not counted. A call that it has failed without a word of text has
 * used nothing; one that its client has given up may have. */
static uint64_t estimate(const struct served *call)
{
        const struct budget *budget = call->budget;
        const struct call *base = &call->base;
        bool failed = base->settled && !outcome_is_success(&base->outcome) && !call->expired &&
                      !budget->is_given_up;

        if (!budget->is_model || base->side == SIDE_UNSEEN || (failed && budget->replies == 0))
                return 0;
        return tokens_of(budget->request + budget->replies);
}

/* Lock held. */
static uint64_t count_used(struct served *call, uint64_t children)
{
        uint64_t guess;
        struct usage usage;

        usage_of_call(&usage, &call->base);
        if (usage.known)
                return (uint64_t)usage.total + children;
        guess = estimate(call);
        return guess > children ? guess : children;
}

static void spend(struct served *call, uint64_t used)
{
        const struct serve *serve = call->port->serve;
        struct budget *budget = call->budget;

        if (used > QUOTA_TOKENS_MAX)
                used = QUOTA_TOKENS_MAX;
        (void)atomic_fetch_add_explicit(&serve->stats->head->identities[budget->place].tokens, used,
                                        memory_order_relaxed);
        quota_spend(auth_quota(serve->auth), budget->slot, budget->reserved, used, time(NULL));
        budget->reserved = 0;
}

void budget_settle(struct served *call)
{
        struct budget *budget = call->budget;
        uint64_t children = atomic_exchange(&budget->children, 0);

        if (budget->is_reserved)
                spend(call, count_used(call, children));
        else if (children > 0)
                spend(call, children); /* of calls that have ended later than their caller */
        budget->is_reserved = false;
}

void budget_end(struct served *call, bool cancelled)
{
        call_lock(&call->base);
        call->budget->is_given_up = cancelled;
        if (!cancelled)
                budget_settle(call);
        call_unlock(&call->base);
}

void budget_free(struct served *call)
{
        free(call->budget);
        call->budget = NULL;
}
