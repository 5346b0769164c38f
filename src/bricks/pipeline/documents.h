/* SPDX-License-Identifier: MIT */
#pragma once

/* The documents of a call: those of the request, and those that steps have found. */

#include "run.h"

/* Where one list of documents lies. */
struct documents {
        RetrievalDocument **items;
        size_t *n;
};

#define DOCUMENT_LISTS_MAX (STEPS_MAX + 1)

/* The lists of the request and of steps, given as bits of their indices. Returns their number. */
size_t documents_lists(struct run *run, uint64_t steps, struct documents lists[DOCUMENT_LISTS_MAX]);

/* Puts all of them into a ComposeRequest or a RetrievalResponse. 0 or -ENOMEM. */
int documents_put(struct run *run, uint64_t steps, ProtobufCMessage *message);
