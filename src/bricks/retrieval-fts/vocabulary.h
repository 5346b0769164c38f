/* SPDX-License-Identifier: MIT */
#pragma once

/* How many passages of an open index have a token. */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "scope.h"

struct vocabulary *vocabulary_free(struct vocabulary *v);
DEFINE_CLEANUP(struct vocabulary *, vocabulary_free);

/* NULL: there is no memory. */
struct vocabulary *vocabulary_new(sqlite3 *db);

/* Whether one has it; this takes less time. */
bool vocabulary_has(struct vocabulary *v, const char *token);

/* 0: none, or it cannot be read. */
int64_t vocabulary_passages(struct vocabulary *v, const char *token);
