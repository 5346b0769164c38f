/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

struct manager;

/* What Status() says about the processes of bricks. NULL: out of memory. */
json_t *programs_to_json(const struct manager *m);
