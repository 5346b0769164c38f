/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a worker counts, in memory that the main process creates and shares with it. The size
 * follows from the number of bricks and ports. The main process only reads, and trusts nothing that
 * it reads to be more than a number or a text of bounded length: a brick may have written anything
 * there.
 *
 * A counter has one writer at a time, so that counting is a load, an addition and a store. That is
 * the polling thread, unless the counter's comment says otherwise. All zero at first.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

#define STATS_METHODS 5   /* BRICK_METHOD_* */
#define STATS_STATUSES 17 /* gRPC's */
#define STATS_BUCKETS 20  /* with a bound; one more counts what is longer than all bounds */
#define STATS_TEXT_MAX 255
#define STATS_IDENTITIES 256 /* the last one is for all identities without a place of their own */
#define STATS_IDENTITY_OTHER "other"
#define STATS_NAME_MAX 63
#define STATS_GENAI 256 /* kinds of calls to models, see genai.h */
#define STATS_MODEL_MAX 127
#define STATS_BACKENDS 16 /* the most that one brick has */

typedef _Atomic uint64_t stats_counter;

/* llmbrick's error codes by group. GOOD: no error, which is code 200. */
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

/* Why a call or a connection was refused or ended. */
enum stats_reason {
        STATS_REJECTED_METHOD,      /* no brick of the port has the method */
        STATS_REJECTED_BRICK,       /* x-brick names a brick that the port does not have */
        STATS_REJECTED_REQUEST,     /* the request cannot be parsed */
        STATS_REJECTED_INCOMPLETE,  /* the request was given up or is too large, before it was whole
                                     */
        STATS_REJECTED_QUEUE,       /* the brick's queue is full */
        STATS_REJECTED_STREAMS,     /* too many health watches or reflection streams are open */
        STATS_REJECTED_IDENTITY,    /* the caller has proved no valid identity */
        STATS_REJECTED_PERMISSION,  /* the identity may not call this brick or method */
        STATS_REJECTED_RATE,        /* the identity's rate limit */
        STATS_REJECTED_CONCURRENCY, /* the identity has too many calls in flight */
        STATS_REJECTED_TOKENS,      /* the identity's tokens are used up, or reserved */
        STATS_REJECTED_CONNECTIONS, /* too many connections on the port */
        STATS_REJECTED_ADDRESS,     /* too many connections from one address */
        STATS_REJECTED_DESCRIPTORS, /* the process has no free descriptor for the connection */
        STATS_REJECTED_HEADERS,     /* a header block longer than a connection may send */
        STATS_REJECTED_RESETS,      /* the connection cancelled calls too fast */
        STATS_REJECTED_EARLY,       /* too many calls before acknowledging SETTINGS */
        STATS_REJECTED_UNREAD,      /* the client has too many replies that it does not read */
        STATS_REJECTED_STALLED,     /* the client has let a call wait for too long */
        STATS_REJECTED_MESSAGE,     /* a request that does not begin as a gRPC message */
        STATS_REJECTED_UNFINISHED,  /* too many bytes of unfinished requests on a connection */
        STATS_REJECTED_SLOW,        /* a request took too long to arrive */
        STATS_REJECTED_MEMORY,      /* too many bytes of requests in the worker */
        STATS_REJECTED_PROXY,       /* a connection that does not begin with its PROXY header */
        STATS_REJECTED_HANDSHAKE,   /* a connection that was not ready in time */
        STATS_REJECTED_TLS,         /* TLS could not be established */
        STATS_REJECTED_PROTOCOL,    /* what the client has sent is no HTTP/2 */
        STATS_REJECTED_PINGS,       /* too many PINGs */
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

/* The routes of ports with `protocol: http`. */
enum stats_route {
        STATS_ROUTE_OTHER, /* no route */
        STATS_ROUTE_CHAT,
        STATS_ROUTE_SSE,
        STATS_ROUTE_COMPLETIONS,
        STATS_ROUTE_RESPONSES,
        STATS_ROUTE_MODELS,
        STATS_ROUTE_MODEL,
        STATS_ROUTE_MODERATIONS,
        STATS_ROUTE_SEARCH,
        STATS_ROUTE_BRICKS,
        STATS_ROUTE_BRICK,
        STATS_ROUTE_BRICK_CALL,
        STATS_ROUTE_PAGE,
        STATS_ROUTE_PAGE_SCRIPT,
        STATS_ROUTE_PAGE_STYLE,
        STATS_ROUTE_OPENAPI,
        STATS_ROUTE_HEALTH,
        STATS_ROUTES,
};

#define STATS_HTTP_STATUSES 24 /* the first is for all that are not in the list */

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
        struct stats_histogram first; /* streams: from the call's start to the first message */
        struct stats_histogram gap;   /* streams: from one message to the next */
};

