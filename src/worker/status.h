/* SPDX-License-Identifier: MIT */
#pragma once

struct rpc;

/* What the worker does now, as the JSON object of CHANNEL_STATUS; free() it. NULL: out of memory.
 */
char *status_json(const struct rpc *rpc);
