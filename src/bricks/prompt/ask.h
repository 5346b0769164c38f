/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call: the conversation with the model, until its reply can be used or all attempts are made.
 * Everything here runs in entries of the call, which never overlap.
 */

#include "config.h"

struct ask;

/* Takes a call, with the state of which call_set_data() then has been told. 0 or a negative errno,
 * after which the call is still brickd's. */
int ask_start(const struct config *config, struct brick_call *call, uint32_t method);
void ask_writable(struct ask *ask);
void ask_cancel(struct ask *ask);
