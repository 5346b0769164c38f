/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One gRPC channel, with its state and, for TLS, the files of its certificates. When these change,
 * or by channel_renew(), the channel gets another link, which is the core's channel; calls in
 * flight keep theirs.
 */

#include <grpc/grpc.h>
#include <stdatomic.h>

#include "remote/client.h"

struct channel;
struct conf;

struct link {
        struct channel *channel;
        grpc_channel *core;
        atomic_uint refs;
};

/* Who uses a channel. */
struct channel_user {
        struct channel_user *next;
        struct channel *channel;

        /* [any] One at a time for a channel. */
        void (*changed)(struct channel_user *user, enum backend_state state);
};

/* Joins the user to the channel with these settings, which is made if there is none. -ENOMEM.
 * [main] */
int channel_join(struct channel_user *user, const struct backend_settings *settings);
void channel_leave(struct channel_user *user);

/* [any] */
enum backend_state channel_state(const struct channel *channel);

/* Tries to connect at once, whatever failed before. [any] */
void channel_hurry(struct channel *channel);

/* The next calls get a new connection, those in flight keep theirs. [any] */
void channel_renew(struct channel *channel);

/* The present link, for one call; NULL: client_start() has not been called yet, or client_stop()
 * has. [any] */
struct link *channel_take_link(struct channel *channel);
void link_unref(struct link *link);

/* The queue of all calls, while channels are connected. [any] */
grpc_completion_queue *client_queue(void);
