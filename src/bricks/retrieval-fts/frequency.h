/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How many passages have a term, for the terms that one connection was asked for lately: to count
 * them again takes longer than the rest of many searches.
 */

#include <stddef.h>
#include <stdint.h>

#include "schema.h"

#define FREQUENCY_SLOTS 256

struct frequency {
        int64_t version; /* of what the connection sees; SQLite's data_version */
        uint64_t visible[ROWID_AUDIENCES / 64];
        struct {
                uint64_t term; /* its digest; 0: free */
                int64_t rows;
        } slots[FREQUENCY_SLOTS];
};

/* Forgets everything if it is of another version, or of other passages. */
void frequency_begin(struct frequency *f, int64_t version,
                     const uint64_t visible[static ROWID_AUDIENCES / 64]);

/* -1: not known. */
int64_t frequency_get(const struct frequency *f, const char *term, size_t n);
void frequency_put(struct frequency *f, const char *term, size_t n, int64_t rows);
