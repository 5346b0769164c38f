/* SPDX-License-Identifier: MIT */
#pragma once

/* The table of the door's routes. Constant. */

#include <stdbool.h>

#include "http/head.h"
#include "shared/stats.h"

struct exchange;

#define HTTP_PARAMETERS_MAX 2

struct http_route {
        const char *path; /* "/v1/models/{id}": a parameter is one piece of the path */
        unsigned methods; /* 1 << HTTP_GET and so on; HEAD is served where GET is */
        enum stats_route stats;
        bool open; /* needs no identity, unless `authenticate: all` */

        /* Answers, now or later. parameters: decoded, in the exchange's arena. */
        void (*serve)(struct exchange *x, const char *const *parameters);
};

/* The route of a path. NULL: there is none. *ret_parameters get the pieces, still encoded. */
const struct http_route *http_route_find(struct http_text path,
                                         struct http_text ret_parameters[HTTP_PARAMETERS_MAX]);

/* "GET, HEAD, OPTIONS", for the header field Allow. */
const char *http_route_allow(const struct http_route *route);

/* The routes, for the answer to an unknown path; ends with a route without a path. */
extern const struct http_route http_routes[];

/* --- what they do -------------------------------------------------------------------------------
 */

void chat_serve(struct exchange *x, const char *const *parameters);
void completion_serve(struct exchange *x, const char *const *parameters);
void responses_serve(struct exchange *x, const char *const *parameters);
void sse_serve(struct exchange *x, const char *const *parameters);
void models_serve(struct exchange *x, const char *const *parameters);
void model_serve(struct exchange *x, const char *const *parameters);
void moderations_serve(struct exchange *x, const char *const *parameters);
void search_serve(struct exchange *x, const char *const *parameters);
void bricks_serve(struct exchange *x, const char *const *parameters);
void brick_serve(struct exchange *x, const char *const *parameters);
void brick_call_serve(struct exchange *x, const char *const *parameters);
void openapi_serve(struct exchange *x, const char *const *parameters);
void health_serve(struct exchange *x, const char *const *parameters);
