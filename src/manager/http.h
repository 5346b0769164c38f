/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * HTTP for those who watch over brickd, on the main process's event loop: /metrics, /livez and
 * /readyz. A connection gets one answer, and little time for it: a slow client holds one of a few
 * places for that long, and nothing else.
 */

#include "util/cleanup.h"

struct http;
struct manager;
struct socket;

int http_new(struct http **ret, struct manager *m);
struct http *http_free(struct http *http);
DEFINE_CLEANUP(struct http *, http_free);

/* Moves to another listening socket (NULL: none). If that does not work it says so, and stays. */
void http_listen(struct http *http, struct socket *socket);
