/* SPDX-License-Identifier: MIT */

/*
 * A brick that leaves its calls to others of its type: to the first that serves. It can wait before
 * (`delay`), give the other brick a deadline and metadata, and have a guard read each prompt before
 * (`guard`), character by character. What it knows of the others is in the log.
 */

#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"

struct brick_instance {
        struct brick_ctx *ctx;
        struct brick_target **targets;
        size_t n_targets;
        struct brick_target *guard;
        uint64_t delay, deadline;
};

/* A call that waits for its timer. In the memory of the call. */
struct waiting {
        struct brick_instance *self;
        struct brick_call *call;
        uint32_t method;
};

static struct brick_target *choose(struct brick_instance *self)
{
        for (size_t i = 0; i < self->n_targets; i++)
                if (brick_host->target_serving(self->targets[i]))
                        return self->targets[i];
        return self->targets[0];
}

/* 1: the guard blames the text. */
static int judge(struct brick_instance *self, const char *text)
{
        struct brick_judgement said = { .struct_size = sizeof said };
        struct brick_filter *filter;
        size_t length = strlen(text);
        int r = brick_host->target_filter_open(self->guard, &filter);

        for (size_t i = 0; r == 0 && !said.is_attack && i < length; i++)
                r = brick_host->target_filter_push(self->guard, filter,
                                                   (struct brick_str){ text + i, 1 },
                                                   i + 1 == length, &said);
        if (r != -ENOSYS)
                brick_host->target_filter_close(self->guard, filter);
        return r < 0 ? r : (int)said.is_attack;
}

static int check(struct brick_instance *self, struct brick_call *call)
{
        LLMRequest *request;
        int r;

        if (!self->guard)
                return 0;
        request = brick_unpack(call, BRICK_DESCRIPTOR(LLMRequest), brick_host->call_request(call));
        if (!request)
                return -ENOMEM;
        r = judge(self, request->prompt);
        return r == 1 ? brick_fail(call, BRICK_E_FORBIDDEN, "The guard says no.", NULL) : r;
}

static int relay(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        static const struct brick_pair via = { { "via", 3 }, { "relays", 6 } };
        const struct brick_child_options options = {
                .struct_size = sizeof options,
                .metadata = &via,
                .n_metadata = 1,
                .deadline = self->deadline > 0 ? brick_now() + self->deadline : 0,
                .name = brick_str("the relayed part"),
        };
        struct brick_target *target = choose(self);

        if (!brick_target_has(target, method))
                return -ENOSYS;
        return brick_relay(call, target, method, NULL, &options);
}

static void on_time(void *user)
{
        struct waiting *waiting = user;
        int r = relay(waiting->self, waiting->call, waiting->method);

        if (r != BRICK_TAKEN)
                brick_host->call_fail_errno(waiting->call, r);
}

static int relays_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct waiting *waiting;
        int r = check(self, call);

        if (r != 0)
                return r;
        if (self->delay == 0)
                return relay(self, call, method);
        waiting = brick_alloc(call, sizeof *waiting);
        if (!waiting)
                return -ENOMEM;
        *waiting = (struct waiting){ self, call, method };
        return brick_after(call, self->delay, on_time, waiting, NULL);
}

static void relays_message(struct brick_instance *self, struct brick_call *call,
                           const struct brick_bytes *message)
{
        abort(); /* it asks for none */
}

static void relays_writable(struct brick_instance *self, struct brick_call *call)
{
        abort();
}

static void relays_cancel(struct brick_instance *self, struct brick_call *call)
{
        brick_host->call_finish(call, 1, brick_str("while it waited"));
}

static void on_changed(void *user, int serving)
{
        struct brick_instance *self = user;

        brick_logf(brick_host, self->ctx, BRICK_LOG_NOTICE, "the first target %s",
                   serving ? "serves" : "does not serve");
        brick_host->set_health(self->ctx, serving, brick_str("the first target does not serve"));
}

static void log_targets(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_node *list = brick_host->node_get(config, "to");

        for (size_t i = 0; i < self->n_targets; i++) {
                struct brick_str name = brick_host->target_name(self->targets[i]), file;
                uint32_t line, column;

                brick_host->node_place(brick_host->node_at(list, i), &file, &line, &column);
                brick_logf(brick_host, self->ctx, BRICK_LOG_NOTICE,
                           "%s has methods 0x%x, named in %.*s:%u:%u", name.ptr,
                           brick_host->target_methods(self->targets[i]), (int)file.len, file.ptr,
                           line, column);
        }
}

static int relays_create(const struct brick_host *host, struct brick_ctx *ctx,
                         const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        const struct brick_node *guard = host->node_get(config, "guard");
        int r;

        brick_sdk_init(host);
        if (!self)
                return -ENOMEM;
        self->ctx = ctx;
        self->delay = (uint64_t)host->node_int(host->node_get(config, "delay"));
        self->deadline = (uint64_t)host->node_int(host->node_get(config, "deadline"));
        self->guard = guard ? host->target(ctx, host->node_get(guard, "brick")) : NULL;
        r = brick_option_targets(ctx, config, "to", &self->targets, &self->n_targets);
        if (r == 0)
                r = host->target_watch(self->targets[0], on_changed, self);
        if (r < 0) {
                free(self->targets);
                free(self);
                return r;
        }
        log_targets(self, config);
        *ret = self;
        return 0;
}

static void relays_destroy(struct brick_instance *self)
{
        free(self->targets);
        free(self);
}

static const struct brick_option names[] = { { .type = BRICK_TARGET } };
static const struct brick_option guard_options[] = {
        { .name = "brick", .type = BRICK_TARGET, .flags = BRICK_OPTION_REQUIRED },
        { .name = NULL },
};
static const struct brick_option options[] = {
        { .name = "type",
          .type = BRICK_ENUM,
          .choices = "LLM|Common|Compose",
          .flags = BRICK_OPTION_REQUIRED },
        { .name = "to",
          .type = BRICK_LIST,
          .items = names,
          .min = 1,
          .max = 9,
          .flags = BRICK_OPTION_REQUIRED | BRICK_OPTION_ONE_OR_MORE,
          .summary = "who answers" },
        { .name = "guard", .type = BRICK_MAP, .items = guard_options },
        { .name = "delay", .type = BRICK_DURATION, .fallback = "0s" },
        { .name = "deadline", .type = BRICK_DURATION, .fallback = "0s" },
        { .name = NULL },
};

BRICK_MODULE(.type = BRICK_TYPE_ANY, .methods = 0x1f, .name = "relays", .version = "1.0",
             .summary = "leaves its calls to others", .options = options, .create = relays_create,
             .destroy = relays_destroy, .start = relays_start, .message = relays_message,
             .writable = relays_writable, .cancel = relays_cancel);
