/* SPDX-License-Identifier: MIT */
#include "http/route.h"

#include <string.h>

#define GET (1u << HTTP_GET)
#define POST (1u << HTTP_POST)

const struct http_route http_routes[] = {
        { "/v1/chat/completions", POST, STATS_ROUTE_CHAT, false, chat_serve },
        { "/chat/completions", POST, STATS_ROUTE_SSE, false, sse_serve },
        { "/v1/completions", POST, STATS_ROUTE_COMPLETIONS, false, completion_serve },
        { "/v1/responses", POST, STATS_ROUTE_RESPONSES, false, responses_serve },
        { "/v1/models", GET, STATS_ROUTE_MODELS, false, models_serve },
        { "/v1/models/{id}", GET, STATS_ROUTE_MODEL, false, model_serve },
        { "/v1/moderations", POST, STATS_ROUTE_MODERATIONS, false, moderations_serve },
        { "/v1/vector_stores/{brick}/search", POST, STATS_ROUTE_SEARCH, false, search_serve },
        { "/v1/bricks", GET, STATS_ROUTE_BRICKS, false, bricks_serve },
        { "/v1/bricks/{name}", GET, STATS_ROUTE_BRICK, false, brick_serve },
        { "/v1/bricks/{name}/{method}", POST, STATS_ROUTE_BRICK_CALL, false, brick_call_serve },
        { "/openapi.json", GET, STATS_ROUTE_OPENAPI, true, openapi_serve },
        { "/health", GET, STATS_ROUTE_HEALTH, true, health_serve },
        {},
};

/* The next piece of a path, behind its '/'. False: there is none. */
static bool next_piece(const char **at, const char *end, struct http_text *ret)
{
        const char *slash;

        if (*at == end)
                return false;
        ++*at;
        slash = memchr(*at, '/', (size_t)(end - *at));
        *ret = (struct http_text){ *at, (size_t)((slash ? slash : end) - *at) };
        *at = slash ? slash : end;
        return true;
}

static bool matches(const struct http_route *route, struct http_text path,
                    struct http_text parameters[HTTP_PARAMETERS_MAX])
{
        const char *a = route->path, *a_end = a + strlen(a);
        const char *b = path.ptr, *b_end = b + path.length;
        struct http_text pattern, piece;
        size_t n = 0;

        while (next_piece(&a, a_end, &pattern)) {
                if (!next_piece(&b, b_end, &piece))
                        return false;
                if (pattern.length > 0 && pattern.ptr[0] == '{') {
                        if (piece.length == 0)
                                return false;
                        parameters[n++] = piece;
                } else if (piece.length != pattern.length ||
                           memcmp(piece.ptr, pattern.ptr, piece.length) != 0) {
                        return false;
                }
        }
        return b == b_end;
}

const struct http_route *http_route_find(struct http_text path,
                                         struct http_text ret_parameters[HTTP_PARAMETERS_MAX])
{
        for (const struct http_route *route = http_routes; route->path; route++)
                if (matches(route, path, ret_parameters))
                        return route;
        return NULL;
}

const char *http_route_allow(const struct http_route *route)
{
        switch (route->methods) {
        case GET:
                return "GET, HEAD, OPTIONS";
        case POST:
                return "POST, OPTIONS";
        default:
                return "GET, HEAD, POST, OPTIONS";
        }
}
