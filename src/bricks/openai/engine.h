/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The thread of one instance: an event loop that drives libcurl's multi handle, with as many
 * transfers as there are calls. Other threads only leave orders in its inbox.
 */

#include <systemd/sd-event.h>

#include "config.h"

struct engine;
struct job;

enum order { /* bits, so that many for one job are one visit */
             ORDER_START = 1 << 0,
             ORDER_CANCEL = 1 << 1,
             ORDER_RESUME = 1 << 2,
};

int engine_new(struct engine **ret, const struct config *config);

/* Joins the thread. Every call is finished. */
struct engine *engine_free(struct engine *engine);

/* [any] Tells the thread to do something with a job, of which it takes a reference till then. */
void engine_order(struct engine *engine, struct job *job, enum order order);

/* The rest is for the engine's own thread. */

const struct config *engine_config(const struct engine *engine);
sd_event *engine_event(const struct engine *engine);
uint64_t engine_now(const struct engine *engine); /* CLOCK_MONOTONIC, microseconds */

/* The engine keeps a reference to the job from the one to the other. */
void engine_adopt(struct engine *engine, struct job *job);
void engine_drop(struct engine *engine, struct job *job);

/* Asks for a connection: job_connect() is called once one is to be had. */
void engine_queue(struct engine *engine, struct job *job);

/* The job's connection stands, and the next one may be opened. */
void engine_connected(struct engine *engine, struct job *job);

/* Takes the job out of the queue, or its transfer away from libcurl, which closes the connection of
 * one that is not complete. Not from within libcurl's callbacks. */
void engine_close(struct engine *engine, struct job *job);
