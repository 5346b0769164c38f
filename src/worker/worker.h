/* SPDX-License-Identifier: MIT */
#pragma once

/* A worker that serves, until the main process tells it to stop or is gone. */

struct auth;
struct build;
struct conf;
struct identity_text;
struct rpc;
struct state;
struct stats;

/* What worker_serve() works with: the caller's. */
struct worker_parts {
        const struct conf *conf;
        struct build *build;
        struct rpc *rpc;
        const struct stats *stats;
        struct state *state;
        struct auth *auth;                /* NULL: there are no identities */
        struct identity_text *identities; /* the same */
};

/* Says that the worker is ready. Returns when every call has ended and every connection is closed.
 * Negative errno: the event loop failed. */
int worker_serve(const struct worker_parts *parts);

/* From now on a worker that crashes last says which brick of the configuration the thread was in.
 * conf lives as long as its bricks, state as long as the process. */
void worker_catch_crashes(struct state *state, const struct conf *conf);
