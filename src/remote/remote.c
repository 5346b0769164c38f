/* SPDX-License-Identifier: MIT */

/*
 * The built-in module `remote`: a brick that is somewhere else. This file has its options; the
 * calls are relayed by relay.c.
 */

#include <errno.h>
#include <grpc/grpc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BRICK_STATIC remote

#include "brick.h"
#include "conf/option.h"
#include "config.h"
#include "module/instance.h"
#include "remote/address.h"
#include "remote/client.h"
#include "remote/service-config.h"
#include "remote/tls-files.h"
#include "serve/service.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* What create() reads, and what the client copies of it. */
struct plan {
        const struct brick_host *host;
        struct brick_ctx *ctx;
        const struct brick_node *config;
        struct upstream_settings upstream;
        struct backend_settings backends[STATS_BACKENDS]; /* the addresses are owned */
        struct backend_settings common;                   /* the service config and key_file are */
        bool wrong; /* there is a mistake, which has been reported */
};

static const struct brick_node *get(const struct brick_host *host, const struct brick_node *map,
                                    const char *key)
{
        return map ? host->node_get(map, key) : NULL;
}

/* NULL: the option is not given. */
static const char *text_of(const struct plan *plan, const struct brick_node *node)
{
        return node ? plan->host->node_str(node).ptr : NULL;
}

#define BLAME(plan, node, ...)                                                   \
        do {                                                                     \
                brick_node_errorf((plan)->host, (plan)->ctx, node, __VA_ARGS__); \
                (plan)->wrong = true;                                            \
        } while (0)

/* --- backends --------------------------------------------------------------------------------- */

static void read_address(struct plan *plan, const struct brick_node *node)
{
        const char *text = text_of(plan, node), *why;
        char *address;

        if (plan->upstream.n_backends == STATS_BACKENDS) {
                BLAME(plan, node, "is one backend too many: a brick has at most %d",
                      STATS_BACKENDS);
                return;
        }
        address = address_parse(text, &why);
        if (!address) {
                BLAME(plan, node, "'%s' %s", text, why ? why : "cannot be read: out of memory");
                return;
        }
        for (size_t i = 0; i < plan->upstream.n_backends; i++)
                if (strcmp(plan->backends[i].address, address) == 0)
                        BLAME(plan, node, "'%s' is there twice", text);
        plan->backends[plan->upstream.n_backends++] = (struct backend_settings){
                .address = address,
        };
}

static void read_addresses(struct plan *plan)
{
        const struct brick_node *to = plan->host->node_get(plan->config, "to");
        size_t n = plan->host->node_size(to);

        if (n == 0)
                BLAME(plan, to, "needs an address");
        for (size_t i = 0; i < n && i <= STATS_BACKENDS; i++)
                read_address(plan, plan->host->node_at(to, i));
}

/* Metadata must be printable ASCII; the name also stands in JSON. */
static void read_brick(struct plan *plan)
{
        const struct brick_node *node = plan->host->node_get(plan->config, "brick");
        const char *name = text_of(plan, node);

        for (const char *p = name; p && *p; p++)
                if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\') {
                        BLAME(plan, node, "is no name of a brick");
                        return;
                }
        plan->upstream.brick = name;
}

static bool all_local(const struct plan *plan)
{
        for (size_t i = 0; i < plan->upstream.n_backends; i++)
                if (!address_is_local(plan->backends[i].address))
                        return false;
        return true;
}

static void read_token(struct plan *plan)
{
        const struct brick_node *node = plan->host->node_get(plan->config, "token");
        const char *token = text_of(plan, node);

        if (!token)
                return;
        if (!*token) { /* the secret cannot be read, which has been reported */
                plan->wrong = true;
                return;
        }
        if (strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                          "0123456789-._~+/=") < strlen(token))
                BLAME(plan, node, "is no bearer token: letters, digits and -._~+/=");
        if (!plan->common.tls && !all_local(plan))
                BLAME(plan, node, "would cross the network as plain text: it needs 'tls'");
        plan->upstream.token = token;
}

/* --- choice ----------------------------------------------------------------------------------- */

static void read_affinity(struct plan *plan)
{
        const struct brick_node *node = plan->host->node_get(plan->config, "affinity");
        const char *key = text_of(plan, node);

        if (!key)
                return;
        plan->upstream.choice = UPSTREAM_AFFINITY;
        if (plan->upstream.n_backends < 2)
                BLAME(plan, node, "chooses among the addresses of 'to', and there is only one");
        if (strcmp(key, "session_id") == 0) {
                if (service_of_type(plan->host->type(plan->ctx))->session_id == 0)
                        BLAME(plan, node,
                              "requests of this type have no session_id: name a key of the "
                              "metadata");
                return;
        }
        if (!grpc_header_key_is_legal(grpc_slice_from_static_string(key)))
                BLAME(plan, node, "is neither 'session_id' nor a key of metadata");
        plan->upstream.affinity = key;
}

