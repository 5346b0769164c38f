/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/memfd.h"
#include "shared/stats.h"
#include "util/clock.h"
#include "util/utf8.h"

#define MSEC NSEC_PER_MSEC
#define SEC NSEC_PER_SEC

/* How often to try to read a reason that a worker is writing. */
#define TRIES 8

/* From a guard's quick check to a language model's long answer. */
const uint64_t stats_bounds[STATS_BUCKETS] = {
        MSEC / 10, MSEC / 4,  MSEC / 2,   1 * MSEC,   5 * MSEC / 2, 5 * MSEC,  10 * MSEC,
        25 * MSEC, 50 * MSEC, 100 * MSEC, 250 * MSEC, 500 * MSEC,   1 * SEC,   5 * SEC / 2,
        5 * SEC,   10 * SEC,  30 * SEC,   60 * SEC,   120 * SEC,    300 * SEC,
};

const char *stats_class_to_string(enum stats_class c)
{
        static const char *const names[] = {
                [STATS_CLASS_GOOD] = "",
                [STATS_CLASS_UNIMPLEMENTED] = "unimplemented",
                [STATS_CLASS_INTERNAL] = "internal",
                [STATS_CLASS_CLIENT] = "client",
                [STATS_CLASS_SERVER] = "server",
                [STATS_CLASS_GENERAL] = "general",
                [STATS_CLASS_VALIDATION] = "validation",
                [STATS_CLASS_AUTH] = "auth",
                [STATS_CLASS_MODEL] = "model",
                [STATS_CLASS_EXTERNAL] = "external",
                [STATS_CLASS_RESOURCE] = "resource",
                [STATS_CLASS_NETWORK] = "network",
                [STATS_CLASS_STORAGE] = "storage",
                [STATS_CLASS_BUSINESS] = "business",
                [STATS_CLASS_OTHER] = "other",
        };

        return names[c];
}

const char *stats_reason_to_string(enum stats_reason reason)
{
        static const char *const names[] = {
                [STATS_REJECTED_METHOD] = "unknown_method",
                [STATS_REJECTED_BRICK] = "unknown_brick",
                [STATS_REJECTED_REQUEST] = "bad_request",
                [STATS_REJECTED_INCOMPLETE] = "incomplete_request",
                [STATS_REJECTED_QUEUE] = "queue_full",
                [STATS_REJECTED_STREAMS] = "too_many_streams",
                [STATS_REJECTED_IDENTITY] = "unauthenticated",
                [STATS_REJECTED_PERMISSION] = "permission_denied",
                [STATS_REJECTED_RATE] = "rate",
                [STATS_REJECTED_CONCURRENCY] = "concurrency",
                [STATS_REJECTED_TOKENS] = "tokens",
                [STATS_REJECTED_CONNECTIONS] = "too_many_connections",
                [STATS_REJECTED_ADDRESS] = "too_many_connections_of_address",
                [STATS_REJECTED_DESCRIPTORS] = "no_descriptors",
                [STATS_REJECTED_HEADERS] = "header_flood",
                [STATS_REJECTED_RESETS] = "reset_flood",
                [STATS_REJECTED_EARLY] = "early_streams",
                [STATS_REJECTED_UNREAD] = "unread_replies",
                [STATS_REJECTED_STALLED] = "stalled",
                [STATS_REJECTED_MESSAGE] = "bad_message",
                [STATS_REJECTED_UNFINISHED] = "unfinished_requests",
                [STATS_REJECTED_SLOW] = "slow_request",
                [STATS_REJECTED_MEMORY] = "memory",
                [STATS_REJECTED_PROXY] = "proxy_header",
                [STATS_REJECTED_HANDSHAKE] = "handshake",
                [STATS_REJECTED_TLS] = "tls",
                [STATS_REJECTED_PROTOCOL] = "protocol_error",
                [STATS_REJECTED_PINGS] = "ping_flood",
        };

        return names[reason];
}

const char *stats_builtin_to_string(enum stats_builtin_method method)
{
        static const char *const names[] = {
                [STATS_BUILTIN_CHECK] = "grpc.health.v1.Health/Check",
                [STATS_BUILTIN_WATCH] = "grpc.health.v1.Health/Watch",
                [STATS_BUILTIN_REFLECTION] = "grpc.reflection.v1.ServerReflection",
                [STATS_BUILTIN_REFLECTION_ALPHA] = "grpc.reflection.v1alpha.ServerReflection",
        };

        return names[method];
}

const char *backend_state_to_string(unsigned state)
{
        static const char *const names[] = {
                [BACKEND_NONE] = "none",     [BACKEND_CONNECTING] = "connecting",
                [BACKEND_READY] = "ready",   [BACKEND_FAILING] = "failing",
                [BACKEND_PAUSED] = "paused",
        };

        return state < BACKEND_STATES ? names[state] : NULL;
}

