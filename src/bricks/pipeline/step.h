/* SPDX-License-Identifier: MIT */
#pragma once

/* Steps that ask a brick. */

#include "run.h"

enum begun {
        BEGUN_WAITS, /* the step ends later, or the call is over */
        BEGUN_DONE,
};

/* Starts a step, or starts it again with the next brick of its list. */
enum begun step_begin(struct run *run, const struct step *step);

/* The request for a step's brick. NULL: the call has been ended, as there is no memory, or a value
 * does not fit. */
ProtobufCMessage *step_request(struct run *run, const struct step *step);

/* Of the last step, if its replies are those of the pipeline: they pass as they are. */
int forward_begin(struct run *run, const struct step *step, const ProtobufCMessage *request);
void forward_writable(struct forward *forward);
void forward_free(struct forward *forward);