static void read_balance(struct plan *plan, struct service_config *config)
{
        const struct brick_host *host = plan->host;
        const struct brick_node *check = host->node_get(plan->config, "health_check");

        config->balance = text_of(plan, host->node_get(plan->config, "balance"));
        if (!host->node_int(check))
                return;
        config->health_service = plan->upstream.brick ? plan->upstream.brick : "";
        if (strcmp(config->balance, "round_robin") != 0)
                BLAME(plan, check, "needs 'balance: round_robin'");
        for (size_t i = 0; i < plan->upstream.n_backends; i++)
                if (address_is_unix(plan->backends[i].address))
                        BLAME(plan, check,
                              "is not for a unix socket (%s): a program on this machine is "
                              "connected or it is not",
                              plan->backends[i].address);
}

static void read_eject(struct plan *plan, struct service_config *config)
{
        const struct brick_host *host = plan->host;
        const struct brick_node *eject = host->node_get(plan->config, "eject");
        const struct brick_node *failures = get(host, eject, "failures");
        const char *percent = text_of(plan, failures);
        char *end;
        unsigned long n;

        if (!eject)
                return;
        n = strtoul(percent, &end, 10);
        if (end == percent || strcmp(end, "%") != 0 || n < 1 || n > 99) {
                BLAME(plan, failures, "expected a percentage from 1%% to 99%%, got '%s'", percent);
                return;
        }
        config->eject_percent = (unsigned)n;
        config->eject_calls = (unsigned)host->node_int(get(host, eject, "calls"));
        config->eject_interval = host->node_int(get(host, eject, "interval"));
        config->eject_time = host->node_int(get(host, eject, "for"));
}

/* --- retries ---------------------------------------------------------------------------------- */

#define STATUSES "unavailable|resource_exhausted|aborted|internal|unknown|deadline_exceeded"
#define STATUSES_MAX 6

/* A call of these may cost much or change something, so it is tried again only if that is asked
 * for. */
static bool is_safe_to_repeat(unsigned type)
{
        return type != BRICK_TYPE_LLM && type != BRICK_TYPE_COMMON;
}

static void read_retry(struct plan *plan, struct service_config *config,
                       const char *statuses[static STATUSES_MAX])
{
        const struct brick_host *host = plan->host;
        const struct brick_node *retry = host->node_get(plan->config, "retry");
        const struct brick_node *on = get(host, retry, "on");

        config->statuses = statuses;
        if (!retry) {
                config->attempts = is_safe_to_repeat(host->type(plan->ctx)) ? 3 : 1;
                statuses[config->n_statuses++] = "unavailable";
                return;
        }
        config->attempts = (unsigned)host->node_int(get(host, retry, "attempts"));
        for (size_t i = 0; i < host->node_size(on); i++) {
                if (i == STATUSES_MAX) {
                        BLAME(plan, on, "has a status twice");
                        return;
                }
                statuses[config->n_statuses++] = text_of(plan, host->node_at(on, i));
        }
}

static int read_service_config(struct plan *plan)
{
        struct service_config config = {};
        const char *statuses[STATUSES_MAX];

        read_balance(plan, &config);
        read_eject(plan, &config);
        read_retry(plan, &config, statuses);
        plan->common.service_config = service_config_json(&config);
        return plan->common.service_config ? 0 : -ENOMEM;
}

/* --- TLS -------------------------------------------------------------------------------------- */

static void check_files(struct plan *plan, const struct brick_node *tls)
{
        static const char *const keys[] = {
                [TLS_CA] = "ca", [TLS_CERTIFICATE] = "certificate", [TLS_KEY] = "key"
        };
        struct tls_text text;
        struct tls_fault fault;
        int r;

        r = tls_text_read(&text, &plan->common, &fault);
        if (r == -EINVAL)
                BLAME(plan, get(plan->host, tls, keys[fault.what]), "%s", fault.why);
        tls_text_done(&text);
}

