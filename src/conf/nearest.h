/* SPDX-License-Identifier: MIT */
#pragma once

/* "Did you mean": the candidate that is fewest typing mistakes away from a word. */

struct nearest {
        const char *word;
        const char *best; /* NULL: nothing is near enough */
        unsigned distance;
};

struct nearest nearest_to(const char *word);
void nearest_offer(struct nearest *nearest, const char *candidate);
