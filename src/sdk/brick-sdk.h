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
typedef Google__Protobuf__ListValue ListValue;
typedef Protocols__Grpc__Common__ErrorDetail ErrorDetail;

/* Their descriptors, for BRICK_NEW() and brick_unpack(). */
#define BRICK_DESCRIPTOR(Type) (&BRICK_DESCRIPTOR_##Type)
#define BRICK_DESCRIPTOR_CommonRequest protocols__grpc__common__common_request__descriptor
#define BRICK_DESCRIPTOR_CommonResponse protocols__grpc__common__common_response__descriptor
#define BRICK_DESCRIPTOR_ServiceInfoResponse \
        protocols__grpc__common__service_info_response__descriptor
#define BRICK_DESCRIPTOR_ModelInfo protocols__grpc__common__model_info__descriptor
#define BRICK_DESCRIPTOR_ErrorDetail protocols__grpc__common__error_detail__descriptor
#define BRICK_DESCRIPTOR_LLMRequest protocols__grpc__llm__llmrequest__descriptor
#define BRICK_DESCRIPTOR_LLMResponse protocols__grpc__llm__llmresponse__descriptor
#define BRICK_DESCRIPTOR_LLMContext protocols__grpc__llm__context__descriptor
#define BRICK_DESCRIPTOR_GuardRequest protocols__grpc__guard__guard_request__descriptor
#define BRICK_DESCRIPTOR_GuardResponse protocols__grpc__guard__guard_response__descriptor
#define BRICK_DESCRIPTOR_GuardResult protocols__grpc__guard__guard_result__descriptor
#define BRICK_DESCRIPTOR_RectifyRequest protocols__grpc__rectify__rectify_request__descriptor
#define BRICK_DESCRIPTOR_RectifyResponse protocols__grpc__rectify__rectify_response__descriptor
#define BRICK_DESCRIPTOR_IntentionRequest protocols__grpc__intention__intention_request__descriptor
#define BRICK_DESCRIPTOR_IntentionResponse \
        protocols__grpc__intention__intention_response__descriptor
#define BRICK_DESCRIPTOR_IntentionResult protocols__grpc__intention__intention_result__descriptor
#define BRICK_DESCRIPTOR_RetrievalRequest protocols__grpc__retrieval__retrieval_request__descriptor
#define BRICK_DESCRIPTOR_RetrievalResponse \
        protocols__grpc__retrieval__retrieval_response__descriptor
#define BRICK_DESCRIPTOR_RetrievalDocument protocols__grpc__retrieval__document__descriptor
#define BRICK_DESCRIPTOR_ComposeRequest protocols__grpc__compose__compose_request__descriptor
#define BRICK_DESCRIPTOR_ComposeResponse protocols__grpc__compose__compose_response__descriptor
#define BRICK_DESCRIPTOR_ComposeDocument protocols__grpc__compose__document__descriptor
#define BRICK_DESCRIPTOR_TranslateRequest protocols__grpc__translate__translate_request__descriptor
#define BRICK_DESCRIPTOR_TranslateResponse \
        protocols__grpc__translate__translate_response__descriptor
#define BRICK_DESCRIPTOR_Struct google__protobuf__struct__descriptor
#define BRICK_DESCRIPTOR_Value google__protobuf__value__descriptor
#define BRICK_DESCRIPTOR_ListValue google__protobuf__list_value__descriptor

/*
 * The host's table, the same for every instance. brick_sdk_init() sets it; call it first in
 * create(). The typed bricks below do this themselves.
 */
extern const struct brick_host *brick_host;
void brick_sdk_init(const struct brick_host *host);

/*
 * Unpacks a message into the memory of the call, with which it is freed. NULL: it cannot be parsed,
 * is nested too deep, is not UTF-8, or is too large for the call's memory. brickd has already
 * checked requests, so for those it is the memory. Strings end at their first NUL byte.
 */
