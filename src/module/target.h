/* SPDX-License-Identifier: MIT */
#pragma once

/* The functions of the ABI that take a target, which is another brick. See brick.h. */

#include "brick.h"

struct instance;

uint32_t target_abi_type(const struct brick_target *target);
struct brick_str target_abi_name(const struct brick_target *target);
uint32_t target_abi_methods(const struct brick_target *target);
int target_abi_serving(const struct brick_target *target);

/* The watcher is an instance inside create(). */
int target_watch(struct instance *watcher, struct brick_target *target,
                 void (*changed)(void *user, int serving), void *user);

/* Ends the watches of an instance: no changed() runs any more when this returns. [main] */
void target_unwatch_all(struct instance *watcher);
