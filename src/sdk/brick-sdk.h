/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * libbrick: what makes a brick in C short. Generated messages and helpers around the ABI of
 * brick.h; linked statically into each module, so it is no part of the ABI. See brick(7).
 *
 * Every function that takes a call is for the thread that owns the call at that moment, as brick.h
 * says.
 */

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

/* The host's table, the same for every instance; brick_sdk_init(), first thing in create(), sets
 * it. */
extern const struct brick_host *brick_host;
void brick_sdk_init(const struct brick_host *host);

/*
 * Unpacks a message into the call's arena: nothing to free, gone with the call. NULL: not
 * parseable, nested too deep, not UTF-8, or too large for the arena. brickd has already checked
 * requests, so for those it is the arena.
 */
void *brick_unpack(struct brick_call *call, const ProtobufCMessageDescriptor *type,
                   struct brick_bytes bytes);

/* Packs straight into the reply. As call_send(). */
int brick_send(struct brick_call *call, const ProtobufCMessage *message);

/* Sends one reply and finishes the call with success: the end of a unary call. */
void brick_reply(struct brick_call *call, const ProtobufCMessage *message);

/* Finishes with an in-band error. detail may be NULL. */
void brick_fail(struct brick_call *call, int32_t code, const char *message, const char *detail);
void brick_failf(struct brick_call *call, int32_t code, const char *detail, const char *format, ...)
        BRICK_PRINTF(4, 5);

/* Memory and strings that live as long as the call. NULL: out of memory. */
void *brick_alloc(struct brick_call *call, size_t size);
char *brick_strndup(struct brick_call *call, const char *s, size_t length);
char *brick_printf(struct brick_call *call, const char *format, ...) BRICK_PRINTF(2, 3);

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