static void read_tls(struct plan *plan)
{
        const struct brick_host *host = plan->host;
        const struct brick_node *tls = host->node_get(plan->config, "tls");
        const struct brick_node *key = get(host, tls, "key");

        if (!tls)
                return;
        plan->common.tls = true;
        plan->common.ca = text_of(plan, get(host, tls, "ca"));
        plan->common.certificate = text_of(plan, get(host, tls, "certificate"));
        plan->common.server_name = text_of(plan, get(host, tls, "server_name"));
        if (!plan->common.certificate != !key) {
                BLAME(plan, tls, "'certificate' and 'key' belong together: give both or neither");
                return;
        }
        if (key) {
                plan->common.key = text_of(plan, key);
                plan->wrong = plan->wrong || !*plan->common.key; /* as of a token */
                plan->common.key_file = option_secret_path((const struct node *)key,
                                                           plan->ctx->base);
        }
        if (!plan->wrong)
                check_files(plan, tls);
}

/* --- the module ------------------------------------------------------------------------------- */

static int read_options(struct plan *plan)
{
        const struct brick_host *host = plan->host;
        const struct brick_node *keepalive = host->node_get(plan->config, "keepalive");

        read_addresses(plan);
        read_brick(plan);
        read_tls(plan);
        read_token(plan);
        read_affinity(plan);
        plan->common.keepalive_time = host->node_int(get(host, keepalive, "time"));
        plan->common.keepalive_timeout = host->node_int(get(host, keepalive, "timeout"));
        plan->upstream.first_token = (uint64_t)host->node_int(
                host->node_get(plan->config, "first_token"));
        plan->upstream.stall = (uint64_t)host->node_int(host->node_get(plan->config, "stall"));
        plan->upstream.errors_as_status = strcmp(text_of(plan,
                                                         host->node_get(plan->config, "errors")),
                                                 "status") == 0;
        return read_service_config(plan);
}

static void forget(struct plan *plan)
{
        for (size_t i = 0; i < plan->upstream.n_backends; i++)
                free((char *)plan->backends[i].address);
        free((char *)plan->common.service_config);
        free((char *)plan->common.key_file);
}

static int make(struct plan *plan, struct upstream **ret)
{
        int r;

        r = read_options(plan);
        if (r < 0 || plan->wrong)
                return r < 0 ? r : -EINVAL;
        for (size_t i = 0; i < plan->upstream.n_backends; i++) {
                const char *address = plan->backends[i].address;

                plan->backends[i] = plan->common;
                plan->backends[i].address = address;
        }
        plan->upstream.backends = plan->backends;
        return upstream_new(ret, &plan->upstream);
}

/* The instance is the upstream. */
static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        struct plan plan = {
                .host = host,
                .ctx = ctx,
                .config = config,
                .upstream = { .host = host, .ctx = ctx },
        };
        struct upstream *upstream = NULL;
        int r;

        r = make(&plan, &upstream);
        forget(&plan);
        *ret = (struct brick_instance *)upstream;
        return r;
}

static struct upstream *upstream_of(struct brick_instance *self)
{
        return (struct upstream *)self;
}

static void destroy(struct brick_instance *self)
{
        (void)upstream_free(upstream_of(self));
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        return upstream_start(upstream_of(self), call, method);
}

static void message(struct brick_instance *self, struct brick_call *call,
                    const struct brick_bytes *bytes)
{
        upstream_message(upstream_of(self), call, bytes);
}

static void writable(struct brick_instance *self, struct brick_call *call)
{
        upstream_writable(upstream_of(self), call);
}

static void cancel(struct brick_instance *self, struct brick_call *call)
{
        upstream_cancel(upstream_of(self), call);
}

static const struct brick_option address = { .name = "address", .type = BRICK_STRING };
static const struct brick_option status = {
        .name = "status",
        .type = BRICK_ENUM,
        .choices = STATUSES,
};

static const struct brick_option retry[] = {
        { .name = "attempts",
          .type = BRICK_INT,
          .fallback = "3",
          .min = 1,
          .max = 5,
          .summary = "how often a call is tried at most; 1: it is not tried again" },
        { .name = "on",
          .type = BRICK_LIST,
          .flags = BRICK_OPTION_ONE_OR_MORE,
          .fallback = "unavailable",
          .items = &status,
          .summary = "the statuses after which it is tried again: " STATUSES },
        {},
};

static const struct brick_option eject[] = {
        { .name = "failures",
          .type = BRICK_STRING,
          .fallback = "50%",
          .summary = "a server of which more calls than this fail gets none for a while" },
        { .name = "calls",
          .type = BRICK_INT,
          .fallback = "5",
          .min = 1,
          .max = 1000000,
          .summary = "in an interval with fewer calls a server is not judged" },
        { .name = "interval",
          .type = BRICK_DURATION,
          .fallback = "1s",
          .min = 100 * (int64_t)NSEC_PER_MSEC,
          .max = 3600 * (int64_t)NSEC_PER_SEC,
          .summary = "how often servers are judged" },
        { .name = "for",
          .type = BRICK_DURATION,
          .fallback = "10s",
          .min = 100 * (int64_t)NSEC_PER_MSEC,
          .max = 3600 * (int64_t)NSEC_PER_SEC,
          .summary = "how long it gets none; longer each time" },
        {},
};