/* A server or a process to which a brick passes its calls on. */
enum backend_state {
        BACKEND_NONE,       /* there is no such backend */
        BACKEND_CONNECTING, /* nor has it failed yet */
        BACKEND_READY,
        BACKEND_FAILING, /* it cannot be reached, or says that it does not serve */
        BACKEND_PAUSED,  /* it is to get no new calls */
        BACKEND_STATES,
};

struct stats_backend_counters { /* counters only; any thread */
        stats_counter calls;    /* that have ended; a call that was tried again counts again */
        stats_counter failures; /* those of them that ended with another status than OK */
};

struct stats_backend {
        atomic_uint state; /* enum backend_state */
        atomic_uint in_flight;
};

struct stats_brick_counters { /* counters only */
        struct stats_method methods[STATS_METHODS];
        struct stats_histogram queue_wait; /* calls that were queued; under the instance's lock */
        stats_counter inner;               /* ended calls by other bricks; any thread */
        stats_counter inner_failed;        /* those of them that failed; any thread */
        struct stats_backend_counters backends[STATS_BACKENDS];
};

struct stats_health {
        atomic_uint version; /* a sequence lock: odd while the rest is written */
        atomic_bool bad;
        _Atomic char reason[STATS_TEXT_MAX + 1];
};

struct stats_brick {
        _Alignas(64) struct stats_brick_counters counters;
        atomic_uint in_flight; /* calls that the brick has; any thread */
        atomic_uint queued;    /* calls that wait for the brick; under the instance's lock */
        atomic_uint type;      /* BRICK_TYPE_* */
        atomic_uint methods;   /* 1 << BRICK_METHOD_*: those that ports serve */
        struct stats_health health;
        struct stats_backend backends[STATS_BACKENDS]; /* any thread */
};

struct stats_port_counters { /* counters only */
        stats_counter accepted;
        stats_counter rejected[STATS_REASONS];  /* any thread */
        stats_counter unrouted[STATS_STATUSES]; /* calls refused before a brick was chosen */
        stats_counter http[STATS_ROUTES]
                          [STATS_HTTP_STATUSES]; /* requests that have been answered */
};

struct stats_port {
        _Alignas(64) struct stats_port_counters counters;
        atomic_uint connections; /* any thread */
        /* When the certificate for new connections expires, seconds since 1970; 0: there is none.
         * The main thread writes it. */
        _Atomic uint64_t certificate_ends;
};

struct stats_builtin { /* counters only; the thread of the built-in methods writes them */
        stats_counter calls[STATS_BUILTIN_METHODS][STATS_STATUSES];
};

struct stats_identity {
        _Atomic char name[STATS_NAME_MAX + 1]; /* "": the place is free */
        stats_counter requests;
        stats_counter tokens; /* of calls of an identity whose tokens are limited; any thread */
};

/* Calls to models of one kind, if `metrics: genai:` wants them. See genai.h. */
struct stats_genai {
        _Atomic uint64_t hash; /* of the rest of the key; 0: the place is free */
        atomic_uint operation, provider, error;
        _Atomic char request_model[STATS_MODEL_MAX + 1];
        _Atomic char response_model[STATS_MODEL_MAX + 1];
        struct stats_genai_counters { /* counters only */
                struct stats_histogram duration;
                struct stats_histogram first;
                struct stats_histogram per_token;
                struct stats_histogram input; /* tokens, also their sums */
                struct stats_histogram output;
        } counters;
};

struct stats_head {
        uint64_t layout; /* STATS_LAYOUT of the main process */
        stats_counter log_dropped;
        atomic_uint open[STATS_BUILTIN_METHODS]; /* streams */
        _Alignas(64) struct stats_builtin builtin;
        _Alignas(64) struct stats_identity identities[STATS_IDENTITIES];
        _Alignas(64) struct stats_genai genai[STATS_GENAI];
};

