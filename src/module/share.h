/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How the places of a brick are shared out among its clients once they are scarce. A place is a
 * call in flight or a call that waits.
 *
 * A call counts for a client, which is its identity or else its address, and for one connection of
 * that client.
 *
 *   turns    Calls that wait take turns: each client has one, in it each of its connections, in
 *            that the call that came first. So neither many calls nor many connections outweigh
 *            one client.
 *   reserve  The last places in flight are two pools, one shared by connections, one by clients.
 *            Whoever asks gets a place while it holds only a small part of what is left of the
 *            pool. So there is one for whoever holds none, until very many have come.
 *   queue    When it is full, a client with fewer calls in it takes the place of the newest call of
 *            the client that has the most.
 *
 * Nothing is counted as long as places are not scarce. The instance's lock guards all of this.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define SHARE_CLIENT_MAX 64

struct call;
struct share_client;
struct share_member;

/* For whom a call counts. Zero what is not set: the bytes are compared. */
struct share_party {
        uint64_t connection;           /* a number that no other open connection has */
        char client[SHARE_CLIENT_MAX]; /* what identifies the client; not a string */
};

struct share {
        void *clients; /* of tsearch() */
        void *members;
        struct share_client *turn; /* of those with calls that wait, a ring; NULL: nobody waits */
        unsigned for_connections;  /* places of the reserve that are left */
        unsigned for_clients;
};

enum share_pool {
        SHARE_NONE, /* no place of the reserve */
        SHARE_CONNECTIONS,
        SHARE_CLIENTS,
};

/* How many of so many places in flight are the reserve. */
static inline unsigned share_reserve(unsigned concurrency)
{
        return concurrency / 8;
}

void share_init(struct share *share, unsigned concurrency);

/* Counts a call for its party, until share_leave(). -ENOMEM. */
int share_join(struct share *share, struct call *call, const struct share_party *party);

/* The call neither waits nor holds a place any more. A place of the reserve is free again. */
void share_leave(struct share *share, struct call *call);

/* Takes a place of the reserve for a call that has joined, if its party may have one. */
bool share_take(struct share *share, struct call *call);

/* The call, which has joined, waits; or does not any more. */
void share_append(struct share *share, struct call *call);
void share_remove(struct share *share, struct call *call);

/* The waiting call whose turn it is; NULL: nobody waits. The turn is over. */
struct call *share_next(struct share *share);

/* The same of those that may have a place of the reserve, which is then taken. */
struct call *share_next_reserved(struct share *share);

/* The waiting call that is to give its place in a full queue to this one, which has joined. NULL:
 * no client has more calls there than this one's. */
struct call *share_victim(const struct share *share, const struct call *call);
