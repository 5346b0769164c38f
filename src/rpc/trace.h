/* SPDX-License-Identifier: MIT */
#pragma once

struct rpc_call;
struct rpc_end;

/* A call's span: a child of the caller's, or the first of its trace. The call's metadata is there;
 * there is a tracer. Polling thread. */
void trace_begin(struct rpc_call *call);
void trace_end(const struct rpc_call *call, const struct rpc_end *end);
