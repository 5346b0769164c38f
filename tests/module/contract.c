/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brick.h"

/*
 * A brick of any type that behaves as its request says: the first word "case:NAME" in the request's
 * bytes picks a row of the table below. For the tests of what clients see. Uses the ABI alone,
 * without the SDK.
 */

struct brick_instance {
        const struct brick_host *host;
        struct brick_ctx *ctx;
        uint32_t type;
};

/* A good payload of each type, as an llmbrick brick would make it, and its size. */
#define PAYLOAD(bytes)                  \
        {                               \
                bytes, sizeof bytes - 1 \
        }
static const struct brick_bytes payloads[] = {
        [BRICK_TYPE_COMMON] = PAYLOAD("\x0a\x0e\x0a\x0c\x0a\x04text\x12\x04\x1a\x02hi"),
        [BRICK_TYPE_RECTIFY] = PAYLOAD("\x0a\x05"
                                       "fixed"),
        [BRICK_TYPE_INTENTION] = PAYLOAD("\x0a\x0b\x0a\x04"
                                         "chat\x15\x00\x00\x80\x3e"),
        [BRICK_TYPE_GUARD] = PAYLOAD("\x0a\x0a\x08\x01\x15\x00\x00\x00\x3f\x1a\x01"
                                     "d\x0a\x00"),
        [BRICK_TYPE_LLM] = PAYLOAD("\x0a\x02t0\x12\x01"
                                   "a\x12\x01"
                                   "b\x18\x01"),
        [BRICK_TYPE_COMPOSE] = PAYLOAD("\x0a\x0e\x0a\x0c\x0a\x04text\x12\x04\x1a\x02hi"),
        [BRICK_TYPE_RETRIEVAL] = PAYLOAD("\x0a\x05\x0a\x01"
                                         "d\x2a\x00"),
        [BRICK_TYPE_TRANSLATE] = PAYLOAD("\x0a\x02t0\x12\x01"
                                         "a\x1a\x02zh\x20\x01"),
};

static const struct brick_bytes info = PAYLOAD("\x0a\x03llm\x12\x01"
                                               "1\x1a\x16\x0a\x01m\x12\x01v\x1a\x02"
                                               "en\x1a\x02zh\x20\x01*\x04"
                                               "desc");

static struct brick_bytes payload_of(struct brick_instance *self, uint32_t method)
{
        return method == BRICK_METHOD_SERVICE_INFO ? info : payloads[self->type];
}

static int send(struct brick_instance *self, struct brick_call *call, struct brick_bytes bytes)
{
        return self->host->call_send(call, bytes);
}

static int finish(struct brick_instance *self, struct brick_call *call)
{
        self->host->call_finish(call, 0, brick_str(""));
        return 0;
}

static int fail(struct brick_instance *self, struct brick_call *call, int32_t code,
                const char *message, const char *detail)
{
        self->host->call_fail(call, code, brick_str(message), brick_str(detail));
        return 0;
}

static bool is_stream(uint32_t method)
{
        return method == BRICK_METHOD_OUTPUT_STREAMING || method == BRICK_METHOD_BIDI_STREAMING;
}

static int do_ok(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)send(self, call, payload_of(self, method));
        return finish(self, call);
}

static int do_sick(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        self->host->set_health(self->ctx, 0, brick_str("it \"was\" asked to \xe4\xb8\xad"));
        return do_ok(self, call, method);
}

/* A line at every level, with bytes that no line may have. */
static int do_log(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        for (uint32_t level = BRICK_LOG_ERROR; level <= BRICK_LOG_DEBUG; level++)
                brick_logf(self->host, self->ctx, level,
                           "said at %u \"\xff\xc3\x1b[31m\\\r\nforged", level);
        return do_ok(self, call, method);
}

/* More than the log holds, should nobody read it. */
static int do_log_flood(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        static char line[1500];

        memset(line, 'x', sizeof line);
        for (int i = 0; i < 2000; i++)
                self->host->log(self->ctx, BRICK_LOG_INFO, (struct brick_str){ line, sizeof line });
        return do_ok(self, call, method);
}

static int do_well(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        self->host->set_health(self->ctx, 1, brick_str(""));
        return do_ok(self, call, method);
}

static int do_empty(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        (void)send(self, call, (struct brick_bytes){ NULL, 0 });
        return finish(self, call);
}

static int do_none(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        return finish(self, call);
}

static int do_garbage(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        (void)send(self, call, (struct brick_bytes){ "\x0a\xff\xff", 3 });
        return finish(self, call);
}

/* The error field is brickd's to add: in a brick's payload it is a fault. */
static int do_error_field(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        static const char bytes[] = "\x12\x03\x08\xc8\x01\x22\x03\x08\xc8\x01\x2a\x03\x08\xc8\x01";

        (void)method;
        (void)send(self, call, (struct brick_bytes){ bytes, sizeof bytes - 1 });
        return finish(self, call);
}

