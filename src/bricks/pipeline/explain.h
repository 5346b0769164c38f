/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What `brickctl explain` shows of a call: for each step when it ran, what it took and made, and
 * what a guard has said. Nothing is collected unless the caller may see it.
 */

#include "run.h"

/* Begins to collect if the caller asks for it: brickd has checked that it may. 0 or -ENOMEM. */
int explain_start(struct run *run);

void explain_begin(struct run *run, const struct step *step);
void explain_input(struct run *run, const struct step *step, const ProtobufCMessage *request);
void explain_value(struct run *run, const struct step *step, const ProtobufCMessage *reply);
void explain_reply(struct run *run, const struct step *step, struct brick_bytes reply);
void explain_output(struct run *run, const struct step *step, const char *text, size_t length);
void explain_verdict(struct run *run, const struct step *step, const char *verdict);
void explain_error(struct run *run, const struct step *step, int code, struct brick_str message);
void explain_end(struct run *run, const struct step *step);

/* Sends it, before the call ends. */
void explain_send(struct run *run);