static const struct brick_option keepalive[] = {
        { .name = "time",
          .type = BRICK_DURATION,
          .fallback = "20s",
          .min = (int64_t)NSEC_PER_SEC,
          .max = 3600 * (int64_t)NSEC_PER_SEC,
          .summary = "silence after which a server is asked whether it is still there" },
        { .name = "timeout",
          .type = BRICK_DURATION,
          .fallback = "5s",
          .min = 100 * (int64_t)NSEC_PER_MSEC,
          .max = 3600 * (int64_t)NSEC_PER_SEC,
          .summary = "time for its answer; without one its calls fail" },
        {},
};

static const struct brick_option tls[] = {
        { .name = "ca",
          .type = BRICK_PATH,
          .summary = "file of the CA certificates; default: those of the system" },
        { .name = "certificate",
          .type = BRICK_PATH,
          .summary = "file of the certificate that is shown to the server" },
        { .name = "key", .type = BRICK_SECRET, .summary = "its private key" },
        { .name = "server_name",
          .type = BRICK_STRING,
          .summary = "name in the server's certificate; default: the host of the address" },
        {},
};

static const struct brick_option options[] = {
        { .name = "type",
          .type = BRICK_ENUM,
          .flags = BRICK_OPTION_REQUIRED,
          .choices = "Common|Rectify|Intention|Guard|LLM|Compose|Retrieval|Translate",
          .summary = "type of the brick there" },
        { .name = "to",
          .type = BRICK_LIST,
          .flags = BRICK_OPTION_REQUIRED | BRICK_OPTION_ONE_OR_MORE,
          .items = &address,
          .summary = "where it is: one address or several, in order of preference" },
        { .name = "brick", .type = BRICK_STRING, .summary = "its name there, sent as x-brick" },
        { .name = "balance",
          .type = BRICK_ENUM,
          .choices = "round_robin|pick_first",
          .fallback = "round_robin",
          .summary = "how calls are shared among the servers behind one address" },
        { .name = "affinity",
          .type = BRICK_STRING,
          .summary = "session_id, or a key of metadata: calls with the same value go to the same "
                     "address" },
        { .name = "health_check",
          .type = BRICK_BOOL,
          .fallback = "false",
          .summary = "ask servers for their health, and give those that are not serving no calls" },
        { .name = "retry",
          .type = BRICK_MAP,
          .items = retry,
          .summary = "when a call is tried again; default: 3 attempts on unavailable, and for LLM "
                     "and Common 1" },
        { .name = "eject",
          .type = BRICK_MAP,
          .items = eject,
          .summary = "give a server whose calls fail none for a while" },
        { .name = "keepalive",
          .type = BRICK_MAP,
          .fallback = "{}",
          .items = keepalive,
          .summary = "how a server that hangs is noticed" },
        { .name = "first_token",
          .type = BRICK_DURATION,
          .max = 86400 * (int64_t)NSEC_PER_SEC,
          .summary =
                  "time for the first reply of a stream, before another address is tried; default: "
                  "no limit" },
        { .name = "stall",
          .type = BRICK_DURATION,
          .max = 86400 * (int64_t)NSEC_PER_SEC,
          .summary = "time for each further reply of a stream; default: no limit" },
        { .name = "tls", .type = BRICK_MAP, .items = tls, .summary = "encrypt the connections" },
        { .name = "token", .type = BRICK_SECRET, .summary = "bearer token that proves who calls" },
        { .name = "errors",
          .type = BRICK_ENUM,
          .choices = "in-band|status",
          .fallback = "in-band",
          .summary = "status: ask a brickd for gRPC statuses, so that its errors count for "
                     "'retry' and 'eject'" },
        {},
};

BRICK_MODULE(.type = BRICK_TYPE_ANY,
             .methods = 1 << BRICK_METHOD_SERVICE_INFO | 1 << BRICK_METHOD_UNARY |
                        1 << BRICK_METHOD_OUTPUT_STREAMING | 1 << BRICK_METHOD_INPUT_STREAMING |
                        1 << BRICK_METHOD_BIDI_STREAMING,
             .name = "remote", .version = BRICKD_VERSION, .summary = "a brick on another server",
             .host_minor = 3, .options = options, .create = create, .destroy = destroy,
             .start = start, .message = message, .writable = writable, .cancel = cancel);