static int do_fail(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        return fail(self, call, 2003, "bad param", "the detail");
}

static int do_fail_braces(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        return fail(self, call, 5001, "Error code: 401 - {'error': {'message': \"{0}\"}}", "{} %s");
}

static int do_fail_zero(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        return fail(self, call, 0, "zero", "");
}

/* With the code that the header x-code says. */
static int do_fail_code(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct brick_str code = self->host->call_metadata(call, "x-code");
        char text[16] = "";

        (void)method;
        (void)snprintf(text, sizeof text, "%.*s", (int)code.len, code.ptr);
        return fail(self, call, atoi(text), "as told", "the detail");
}

static int do_fail_201(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        return fail(self, call, 201, "created", "");
}

static int do_fail_200(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        return fail(self, call, 200, "", "");
}

static int do_fail_negative(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        return fail(self, call, -5, "minus five", "");
}

/* The payload of a call that then fails is dropped, as llmbrick drops it; streamed items stay sent.
 */
static int do_send_then_fail(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)send(self, call, payload_of(self, method));
        if (is_stream(method))
                (void)send(self, call, payload_of(self, method));
        return fail(self, call, 4000, "later", "");
}

static int do_three(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        for (int i = 0; i < 3; i++)
                (void)send(self, call, payload_of(self, method));
        return finish(self, call);
}

static int do_three_then_garbage(struct brick_instance *self, struct brick_call *call,
                                 uint32_t method)
{
        for (int i = 0; i < 3; i++)
                (void)send(self, call, payload_of(self, method));
        return do_garbage(self, call, method);
}

static int do_enosys(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)self, (void)call, (void)method;
        return -ENOSYS;
}

static int do_errno(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)self, (void)call, (void)method;
        return -ENOENT;
}

static int do_status(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)method;
        self->host->call_finish(call, 9, brick_str("not in this state"));
        return 0;
}

/* Every request header comes back as a trailer, and what is not legal is refused. */
static int do_metadata(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        const struct brick_host *host = self->host;
        struct brick_str key, value, peer = host->call_peer(call);

        for (size_t i = 0; host->call_metadata_at(call, i, &key, &value); i++)
                if (key.len > 2 && memcmp(key.ptr, "x-", 2) == 0)
                        (void)host->call_trailer(call, key, value);
        value = host->call_metadata(call, "x-one");
        if (value.ptr)
                (void)host->call_trailer(call, brick_str("found"), value);
        (void)host->call_trailer(call, brick_str("peer"), (struct brick_str){ peer.ptr, peer.len });
        if (host->call_trailer(call, brick_str("Not Legal"), brick_str("x")) != -EINVAL ||
            host->call_trailer(call, brick_str("grpc-status"), brick_str("0")) != -EINVAL ||
            host->call_trailer(call, brick_str("text"), brick_str("\n")) != -EINVAL)
                return -EIO;
        return do_ok(self, call, method);
}

/* Who calls, and by what they say to have proven it: that is not for bricks. */
static int do_identity(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        const struct brick_host *host = self->host;
        struct brick_str identity = host->call_identity(call), group;

        (void)host->call_trailer(call, brick_str("identity"), identity);
        for (size_t i = 0; (group = host->call_group(call, i)).ptr; i++)
                (void)host->call_trailer(call, brick_str("group"), group);
        if (host->call_metadata(call, "authorization").ptr)
                (void)host->call_trailer(call, brick_str("proof"), brick_str("seen"));
        return do_ok(self, call, method);
}

/* The zero-copy way, with less committed than was reserved. */
static int do_reserve(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct brick_bytes bytes = payload_of(self, method);
        char *memory = self->host->call_reserve(call, 1000);

        if (!memory)
                return -ENOMEM;
        memcpy(memory, bytes.ptr, bytes.len);
        (void)self->host->call_commit(call, bytes.len);
        return finish(self, call);
}

/* Waits for its cancellation; the deadline is in the log line that a test looks for. */
static int do_wait(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        uint64_t deadline = self->host->call_deadline(call);

        (void)method;
        brick_logf(self->host, self->ctx, BRICK_LOG_INFO, "waits, deadline %s",
                   deadline == UINT64_MAX ? "none" : "set");
        return 0;
}

struct later {
        struct brick_instance *self;
        struct brick_call *call;
        uint32_t method;
        unsigned msec;
};

static void *later_run(void *p)
{
        struct later *later = p;
        struct timespec ts = { later->msec / 1000, (long)(later->msec % 1000) * 1000000 };

        (void)nanosleep(&ts, NULL);
        (void)do_ok(later->self, later->call, later->method);
        free(later);
        return NULL;
}

static const char is_late; /* call data */

