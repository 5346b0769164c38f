/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The HTTP server for monitoring, on the main process's event loop: /metrics, /livez and /readyz. A
 * connection gets one answer and has ten seconds for it; the number of connections is bounded. So a
 * slow client takes one place for ten seconds, and delays nobody.
 */

#include "util/cleanup.h"

struct http;
struct manager;
struct socket;

int http_new(struct http **ret, struct manager *m);
struct http *http_free(struct http *http);
DEFINE_CLEANUP(struct http *, http_free);

/* Accepts from another listening socket (NULL: from none), of which it takes a reference. If that
 * fails, it logs why and keeps the old one. */
void http_listen(struct http *http, struct socket *socket);
