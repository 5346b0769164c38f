/* SPDX-License-Identifier: MIT */
#pragma once

/* Which passages a search may find, and how many those are. */

#include "reader.h"
#include "schema.h"
#include "search.h"

/*
 * Reads the table of audiences: sets visible, rows and average_size of *statistics, and *ret.
 * Returns an SQLite result code. What is read is checked.
 */
int audience_read(struct reader *reader, const struct search_who *who,
                  struct statistics *statistics, struct search_statistics *ret);