void *brick_unpack(struct brick_call *call, const ProtobufCMessageDescriptor *type,
                   struct brick_bytes bytes);

/*
 * The same on the heap, for the messages of a stream, which together may be larger than the call's
 * memory. brick_unpacked_free() accepts NULL.
 */
void *brick_unpack_heap(const ProtobufCMessageDescriptor *type, struct brick_bytes bytes);
void brick_unpacked_free(void *message);

/* Sends a message, without a copy if possible. Returns the same as call_send() of the host. */
int brick_send(struct brick_call *call, const ProtobufCMessage *message);

/* Sends one reply and finishes the call with success: the end of a unary call. If the reply cannot
 * be sent, the client gets error 13. */
void brick_reply(struct brick_call *call, const ProtobufCMessage *message);

/* Finishes with success: the end of a stream. */
void brick_finish(struct brick_call *call);

/* The result of a typed handler that has ended the call itself, or will end it: see below. */
enum { BRICK_TAKEN = 1 };

/*
 * Ends a call that a handler has kept, as if the handler returned r now: see below. response: the
 * message that it would have filled in; NULL for output and bidi streaming, and if r is not 0.
 */
void brick_end(struct brick_call *call, int r, const void *response);

/* Finishes with an in-band error. Message and detail may be NULL; code is not 200. Texts of any
 * length are copied. Returns BRICK_TAKEN. */
int brick_fail(struct brick_call *call, int32_t code, const char *message, const char *detail);
int brick_failf(struct brick_call *call, int32_t code, const char *detail, const char *format, ...)
        BRICK_PRINTF(4, 5);

/* Pack a message and call child_start() or child_send() of the host. request: NULL for methods
 * whose request is a stream. They can also return -ENOMEM. */
int brick_child_start(struct brick_call *parent, struct brick_target *target, uint32_t method,
                      const ProtobufCMessage *request, const struct brick_child_ops *ops,
                      void *user, struct brick_child **ret);
int brick_child_send(struct brick_child *child, const ProtobufCMessage *message);

/* The same as brick_child_start(), with options, which may be NULL. -ENOSYS: brickd is too old for
 * options. */
int brick_child_start_with(struct brick_call *parent, struct brick_target *target, uint32_t method,
                           const ProtobufCMessage *request,
                           const struct brick_child_options *options,
                           const struct brick_child_ops *ops, void *user, struct brick_child **ret);

/*
 * Calls another brick and leaves the call to it: its replies and its end are those of the call, and
 * it gets the client's further messages. request: NULL for the call's own, as it came. options may
 * be NULL. Returns BRICK_TAKEN, so that a handler may say
 *
 *   return brick_relay(call, self->target, BRICK_METHOD_UNARY, &request->base, NULL);
 *
 * or a negative errno, after which the call is still the brick's: -EINVAL if the other brick's
 * replies are not of the call's type, -ENOSYS if brickd is too old.
 */
int brick_relay(struct brick_call *call, struct brick_target *target, uint32_t method,
                const ProtobufCMessage *request, const struct brick_child_options *options);

/* Makes a timer of the call and sets it: fire() runs once, in ns nanoseconds, unless the call has
 * been finished. ret may be NULL. 0, or as timer_new() of the host; -ENOSYS: brickd is too old. */
int brick_after(struct brick_call *call, uint64_t ns, void (*fire)(void *user), void *user,
                struct brick_timer **ret);

/* CLOCK_MONOTONIC in nanoseconds, for deadlines and timer_set(). */
uint64_t brick_now(void);

/* For create(): the bricks that an option names which is a list with items of BRICK_TARGET. The
 * array is for free(). 0 or -ENOMEM. */
int brick_option_targets(struct brick_ctx *ctx, const struct brick_node *config, const char *key,
                         struct brick_target ***ret, size_t *ret_n);

