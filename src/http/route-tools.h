/* SPDX-License-Identifier: MIT */
#pragma once

/* What routes share: bodies, bricks, refusals, streams of events. */

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "http/exchange.h"
#include "util/json-read.h"
#include "util/json-write.h"

struct arena;

#define JSON_TYPE "application/json"
#define SSE_TYPE "text/event-stream; charset=utf-8"

/* Ends the exchange with an error of the client's. */
__attribute__((format(printf, 5, 6))) void route_refuse(struct exchange *x, unsigned status,
                                                        const char *code, const char *param,
                                                        const char *format, ...);

/* The request needs more memory than one may have. */
void route_refuse_memory(struct exchange *x);

/* Answers with status 200 and a JSON text; if it has failed, with an error. */
void route_answer(struct exchange *x, const struct json_text *text);

/* The body as JSON; an empty one is an empty object. False: it is not JSON, and refused. */
bool route_body(struct exchange *x, struct json_value *ret);

/* The same, and it must be an object. */
bool route_object(struct exchange *x, struct json_value *ret);

/* The same for a part of the body. line: of its beginning, from 1. */
bool route_json(struct exchange *x, struct http_text part, size_t line, struct json_value *ret);

/* The member of an object with this name; of several, the last. NULL ptr: it is missing, or null.
 */
struct json_value route_member(struct json_value object, const char *name);

/* Reads a string without a NUL. ptr NULL: it is missing. False: it is none, and refused. */
bool route_string(struct exchange *x, struct json_value value, const char *param, char **ret);

/* Serialises a message into the arena of the request. False: it is full, and the exchange is
 * refused. */
bool route_pack(struct exchange *x, const ProtobufCMessage *message, struct brick_bytes *ret);

/* A brick of the port by its name; type 0: of any type. NULL: there is none. */
struct instance *route_brick_named(struct exchange *x, const char *name, unsigned type);

/* The same, but without one the exchange is refused, with the names of those that the client may
 * call. */
struct instance *route_brick(struct exchange *x, const char *name, unsigned type);

/* The one that answers if the client names none. NULL: there is none, and the exchange is refused.
 */
struct instance *route_default_brick(struct exchange *x, unsigned type);

/* Whether the client takes a stream of events. */
bool route_takes_events(const struct exchange *x);

/* Begins a stream of events, with the header fields that keep proxies from holding it back. */
void route_begin_events(struct exchange *x);

/* The methods of a brick that its service has and that the client may call: 1 << BRICK_METHOD_*. */
uint32_t route_methods(struct exchange *x, const struct instance *brick);
