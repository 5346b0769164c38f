/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "module/share.h"

/* A place of a pool is refused to one that already holds 1/32 (a connection) or 1/8 (a client) of
 * the free places. Connections are cheap to open: it takes 90 of them to use up a pool of 256. */
#define CONNECTION_PART 32
#define CLIENT_PART 8

struct ring {
        struct ring *next;
        struct ring *previous;
};

/* The structs in the trees begin with their key, because compare_*() compare the first bytes. */
struct share_client {
        char key[SHARE_CLIENT_MAX];
        unsigned members; /* it lives as long as one of them */
        unsigned held;    /* places of the reserve for clients */
        unsigned waiting; /* calls */
        struct share_member
                *turn;    /* whose turn is next, in a ring of members with calls that wait */
        struct ring ring; /* of clients, while calls wait */
};

struct share_member {
        struct share_party key;
        struct share_client *client;
        unsigned calls;   /* that have joined; the member lives as long as one of them */
        unsigned held;    /* places of the reserve for connections */
        unsigned waiting; /* calls */
        struct share_place *queue;
        struct share_place **queue_end;
        struct ring ring; /* of members of the client, while calls wait */
};

static struct share_client *client_at(struct ring *ring)
{
        return (void *)((char *)ring - offsetof(struct share_client, ring));
}

static struct share_member *member_at(struct ring *ring)
{
        return (void *)((char *)ring - offsetof(struct share_member, ring));
}

/* Adds it as the last, in front of `next`, whose turn is next; NULL: the ring is empty. */
static void ring_add(struct ring *ring, struct ring *next)
{
        ring->next = next ? next : ring;
        ring->previous = next ? next->previous : ring;
        ring->next->previous = ring;
        ring->previous->next = ring;
}

/* Returns the following one; NULL: the ring is empty now. */
static struct ring *ring_remove(struct ring *ring)
{
        struct ring *next = ring->next;

        ring->previous->next = next;
        next->previous = ring->previous;
        return next == ring ? NULL : next;
}

static int compare_clients(const void *a, const void *b)
{
        return memcmp(a, b, SHARE_CLIENT_MAX);
}

static int compare_members(const void *a, const void *b)
{
        return memcmp(a, b, sizeof(struct share_party));
}

void share_init(struct share *share, unsigned concurrency)
{
        unsigned reserve = share_reserve(concurrency);

        *share = (struct share){
                .for_connections = reserve / 2,
                .for_clients = reserve - reserve / 2,
        };
}

/* The entry of the tree with this key; if there is none, a new one of `size` bytes. NULL: out of
 * memory. */
static void *find_or_add(void **tree, const void *key, size_t key_size, size_t size,
                         int (*compare)(const void *, const void *))
{
        void **found = tfind(key, tree, compare);
        void *new;

        if (found)
                return *found;
        new = calloc(1, size);
        if (!new)
                return NULL;
        memcpy(new, key, key_size);
        if (tsearch(new, tree, compare))
                return new;
        free(new);
        return NULL;
}

static void client_drop(struct share *share, struct share_client *client)
{
        (void)tdelete(client, &share->clients, compare_clients);
        free(client);
}

static struct share_member *member_get(struct share *share, const struct share_party *party)
{
        struct share_client *client = find_or_add(&share->clients, party->client,
                                                  sizeof party->client, sizeof *client,
                                                  compare_clients);
        struct share_member *member;

        if (!client)
                return NULL;
        member = find_or_add(&share->members, party, sizeof *party, sizeof *member,
                             compare_members);
        if (!member) {
                if (client->members == 0)
                        client_drop(share, client);
                return NULL;
        }
        if (!member->client) {
                member->client = client;
                member->queue_end = &member->queue;
                client->members++;
        }
        return member;
}

int share_join(struct share *share, struct share_place *call, const struct share_party *party)
{
        struct share_member *member = member_get(share, party);

        if (!member)
                return -ENOMEM;
        member->calls++;
        call->member = member;
        return 0;
}

void share_leave(struct share *share, struct share_place *call)
{
        struct share_member *member = call->member;
        struct share_client *client = member->client;

        if (call->pool == SHARE_CONNECTIONS) {
                member->held--;
                share->for_connections++;
        } else if (call->pool == SHARE_CLIENTS) {
                client->held--;
                share->for_clients++;
        }
        call->pool = SHARE_NONE;
        call->member = NULL;
        if (--member->calls > 0)
                return;
        (void)tdelete(member, &share->members, compare_members);
        free(member);
        if (--client->members == 0)
                client_drop(share, client);
}