enum stats_class stats_class_of(int32_t code)
{
        if (code >= 1000 && code <= 9999)
                return STATS_CLASS_GENERAL + (unsigned)(code / 1000 - 1);
        if (code >= 400 && code <= 499)
                return STATS_CLASS_CLIENT;
        if (code >= 500 && code <= 599)
                return STATS_CLASS_SERVER;
        if (code == 12)
                return STATS_CLASS_UNIMPLEMENTED;
        return code == 13 ? STATS_CLASS_INTERNAL : STATS_CLASS_OTHER;
}

/* --- the memory ------------------------------------------------------------------------------- */

static size_t size_of(size_t n_bricks, size_t n_ports)
{
        return sizeof(struct stats_head) + n_ports * sizeof(struct stats_port) +
               n_bricks * sizeof(struct stats_brick);
}

int stats_create(size_t n_bricks, size_t n_ports)
{
        static const uint64_t layout = STATS_LAYOUT;
        _cleanup_close_ int fd = -EBADF;

        fd = memfd_share("brickd-stats", size_of(n_bricks, n_ports));
        if (fd < 0)
                return fd;
        if (pwrite(fd, &layout, sizeof layout, offsetof(struct stats_head, layout)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int map(struct stats **ret, int protection, int flags, int fd, size_t n_bricks,
               size_t n_ports)
{
        _cleanup_free_ struct stats *stats = calloc(1, sizeof *stats);
        void *at;

        if (!stats)
                return -ENOMEM;
        stats->size = size_of(n_bricks, n_ports);
        at = mmap(NULL, stats->size, protection, flags, fd, 0);
        if (at == MAP_FAILED)
                return -errno;
        stats->head = at;
        stats->ports = (struct stats_port *)(stats->head + 1);
        stats->n_ports = n_ports;
        stats->bricks = (struct stats_brick *)(stats->ports + n_ports);
        stats->n_bricks = n_bricks;
        *ret = TAKE_PTR(stats);
        return 0;
}

int stats_open(struct stats **ret, int fd, size_t n_bricks, size_t n_ports)
{
        return map(ret, PROT_READ, MAP_SHARED, fd, n_bricks, n_ports);
}

static bool is_ours(int fd, size_t size)
{
        uint64_t layout;
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_size == (off_t)size &&
               pread(fd, &layout, sizeof layout, offsetof(struct stats_head, layout)) ==
                       (ssize_t)sizeof layout &&
               layout == STATS_LAYOUT;
}

int stats_attach(struct stats **ret, int fd, size_t n_bricks, size_t n_ports)
{
        int r;

        if (fd >= 0 && is_ours(fd, size_of(n_bricks, n_ports)))
                return map(ret, PROT_READ | PROT_WRITE, MAP_SHARED, fd, n_bricks, n_ports);
        r = map(ret, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, n_bricks, n_ports);
        return r == 0 && fd >= 0 ? -ESTALE : r;
}

struct stats *stats_free(struct stats *stats)
{
        if (!stats)
                return NULL;
        (void)munmap(stats->head, stats->size);
        free(stats);
        return NULL;
}

/* All that the name of an identity can consist of. */
static const char name_characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";

unsigned stats_identity(struct stats *stats, const char *name)
{
        struct stats_identity *identities = stats->head->identities;
        size_t length = utf8_prefix(name, strlen(name), STATS_NAME_MAX);
        char taken[STATS_NAME_MAX + 1];
        unsigned i = 0;

        for (; i < STATS_IDENTITIES - 1; i++) {
                stats_identity_name(&identities[i], taken);
                if (!*taken || (strlen(taken) == length && memcmp(taken, name, length) == 0))
                        break;
        }
        if (i == STATS_IDENTITIES - 1) {
                name = STATS_IDENTITY_OTHER;
                length = strlen(STATS_IDENTITY_OTHER);
        }
        for (size_t k = 0; k < length; k++)
                atomic_store_explicit(&identities[i].name[k], name[k], memory_order_relaxed);
        return i;
}

void stats_identity_name(const struct stats_identity *identity, char ret[static STATS_NAME_MAX + 1])
{
        for (size_t i = 0; i < STATS_NAME_MAX; i++)
                ret[i] = atomic_load_explicit(&identity->name[i], memory_order_relaxed);
        ret[STATS_NAME_MAX] = '\0';
        if (ret[strspn(ret, name_characters)])
                *ret = '\0';
}

/* --- reading and writing ---------------------------------------------------------------------- */

void stats_add(void *to, const void *from, size_t size)
{
        const stats_counter *source = from;
        stats_counter *target = to;

        for (size_t i = 0; i < size / sizeof *target; i++)
                atomic_store_explicit(&target[i],
                                      stats_sum(stats_read(&target[i]), stats_read(&source[i])),
                                      memory_order_relaxed);
}

uint64_t stats_observed(const struct stats_histogram *histogram)
{
        uint64_t sum = 0;

        for (size_t i = 0; i <= STATS_BUCKETS; i++)
                sum = stats_sum(sum, stats_read(&histogram->buckets[i]));
        return sum;
}

uint64_t stats_ended(const struct stats_method *method)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < STATS_STATUSES; i++)
                for (size_t k = 0; k < STATS_CLASSES; k++)
                        sum = stats_sum(sum, stats_read(&method->ended[i][k]));
        return sum;
}

void stats_totals(const struct stats_brick_counters *counters, uint64_t *ret_calls,
                  uint64_t *ret_failures)
{
        uint64_t calls = 0, good = 0;

        for (size_t i = 0; i < STATS_METHODS; i++) {
                const struct stats_method *method = &counters->methods[i];

                calls = stats_sum(calls, stats_ended(method));
                good = stats_sum(good, stats_read(&method->ended[0][STATS_CLASS_GOOD]));
        }
        *ret_calls = stats_sum(calls, stats_read(&counters->inner));
        *ret_failures = stats_sum(calls - good, stats_read(&counters->inner_failed));
}

void stats_set_health(struct stats_health *health, bool good, const char *reason)
{
        size_t i = 0;

        (void)atomic_fetch_add(&health->version, 1);
        atomic_store(&health->bad, !good);
        for (; reason[i] && i < STATS_TEXT_MAX; i++)
                atomic_store_explicit(&health->reason[i], reason[i], memory_order_relaxed);
        atomic_store_explicit(&health->reason[i], '\0', memory_order_relaxed);
        (void)atomic_fetch_add(&health->version, 1);
}

static bool read_reason(const struct stats_health *health, char ret[static STATS_TEXT_MAX + 1])
{
        unsigned version = atomic_load(&health->version);
        size_t i = 0;

        for (; i < STATS_TEXT_MAX; i++) {
                ret[i] = atomic_load_explicit(&health->reason[i], memory_order_acquire);
                if (!ret[i])
                        break;
        }
        ret[i] = '\0';
        return version % 2 == 0 && atomic_load(&health->version) == version;
}

bool stats_get_health(const struct stats_health *health, char ret_reason[static STATS_TEXT_MAX + 1])
{
        bool whole = false;

        for (int i = 0; !whole && i < TRIES; i++)
                whole = read_reason(health, ret_reason);
        if (!whole || !utf8_valid(ret_reason, strlen(ret_reason)))
                *ret_reason = '\0';
        utf8_clean(ret_reason, strlen(ret_reason));
        return !atomic_load(&health->bad);
}

/* --- HTTP ---------------------------------------------------------------------------------------
 */

const char *stats_route_to_string(enum stats_route route)
{
        static const char *const names[] = {
                [STATS_ROUTE_OTHER] = "other",
                [STATS_ROUTE_CHAT] = "/v1/chat/completions",
                [STATS_ROUTE_MODELS] = "/v1/models",
                [STATS_ROUTE_MODEL] = "/v1/models/{id}",
                [STATS_ROUTE_SSE] = "/chat/completions",
                [STATS_ROUTE_COMPLETIONS] = "/v1/completions",
                [STATS_ROUTE_RESPONSES] = "/v1/responses",
                [STATS_ROUTE_MODERATIONS] = "/v1/moderations",
                [STATS_ROUTE_SEARCH] = "/v1/vector_stores/{brick}/search",
                [STATS_ROUTE_BRICKS] = "/v1/bricks",
                [STATS_ROUTE_BRICK] = "/v1/bricks/{name}",
                [STATS_ROUTE_BRICK_CALL] = "/v1/bricks/{name}/{method}",
                [STATS_ROUTE_PAGE] = "/",
                [STATS_ROUTE_PAGE_SCRIPT] = "/app.js",
                [STATS_ROUTE_PAGE_STYLE] = "/style.css",
                [STATS_ROUTE_OPENAPI] = "/openapi.json",
                [STATS_ROUTE_HEALTH] = "/health",
        };

        return names[route];
}

unsigned stats_http_status(size_t place)
{
        static const unsigned statuses[STATS_HTTP_STATUSES] = {
                0,   200, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409,
                413, 415, 422, 429, 431, 499, 500, 501, 502, 503, 504, 505,
        };

        return statuses[place];
}

stats_counter *stats_http_counter(struct stats_port_counters *counters, enum stats_route route,
                                  unsigned status)
{
        size_t place = STATS_HTTP_STATUSES;

        while (--place > 0 && stats_http_status(place) != status)
                ;
        return &counters->http[route][place];
}
