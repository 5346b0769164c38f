/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * libbrick: what makes a brick in C short. Generated messages and helpers around the ABI of
 * brick.h; linked statically into each module, so it is no part of the ABI. See brick(7).
 *
 * Every function that takes a call is for the thread that owns the call at that moment, as brick.h
 * says.
 */

#include <errno.h>

#include "brick.h"

#include "common.pb-c.h"
#include "compose.pb-c.h"
#include "guard.pb-c.h"
#include "intention.pb-c.h"
#include "llm.pb-c.h"
#include "rectify.pb-c.h"
#include "retrieval.pb-c.h"
#include "struct.pb-c.h"
#include "translate.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* llmbrick's own names for the generated types. */
typedef Protocols__Grpc__Common__CommonRequest CommonRequest;
typedef Protocols__Grpc__Common__CommonResponse CommonResponse;
typedef Protocols__Grpc__Common__ServiceInfoResponse ServiceInfoResponse;
typedef Protocols__Grpc__Common__ModelInfo ModelInfo;
typedef Protocols__Grpc__Llm__LLMRequest LLMRequest;
typedef Protocols__Grpc__Llm__LLMResponse LLMResponse;
typedef Protocols__Grpc__Llm__Context LLMContext;
typedef Protocols__Grpc__Guard__GuardRequest GuardRequest;
typedef Protocols__Grpc__Guard__GuardResponse GuardResponse;
typedef Protocols__Grpc__Guard__GuardResult GuardResult;
typedef Protocols__Grpc__Rectify__RectifyRequest RectifyRequest;
typedef Protocols__Grpc__Rectify__RectifyResponse RectifyResponse;
typedef Protocols__Grpc__Intention__IntentionRequest IntentionRequest;
typedef Protocols__Grpc__Intention__IntentionResponse IntentionResponse;
typedef Protocols__Grpc__Intention__IntentionResult IntentionResult;
typedef Protocols__Grpc__Retrieval__RetrievalRequest RetrievalRequest;
typedef Protocols__Grpc__Retrieval__RetrievalResponse RetrievalResponse;
typedef Protocols__Grpc__Retrieval__Document RetrievalDocument;
typedef Protocols__Grpc__Compose__ComposeRequest ComposeRequest;
typedef Protocols__Grpc__Compose__ComposeResponse ComposeResponse;
typedef Protocols__Grpc__Compose__Document ComposeDocument;
typedef Protocols__Grpc__Translate__TranslateRequest TranslateRequest;
typedef Protocols__Grpc__Translate__TranslateResponse TranslateResponse;
typedef Google__Protobuf__Struct Struct;
typedef Google__Protobuf__Value Value;

/*
 * The host's table, the same for every instance; brick_sdk_init(), first thing in create(), sets
 * it. The typed bricks below do that themselves.
 */
extern const struct brick_host *brick_host;
void brick_sdk_init(const struct brick_host *host);

/*
 * Unpacks a message into the call's arena: nothing to free, gone with the call. NULL: not
 * parseable, nested too deep, not UTF-8, or too large for the arena. brickd has already checked
 * requests, so for those it is the arena. Strings end at their first NUL byte.
 */
void *brick_unpack(struct brick_call *call, const ProtobufCMessageDescriptor *type,
                   struct brick_bytes bytes);

/*
 * The same on the heap, for the messages of a stream: it may be longer than the arena is large.
 * brick_unpacked_free() takes NULL.
 */
void *brick_unpack_heap(const ProtobufCMessageDescriptor *type, struct brick_bytes bytes);
void brick_unpacked_free(void *message);

/* Packs straight into the reply. As call_send(). */
int brick_send(struct brick_call *call, const ProtobufCMessage *message);

/* Sends one reply and finishes the call with success: the end of a unary call. */
void brick_reply(struct brick_call *call, const ProtobufCMessage *message);

/* Finishes with success: the end of a stream. */
void brick_finish(struct brick_call *call);

/* What a typed handler answers when it has ended the call itself, or will: see below. */
enum { BRICK_TAKEN = 1 };

/* Finishes with an in-band error. detail may be NULL. Returns BRICK_TAKEN. */
int brick_fail(struct brick_call *call, int32_t code, const char *message, const char *detail);
int brick_failf(struct brick_call *call, int32_t code, const char *detail, const char *format, ...)
        BRICK_PRINTF(4, 5);

