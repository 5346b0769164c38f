/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

struct rpc;

/* Prints what a pipeline has said of its steps, after rpc_finish(). False: it has said nothing. */
bool explain_print(const struct rpc *rpc, bool json);
