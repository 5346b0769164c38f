/* SPDX-License-Identifier: MIT */
#include "worker/process-brick.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "conf/process.h"
#include "config.h"
#include "module/instance.h"
#include "remote/client.h"
#include "shared/programs.h"
#include "util/cleanup.h"

#define STATUS_UNAVAILABLE 14

_Static_assert(PROCESSES_MAX == STATS_BACKENDS, "every process has a row");

struct brick_instance {
        struct brick_instance *next;
        const struct brick_host *host;
        struct brick_ctx *ctx;
        struct upstream *upstream;   /* NULL: with --check, which runs no process */
        size_t rows[STATS_BACKENDS]; /* of its processes in `programs` */
        size_t n;
        bool waits;     /* a call waits for a process, as limits.queue allows */
        char lost[128]; /* what the calls are told that a process had when it died */
};

static struct {
        const struct conf *conf; /* this and the next: set before the first brick is created */
        const struct programs *programs;
        struct brick_instance *bricks; /* [main] */
} all;

void process_bricks_attach(const struct conf *conf, const struct programs *programs)
{
        all.conf = conf;
        all.programs = programs;
}

/* --- how the processes are -------------------------------------------------------------------- */

/* Only a process that is ready gets new calls. The memory is read again: another thread may have
 * read it later, and paused or not paused by that before. [any] */
static enum program_health look_at(const struct brick_instance *self, size_t i)
{
        enum program_health health, before;

        health = programs_health(all.programs, self->rows[i]);
        do {
                before = health;
                if (health == PROGRAM_LEAVING)
                        upstream_leave(self->upstream, i);
                else
                        upstream_pause(self->upstream, i, health != PROGRAM_READY);
                health = programs_health(all.programs, self->rows[i]);
        } while (health != before);
        return health;
}

static void update(struct brick_instance *self)
{
        unsigned ready = 0;
        char reason[96];

        for (size_t i = 0; i < self->n; i++)
                ready += look_at(self, i) == PROGRAM_READY;
        (void)snprintf(reason, sizeof reason, "none of its %zu processes is ready", self->n);
        self->host->set_health(self->ctx, ready > 0,
                               brick_str(self->n > 1 ? reason : "its process is not ready"));
}

/* A process serves, or may do so soon. The main process may have written how they are since the
 * last update(), which another thread makes when it has time. */
static bool is_hopeful(const struct brick_instance *self)
{
        bool hopeful = false;

        for (size_t i = 0; i < self->n; i++)
                hopeful |= look_at(self, i) != PROGRAM_FAILING;
        return hopeful;
}

void process_bricks_update(void)
{
        for (struct brick_instance *self = all.bricks; self; self = self->next)
                if (self->upstream)
                        update(self);
}

/* What the connection says is not news: the main process knows more of the process. */
static void on_backend(void *user, size_t backend, enum backend_state state)
{
}

/* --- the brick -------------------------------------------------------------------------------- */

static void find_rows(struct brick_instance *self)
{
        size_t brick = (size_t)(self->ctx->instance->conf - all.conf->bricks);

        for (size_t i = 0; i < programs_count(all.programs) && self->n < STATS_BACKENDS; i++)
                if (programs_brick(all.programs, i) == brick)
                        self->rows[self->n++] = i;
}

static int connect_processes(struct brick_instance *self)
{
        char addresses[STATS_BACKENDS][PROGRAM_SOCKET_MAX + 8];
        struct backend_settings backends[STATS_BACKENDS] = {};
        const struct upstream_settings settings = {
                .host = self->host,
                .ctx = self->ctx,
                .backends = backends,
                .n_backends = self->n,
                .choice = UPSTREAM_FEWEST,
                .once = true,
                .wait_for_ready = self->waits,
                .lost = self->lost,
                .changed = on_backend,
        };

        for (size_t i = 0; i < self->n; i++) {
                (void)snprintf(addresses[i], sizeof addresses[i], "unix:%s",
                               programs_socket(all.programs, self->rows[i]));
                backends[i].address = addresses[i];
        }
        return upstream_new(&self->upstream, &settings);
}

static void destroy(struct brick_instance *self)
{
        struct brick_instance **link = &all.bricks;

        while (*link && *link != self)
                link = &(*link)->next;
        if (*link)
                *link = self->next;
        (void)upstream_free(self->upstream);
        free(self);
}
DEFINE_CLEANUP(struct brick_instance *, destroy);

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        _cleanup_(destroyp) struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        if (!self)
                return -ENOMEM;
        self->host = host;
        self->ctx = ctx;
        self->waits = ctx->instance->conf->limits.queue > 0;
        (void)snprintf(self->lost, sizeof self->lost, "The process of brick '%.64s' has died",
                       ctx->instance->conf->name);
        find_rows(self);
        if (self->n > 0) {
                r = connect_processes(self);
                if (r < 0)
                        return r;
        }
        self->next = all.bricks;
        all.bricks = self;
        *ret = TAKE_PTR(self);
        return 0;
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        if (is_hopeful(self))
                return upstream_start(self->upstream, call, method);
        self->host->call_finish(call, STATUS_UNAVAILABLE,
                                brick_str("No process of this brick serves now"));
        return 0;
}

static void message(struct brick_instance *self, struct brick_call *call,
                    const struct brick_bytes *bytes)
{
        upstream_message(self->upstream, call, bytes);
}

static void writable(struct brick_instance *self, struct brick_call *call)
{
        upstream_writable(self->upstream, call);
}

static void cancel(struct brick_instance *self, struct brick_call *call)
{
        upstream_cancel(self->upstream, call);
}

/* The options are in conf/process.h: the main process checks them as well. */
#define MODULE(...)                                                                              \
        {                                                                                        \
                .magic = BRICK_MAGIC, .struct_size = sizeof(struct brick_module),                \
                .abi_major = BRICK_ABI_MAJOR, .abi_minor = BRICK_ABI_MINOR,                      \
                .option_size = sizeof(struct brick_option), .type = BRICK_TYPE_ANY,              \
                .methods = 1 << BRICK_METHOD_SERVICE_INFO | 1 << BRICK_METHOD_UNARY |            \
                           1 << BRICK_METHOD_OUTPUT_STREAMING |                                  \
                           1 << BRICK_METHOD_INPUT_STREAMING | 1 << BRICK_METHOD_BIDI_STREAMING, \
                .version = BRICKD_VERSION, .create = create, .destroy = destroy, .start = start, \
                .message = message, .writable = writable, .cancel = cancel, __VA_ARGS__          \
        }

const struct brick_module *process_brick_module_v1(void)
{
        static const struct brick_module module =
                MODULE(.name = "process", .summary = "a program of any language that serves gRPC");

        return &module;
}

const struct brick_module *python_brick_module_v1(void)
{
        static const struct brick_module module =
                MODULE(.name = "python", .summary = "a brick of llmbrick, in Python");

        return &module;
}
