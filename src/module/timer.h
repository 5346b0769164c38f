/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The timers of calls. A timer belongs to its call, which keeps the memory until its own end, so
 * that what a brick does with a timer it has freed can be told and does no harm.
 */

#include "brick.h"

struct call;

/* The functions of the ABI. */
int timer_abi_new(struct brick_call *call, void (*fire)(void *user), void *user,
                  struct brick_timer **ret);
void timer_abi_set(struct brick_timer *timer, uint64_t when);
void timer_abi_free(struct brick_timer *timer);

/* Runs fire() of each timer whose time has come, until the brick has finished the call. The lock of
 * the call is held, but not while fire() runs. */
void timers_enter(struct call *call);

/* The brick has finished the call: no timer fires any more. Lock held. */
void timers_stop(struct call *call);

/* The call has ended, and nothing uses it. */
void timers_free(struct call *call);
