/* SPDX-License-Identifier: MIT */
#pragma once

/* The models of a port: the names of its LLM bricks, what their `match: model_id:` lists, and what
 * they say themselves (catalogue.h). */

#include <stdbool.h>

#include "util/json-write.h"

struct exchange;
struct instance;

/* The brick that has the model, also one that the client may not call; NULL: there is none.
 * *ret_own: the model is the brick's name. */
struct instance *models_find(struct exchange *x, const char *model, bool *ret_own);

/* "'chat', 'gpt-4o'": those that the client may call, for messages. */
void models_name(struct exchange *x, struct json_text *text);
