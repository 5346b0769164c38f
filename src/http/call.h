/* SPDX-License-Identifier: MIT */
#pragma once

/* A call of the door's: the transport of module/call.h behind exchange_call(). On the polling
 * thread, except where said. */

#include <stdbool.h>
#include <stdint.h>

#include "http/exchange.h"
#include "serve/served.h"

struct http_call;

/* serve->expire(): the call has taken too long, or its client does. */
void http_call_expire(struct served *served, const char *why);

/* The exchange's client has left: the call is over, and the exchange forgets it. */
void http_call_gone(struct http_call *call);

/* The connection has room again for what the call has to send. */
void http_call_resume(struct http_call *call);

/* Some output has been written; `pending` bytes wait for the client. */
void http_call_wrote(struct http_call *call, size_t pending);

/* Tells the route if there has been no reply for http.keepalive. */
void http_call_check(struct http_call *call, uint64_t now);

/* This worker stops. */
void http_call_stop(struct http_call *call);
