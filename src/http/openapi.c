/* SPDX-License-Identifier: MIT */
#include "http/exchange.h"
#include "http/route.h"

/* GET /openapi.json: openapi.json beside this file, with the version of brickd. */

extern const char brickd_openapi[], brickd_openapi_end[];

void openapi_serve(struct exchange *x, const char *const *parameters)
{
        exchange_answer(x, 200, "application/json", brickd_openapi,
                        (size_t)(brickd_openapi_end - brickd_openapi));
}
