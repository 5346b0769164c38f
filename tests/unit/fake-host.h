/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A host for one brick in a unit test. The thread of the test plays both [main] and [rpc]: the
 * brick's message() and writable() run while the test waits. A blocking brick's start() gets a
 * thread per call. What brick.h forbids a brick to do aborts the test and says why.
 *
 * Build the brick's source into the test with -DBRICK_STATIC=NAME and take its descriptor from
 * NAME_brick_module_v1().
 *
 *   fake_host_new(&host, echo_brick_module_v1(), "{ type: LLM, delay: 10ms }");
 *   call = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
 *   fake_call_run(call);
 *   reply = fake_call_reply(call, 0, &protocols__grpc__llm__llmresponse__descriptor);
 *   fake_call_free(call);
 *   fake_host_free(host);
 */

#include <stdbool.h>
#include <stddef.h>

#include "brick-sdk.h"
#include "util/cleanup.h"

struct fake_call;
struct fake_host;

/*
 * Runs create() with these options, a YAML flow map (lists, maps, plain and "quoted" scalars), and
 * the fallbacks of those left out; a secret is the value itself. NULL: none. Nothing is checked
 * against the brick's table. Returns what create() did; on a failure *ret is there all the same,
 * for fake_host_said().
 */
int fake_host_new(struct fake_host **ret, const struct brick_module *module, const char *options);

/* Every call has been freed. Runs destroy(). */
void fake_host_free(struct fake_host *host);
DEFINE_CLEANUP(struct fake_host *, fake_host_free);

/* What the brick has logged, or blamed, or given as reasons of its health, so far: lines, in order.
 * The host's, until the next time. */
const char *fake_host_said(struct fake_host *host);

/* What the brick last said of its health. */
bool fake_host_healthy(struct fake_host *host);
struct brick_instance *fake_host_instance(struct fake_host *host);

/* A call that start() does not know yet. The request is copied; NULL for methods that take a
 * stream. */
struct fake_call *fake_call_new(struct fake_host *host, unsigned method,
                                const ProtobufCMessage *request);
struct fake_call *fake_call_new_bytes(struct fake_host *host, unsigned method,
                                      struct brick_bytes request);

/* Before the start. Memory of call_alloc(); replies that wait until taken; the deadline. */
void fake_call_limit_memory(struct fake_call *call, size_t bytes);
void fake_call_limit_window(struct fake_call *call, size_t replies);
void fake_call_set_deadline(struct fake_call *call, uint64_t monotonic_ns);
void fake_call_add_group(struct fake_call *call, const char *name); /* which outlives the call */
void fake_call_add_metadata(struct fake_call *call, const char *key, const char *value);

/* Runs start(), and gives what it returned; 0 for a blocking brick. */
int fake_call_start(struct fake_call *call);

/* Until the brick has finished the call; 10 s at most. */
void fake_call_wait(struct fake_call *call);

/* Both; -errno: what start() refused with. */
int fake_call_run(struct fake_call *call);

/* Request streams: one more message, and their end. The brick sees them while the test waits. */
void fake_call_push(struct fake_call *call, const ProtobufCMessage *message);
void fake_call_close(struct fake_call *call);

/* The peer goes away. */
void fake_call_cancel(struct fake_call *call);

/* Waits until there are n replies in all (or the call is finished), and gives how many there are.
 */
size_t fake_call_wait_replies(struct fake_call *call, size_t n);

/* Tells the window that all replies so far have left. */
void fake_call_take(struct fake_call *call);

/* The index-th reply, as it was sent or unpacked; the call's own. Aborts if there is none. */
struct brick_bytes fake_call_reply_bytes(struct fake_call *call, size_t index);
void *fake_call_reply(struct fake_call *call, size_t index, const ProtobufCMessageDescriptor *type);
size_t fake_call_replies(struct fake_call *call);

/* How it ended. `code` is the in-band one, 200 after call_finish(0). */
bool fake_call_finished(struct fake_call *call);
unsigned fake_call_status(struct fake_call *call);
int fake_call_code(struct fake_call *call);
const char *fake_call_text(struct fake_call *call);   /* the reason, or the in-band message */
const char *fake_call_detail(struct fake_call *call); /* "" without */

/* "key=value\n" for each */
const char *fake_call_trailers(struct fake_call *call);

/* The call is finished, or was refused or never started. */
void fake_call_free(struct fake_call *call);
DEFINE_CLEANUP(struct fake_call *, fake_call_free);

/* Unlike assert(), there whatever the build type. */
#define check(condition)                                                                     \
        do {                                                                                 \
                if (!(condition))                                                            \
                        fake_die("%s:%d: check failed: %s", __FILE__, __LINE__, #condition); \
        } while (0)
_Noreturn void fake_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
