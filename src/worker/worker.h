/* SPDX-License-Identifier: MIT */
#pragma once

/* A worker that serves, until the main process tells it to stop or is gone. */

struct auth;
struct build;
struct conf;
struct rpc;
struct stats;

/* Returns when every call has ended and every connection is closed. Negative errno: the event loop
 * failed. */
int worker_serve(const struct conf *conf, struct build *build, struct rpc *rpc,
                 const struct stats *stats, struct auth *auth);

/* What a crashing worker last does: it names the brick that the crashing thread was in. */
void worker_catch_crashes(void);
