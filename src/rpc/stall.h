/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Calls that wait for their client: to read what has been written, or to send the message that the
 * brick waits for. Whoever moves nothing for limits.stall of its port loses the call, so that
 * silence does not hold a place of a brick, or memory, for ever.
 *
 * All calls of bricks that are on the wire are in a list, and about every second each is looked at:
 * it has moved if it has sent or received a message since. So this costs a call next to nothing.
 */

struct rpc;
struct rpc_call;

void stall_init(struct rpc *rpc);

/* The call goes to its brick; it has ended. [polling thread] */
void stall_add(struct rpc *rpc, struct rpc_call *call);
void stall_remove(struct rpc *rpc, struct rpc_call *call);

/* Has the polling thread look at all calls. About every second, until rpc_stop(). [main] */
void stall_look(struct rpc *rpc);