/* Answers from a thread of its own. */
static int do_late(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct later *later = malloc(sizeof *later);
        pthread_t thread;

        if (!later)
                return -ENOMEM;
        *later = (struct later){ self, call, method, 1500 };
        self->host->call_set_data(call, (void *)&is_late, NULL);
        if (pthread_create(&thread, NULL, later_run, later) != 0) {
                free(later);
                return -EAGAIN;
        }
        (void)pthread_detach(thread);
        return 0;
}

/* Request streams: each message comes back. */
static const char counts; /* call data of input streams: they have one reply, at the end */

static int read_requests(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        if (method == BRICK_METHOD_INPUT_STREAMING)
                self->host->call_set_data(call, (void *)&counts, NULL);
        self->host->call_recv(call);
        return 0;
}

static void on_message(struct brick_instance *self, struct brick_call *call,
                       const struct brick_bytes *message)
{
        bool single = self->host->call_data(call) == &counts;

        if (message && memmem(message->ptr, message->len, "case:fail", 9)) {
                (void)do_fail(self, call, 0);
                return;
        }
        if (message && !single && !memmem(message->ptr, message->len, "case:think", 10))
                (void)send(self, call, *message);
        if (!message || memmem(message->ptr, message->len, "case:stop", 9)) {
                if (single)
                        (void)send(self, call, payload_of(self, BRICK_METHOD_INPUT_STREAMING));
                (void)finish(self, call);
                return;
        }
        self->host->call_recv(call);
}

/* What it sends is far less than any window. */
static void on_writable(struct brick_instance *self, struct brick_call *call)
{
        brick_logf(self->host, self->ctx, BRICK_LOG_ERROR, "was told that it may write");
        (void)call;
}

static void on_cancel(struct brick_instance *self, struct brick_call *call)
{
        if (self->host->call_data(call) == &is_late)
                return; /* its thread will finish it */
        brick_logf(self->host, self->ctx, BRICK_LOG_INFO, "was told to give up");
        self->host->call_finish(call, 1, brick_str("gave up"));
}

static const struct {
        const char *name;
        int (*run)(struct brick_instance *self, struct brick_call *call, uint32_t method);
} cases[] = {
        { "case:ok", do_ok },
        { "case:empty", do_empty },
        { "case:none", do_none },
        { "case:garbage", do_garbage },
        { "case:error-field", do_error_field },
        { "case:fail-braces", do_fail_braces },
        { "case:fail-zero", do_fail_zero },
        { "case:fail-201", do_fail_201 },
        { "case:fail-code", do_fail_code },
        { "case:fail-200", do_fail_200 },
        { "case:fail-negative", do_fail_negative },
        { "case:fail", do_fail },
        { "case:send-then-fail", do_send_then_fail },
        { "case:three-then-garbage", do_three_then_garbage },
        { "case:three", do_three },
        { "case:enosys", do_enosys },
        { "case:errno", do_errno },
        { "case:status", do_status },
        { "case:metadata", do_metadata },
        { "case:identity", do_identity },
        { "case:reserve", do_reserve },
        { "case:wait", do_wait },
        { "case:late", do_late },
        { "case:log-flood", do_log_flood },
        { "case:log", do_log },
        { "case:sick", do_sick },
        { "case:well", do_well },
};

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct brick_bytes request = self->host->call_request(call);
        struct brick_str header = self->host->call_metadata(call, "x-case");

        /* GetServiceInfo and request streams say it in a header. */
        if (header.ptr)
                request = (struct brick_bytes){ header.ptr, header.len };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                if (request.len > 0 &&
                    memmem(request.ptr, request.len, cases[i].name, strlen(cases[i].name)))
                        return cases[i].run(self, call, method);
        if (method == BRICK_METHOD_INPUT_STREAMING || method == BRICK_METHOD_BIDI_STREAMING)
                return read_requests(self, call, method);
        return do_ok(self, call, method);
}

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);

        (void)config;
        if (!self)
                return -ENOMEM;
        self->host = host;
        self->ctx = ctx;
        self->type = host->type(ctx);
        *ret = self;
        return 0;
}

static void destroy(struct brick_instance *self)
{
        free(self);
}

static const struct brick_option options[] = {
        { .name = "type",
          .type = BRICK_ENUM,
          .choices = "Common|Rectify|Intention|Guard|LLM|Compose|Retrieval|Translate",
          .flags = BRICK_OPTION_REQUIRED,
          .summary = "which service to answer for" },
        { .name = NULL },
};

/* clang-format off */
BRICK_MODULE(
        .type = BRICK_TYPE_ANY,
        .methods = METHODS,
        .name = "contract",
        .version = "1.0",
        .summary = "behaves as its request says",
        .options = options,
        .create = create,
        .destroy = destroy,
        .start = start,
        .message = on_message,
        .writable = on_writable,
        .cancel = on_cancel,
);