/* Memory and strings that live as long as the call. NULL: out of memory. */
void *brick_alloc(struct brick_call *call, size_t size);
char *brick_strndup(struct brick_call *call, const char *s, size_t length);
char *brick_printf(struct brick_call *call, const char *format, ...) BRICK_PRINTF(2, 3);

/*
 * An empty message that lives as long as the call: brick_new(call, &..._descriptor). NULL: out of
 * memory. The Structs that llmbrick always sends (data, output, a retrieved document's metadata)
 * are there already.
 */
void *brick_new(struct brick_call *call, const ProtobufCMessageDescriptor *type);

/*
 * Appends one or n such messages to a list of messages, and gives it, or the first one's place:
 *
 *   GuardResult *result = brick_add(call, response, results);
 *   RetrievalDocument **documents = brick_add_n(call, response, documents, 10);
 *
 * A list of strings gets empty ones. The list is copied each time, so add many at once. NULL: out
 * of memory.
 */
#define brick_add(call, message, field) \
        ((__typeof__(*(message)->field))brick_add_one(call, &(message)->base, #field))
#define brick_add_n(call, message, field, n) \
        ((__typeof__((message)->field))brick_add_list(call, &(message)->base, #field, n))
void *brick_add_one(struct brick_call *call, ProtobufCMessage *message, const char *field);
void *brick_add_list(struct brick_call *call, ProtobufCMessage *message, const char *field,
                     size_t n);

/* The value of a key of a Struct. NULL: no such key, or no struct; for the string also another
 * type. */
const Value *brick_struct_get(const Struct *object, const char *key);
const char *brick_struct_get_string(const Struct *object, const char *key);

/* Adds a key to a Struct; key and string are not copied. 0 or -ENOMEM. */
int brick_struct_add_string(struct brick_call *call, Struct *object, const char *key,
                            const char *string);
int brick_struct_add_number(struct brick_call *call, Struct *object, const char *key,
                            double number);
int brick_struct_add_bool(struct brick_call *call, Struct *object, const char *key, int truth);

/* The same with a value yet to be set. NULL: out of memory. */
Value *brick_struct_add(struct brick_call *call, Struct *object, const char *key);

/*
 * Blocking bricks: waits for the next request message of a stream, and frees the one before. Start
 * with *message NULL. 1: there is one; 0: the peer has sent its last; -ECANCELED; -EBADMSG: not to
 * be parsed. In all but the first case *message is NULL again. Leave early: brick_read_end().
 */
int brick_read(struct brick_call *call, CommonRequest **message);
void brick_read_end(CommonRequest **message);

/* In-band error codes that bricks use most, as llmbrick numbers them. */
enum {
        BRICK_E_BAD_REQUEST = 400,
        BRICK_E_UNAUTHORIZED = 401,
        BRICK_E_FORBIDDEN = 403,
        BRICK_E_NOT_FOUND = 404,
        BRICK_E_REQUEST_TIMEOUT = 408,
        BRICK_E_TOO_MANY_REQUESTS = 429,
        BRICK_E_INTERNAL = 500,
        BRICK_E_BAD_GATEWAY = 502,
        BRICK_E_SERVICE_UNAVAILABLE = 503,
        BRICK_E_GATEWAY_TIMEOUT = 504,
        BRICK_E_PARAMETER_MISSING = 2002,
        BRICK_E_PARAMETER_INVALID = 2003,
};

/*
 * Typed bricks: name the handlers, then the module.
 *
 *   static const struct brick_guard handlers = { .unary = shout_unary };
 *
 *   BRICK_GUARD(handlers, .name = "shout", .version = "1.0", .summary = "blames capitals");
 *
 * What follows the handlers are members of struct brick_module. Type, methods and start() come from
 * the handlers; create() and destroy() may both be left out by a brick without state.
 *
 * A handler gets its request unpacked and its response empty; both live as long as the call. What
 * it puts into the response is constant, or lives as long: brick_alloc(), brick_add() and so on. It
 * returns
 *
 *   0                 the response (of output and bidi streaming: the end, after any number of
 *                     brick_send()) goes out and the call is finished with success;
 *   BRICK_TAKEN       the handler has ended the call, as in `return brick_fail(call, ...)`, or kept
 *                     it to end it later, from any thread;
 *   a negative errno  brickd ends the call, with error 12 for -ENOSYS and 13 for the others.
 *
 * Handlers run where start() does. Those that wait need .flags = BRICK_FLAG_BLOCKING; only they can
 * send a stream in a loop, since brick_send() then waits for the client instead of saying -EAGAIN.
 *
 * service_info may be left out: the response is there already, with one model made of the module's
 * name, version and summary.
 */
/* clang-format off */
#define BRICK_HANDLERS_UNARY(Type)                                                \
        int (*service_info)(struct brick_instance *self, struct brick_call *call, \
                            ServiceInfoResponse *response);                       \
        int (*unary)(struct brick_instance *self, struct brick_call *call,        \
                     const Type##Request *request, Type##Response *response)
#define BRICK_HANDLERS_OUTPUT(Type)                                                   \
        int (*output_streaming)(struct brick_instance *self, struct brick_call *call, \
                                const Type##Request *request)
/* clang-format on */

struct brick_guard {
        BRICK_HANDLERS_UNARY(Guard);
};

struct brick_intention {
        BRICK_HANDLERS_UNARY(Intention);
};

struct brick_rectify {
        BRICK_HANDLERS_UNARY(Rectify);
};

struct brick_retrieval {
        BRICK_HANDLERS_UNARY(Retrieval);
};

struct brick_llm {
        BRICK_HANDLERS_UNARY(LLM);
        BRICK_HANDLERS_OUTPUT(LLM);
};

struct brick_compose {
        BRICK_HANDLERS_UNARY(Compose);
        BRICK_HANDLERS_OUTPUT(Compose);
};

struct brick_translate {
        BRICK_HANDLERS_UNARY(Translate);
        BRICK_HANDLERS_OUTPUT(Translate);
};

struct brick_common {
        BRICK_HANDLERS_UNARY(Common);
        BRICK_HANDLERS_OUTPUT(Common);
        int (*input_streaming)(struct brick_instance *self, struct brick_call *call,
                               CommonResponse *response); /* brick_read() gives the requests */
        int (*bidi_streaming)(struct brick_instance *self, struct brick_call *call);
};

#ifndef __cplusplus
#define BRICK_GUARD(handlers, ...) BRICK_TYPED_(GUARD, UNARY, handlers, __VA_ARGS__)
#define BRICK_INTENTION(handlers, ...) BRICK_TYPED_(INTENTION, UNARY, handlers, __VA_ARGS__)
#define BRICK_RECTIFY(handlers, ...) BRICK_TYPED_(RECTIFY, UNARY, handlers, __VA_ARGS__)
#define BRICK_RETRIEVAL(handlers, ...) BRICK_TYPED_(RETRIEVAL, UNARY, handlers, __VA_ARGS__)
#define BRICK_LLM(handlers, ...) BRICK_TYPED_(LLM, OUTPUT, handlers, __VA_ARGS__)
#define BRICK_COMPOSE(handlers, ...) BRICK_TYPED_(COMPOSE, OUTPUT, handlers, __VA_ARGS__)
#define BRICK_TRANSLATE(handlers, ...) BRICK_TYPED_(TRANSLATE, OUTPUT, handlers, __VA_ARGS__)
#define BRICK_COMMON(handlers, ...) BRICK_TYPED_(COMMON, ALL, handlers, __VA_ARGS__)
#endif

/*
 * For a start() of one's own: the request of a BRICK_TYPE_*, unpacked, and its empty response;
 * either may be NULL. 0, -ENOMEM or -EBADMSG.
 */
int brick_begin(struct brick_call *call, unsigned type, void **ret_request, void **ret_response);

/* The GetServiceInfo reply that typed bricks give. NULL: out of memory. */
ServiceInfoResponse *brick_service_info(struct brick_call *call, const struct brick_module *module);

/*
 * From here on: what the macros above expand to.
 */

struct brick_typed {
        struct brick_module module;
        int (*create)(const struct brick_host *host, struct brick_ctx *ctx,
                      const struct brick_node *config, struct brick_instance **ret);
};

const struct brick_module *brick_typed_module(struct brick_typed *typed,
                                              const struct brick_module *given);
int brick_typed_end(struct brick_call *call, int r, const void *response);

#define BRICK_TYPED_(TYPE, SHAPE, handlers, ...)                                            \
        static struct brick_typed brick_typed = { .module = { __VA_ARGS__ } };              \
                                                                                            \
        static int brick_typed_create(const struct brick_host *host, struct brick_ctx *ctx, \
                                      const struct brick_node *config,                      \
                                      struct brick_instance **ret)                          \
        {                                                                                   \
                brick_sdk_init(host);                                                       \
                return brick_typed.create(host, ctx, config, ret);                          \
        }                                                                                   \
                                                                                            \
        static int brick_typed_start(struct brick_instance *self, struct brick_call *call,  \
                                     uint32_t method)                                       \
        {                                                                                   \
                void *request = NULL, *response = NULL;                                     \
                int r = -ENOSYS;                                                            \
                                                                                            \
                switch (method) {                                                           \
                        BRICK_SERVE_##SHAPE(TYPE, handlers)                                 \
                }                                                                           \
                return brick_typed_end(call, r, response);                                  \
        }                                                                                   \
                                                                                            \
        BRICK_EXPORT const struct brick_module *BRICK_ENTRY(void);                          \
        const struct brick_module *BRICK_ENTRY(void)                                        \
        {                                                                                   \
                const struct brick_module given = {                                         \
                        .type = BRICK_TYPE_##TYPE,                                          \
                        .methods = BRICK_OFFER_##SHAPE(handlers),                           \
                        .create = brick_typed_create,                                       \
                        .start = brick_typed_start,                                         \
                };                                                                          \
                                                                                            \
                return brick_typed_module(&brick_typed, &given);                            \
        }                                                                                   \
        struct brick_module /* swallows the caller's semicolon */

#define BRICK_OFFER_(handlers, METHOD, member) \
        ((handlers).member ? UINT32_C(1) << BRICK_METHOD_##METHOD : 0)
#define BRICK_OFFER_UNARY(handlers) \
        (UINT32_C(1) << BRICK_METHOD_SERVICE_INFO | BRICK_OFFER_(handlers, UNARY, unary))
#define BRICK_OFFER_OUTPUT(handlers) \
        (BRICK_OFFER_UNARY(handlers) | BRICK_OFFER_(handlers, OUTPUT_STREAMING, output_streaming))
#define BRICK_OFFER_ALL(handlers)                                                                  \
        (BRICK_OFFER_OUTPUT(handlers) | BRICK_OFFER_(handlers, INPUT_STREAMING, input_streaming) | \
         BRICK_OFFER_(handlers, BIDI_STREAMING, bidi_streaming))

#define BRICK_SERVE_UNARY(TYPE, handlers)                                      \
        case BRICK_METHOD_SERVICE_INFO:                                        \
                response = brick_service_info(call, &brick_typed.module);      \
                r = response ? 0 : -ENOMEM;                                    \
                if (r == 0 && (handlers).service_info)                         \
                        r = (handlers).service_info(self, call, response);     \
                break;                                                         \
        case BRICK_METHOD_UNARY:                                               \
                if (!(handlers).unary)                                         \
                        break;                                                 \
                r = brick_begin(call, BRICK_TYPE_##TYPE, &request, &response); \
                if (r == 0)                                                    \
                        r = (handlers).unary(self, call, request, response);   \
                break;

#define BRICK_SERVE_OUTPUT(TYPE, handlers)                                    \
        BRICK_SERVE_UNARY(TYPE, handlers)                                     \
        case BRICK_METHOD_OUTPUT_STREAMING:                                   \
                if (!(handlers).output_streaming)                             \
                        break;                                                \
                r = brick_begin(call, BRICK_TYPE_##TYPE, &request, NULL);     \
                if (r == 0)                                                   \
                        r = (handlers).output_streaming(self, call, request); \
                break;

#define BRICK_SERVE_ALL(TYPE, handlers)                                       \
        BRICK_SERVE_OUTPUT(TYPE, handlers)                                    \
        case BRICK_METHOD_INPUT_STREAMING:                                    \
                if (!(handlers).input_streaming)                              \
                        break;                                                \
                r = brick_begin(call, BRICK_TYPE_##TYPE, NULL, &response);    \
                if (r == 0)                                                   \
                        r = (handlers).input_streaming(self, call, response); \
                break;                                                        \
        case BRICK_METHOD_BIDI_STREAMING:                                     \
                if ((handlers).bidi_streaming)                                \
                        r = (handlers).bidi_streaming(self, call);            \
                break;

#ifdef __cplusplus
}
#endif
