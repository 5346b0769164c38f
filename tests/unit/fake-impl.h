/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the fake host share: its objects, and small helpers. See fake-host.h. */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fake-host.h"
#include "fake-node.h"

/* The table of functions that the brick calls: fake-abi.c. */
extern const struct brick_host fake_table;

struct fake_host {
        const struct brick_module *module;
        struct brick_instance *self;
        struct brick_node *options;
        uint32_t type;
        pthread_mutex_t lock;
        bool healthy;
        char *said;
        size_t said_length;
        char *copy; /* of it, for the test: the brick's own threads go on writing */
};

struct block {
        struct block *next;
        size_t size;
        max_align_t memory[];
};

struct message {
        void *bytes; /* exactly as large as said, so that a sanitizer sees what goes past the end */
        size_t length;
};

struct list {
        struct message *items;
        size_t n;
};

/* The brick sees it under the name struct brick_call. */
struct fake_call {
        struct fake_host *host;
        unsigned method;
        struct message request;
        size_t memory_left;
        size_t window;
        uint64_t deadline;
        char *metadata[32]; /* key, value, key, ... */
        size_t n_metadata;
        const char *groups[4];
        size_t n_groups;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool started, refused, threaded, joined, cancelled, finished, wants, starved, closed;
        pthread_t thread;
        struct list inbox, replies;
        size_t read, taken;
        struct message reserved;
        struct block *blocks;
        size_t n_blocks;
        struct brick_timer *timers;
        void *data;
        void (*destroy)(void *data);
        ProtobufCMessage **unpacked;
        size_t n_unpacked;

        unsigned status;
        int code;
        char *text, *detail, *trailers;
        size_t trailers_length;
};

/* Adds a line to a text. */
void fake_append(char **text, size_t *length, struct brick_str line);

struct message fake_message_new(struct brick_bytes bytes);
void fake_list_add(struct list *list, struct message message);

/* Timers: fake-timer.c. The functions of the table, and what the call does with them. fire(): lock
 * held, and released meanwhile; waits for the first that is set. False: none is. */
int fake_timer_new(struct brick_call *call, void (*fire)(void *user), void *user,
                   struct brick_timer **ret);
void fake_timer_set(struct brick_timer *timer, uint64_t when);
void fake_timer_free(struct brick_timer *timer);
bool fake_timers_fire(struct fake_call *call);
void fake_timers_free(struct fake_call *call);

/* Waits until another thread has changed the call. Lock held. */
void fake_wait_change(struct fake_call *call, const char *what);

static inline void *fake_must(void *p)
{
        if (!p)
                fake_die("out of memory");
        return p;
}

static inline struct fake_call *call_of(struct brick_call *call)
{
        return (struct fake_call *)call;
}

static inline struct brick_call *brick_call(struct fake_call *call)
{
        return (struct brick_call *)call;
}

static inline void lock(struct fake_call *call)
{
        (void)pthread_mutex_lock(&call->lock);
}

static inline void unlock(struct fake_call *call)
{
        (void)pthread_cond_broadcast(&call->changed);
        (void)pthread_mutex_unlock(&call->lock);
}
