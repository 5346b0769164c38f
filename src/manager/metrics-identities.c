/* SPDX-License-Identifier: MIT */

/* Metrics of identities. */

#include <time.h>

#include "manager/identities.h"
#include "manager/manager.h"
#include "manager/metrics-page.h"
#include "manager/tally.h"
#include "shared/quota.h"

static void put_requests(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_identities; i++) {
                const struct tally_identity *identity = &p->tally->identities[i];

                if (i == 0 && identity->requests == 0)
                        continue; /* every identity has a place of its own */
                page_begin(p, "");
                page_label(p, "identity", identity->name);
                page_end(p, identity->requests);
        }
}

static void put_tokens(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_identities; i++) {
                const struct tally_identity *identity = &p->tally->identities[i];

                if (identity->tokens == 0)
                        continue; /* it has no budget, or has used nothing of it */
                page_begin(p, "");
                page_label(p, "identity", identity->name);
                page_end(p, identity->tokens);
        }
}

/* Calls put() for each identity with a budget, up to the number that have metrics of their own. */
static void each_budget(struct page *p,
                        void (*put)(struct page *p, const struct identity_limits *identity,
                                    const struct quota_used used[static WINDOWS],
                                    uint64_t reserved))
{
        const struct generation *g = p->m->current;
        const struct identity_limits *list;
        struct quota_used used[WINDOWS];
        size_t n, left = STATS_IDENTITIES - 1;
        uint64_t reserved;

        list = identities_limits(g ? g->identities : NULL, &n);
        for (size_t i = 0; i < n && left > 0; i++) {
                if (!list[i].has_budget)
                        continue;
                left--;
                quota_get_used(processes_quota(p->m->processes), quota_key(list[i].name),
                               time(NULL), used, &reserved);
                put(p, &list[i], used, reserved);
        }
}

static void put_window(struct page *p, const struct identity_limits *identity, enum window window,
                       uint64_t tokens)
{
        page_begin(p, "");
        page_label(p, "identity", identity->name);
        page_label(p, "window", window_to_string(window));
        page_end(p, tokens);
}

static void put_used_of(struct page *p, const struct identity_limits *identity,
                        const struct quota_used used[static WINDOWS], uint64_t reserved)
{
        for (enum window window = 0; window < WINDOWS; window++)
                if (identity->tokens[window] > 0)
                        put_window(p, identity, window, used[window].tokens);
}

static void put_limit_of(struct page *p, const struct identity_limits *identity,
                         const struct quota_used used[static WINDOWS], uint64_t reserved)
{
        for (enum window window = 0; window < WINDOWS; window++)
                if (identity->tokens[window] > 0)
                        put_window(p, identity, window, identity->tokens[window]);
}

static void put_reserved_of(struct page *p, const struct identity_limits *identity,
                            const struct quota_used used[static WINDOWS], uint64_t reserved)
{
        page_begin(p, "");
        page_label(p, "identity", identity->name);
        page_end(p, reserved);
}

static void put_used(struct page *p)
{
        each_budget(p, put_used_of);
}

static void put_limit(struct page *p)
{
        each_budget(p, put_limit_of);
}

static void put_reserved(struct page *p)
{
        each_budget(p, put_reserved_of);
}

const struct metric metrics_of_identities[] = {
        { "brickd_identity_requests_total", "counter", "Calls that the identity has made.",
          put_requests },
        { "brickd_identity_tokens_total", "counter",
          "Tokens that calls of the identity have used, if its tokens are limited.", put_tokens },
        { "brickd_identity_tokens_used", "gauge",
          "Tokens that calls of the identity have used in this minute, day or month.", put_used },
        { "brickd_identity_tokens_limit", "gauge",
          "Tokens that the identity may use in a minute, day or month.", put_limit },
        { "brickd_identity_tokens_reserved", "gauge",
          "Tokens that running calls of the identity reserve.", put_reserved },
        {},
};
