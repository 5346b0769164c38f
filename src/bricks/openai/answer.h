/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The way of an answer from the API to the client. For the engine's thread only. Functions that
 * return an int return 0 or a negative errno; -EBADMSG: see job->failure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "job.h"

/* libcurl's write callback; user is the job. */
size_t answer_on_bytes(char *bytes, size_t unit, size_t n, void *user);

/* The transfer has ended without an error of libcurl, or nothing more of an error is waited for. */
int answer_finish(struct job *job);

/* Whether the model has said all, whatever becomes of the connection. */
bool answer_is_complete(const struct job *job);

/* Sends a message to the client. -EAGAIN: there is no room; job->blocked is set. */
int answer_send(struct job *job, const char *text, bool is_final);

/* The answer is complete: sends the last message, unless another one still waits for the client.
 * -EBADMSG: it is no answer. */
int answer_conclude(struct job *job);
