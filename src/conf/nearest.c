/* SPDX-License-Identifier: MIT */
#include "conf/nearest.h"

#include <ctype.h>
#include <string.h>

#define LENGTH_MAX 64

static unsigned least(unsigned a, unsigned b)
{
        return a < b ? a : b;
}

static int same(char a, char b)
{
        return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* The number of insertions, deletions, replacements and swaps of adjacent characters that turn a
 * into b. */
static unsigned edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
        unsigned rows[3][LENGTH_MAX + 1];
        unsigned *before = rows[0], *last = rows[1], *row = rows[2], *spare;

        for (size_t j = 0; j <= nb; j++)
                last[j] = (unsigned)j;

        for (size_t i = 1; i <= na; i++) {
                row[0] = (unsigned)i;
                for (size_t j = 1; j <= nb; j++) {
                        row[j] = least(last[j - 1] + !same(a[i - 1], b[j - 1]),
                                       least(last[j], row[j - 1]) + 1);
                        if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                                row[j] = least(row[j], before[j - 2] + 1);
                }
                spare = before;
                before = last;
                last = row;
                row = spare;
        }
        return last[nb];
}

struct nearest nearest_to(const char *word)
{
        size_t n = strlen(word);

        /* Accept up to a third of the word as mistakes, but not the whole word. */
        return (struct nearest){ .word = word, .distance = n < 2 ? 1 : (unsigned)(n + 2) / 3 + 1 };
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
        size_t n = strlen(nearest->word), m = strlen(candidate);
        unsigned distance;

        if (n > LENGTH_MAX || m > LENGTH_MAX || (n > m ? n - m : m - n) >= nearest->distance)
                return;
        distance = edit_distance(nearest->word, n, candidate, m);
        if (distance < nearest->distance) {
                nearest->distance = distance;
                nearest->best = candidate;
        }
}
