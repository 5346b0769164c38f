/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The control socket: D-Bus, peer to peer, for root and our own user.
 *
 *   /org/brickd  org.brickd.Manager
 *     Status() -> s            a JSON object
 *     Stats() -> s             another: what bricks have done, at once
 *     Reload(b wait) -> s      the verdict; with `wait` once the replaced workers have gone
 *     Stop()                   a second one cancels the calls that still run
 *     LogLevel(s level)        until the next reload
 *
 * Errors: org.brickd.Error.Config with the mistakes as its message, org.brickd.Error.Failed.
 *
 * What a client can cost is limited: 16 connections a user, of which the oldest goes when another
 * comes; of a connection, 8 calls without an answer and 4 answers that it has not read.
 */

#include "util/cleanup.h"

struct bus;
struct manager;

int bus_new(struct bus **ret, struct manager *m);
struct bus *bus_free(struct bus *bus);
DEFINE_CLEANUP(struct bus *, bus_free);

/* Moves to another path (NULL: nowhere); connections stay. A path that does not work is a warning,
 * and brickd stays where it was. */
void bus_listen(struct bus *bus, const char *path);

/* What those who wait are waiting for: manager->verdict is new, old workers have gone, a worker has
 * answered. */
void bus_verdict(struct bus *bus);
void bus_generation_ended(struct bus *bus);
void bus_answered(struct bus *bus);
