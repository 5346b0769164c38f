/* SPDX-License-Identifier: MIT */
#ifndef BRICK_H
#define BRICK_H

/*
 * The ABI between brickd and a loadable brick. See brick(7).
 *
 * A brick module is a shared object that exports one symbol, brick_module_v1().
 * It returns a constant descriptor, which brickd checks before it calls anything
 * else in the object. Messages cross this boundary as serialised protobuf, so
 * neither side depends on the other's generated code.
 *
 * Rules for every struct below, so that either side may be the older one:
 *
 *   - struct_size is set by whoever allocates the struct;
 *   - members are appended, never moved, resized or given a new meaning;
 *   - no bit-fields, no enum members, no padding between members.
 *
 * Every function names the threads it may run on:
 *
 *   [main]  the worker's main thread, while the brick is made, drained or destroyed
 *   [rpc]   a thread that serves RPCs; entries for one call never overlap
 *   [any]   any thread, including threads the brick created
 *
 * No function of struct brick_host, except target_filter_*(), enters a brick on the stack of its
 * caller. What it leads to, such as message() after call_recv(), runs later, on an [rpc] thread. So
 * a brick may hold a lock of its own around any of these functions. Only call_read(), call_send()
 * and call_reserve() of a blocking brick wait, and whoever needs the lock then waits with them.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "brick-types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* MAJOR is also part of the entry symbol's name: bump it, and rename, on a break. */
#define BRICK_ABI_MAJOR 1
#define BRICK_ABI_MINOR 4
#define BRICK_ENTRY_NAME "brick_module_v1"
#define BRICK_MAGIC UINT32_C(0x4b435242) /* "BRCK" */

/*
 * What brickd offers. The table outlives every instance. A brick that wants a
 * function newer than its host_minor asks BRICK_HAS() first.
 */
struct brick_host {
        uint32_t struct_size;
        uint16_t abi_major;
        uint16_t abi_minor;

        /* [any] Log one line; brickd adds the instance's name. */
        void (*log)(struct brick_ctx *ctx, uint32_t level, struct brick_str line);

        /* [any] The instance's name in the configuration, and its BRICK_TYPE_*. */
        struct brick_str (*name)(struct brick_ctx *ctx);
        uint32_t (*type)(struct brick_ctx *ctx);

        /*
         * [main] Read the configuration. Nodes, and what they return, live until create() returns.
         * An option that the file omits has its fallback. Every function accepts NULL.
         */
        uint32_t (*node_type)(const struct brick_node *node); /* 0: NULL */
        const struct brick_node *(*node_get)(const struct brick_node *map,
                                             const char *key); /* NULL: absent */
        size_t (*node_size)(const struct brick_node *list_or_map);
        const struct brick_node *(*node_at)(const struct brick_node *list_or_map,
                                            size_t index); /* NULL: past the end */
        struct brick_str (*node_key)(const struct brick_node *map, size_t index);
        struct brick_str (*node_str)(const struct brick_node *node); /* NUL-terminated as well */
        int64_t (*node_int)(const struct brick_node *node);          /* also of a bool: 0 or 1 */
        double (*node_float)(const struct brick_node *node);

        /* [main] Blame a node: brickd prints "file:line:col: path: <line>" and refuses the
         * configuration. */
        void (*node_error)(struct brick_ctx *ctx, const struct brick_node *node,
                           struct brick_str line);

        /* [main] Another brick, from the value of an option of type BRICK_TARGET. */
        struct brick_target *(*target)(struct brick_ctx *ctx, const struct brick_node *node);

        /* [any] The BRICK_TYPE_* of a target. */
        uint32_t (*target_type)(const struct brick_target *target);

        /*
         * [any] Those that follow take a call the brick has accepted and not yet finished.
         * All stay legal after the peer has disconnected: sending then returns -ECANCELED.
         * Except where said, one call's functions are not for two threads at once.
         *
         * Once the brick has finished a call, its name is void. Used again, however late, it never
         * means another call: the function does nothing, returns -ECANCELED or something empty, and
         * brickd logs the brick's name. Only call_cancelled() is not logged: it returns 1.
         */