static enum share_pool pool_for(const struct share *share, const struct share_member *member)
{
        if (member->held * CONNECTION_PART < share->for_connections)
                return SHARE_CONNECTIONS;
        if (member->client->held * CLIENT_PART < share->for_clients)
                return SHARE_CLIENTS;
        return SHARE_NONE;
}

bool share_take(struct share *share, struct share_place *call)
{
        call->pool = pool_for(share, call->member);
        if (call->pool == SHARE_CONNECTIONS) {
                share->for_connections--;
                call->member->held++;
        } else if (call->pool == SHARE_CLIENTS) {
                share->for_clients--;
                call->member->client->held++;
        }
        return call->pool != SHARE_NONE;
}

void share_append(struct share *share, struct share_place *call)
{
        struct share_member *member = call->member;
        struct share_client *client = member->client;

        call->next = NULL;
        call->link = member->queue_end;
        *call->link = call;
        member->queue_end = &call->next;
        if (client->waiting++ == 0) {
                ring_add(&client->ring, share->turn ? &share->turn->ring : NULL);
                if (!share->turn)
                        share->turn = client;
        }
        if (member->waiting++ == 0) {
                ring_add(&member->ring, client->turn ? &client->turn->ring : NULL);
                if (!client->turn)
                        client->turn = member;
        }
}

/* No call of the member waits any more: takes it out of the ring. */
static void member_rest(struct share_member *member)
{
        struct share_client *client = member->client;
        struct ring *next = ring_remove(&member->ring);

        if (client->turn == member)
                client->turn = next ? member_at(next) : NULL;
}

/* The same for a client. */
static void client_rest(struct share *share, struct share_client *client)
{
        struct ring *next = ring_remove(&client->ring);

        if (share->turn == client)
                share->turn = next ? client_at(next) : NULL;
}

void share_remove(struct share *share, struct share_place *call)
{
        struct share_member *member = call->member;
        struct share_client *client = member->client;

        *call->link = call->next;
        if (call->next)
                call->next->link = call->link;
        else
                member->queue_end = call->link;
        call->link = NULL;
        if (--member->waiting == 0)
                member_rest(member);
        if (--client->waiting == 0)
                client_rest(share, client);
}

/* Takes the first call of a member out of the queue; the next turn is that of the following member
 * and client. */
static struct share_place *take_turn(struct share *share, struct share_member *member)
{
        struct share_client *client = member->client;
        struct share_place *call = member->queue;

        client->turn = member_at(member->ring.next);
        share->turn = client_at(client->ring.next);
        share_remove(share, call);
        return call;
}

struct share_place *share_next(struct share *share)
{
        return share->turn ? take_turn(share, share->turn->turn) : NULL;
}

/* A member of this client that waits and may have a place of the reserve. */
static struct share_member *entitled_member(const struct share *share,
                                            const struct share_client *client)
{
        struct share_member *member = client->turn;

        do {
                if (pool_for(share, member) != SHARE_NONE)
                        return member;
                member = member_at(member->ring.next);
        } while (member != client->turn);
        return NULL;
}

struct share_place *share_next_reserved(struct share *share)
{
        struct share_client *client = share->turn;
        struct share_member *member;
        struct share_place *call;

        if (!client || (share->for_connections == 0 && share->for_clients == 0))
                return NULL;
        do {
                member = entitled_member(share, client);
                if (member) {
                        call = take_turn(share, member);
                        (void)share_take(share, call);
                        return call;
                }
                client = client_at(client->ring.next);
        } while (client != share->turn);
        return NULL;
}

static struct share_client *fullest_client(const struct share *share)
{
        struct share_client *fullest = share->turn;

        for (struct share_client *c = client_at(fullest->ring.next); c != share->turn;
             c = client_at(c->ring.next))
                if (c->waiting > fullest->waiting)
                        fullest = c;
        return fullest;
}

static struct share_member *fullest_member(const struct share_client *client)
{
        struct share_member *fullest = client->turn;

        for (struct share_member *m = member_at(fullest->ring.next); m != client->turn;
             m = member_at(m->ring.next))
                if (m->waiting > fullest->waiting)
                        fullest = m;
        return fullest;
}

struct share_place *share_victim(const struct share *share, const struct share_place *call)
{
        struct share_client *own = call->member->client, *client;
        struct share_member *member;

        if (!share->turn)
                return NULL;
        client = fullest_client(share);
        if (client->waiting <= own->waiting + 1)
                client = own;
        if (client->waiting == 0)
                return NULL;
        member = fullest_member(client);
        if (client == own && member->waiting <= call->member->waiting + 1)
                return NULL;
        return (void *)((char *)member->queue_end - offsetof(struct share_place, next));
}
