/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "http/exchange.h"
#include "http/route.h"
#include "module/instance.h"
#include "shared/stats.h"

static bool is_healthy(const struct exchange *x)
{
        struct instance *const *bricks;
        size_t n = exchange_bricks(x, &bricks);
        char reason[STATS_TEXT_MAX + 1];

        for (size_t i = 0; i < n; i++)
                if (!stats_get_health(&bricks[i]->stats->health, reason))
                        return false;
        return true;
}

/* GET /health: the status is for load balancers, the text for people. The names and reasons of
 * bricks are not for everybody. */
void health_serve(struct exchange *x, const char *const *parameters)
{
        bool stopping = exchange_is_lame(x), good = !stopping && is_healthy(x);
        const char *text = good       ? "{\"status\":\"ok\"}"
                           : stopping ? "{\"status\":\"stopping\"}"
                                      : "{\"status\":\"unhealthy\"}";

        exchange_header(x, "Cache-Control", "no-store");
        exchange_answer(x, good ? 200 : 503, "application/json", text, strlen(text));
}
