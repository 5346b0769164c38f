/* SPDX-License-Identifier: MIT */

/* manager_identities(): who may call, and what they have used of their token budgets. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "manager/identities.h"
#include "manager/json.h"
#include "manager/manager.h"
#include "manager/tally.h"
#include "shared/quota.h"
#include "util/clock.h"

static json_t *pack_time(int64_t seconds)
{
        char text[CLOCK_TEXT_SIZE];

        if (seconds == INT64_MAX || !clock_text(seconds, text))
                return json_null();
        return json_string(text);
}

static json_t *pack_window(enum window window, uint64_t limit, struct quota_used used,
                           uint64_t reserved)
{
        uint64_t taken = used.tokens + reserved;

        return json_pack("{s:s, s:I, s:I, s:I, s:o}", "window", window_to_string(window), "limit",
                         (json_int_t)limit, "used", (json_int_t)used.tokens, "left",
                         (json_int_t)(taken < limit ? limit - taken : 0), "until",
                         pack_time(window_end(window, used.number)));
}

static json_t *pack_budget(const struct manager *m, const struct identity_limits *identity)
{
        struct quota_used used[WINDOWS];
        json_t *windows = json_array();
        uint64_t reserved;

        quota_get_used(processes_quota(m->processes), quota_key(identity->name), time(NULL), used,
                       &reserved);
        for (enum window window = 0; window < WINDOWS; window++) {
                uint64_t limit = identity->tokens[window];

                if (limit > 0 &&
                    json_array_append_new(windows,
                                          pack_window(window, limit, used[window], reserved)) < 0) {
                        json_decref(windows);
                        return NULL;
                }
        }
        return json_pack("{s:I, s:o}", "reserved", (json_int_t)reserved, "windows", windows);
}

/* null: it has no count of its own. */
static json_t *pack_requests(const struct tally *tally, const char *name)
{
        for (size_t i = 1; i < tally->n_identities; i++)
                if (strcmp(tally->identities[i].name, name) == 0)
                        return json_integer((json_int_t)tally->identities[i].requests);
        return tally->n_identities < STATS_IDENTITIES ? json_integer(0) : json_null();
}

static json_t *pack_identity(const struct manager *m, const struct tally *tally,
                             const struct identity_limits *identity)
{
        return json_pack("{s:s, s:o, s:o, s:o}", "name", identity->name, "expires",
                         pack_time(identity->expires), "requests",
                         pack_requests(tally, identity->name), "tokens",
                         identity->has_budget ? pack_budget(m, identity) : json_null());
}

int manager_identities(const struct manager *m, char **ret)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        json_t *list = json_array();
        const struct identity_limits *limits;
        size_t n;

        if (!list || manager_tally(m, &tally) < 0) {
                json_decref(list);
                return -ENOMEM;
        }
        limits = identities_limits(m->current ? m->current->identities : NULL, &n);
        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(list, pack_identity(m, tally, &limits[i])) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
        return json_finish(json_pack("{s:o}", "identities", list), ret);
}