        /* The request of a unary or output-streaming call. brickd's; valid until the call is
         * finished. */
        struct brick_bytes (*call_request)(struct brick_call *call);

        /* Request metadata: the first value of a key, or the index-th pair. A NULL ptr: none. Valid
         * as the request. */
        struct brick_str (*call_metadata)(struct brick_call *call, const char *key);
        int (*call_metadata_at)(struct brick_call *call, size_t index, struct brick_str *ret_key,
                                struct brick_str *ret_value); /* 0: past the end */

        /* Who calls, as gRPC names it: "ipv4:127.0.0.1:41234"; on a unix socket, the user:
         * "unix:uid=1000". Valid as the request. */
        struct brick_str (*call_peer)(struct brick_call *call);

        /* CLOCK_MONOTONIC nanoseconds, or UINT64_MAX. */
        uint64_t (*call_deadline)(struct brick_call *call);

        /* Non-zero once the peer, the deadline or a stop has cancelled the call. Also from two
         * threads at once, and for a call that is finished. */
        int (*call_cancelled)(struct brick_call *call);

        /* Memory that lives as long as the call. NULL: out of memory, or over the limit of one
         * call. */
        void *(*call_alloc)(struct brick_call *call, size_t size, size_t align);

        /* Attach the brick's state. destroy() runs once, after the call has been finished and every
         * entry for it has returned; on any thread. */
        void (*call_set_data)(struct brick_call *call, void *data, void (*destroy)(void *data));
        void *(*call_data)(struct brick_call *call);

        /* Input-streaming and bidi calls: ask for one more request message. message() brings it
         * later, never from inside this function. */
        void (*call_recv)(struct brick_call *call);

        /*
         * Blocking bricks, inside start(): wait for the next request message instead. 1: there is
         * one, valid until the next call_read(); 0: the peer has sent its last; -ECANCELED: the
         * call is cancelled.
         */
        int (*call_read)(struct brick_call *call, struct brick_bytes *ret);

        /*
         * Send one reply without its error field, which brickd adds; brickd copies it. 0; -EAGAIN:
         * not taken, wait for writable() (a blocking brick waits inside and never sees it);
         * -ECANCELED: give up; -EMSGSIZE: larger than the port allows; -EINVAL: there is one reply
         * already and may be no other. brickd logs and ends the call itself on -EBADMSG: not of its
         * type, -EILSEQ: a string that is not UTF-8, -EPROTO: the error field is set.
         */
        int (*call_send)(struct brick_call *call, struct brick_bytes message);

        /*
         * The same without the copy. call_reserve() gives memory for a reply of up to size bytes;
         * call_commit() sends the first `size` of them. One at a time. NULL: give up, or wait for
         * writable(), as call_send() would say.
         */
        void *(*call_reserve)(struct brick_call *call, size_t size);
        int (*call_commit)(struct brick_call *call, size_t size);

        /* Trailing metadata. 0; -EINVAL: not legal in gRPC; -E2BIG: too much of it. */
        int (*call_trailer)(struct brick_call *call, struct brick_str key, struct brick_str value);

        /*
         * End the call, exactly once, by one of these two or by call_fail_errno(). It is then no
         * longer the brick's:
         * call_finish() with a gRPC status, 0 for success;
         * call_fail() with llmbrick's in-band error (the gRPC status is then OK, as its clients
         * expect).
         * A second end is logged with the brick's name. It changes nothing, for no other call
         * either.
         */
        void (*call_finish)(struct brick_call *call, uint32_t status, struct brick_str reason);
        void (*call_fail)(struct brick_call *call, int32_t code, struct brick_str message,
                          struct brick_str detail);