/* Differs between versions that lay the memory out differently: a worker may be newer than the main
 * process. */
#define STATS_LAYOUT                                                                              \
        (UINT64_C(1) << 56 | sizeof(struct stats_head) << 36 | sizeof(struct stats_brick) << 16 | \
         sizeof(struct stats_port))

_Static_assert(sizeof(struct stats_head) < 1 << 20 && sizeof(struct stats_brick) < 1 << 20 &&
                       sizeof(struct stats_port) < 1 << 16,
               "STATS_LAYOUT has room for each size");

/* One process's view of the memory. */
struct stats {
        struct stats_head *head;
        struct stats_port *ports;
        size_t n_ports;
        struct stats_brick *bricks;
        size_t n_bricks;
        size_t size;
};

/* [main process] Creates the memory: a descriptor or a negative errno. */
int stats_create(size_t n_bricks, size_t n_ports);

/* [main process] Maps what stats_create() created, read-only. */
int stats_open(struct stats **ret, int fd, size_t n_bricks, size_t n_ports);

/*
 * [worker] Maps it for writing. With fd < 0, and if the main process is of another version
 * (-ESTALE), *ret is private memory that nobody else reads.
 */
int stats_attach(struct stats **ret, int fd, size_t n_bricks, size_t n_ports);
struct stats *stats_free(struct stats *stats);
DEFINE_CLEANUP(struct stats *, stats_free);

/*
 * [worker, one thread at a time] The index of an identity in stats->head->identities, where its
 * requests are counted. It stays the same for as long as the process lives.
 */
unsigned stats_identity(struct stats *stats, const char *name);

/* [any] "" if the place is free or holds what cannot be a name. */
void stats_identity_name(const struct stats_identity *identity,
                         char ret[static STATS_NAME_MAX + 1]);

extern const uint64_t stats_bounds[STATS_BUCKETS]; /* the upper ends of the buckets, ns */

const char *stats_class_to_string(enum stats_class c); /* "": GOOD */
const char *stats_reason_to_string(enum stats_reason reason);
const char *stats_builtin_to_string(enum stats_builtin_method method);
const char *backend_state_to_string(unsigned state); /* NULL: there is no such state */
const char *stats_route_to_string(enum stats_route route);

/* The status of HTTP that has this place among the counters; 0: all that have none of their own. */
unsigned stats_http_status(size_t place);
stats_counter *stats_http_counter(struct stats_port_counters *counters, enum stats_route route,
                                  unsigned status);

/* The class of the error code inside a reply. */
enum stats_class stats_class_of(int32_t code);

static inline uint64_t stats_get(const stats_counter *counter)
{
        return atomic_load_explicit(counter, memory_order_relaxed);
}

/* For the counter's only writer. */
static inline void stats_count(stats_counter *counter, uint64_t n)
{
        atomic_store_explicit(counter, stats_get(counter) + n, memory_order_relaxed);
}

/* For one of several writers. */
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

/* [any thread] Counts a call or a connection that was refused at this port. */
static inline void stats_reject(struct stats_port *port, enum stats_reason reason)
{
        stats_count_shared(&port->counters.rejected[reason]);
}

/*
 * Counters of other processes may hold anything. A counter above STATS_MAX cannot have been
 * counted, and reads as 0; sums saturate at STATS_MAX, which every JSON reader can represent.
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

/* Adds the counters of a structure that holds nothing else, of `size` bytes. `to` has one writer.
 */
void stats_add(void *to, const void *from, size_t size);

/* The number of observations. */
uint64_t stats_observed(const struct stats_histogram *histogram);

/* All calls of the method that have ended, with any status. */
uint64_t stats_ended(const struct stats_method *method);

/* All calls that have ended, and those of them that failed. */
void stats_totals(const struct stats_brick_counters *counters, uint64_t *ret_calls,
                  uint64_t *ret_failures);

/* One writer at a time. reason: at most STATS_TEXT_MAX bytes. */
void stats_set_health(struct stats_health *health, bool good, const char *reason);

/* [any] Whether the brick is healthy. The reason is valid UTF-8; its only control character is
 * '\n'. It is "" if it cannot be read. */
bool stats_get_health(const struct stats_health *health,
                      char ret_reason[static STATS_TEXT_MAX + 1]);
