/* SPDX-License-Identifier: MIT */
#pragma once

/* Whole texts, judged by a guard that says where it has found what and by which rule. */

#include "run.h"

/*
 * The guard's findings as the reply that its Unary would give. If the step masks some of them,
 * *ret_masked is the text with placeholders, else NULL. In the memory of the call. 0 or a negative
 * errno.
 */
int filter_judge(struct run *run, const struct step *step, const char *text, GuardResponse **ret,
                 const char **ret_masked);