/* Whether a target has a method; 1 if brickd is too old to say. */
int brick_target_has(const struct brick_target *target, uint32_t method);

/* For done() of a child. If the child has failed, ends the call with the same error and returns
 * BRICK_TAKEN. Otherwise returns 0: the call still has to be ended. */
int brick_fail_as(struct brick_call *call, const struct brick_outcome *outcome);

/* Memory and strings that live as long as the call. NULL: out of memory. */
void *brick_alloc(struct brick_call *call, size_t size);
char *brick_strndup(struct brick_call *call, const char *s, size_t length);
char *brick_printf(struct brick_call *call, const char *format, ...) BRICK_PRINTF(2, 3);

/*
 * Memory for one message of a stream. brick_rewind() frees all memory that brick_alloc() and the
 * other functions here have taken from the call since the mark:
 *
 *   mark = brick_mark(call);
 *   response = BRICK_NEW(call, CommonResponse);
 *   ...
 *   r = brick_send(call, &response->base);
 *   brick_rewind(call, mark);
 *
 * Without it, a stream ends with -ENOMEM when the memory of its call (limits.memory) is used up. A
 * brickd before ABI 1.3 does not rewind.
 */
size_t brick_mark(struct brick_call *call);
void brick_rewind(struct brick_call *call, size_t mark);

/*
 * A text that grows, in the memory of the call. Only brick_text_end() has to be checked:
 *
 *   struct brick_text text = BRICK_TEXT(call);
 *
 *   brick_text_adds(&text, "found: ");
 *   brick_text_printf(&text, "%zu of %zu", hits, total);
 *   response->text = brick_text_end(&text);
 *   return response->text ? 0 : -ENOMEM;
 */
struct brick_text {
        struct brick_call *call;
        char *ptr; /* not NUL-terminated before brick_text_end() */
        size_t len;
        size_t size;
        int failed;
};
/* clang-format off */
#define BRICK_TEXT(call) { (call), NULL, 0, 0, 0 }
/* clang-format on */
void brick_text_add(struct brick_text *text, const char *s, size_t length);
void brick_text_adds(struct brick_text *text, const char *s);
void brick_text_printf(struct brick_text *text, const char *format, ...) BRICK_PRINTF(2, 3);
void brick_text_vprintf(struct brick_text *text, const char *format, va_list args)
        BRICK_PRINTF(2, 0);
/* NUL-terminated. NULL: out of memory at any point. */
char *brick_text_end(struct brick_text *text);

/* A constant for a field of a message, whose strings are `char *`: `r->text = brick_const("ok")`.
 */
char *brick_const(const char *s);

/*
 * For create(): copies the value of an option that is a string, a path or a secret, for free().
 * *ret is NULL if the option is missing. 0 or -ENOMEM.
 */
int brick_option_string(const struct brick_node *config, const char *key, char **ret);

/*
 * An empty message that lives as long as the call: `BRICK_NEW(call, LLMResponse)`, or brick_new()
 * with a descriptor. NULL: out of memory. It already has the Structs that llmbrick always sends:
 * data, output, and the metadata of a retrieved document.
 */
#define BRICK_NEW(call, Type) ((Type *)brick_new((call), BRICK_DESCRIPTOR(Type)))
void *brick_new(struct brick_call *call, const ProtobufCMessageDescriptor *type);

/*
 * Append one or n such messages to a list of messages. They return the message, or a pointer to the
 * first of the n in the list:
 *
 *   GuardResult *result = brick_add(call, response, results);
 *   RetrievalDocument **documents = brick_add_n(call, response, documents, 10);
 *
 * On a list of strings they append empty ones. brick_add_string() appends one string, which it does
 * not copy, and returns 0 or -ENOMEM:
 *
 *   r = brick_add_string(call, response->models[0], supported_languages, "de");
 *
 * Each call copies the list, so add many at once. NULL: out of memory.
 */