        /*
         * [any] Call another brick inside this process, on behalf of parent. The callee sees the
         * metadata of parent, and is cancelled with it; its deadline is that of parent, or earlier
         * if limits.timeout of the callee says so. The request is copied; pass an empty one for
         * methods whose request is a stream. 0: done() will be called, once; a negative errno: no
         * function of ops will be. *ret is set before any of them runs; they may run before this
         * function has returned if it was called on another thread than theirs. ops and user must
         * live until done() returns.
         */
        int (*child_start)(struct brick_call *parent, struct brick_target *target, uint32_t method,
                           struct brick_bytes request, const struct brick_child_ops *ops,
                           void *user, struct brick_child **ret);

        /* Ask for one more reply. message() brings it later, or done() says that there is none. */
        void (*child_recv)(struct brick_child *child);

        /* Request streams: one more request message, and their end. -EAGAIN: the callee has not
         * taken the last message yet; wait for writable(). */
        int (*child_send)(struct brick_child *child, struct brick_bytes message);
        void (*child_close)(struct brick_child *child);

        /* Tell the callee to give up. done() still comes. */
        void (*child_cancel)(struct brick_child *child);

        /* Free what child_start() gave, at the latest when the parent's data is destroyed. Before
         * done() it also cancels, and done() still comes. */
        void (*child_free)(struct brick_child *child);

        /* --- since 1.1 --- */

        /*
         * [any] Whether the brick can do its work: serving is 0 while what it depends on is away.
         * Health checks tell clients; calls still come, so that the brick can notice when it may
         * say otherwise. The reason is for the log and brickctl status. It serves until it says
         * that it does not; create() may already say so.
         */
        void (*set_health)(struct brick_ctx *ctx, int serving, struct brick_str reason);

        /* --- since 1.2 --- */

        /* [any] Whether a line of this level would be logged: it need not be made otherwise. */
        int (*log_wanted)(struct brick_ctx *ctx, uint32_t level);

        /*
         * [any] Of a call: the name of who makes it, as brickd has found out; empty where it does
         * not ask. A call by another brick has the identity of the call it is made on behalf of.
         * Valid as the request.
         */
        struct brick_str (*call_identity)(struct brick_call *call);

        /*
         * [any] What to send to others on behalf of the call as the headers of W3C Trace Context,
         * `traceparent` and `tracestate`, so that they join its trace. Empty: send none. Valid as
         * the request.
         */
        struct brick_str (*call_traceparent)(struct brick_call *call);
        struct brick_str (*call_tracestate)(struct brick_call *call);

        /* --- since 1.3 --- */

        /*
         * Memory for one message of a stream. call_rewind() takes back what call_alloc(),
         * call_traceparent() and call_tracestate() have given since call_mark() returned the mark;
         * nothing may use it any more. Marks nest: rewinding to an outer one voids the inner ones.
         */
        size_t (*call_mark)(struct brick_call *call);
        void (*call_rewind)(struct brick_call *call, size_t mark);

        /*
         * End a call that start() has taken, with the error that brickd would have sent if start()
         * had returned the negative errno r. In all else as call_finish().
         */
        void (*call_fail_errno)(struct brick_call *call, int r);

        /* As child_start(), with options, which may be NULL. Also -EINVAL: metadata that is not
         * legal in gRPC; -E2BIG: more than 32 pairs or 8 KiB of it. */
        int (*child_start_with)(struct brick_call *parent, struct brick_target *target,
                                uint32_t method, struct brick_bytes request,
                                const struct brick_child_options *options,
                                const struct brick_child_ops *ops, void *user,
                                struct brick_child **ret);

        /*
         * Leave the rest of a call to one of its children: brickd passes the child's replies on as
         * the client reads them, passes the client's further messages to the child, and ends the
         * call as the child ends, with its trailers. The child is closed at once if the call has no
         * stream of requests. The call is no longer the brick's, as after call_finish(), but its
         * other children go on until it ends. The child still is the brick's until done(), which
         * runs after the call has ended; only child_cancel() and child_free() do anything before,
         * and message() and writable() of its ops do not run any more.
         * Not while a reply that child_recv() asked for is due, nor while start() of a blocking
         * brick runs. 0; -EINVAL: it is the child of another call, or its replies are not of the
         * call's type or may be more than one; -ECANCELED: the child has ended. After an error the
         * call is still the brick's.
         */
        int (*call_relay)(struct brick_call *call, struct brick_child *child);

