/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a worker counts, in memory that it shares with the main process, which has made it: how much
 * there is follows from the number of bricks and ports. The main process only reads, and takes
 * nothing that it reads for more than a number or a text of bounded length: a brick may have
 * scribbled there.
 *
 * A counter has one writer at a time, so that counting is a load, an addition and a store: the
 * polling thread, unless its comment says otherwise. All zero is how everything begins.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

#define STATS_METHODS 5   /* BRICK_METHOD_* */
#define STATS_STATUSES 17 /* gRPC's */
#define STATS_BUCKETS 20  /* and one for what is longer than all of them */
#define STATS_TEXT_MAX 255
#define STATS_IDENTITIES 256 /* the last is for all that find no other place */
#define STATS_IDENTITY_OTHER "other"
#define STATS_NAME_MAX 63

typedef _Atomic uint64_t stats_counter;

/* llmbrick's error codes in groups; GOOD is code 200. */
enum stats_class {
        STATS_CLASS_GOOD,
        STATS_CLASS_UNIMPLEMENTED, /* 12 */
        STATS_CLASS_INTERNAL,      /* 13 */
        STATS_CLASS_CLIENT,        /* 400 to 499 */
        STATS_CLASS_SERVER,        /* 500 to 599 */
        STATS_CLASS_GENERAL,       /* 1000 to 1999, and so on */
        STATS_CLASS_VALIDATION,
        STATS_CLASS_AUTH,
        STATS_CLASS_MODEL,
        STATS_CLASS_EXTERNAL,
        STATS_CLASS_RESOURCE,
        STATS_CLASS_NETWORK,
        STATS_CLASS_STORAGE,
        STATS_CLASS_BUSINESS, /* 9000 to 9999 */
        STATS_CLASS_OTHER,
        STATS_CLASSES,
};

/* Why something was not let in. */
enum stats_reason {
        STATS_REJECTED_METHOD,      /* nobody serves it */
        STATS_REJECTED_BRICK,       /* x-brick asks for one that is not there */
        STATS_REJECTED_REQUEST,     /* it cannot be parsed */
        STATS_REJECTED_QUEUE,       /* the brick's is full */
        STATS_REJECTED_STREAMS,     /* too many watches or reflection streams are open */
        STATS_REJECTED_IDENTITY,    /* none, or not a valid one */
        STATS_REJECTED_PERMISSION,  /* not for this brick or method */
        STATS_REJECTED_RATE,        /* of the identity's requests */
        STATS_REJECTED_CONCURRENCY, /* of the identity's requests */
        STATS_REJECTED_CONNECTIONS, /* too many on the port */
        STATS_REJECTED_ADDRESS,     /* too many from one address */
        STATS_REJECTED_DESCRIPTORS, /* the process has no descriptor left for the connection */
        STATS_REJECTED_HEADERS,     /* larger than a connection may send */
        STATS_REJECTED_RESETS,      /* more calls cancelled than a connection may */
        STATS_REJECTED_EARLY,       /* calls without regard to the settings */
        STATS_REJECTED_UNREAD,      /* the client does not read the replies it has */
        STATS_REJECTED_STALLED,     /* it has let a call wait for too long */
        STATS_REJECTED_MESSAGE,     /* a request that begins like no message */
        STATS_REJECTED_UNFINISHED,  /* requests of a connection that have not ended: too much */
        STATS_REJECTED_SLOW,        /* one of them: for too long */
        STATS_REJECTED_MEMORY,      /* those of all connections: too much */
        STATS_REASONS,
};

/* The methods that brickd answers itself. */
enum stats_builtin_method {
        STATS_BUILTIN_CHECK,
        STATS_BUILTIN_WATCH,
        STATS_BUILTIN_REFLECTION,
        STATS_BUILTIN_REFLECTION_ALPHA,
        STATS_BUILTIN_METHODS,
};

struct stats_histogram {
        stats_counter buckets[STATS_BUCKETS + 1]; /* not cumulative */
        stats_counter sum;                        /* ns */
};

struct stats_method { /* counters only: see stats_add() */
        stats_counter begun;
        stats_counter ended[STATS_STATUSES][STATS_CLASSES];
        stats_counter received; /* messages */
        stats_counter received_bytes;
        stats_counter sent;
        stats_counter sent_bytes;
        struct stats_histogram duration;
        struct stats_histogram first; /* of streams: from the beginning to the first message, */
        struct stats_histogram gap;   /* and from one message to the next */
};

struct stats_brick_counters { /* counters only */
        struct stats_method methods[STATS_METHODS];
        struct stats_histogram queue_wait; /* of calls that had to; under the instance's lock */
        stats_counter inner;               /* calls by other bricks that have ended; any thread */
        stats_counter inner_failed;
};

struct stats_health {
        atomic_uint version; /* odd: it is being written */
        atomic_bool bad;
        _Atomic char reason[STATS_TEXT_MAX + 1];
};

struct stats_brick {
        _Alignas(64) struct stats_brick_counters counters;
        atomic_uint in_flight; /* calls the brick holds; any thread */
        atomic_uint queued;    /* calls that wait for it; under the instance's lock */
        atomic_uint type;      /* BRICK_TYPE_* */
        atomic_uint methods;   /* 1 << BRICK_METHOD_*: those that ports serve */
        struct stats_health health;
};

