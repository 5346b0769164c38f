/* SPDX-License-Identifier: MIT */
#pragma once

/* For "did you mean": finds the candidate with the smallest edit distance to a word. */

struct nearest {
        const char *word;
        const char *best; /* NULL: no candidate is near enough */
        unsigned distance;
};

struct nearest nearest_to(const char *word);
void nearest_offer(struct nearest *nearest, const char *candidate);