        /*
         * [any] A timer of a call. fire() runs once for each timer_set(), [rpc], as message() does:
         * it never overlaps another entry of the call, nor start() of a blocking brick, and runs
         * after the call has been cancelled, too. when: CLOCK_MONOTONIC nanoseconds; UINT64_MAX:
         * never. Setting it again replaces the time. Free it at the latest when the call's data is
         * destroyed, or leave that to brickd. On an [rpc] thread of the call, fire() does not run
         * any more once the call is finished, the timer freed or set to another time. On a thread
         * of the brick's own it may be about to run then: the call's data is valid until it
         * returns. timer_new(): 0; -ECANCELED; -E2BIG: the call has 32; or another negative errno.
         */
        int (*timer_new)(struct brick_call *call, void (*fire)(void *user), void *user,
                         struct brick_timer **ret);
        void (*timer_set)(struct brick_timer *timer, uint64_t when);
        void (*timer_free)(struct brick_timer *timer);

        /* [any] Of a target: its name, NUL-terminated as well; 1 << BRICK_METHOD_* of what it
         * offers; whether it serves now (set_health() of it). All is known in create() already. */
        struct brick_str (*target_name)(const struct brick_target *target);
        uint32_t (*target_methods)(const struct brick_target *target);
        int (*target_serving)(const struct brick_target *target);

        /*
         * [main] In create() only: have changed() told what target_serving() says, once brickd
         * serves and again after each change; of changes in quick succession, the last one. [rpc],
         * one at a time for one target, beside other entries. It must not block, and is not called
         * any more once destroy() of this instance has begun. 0; -ENOMEM; -EINVAL: not in create().
         */
        int (*target_watch)(struct brick_target *target, void (*changed)(void *user, int serving),
                            void *user);

        /* [main] Where a node stands in the file: 1 for the first line and column; 0: nowhere, as
         * it is a default, and the file's name is empty. Valid until create() returns. */
        void (*node_place)(const struct brick_node *node, struct brick_str *ret_file,
                           uint32_t *ret_line, uint32_t *ret_column);

        /*
         * [any] Have a guard judge a text piece by piece, as filter_open() and the others of struct
         * brick_module say. These enter the guard on the stack of the caller, as nothing else does:
         * do not hold a lock that its log lines might need. One filter is not for two threads at
         * once; close it at the latest before destroy() returns. What the guard says has been
         * checked: offsets are inside the text, findings in order and not before what was settled,
         * scores from 0 to 1, names UTF-8; after the last piece all of the text is settled. 0;
         * -ENOSYS: the target cannot judge a text in pieces; -EBADMSG: it said nonsense, which
         * brickd has logged; -EINVAL: the filter had its last piece, or has failed, before; or the
         * guard's own negative errno. After an error only close it.
         */
        int (*target_filter_open)(struct brick_target *target, struct brick_filter **ret);
        int (*target_filter_push)(struct brick_target *target, struct brick_filter *filter,
                                  struct brick_str text, uint32_t is_last,
                                  struct brick_judgement *ret);
        void (*target_filter_close)(struct brick_target *target, struct brick_filter *filter);

        /* --- since 1.4 --- */

        /*
         * [any] Of a call: the name of the index-th group of the identity that makes it, as
         * call_identity() says who that is. A NULL ptr: there are no more. Valid as the request.
         */
        struct brick_str (*call_group)(struct brick_call *call, size_t index);
};

/* One key the brick accepts. brickd checks the file against this list before create(). */
struct brick_option {
        const char *name;
        const char *fallback; /* the default, as written in a file; NULL: none */
        const char *summary;  /* one line, for `brickd --describe` */
        const char *choices;  /* BRICK_ENUM: "one|two|three" */
        int64_t min;          /* numbers, durations (ns), sizes: inclusive range, if min < max */
        int64_t max;
        uint32_t type;  /* BRICK_STRING and so on */
        uint32_t flags; /* BRICK_OPTION_* */

