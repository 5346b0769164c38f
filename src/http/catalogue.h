/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The models that LLM bricks say they have, in their answers to GetServiceInfo: `models` of struct
 * instance. brickd asks each brick of the door when the worker begins to serve, and again when
 * somebody asks for models and the last answer is old. Nobody waits for an answer: until it has
 * come, a brick has the models of its last one. On the polling thread, except where said.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

struct catalogue;
struct instance;

/* Of one brick; further ones do not count. */
#define CATALOGUE_MODELS 64
#define CATALOGUE_NAME_MAX 255

/* in_flight: counts the calls of the catalogue as well, and must outlive them. [main] */
int catalogue_new(struct catalogue **ret, atomic_uint *in_flight);
struct catalogue *catalogue_free(struct catalogue *catalogue);
DEFINE_CLEANUP(struct catalogue *, catalogue_free);

/* Before it is asked for the first time. Does nothing if it has the brick, or if that is none that
 * has models. -ENOMEM. [main] */
int catalogue_add(struct catalogue *catalogue, struct instance *brick);

/* Asks the bricks whose last answer is old. */
void catalogue_refresh(struct catalogue *catalogue);

/* Whether a question is under way that has a limit: then catalogue_check() is called once a second,
 * and gives up those whose time is over. now: clock_now(). */
bool catalogue_waits(const struct catalogue *catalogue);
void catalogue_check(struct catalogue *catalogue, uint64_t now);

/* The worker stops: ends what is under way, and asks no more. */
void catalogue_stop(struct catalogue *catalogue);
