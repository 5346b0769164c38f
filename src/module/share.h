/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How the places of a brick are shared among its clients when they are scarce. A place is a call in
 * flight or a call that waits. The places for streams of brickd's own are shared as those of a
 * queue.
 *
 * A call counts for a party: a client, which is its identity or else its address, and one
 * connection of that client (a member).
 *
 *   turns    Calls that wait are started in turns: one call of each client, and of one client one
 *            call of each connection, the oldest first. So a client gets no more by making many
 *            calls or opening many connections.
 *   reserve  The last places in flight form two pools, one shared by connections, one by clients. A
 *            connection or a client gets a place of its pool only while it holds less than a small
 *            part of what the pool has left. So one that holds none gets a place unless very many
 *            have come before it.
 *   queue    When it is full, a call of a client with fewer calls in it takes the place of the
 *            newest call of the client with the most. Of its own client, it takes that of the
 *            connection with the most.
 *
 * A brick's calls are not counted while places are not scarce. The lock of the instance guards all
 * of this.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define SHARE_CLIENT_MAX 64

struct share_client;
struct share_member;

/* Of a call. */
struct share_place {
        struct share_member *member; /* NULL: it counts for nobody */
        unsigned pool;               /* enum share_pool: of its reserved place */
        struct share_place *next;    /* in the queue */
        struct share_place **link;   /* what points to it; NULL: it is not in the queue */
};

/* The party for which a call counts. Its bytes are compared: set unused ones to zero. */
struct share_party {
        uint64_t connection;           /* a number that no other open connection has */
        char client[SHARE_CLIENT_MAX]; /* what identifies the client; not a string */
};

struct share {
        void *clients; /* of tsearch() */
        void *members;
        struct share_client *turn; /* whose turn is next, in a ring of clients with calls that
                                      wait; NULL: no call waits */
        unsigned for_connections;  /* free places of the pool for connections */
        unsigned for_clients;      /* and of that for clients */
};

enum share_pool {
        SHARE_NONE, /* no place of the reserve */
        SHARE_CONNECTIONS,
        SHARE_CLIENTS,
};

/* The size of the reserve for this concurrency. */
static inline unsigned share_reserve(unsigned concurrency)
{
        return concurrency / 8;
}

void share_init(struct share *share, unsigned concurrency);

/* Counts a call for its party, until share_leave(). -ENOMEM. */
int share_join(struct share *share, struct share_place *call, const struct share_party *party);

/* The call, which does not wait, counts no more. Frees its place of the reserve, if it has one. */
void share_leave(struct share *share, struct share_place *call);

/* Takes a place of the reserve for a call that has joined, if its party may have one. */
bool share_take(struct share *share, struct share_place *call);

/* Appends a call that has joined to the calls that wait, or removes it from them. */
void share_append(struct share *share, struct share_place *call);
void share_remove(struct share *share, struct share_place *call);

/* Removes and returns the waiting call whose turn it is; NULL: no call waits. */
struct share_place *share_next(struct share *share);

/* The same for the calls whose party may have a place of the reserve; takes the place. */
struct share_place *share_next_reserved(struct share *share);

/* The waiting call whose place in the full queue this call, which has joined, is to get. NULL: no
 * client or connection has enough more calls there. */
struct share_place *share_victim(const struct share *share, const struct share_place *call);