        /*
         * Since 1.3. Of a BRICK_MAP: its keys, ended by a NULL name. Of a BRICK_LIST: one option,
         * which every item must satisfy; its name is not used, and it has no fallback. A table may
         * contain itself, except in a fallback. NULL: the brick checks what is inside. A target in
         * here counts as one of the brick: it is created first, and may not call the brick in turn.
         */
        const struct brick_option *items;
};

struct brick_module {
        uint32_t magic;
        uint32_t struct_size;
        uint16_t abi_major;
        uint16_t abi_minor;   /* of the header it was compiled with: for messages only */
        uint16_t host_minor;  /* lowest minor it can run on: this one is enforced */
        uint16_t type;        /* BRICK_TYPE_* */
        uint32_t methods;     /* 1 << BRICK_METHOD_* */
        uint32_t flags;       /* BRICK_FLAG_* */
        uint32_t option_size; /* sizeof(struct brick_option), the stride of options */
        uint32_t reserved;

        const char *name;
        const char *version;
        const char *summary;
        const struct brick_option *options; /* ends with a NULL name; NULL: takes none */

        /* [main] Make an instance. 0, or a negative errno after node_error() or log(): then there
         * is none, and *ret does not count. config is never NULL. */
        int (*create)(const struct brick_host *host, struct brick_ctx *ctx,
                      const struct brick_node *config, struct brick_instance **ret);

        /*
         * [main] No new calls will come: hurry the running ones if you can. It comes once every
         * call that was taken in has been given to start(). Entries for running calls may run
         * beside it; of a blocking brick, also a start() that a thread has already begun to enter.
         * Optional.
         */
        void (*drain)(struct brick_instance *self);

        /* [main] Every call is finished. Join your threads before you return. */
        void (*destroy)(struct brick_instance *self);

        /*
         * [rpc]; of a blocking brick: a thread of the instance. Take a call. On 0 the brick must
         * end it by call_finish(), call_fail() or call_fail_errno(), now or later, from any thread;
         * 1 counts as 0, as the SDK's BRICK_TAKEN is 1. On a negative errno the call stays
         * brickd's, which answers for it; do not touch it again. -ENOSYS is answered as llmbrick
         * answers NotImplementedError, others as it answers an exception: code 13, with strerror()
         * for the message. Other numbers are logged, and answered as -EINVAL.
         */
        int (*start)(struct brick_instance *self, struct brick_call *call, uint32_t method);

        /* [rpc] The answer to call_recv(), valid until it returns. NULL: the peer will send no
         * more. */
        void (*message)(struct brick_instance *self, struct brick_call *call,
                        const struct brick_bytes *message);

        /* [rpc] call_send() may be tried again. */
        void (*writable)(struct brick_instance *self, struct brick_call *call);

        /*
         * [rpc] Hurry up: the answer is no longer wanted. At most once per call, never before
         * start() has returned, and never after the brick has finished the call. It may run beside
         * the brick's own threads, one of which may finish the call meanwhile; the call and its
         * data stay valid until cancel() returns. It does not end the call: the brick still has
         * to. Optional: a brick may poll call_cancelled().
         */
        void (*cancel)(struct brick_instance *self, struct brick_call *call);

        /* --- since 1.3 --- */

        /*
         * Optional, of a guard: judge a text that arrives in pieces. [any]; calls for one filter
         * never overlap. They must not block, and may call no function of the host but log() and
         * log_wanted(). All texts that arrive in pieces are to be judged as if they came whole,
         * however they are cut, also inside a character. filter_push() takes the next piece, which
         * may be empty, and says what is known by now; with is_last, everything is settled. 0 or a
         * negative errno, after which only filter_close() may follow.
         */
        int (*filter_open)(struct brick_instance *self, struct brick_filter **ret);
        int (*filter_push)(struct brick_filter *filter, struct brick_str text, uint32_t is_last,
                           struct brick_judgement *ret);
        void (*filter_close)(struct brick_filter *filter);
};

