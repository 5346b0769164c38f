/* SPDX-License-Identifier: MIT */
#pragma once

/* Any brick as JSON: the list of bricks, and calls in brickctl's mapping. */

struct exchange;

/* GET /v1/bricks */
void bricks_serve(struct exchange *x, const char *const *parameters);

/* GET /v1/bricks/{name} */
void brick_serve(struct exchange *x, const char *const *parameters);

/* POST /v1/bricks/{name}/{method} */
void brick_call_serve(struct exchange *x, const char *const *parameters);
