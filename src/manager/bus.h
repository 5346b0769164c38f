/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The control socket: D-Bus, peer to peer, for root and our own user.
 *
 *   /org/brickd  org.brickd.Manager
 *     Status() -> s            a JSON object; waits for the workers' answers, half a second at most
 *     Stats() -> s             a JSON object: what the bricks have done; waits for nothing
 *     Reload(b wait) -> s      the verdict; with `wait` after the replaced workers have exited
 *     Stop()                   as SIGTERM: a second one cancels the calls that still run
 *     LogLevel(s level, s brick, s module)   until the next reload; "": all bricks or modules
 *     ExplainKey() -> s        for the metadata x-brick-explain of a call that is to be explained
 *
 * Errors: org.brickd.Error.Config with the mistakes as its message, org.brickd.Error.Failed.
 *
 * What a client can cost is bounded. A user has 16 connections; one more closes the oldest. A
 * connection has 8 unanswered calls, and is closed when the client leaves 4 answers unread.
 */

#include "util/cleanup.h"

struct bus;
struct manager;

int bus_new(struct bus **ret, struct manager *m);
struct bus *bus_free(struct bus *bus);
DEFINE_CLEANUP(struct bus *, bus_free);

/* Listens on another path (NULL: on none); connections stay. If that fails, it logs a warning and
 * goes on listening on the old path. */
void bus_listen(struct bus *bus, const char *path);

/* The events that pending calls wait for: manager->verdict is new, a generation has ended, a worker
 * has answered or died. */
void bus_restarted(struct bus *bus, const char *brick, const char *why);
void bus_verdict(struct bus *bus);
void bus_generation_ended(struct bus *bus);
void bus_answered(struct bus *bus);