#define brick_add(call, message, field) \
        ((__typeof__(*(message)->field))brick_add_one(call, &(message)->base, #field))
#define brick_add_n(call, message, field, n) \
        ((__typeof__((message)->field))brick_add_list(call, &(message)->base, #field, n))
#define brick_add_string(call, message, field, string) \
        brick_add_text(call, &(message)->base, #field, string)
void *brick_add_one(struct brick_call *call, ProtobufCMessage *message, const char *field);
void *brick_add_list(struct brick_call *call, ProtobufCMessage *message, const char *field,
                     size_t n);

int brick_add_text(struct brick_call *call, ProtobufCMessage *message, const char *field,
                   const char *string);

/* The value of a key of a Struct. NULL, or 0 with *ret unchanged: there is no such key, object is
 * NULL, or the value has another type. */
const Value *brick_struct_get(const Struct *object, const char *key);
const char *brick_struct_get_string(const Struct *object, const char *key);
int brick_struct_get_number(const Struct *object, const char *key, double *ret);
int brick_struct_get_bool(const Struct *object, const char *key, int *ret);
const Struct *brick_struct_get_struct(const Struct *object, const char *key);
const ListValue *brick_struct_get_list(const Struct *object, const char *key);

/* Add a key to a Struct; key and string are not copied. 0 or -ENOMEM. The last two return the
 * Struct or the list that they have added; NULL: out of memory. */
int brick_struct_add_string(struct brick_call *call, Struct *object, const char *key,
                            const char *string);
int brick_struct_add_number(struct brick_call *call, Struct *object, const char *key,
                            double number);
int brick_struct_add_bool(struct brick_call *call, Struct *object, const char *key, int truth);

Struct *brick_struct_add_struct(struct brick_call *call, Struct *object, const char *key);
ListValue *brick_struct_add_list(struct brick_call *call, Struct *object, const char *key);

/* Adds a key with a value that is null until it is set. NULL: out of memory. */
Value *brick_struct_add(struct brick_call *call, Struct *object, const char *key);

/* Set a value. If `value` is NULL, because there was no memory to add it, they return -ENOMEM or
 * NULL as well. */
int brick_value_set_string(Value *value, const char *string);
int brick_value_set_number(Value *value, double number);
int brick_value_set_bool(Value *value, int truth);
Struct *brick_value_set_struct(struct brick_call *call, Value *value);
ListValue *brick_value_set_list(struct brick_call *call, Value *value);

/*
 * Append a value to a list. For a long list, it takes less time to add all values at once:
 *
 *   Value **values = brick_add_n(call, list, values, n);
 *
 *   for (size_t i = 0; values && i < n; i++)
 *           (void)brick_value_set_number(values[i], numbers[i]);
 */
int brick_list_add_string(struct brick_call *call, ListValue *list, const char *string);
int brick_list_add_number(struct brick_call *call, ListValue *list, double number);
int brick_list_add_bool(struct brick_call *call, ListValue *list, int truth);
Struct *brick_list_add_struct(struct brick_call *call, ListValue *list);
ListValue *brick_list_add_list(struct brick_call *call, ListValue *list);
Value *brick_list_add(struct brick_call *call, ListValue *list);

/*
 * For blocking bricks: waits for the next request message of a stream, and frees the one before.
 * Start with *message NULL. 1: there is a message; 0: the client has sent its last one; -ECANCELED:
 * the call is cancelled; -EBADMSG: the message cannot be parsed. Unless it returns 1, *message is
 * NULL again. Call brick_read_end() to stop reading before the end.
 *
 * In a typed brick, the last message is valid until the handler has returned and its response has
 * been packed. Copy what the response needs of earlier messages.
 */
int brick_read(struct brick_call *call, CommonRequest **message);
void brick_read_end(CommonRequest **message);

/*
 * What a brick has done for a call, for `brickctl explain` and the page for browsers. Only if the
 * client may ask for it, and does: 1. Each step becomes one line with its texts, which are copied,
 * and cut after 160 bytes; NULL: none. All of a call's trailers have room in 8 KiB; what is beyond
 * is left out.
 */
int brick_is_explained(struct brick_call *call);

struct brick_step {
        const char *name;
        const char *verdict;
        const char *input;
        const char *output;
        uint64_t took; /* nanoseconds */
};
void brick_explain(struct brick_call *call, const struct brick_step *step);

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
 * The arguments after the handlers are members of struct brick_module. Type, methods and start()
 * come from the handlers. A brick without state may omit create() and destroy().
 *
 * A handler gets its request, unpacked, and an empty response; both live as long as the call.
 * Memory in the response must be constant or live as long, as from brick_alloc() or brick_add(). It
 * returns
 *
 *   0                 the response is sent, and the call is finished with success. For output and
 *                     bidi streaming, it is the end after any number of brick_send();
 *   BRICK_TAKEN       the handler has ended the call, as in `return brick_fail(call, ...)`, or has
 *                     kept it, to end it later from any thread, for example with brick_end();
 *   a negative errno  brickd ends the call, with error 12 for -ENOSYS, and with error 13 and the
 *                     message of strerror() for all others.
 *
 * Any other number is a mistake: it is logged, and the client gets error 13. So is an error code,
 * as in `return BRICK_E_NOT_FOUND`: use brick_fail() for these.
 *
 * Handlers run on the thread of start(). Those that wait need .flags = BRICK_FLAG_BLOCKING. Only
 * with this flag can a handler send a stream in a loop, because brick_send() then waits for the
 * client instead of returning -EAGAIN.
 *
 * service_info may be omitted. Its response is already filled in, with one model made of the
 * module's name, version and summary.
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
 * For bricks that write their own start(): unpacks the request of a BRICK_TYPE_* and makes its
 * empty response. Either pointer may be NULL. 0, -ENOMEM or -EBADMSG.
 */
int brick_begin(struct brick_call *call, unsigned type, void **ret_request, void **ret_response);

/* The default reply to GetServiceInfo of typed bricks. NULL: out of memory. */
ServiceInfoResponse *brick_service_info(struct brick_call *call, const struct brick_module *module);

/*
 * The rest is what the macros above use.
 */

struct brick_typed {
        struct brick_module module;
        int (*create)(const struct brick_host *host, struct brick_ctx *ctx,
                      const struct brick_node *config, struct brick_instance **ret);
};

const struct brick_module *brick_typed_module(struct brick_typed *typed,
                                              const struct brick_module *given);

/* A running handler of a request stream. On the stack of its caller. */
struct brick_frame {
        struct brick_frame *outer;
        void *last_read; /* the message of the last brick_read() */
        int begun;
};

void brick_frame_begin(struct brick_frame *frame);
void brick_frame_end(struct brick_frame *frame);

/* Returns the result of start(). */
int brick_typed_end(struct brick_frame *frame, struct brick_call *call, int r,
                    const void *response);

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
                struct brick_frame frame = { NULL, NULL, 0 };                               \
                int r = -ENOSYS;                                                            \
                                                                                            \
                switch (method) {                                                           \
                        BRICK_SERVE_##SHAPE(TYPE, handlers)                                 \
                }                                                                           \
                return brick_typed_end(&frame, call, r, response);                          \
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
                brick_frame_begin(&frame);                                    \
                r = brick_begin(call, BRICK_TYPE_##TYPE, NULL, &response);    \
                if (r == 0)                                                   \
                        r = (handlers).input_streaming(self, call, response); \
                break;                                                        \
        case BRICK_METHOD_BIDI_STREAMING:                                     \
                brick_frame_begin(&frame);                                    \
                if ((handlers).bidi_streaming)                                \
                        r = (handlers).bidi_streaming(self, call);            \
                break;

#ifdef __cplusplus
}
#endif