#define BRICK_HAS(table, member)                                                                  \
        ((table)->struct_size >= offsetof(struct brick_host, member) + sizeof((table)->member) && \
         (table)->member != NULL)

/* A brick linked into a test needs a name of its own. */
#ifdef BRICK_STATIC
#define BRICK_CAT_(a, b) a##b
#define BRICK_CAT(a, b) BRICK_CAT_(a, b)
#define BRICK_ENTRY BRICK_CAT(BRICK_STATIC, _brick_module_v1)
#else
#define BRICK_ENTRY brick_module_v1
#endif

#if defined(__GNUC__)
#define BRICK_EXPORT __attribute__((visibility("default")))
#define BRICK_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define BRICK_EXPORT
#define BRICK_PRINTF(string, first)
#endif

#ifndef __cplusplus
/* Declare the brick; the arguments are designated initialisers of struct brick_module. */
#define BRICK_MODULE(...)                                           \
        BRICK_EXPORT const struct brick_module *BRICK_ENTRY(void);  \
        const struct brick_module *BRICK_ENTRY(void)                \
        {                                                           \
                static const struct brick_module module = {         \
                        .magic = BRICK_MAGIC,                       \
                        .struct_size = sizeof(struct brick_module), \
                        .abi_major = BRICK_ABI_MAJOR,               \
                        .abi_minor = BRICK_ABI_MINOR,               \
                        .option_size = sizeof(struct brick_option), \
                        __VA_ARGS__                                 \
                };                                                  \
                return &module;                                     \
        }                                                           \
        struct brick_module /* swallows the caller's semicolon */
#endif

/* A C string as a brick_str; NULL is the empty one. */
static inline struct brick_str brick_str(const char *s)
{
        struct brick_str r = { s ? s : "", 0 };

        while (r.ptr[r.len])
                r.len++;
        return r;
}

/* A formatted text of any length, for the functions below. */
struct brick_line {
        struct brick_str text;
        char *long_text; /* NULL: text is in short_text */
        char short_text[512];
};

/* Without memory for a long text, it is cut. */
BRICK_PRINTF(2, 0)
static inline void brick_line_format(struct brick_line *line, const char *format, va_list args)
{
        va_list again;
        size_t size;
        int n;

        line->short_text[0] = '\0';
        va_copy(again, args);
        n = vsnprintf(line->short_text, sizeof line->short_text, format, args);
        size = n > 0 ? (size_t)n + 1 : 1;
        line->long_text = size > sizeof line->short_text ? (char *)malloc(size) : NULL;
        if (line->long_text)
                (void)vsnprintf(line->long_text, size, format, again);
        else if (size > sizeof line->short_text)
                size = sizeof line->short_text;
        va_end(again);
        line->text.ptr = line->long_text ? line->long_text : line->short_text;
        line->text.len = size - 1;
}

static inline void brick_line_free(struct brick_line *line)
{
        free(line->long_text);
}

BRICK_PRINTF(4, 5)
static inline void brick_logf(const struct brick_host *host, struct brick_ctx *ctx, uint32_t level,
                              const char *format, ...)
{
        struct brick_line line;
        va_list args;

        if (BRICK_HAS(host, log_wanted) && !host->log_wanted(ctx, level))
                return;
        va_start(args, format);
        brick_line_format(&line, format, args);
        va_end(args);
        host->log(ctx, level, line.text);
        brick_line_free(&line);
}

BRICK_PRINTF(4, 5)
static inline void brick_node_errorf(const struct brick_host *host, struct brick_ctx *ctx,
                                     const struct brick_node *node, const char *format, ...)
{
        struct brick_line line;
        va_list args;

        va_start(args, format);
        brick_line_format(&line, format, args);
        va_end(args);
        host->node_error(ctx, node, line.text);
        brick_line_free(&line);
}

#ifdef __cplusplus
}
#endif

#endif
