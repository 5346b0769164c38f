/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A client that may see how its call is served sends the key of this brickd in the header field
 * x-brick-explain. Bricks see a 1 there instead; with another value, they see no such field. What
 * bricks say of their steps comes in the trailers x-brick-step-bin.
 */

#include <stdbool.h>

#define EXPLAIN_FIELD "x-brick-explain"
#define EXPLAIN_TRAILER "x-brick-step-bin"

struct exchange;
struct http_head;
struct json_text;

/* Whether the request has the key, of EXPLAIN_KEY_LENGTH characters. */
bool explain_has_key(const struct http_head *head, const char *key);

/* Writes the steps of the call as a JSON array, the first one first. Within done(). */
void explain_put_steps(struct exchange *x, struct json_text *text);