struct stats_port_counters { /* counters only */
        stats_counter accepted;
        stats_counter rejected[STATS_REASONS];  /* any thread */
        stats_counter unrouted[STATS_STATUSES]; /* calls that have not come as far as to a brick */
};

struct stats_port {
        _Alignas(64) struct stats_port_counters counters;
        atomic_uint connections; /* any thread */
        /* In seconds since 1970, the end of the certificate that new connections get; 0: there is
         * none. The main thread writes it. */
        _Atomic uint64_t certificate_ends;
};

struct stats_builtin { /* counters only; the thread of the built-in methods writes them */
        stats_counter calls[STATS_BUILTIN_METHODS][STATS_STATUSES];
};

struct stats_identity {
        _Atomic char name[STATS_NAME_MAX + 1]; /* empty: the place is free */
        stats_counter requests;
};

struct stats_head {
        uint64_t layout; /* STATS_LAYOUT of the main process */
        stats_counter log_dropped;
        atomic_uint open[STATS_BUILTIN_METHODS]; /* streams */
        _Alignas(64) struct stats_builtin builtin;
        _Alignas(64) struct stats_identity identities[STATS_IDENTITIES];
};

/* Changes whenever a program may understand the memory differently: workers may be newer. */
#define STATS_LAYOUT                                                                              \
        (UINT64_C(1) << 56 | sizeof(struct stats_head) << 36 | sizeof(struct stats_brick) << 16 | \
         sizeof(struct stats_port))

/* One process's view of the memory. */
struct stats {
        struct stats_head *head;
        struct stats_port *ports;
        size_t n_ports;
        struct stats_brick *bricks;
        size_t n_bricks;
        size_t size;
};

/* A memfd that nobody can resize. [main process] */
int stats_create(size_t n_bricks, size_t n_ports);

/* Maps what stats_create() made, read only. [main process] */
int stats_open(struct stats **ret, int fd, size_t n_bricks, size_t n_ports);

/*
 * Maps it for writing. -ESTALE: the main process is of another version, nobody will read what is
 * counted; that, and fd < 0, gives private memory. [worker]
 */
int stats_attach(struct stats **ret, int fd, size_t n_bricks, size_t n_ports);
struct stats *stats_free(struct stats *stats);
DEFINE_CLEANUP(struct stats *, stats_free);

/*
 * The place of an identity among stats->head->identities, where its requests are counted: it is
 * that for as long as the process lives. One thread at a time. [worker]
 */
unsigned stats_identity(struct stats *stats, const char *name);

/* Empty: the place is free, or holds what cannot be a name. [any] */
void stats_identity_name(const struct stats_identity *identity,
                         char ret[static STATS_NAME_MAX + 1]);

extern const uint64_t stats_bounds[STATS_BUCKETS]; /* of a histogram's buckets, ns */

const char *stats_class_to_string(enum stats_class c); /* "": GOOD */
const char *stats_reason_to_string(enum stats_reason reason);
const char *stats_builtin_to_string(enum stats_builtin_method method);

/* Of an in-band error's code. */
enum stats_class stats_class_of(int32_t code);

static inline uint64_t stats_get(const stats_counter *counter)
{
        return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The counter's one writer. */
static inline void stats_count(stats_counter *counter, uint64_t n)
{
        atomic_store_explicit(counter, stats_get(counter) + n, memory_order_relaxed);
}

/* One of many writers. */
static inline void stats_count_shared(stats_counter *counter)
{
        (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline void stats_observe(struct stats_histogram *histogram, uint64_t ns)
{
        unsigned i = 0;

        while (i < STATS_BUCKETS && ns > stats_bounds[i])
                i++;
        stats_count(&histogram->buckets[i], 1);
        stats_count(&histogram->sum, ns);
}

/* A call, a request or a connection has been refused at this port. [any] */
static inline void stats_reject(struct stats_port *port, enum stats_reason reason)
{
        stats_count_shared(&port->counters.rejected[reason]);
}

/*
 * Counters of other processes may hold anything. They are read and added up so that no sum is more
 * than STATS_MAX, which every reader of JSON can take: larger counters count as 0, as none comes so
 * far, and larger sums stay there.
 */
#define STATS_MAX ((uint64_t)INT64_MAX)

static inline uint64_t stats_read(const stats_counter *counter)
{
        uint64_t n = stats_get(counter);

        return n <= STATS_MAX ? n : 0;
}

static inline uint64_t stats_sum(uint64_t a, uint64_t b)
{
        return b <= STATS_MAX - a ? a + b : STATS_MAX;
}

/* Adds counters of `size` bytes, a structure of nothing else. `to` has one writer. */
void stats_add(void *to, const void *from, size_t size);

/* How many times. */
uint64_t stats_observed(const struct stats_histogram *histogram);

/* Calls of the method that have ended, however. */
uint64_t stats_ended(const struct stats_method *method);

/* All calls that have ended, and those that have not ended well. */
void stats_totals(const struct stats_brick_counters *counters, uint64_t *ret_calls,
                  uint64_t *ret_failures);

/* One writer at a time. reason: at most STATS_TEXT_MAX bytes. */
void stats_set_health(struct stats_health *health, bool good, const char *reason);

/* False: it is not good; the reason is UTF-8 without control characters but '\n', and empty if it
 * cannot be had. [any] */
bool stats_get_health(const struct stats_health *health,
                      char ret_reason[static STATS_TEXT_MAX + 1]);
