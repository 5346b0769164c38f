/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The way of a call through the layers that all transports share. For each call, a transport calls
 * these functions, on the thread that serves the call and in this order:
 *
 *   served_begin()        port and method of the call are known
 *   admission_identify()  if the port authenticates (admission.h)
 *   served_dispatch()     base.request is known, unless it is a stream
 *   stats_received(),     for each message of a stream of requests, and for each reply that the
 *   stats_sent()          client has been sent (stats.h)
 *   admission_answer()    the end of the call is about to be sent, on any thread (admission.h)
 *   served_end()          the call is over for the client; the brick may still hold it
 *   admission_release()   in transport->free(), on any thread
 *
 * Instead of going on, the transport may refuse the call, by served_refuse() or call_refuse(): then
 * served_end() follows.
 */

#include "serve/served.h"

/* A method of a service, for one port. */
void serve_method_init(struct serve_method *method, const struct route *route, uint32_t number);

/* A client has made the call, of which port and method are set. deadline: the client's, in ns of
 * CLOCK_MONOTONIC; UINT64_MAX: none. The caller has the transport's reference. */
void served_begin(struct served *call, uint64_t deadline);

/* Ends the call with a gRPC status and a constant text, unless its outcome is known. */
void served_refuse(struct served *call, unsigned status, const char *message);

/* Finds the brick for base.request, checks the client's permission, and hands the brick the call,
 * queues or refuses it. */
void served_dispatch(struct served *call);

/* The same for a transport that has found the brick; NULL: there is none. */
void served_dispatch_to(struct served *call, struct instance *instance);

/* The call is over: counts, logs and traces it, and gives up the transport's reference. cancelled:
 * the client or the transport has ended it before all was sent. */
void served_end(struct served *call, bool cancelled);
