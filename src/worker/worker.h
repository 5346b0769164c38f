/* SPDX-License-Identifier: MIT */
#pragma once

/* The serving part of a worker: it runs until the main process orders it to stop, or exits. */

struct auth;
struct build;
struct conf;
struct identity_text;
struct door;
struct rpc;
struct state;
struct stats;

/* What worker_serve() works with. The caller owns all of it. */
struct worker_parts {
        const struct conf *conf;
        struct build *build;
        struct rpc *rpc;
        struct door *door;
        const struct stats *stats;
        struct state *state;
        struct auth *auth;                /* NULL: there are no identities */
        struct identity_text *identities; /* NULL: the same */
};

/* [main thread] Tells the main process that the worker is ready, and serves. Returns 0 when every
 * call has ended and every connection is closed; negative errno: the event loop failed. */
int worker_serve(const struct worker_parts *parts);

/* From now on a crash is reported to the main process with the brick that the crashing thread was
 * in. conf must live as long as the bricks run, state as long as the process. */
void worker_catch_crashes(struct state *state, const struct conf *conf);
