/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The thread of an instance: an event loop that runs libcurl's multi handle with one transfer per
 * call. Other threads only put orders into its inbox.
 */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "config.h"

struct engine;
struct job;

enum order { /* bits, so that a job handles several orders at once */
             ORDER_START = 1 << 0,
             ORDER_CANCEL = 1 << 1,
             ORDER_RESUME = 1 << 2,
};

/* The name of the field for max_tokens that the API is thought to take. [any] */
enum request_limit engine_limit(struct engine *engine);
void engine_set_limit(struct engine *engine, enum request_limit limit);

int engine_new(struct engine **ret, const struct config *config);

/* Joins the thread. All calls must have finished. */
struct engine *engine_free(struct engine *engine);

/* [any] Gives the thread an order for a job. The engine has a reference to the job until the order
 * is done. */
void engine_order(struct engine *engine, struct job *job, enum order order);

/* [any] The time of deadlines and timers: CLOCK_MONOTONIC, microseconds. sd_event_now() would say
 * when the loop woke up, and a wait that begins later than that would be too short. */
uint64_t engine_now(void);

/* The functions below are for the engine's thread only. */

const struct config *engine_config(const struct engine *engine);
sd_event *engine_event(const struct engine *engine);

/* A transfer with the common options; NULL: out of memory. Giving one back keeps it for another
 * job, since to make one costs more than to use it. NULL may be given. */
CURL *engine_take_easy(struct engine *engine);
void engine_give_easy(struct engine *engine, CURL *easy);

/* Between engine_adopt() and engine_release(), the engine has a reference to the job. */
void engine_adopt(struct engine *engine, struct job *job);
void engine_drop(struct engine *engine, struct job *job);

/* Puts the job into the queue for a connection. The engine calls job_connect() when it may connect.
 */
void engine_queue(struct engine *engine, struct job *job);

/* The job is connected, so the next job may connect. */
void engine_connected(struct engine *engine, struct job *job);

/* Removes the job from the queue, or its transfer from libcurl, which closes the connection if the
 * transfer is not complete. Must not be called from libcurl's callbacks. */
void engine_close(struct engine *engine, struct job *job);
