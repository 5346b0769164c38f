/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Texts that one brick has another, a guard, judge piece by piece: functions of the ABI. Unlike all
 * others they enter the guard on the stack of the caller; filter_push() and its like are pure
 * functions, which may do nothing but log. What they say is checked here, so that the caller may
 * rely on it.
 */

#include "brick.h"

int filter_abi_open(struct brick_target *target, struct brick_filter **ret);
int filter_abi_push(struct brick_target *target, struct brick_filter *filter, struct brick_str text,
                    uint32_t is_last, struct brick_judgement *ret);
void filter_abi_close(struct brick_target *target, struct brick_filter *filter);
