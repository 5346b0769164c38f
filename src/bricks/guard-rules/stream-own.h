/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of a stream, for the files stream*.c. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "fold.h"
#include "linear.h"
#include "match.h"
#include "stream-plan.h"
#include "stream.h"
#include "workspace.h"

/*
 * Every regex keeps the place from which it can still match: PCRE2's hard partial matching says
 * where a match begins that the next piece may complete. A regex without such a place is tried on a
 * new piece only if the piece has a byte that can begin a match. What lies before all those places
 * is settled.
 */
#define CHUNK 1024 /* bytes of a piece that are judged at once */
#define WINDOW (2 * STREAM_BACK + 2 * STREAM_SIGHT + 2 * CHUNK)
#define SPANS 8 /* a span has 2 * MATCH_REACH bytes, so no more of them lie within a window */

/* The window on a text: the last bytes of it, of which `end` says how far they are settled. Offsets
 * count from the beginning of the text. */
struct window {
        char *bytes;
        uint32_t base; /* offset of bytes[0] */
        uint32_t end;
};

/* How far a pattern has come. Counts only while the pattern is in stream.open. */
struct scan {
        uint32_t at;        /* a match can still begin here */
        uint32_t match_end; /* of a match that begins at `at` and waits for a need; 0: none */
};

/* Where a match may begin as there is a need near. */
struct span {
        uint32_t from;
        uint32_t to;
};

struct tried {
        bool hit;
        bool needed; /* of a raw rule: a need has been found */
        struct span spans[SPANS];
        unsigned n_spans;  /* in all; the last SPANS are kept */
        struct span early; /* of a raw rule: a match that was found before any need */
};

struct stream {
        const struct stream_plan *plan;
        struct workspace *workspace; /* of the thread, during a push */

        char carry[4]; /* the beginning of a character */
        size_t n_carry;
        struct window raw;
        struct window folded;
        struct folding folding;

        uint32_t literals; /* state */
        uint32_t scanned;  /* offset in the folded text up to which literals have been searched */
        bool deferred;     /* a literal ends with the window, so that it may be a part of a word */

        uint64_t *open;  /* the set of patterns whose scan counts */
        uint64_t *to_do; /* the set of patterns to be tried on the new bytes */
        struct scan *scans;
        struct tried *tried; /* [rule] */
        uint32_t *hits;      /* the rules that have hit, in ascending order */
        size_t n_hits;
        struct linear_scan model; /* of the folded text, if there is a model */
        uint32_t told;            /* set of 1 << label of the model that has been reported */

        uint64_t given;   /* bytes of all pieces */
        uint64_t settled; /* what the last push has said */
        struct budget budget;
        bool over; /* a limit was reached: nothing more is judged */
        bool is_attack;
        bool is_last;

        struct brick_finding *findings;
        size_t n_findings;
        size_t findings_size;
        bool out_of_memory;
};

/* stream-findings.c */

/* The place in the original text of an offset in the folded one. */
uint32_t stream_place(const struct stream *s, uint32_t offset);

/* A rule has matched. The offsets are those of the text that it sees. */
void stream_add_hit(struct stream *s, uint32_t rule, uint32_t start, uint32_t end);

/* A limit is reached: the rest of the text is not judged. */
void stream_stop(struct stream *s);

/* Gives the model the folded bytes from `from` on, and reports what it thinks of the sentences that
 * have ended. */
void stream_ask_model(struct stream *s, uint32_t from);

/* Makes the findings of a push what stream_push() promises: not empty, in order, and not before
 * what was settled. */
void stream_give_places(struct stream *s);

/* stream-rules.c */

/* Searches the new folded bytes for literals. Leaves the last byte unread if a literal ends with it
 * that may yet be a part of a word. */
void stream_scan_literals(struct stream *s);

/* from_*: where the new bytes of the two windows begin. */
void stream_try_patterns(struct stream *s, uint32_t from_folded, uint32_t from_raw);

/* The first offsets that an open pattern still needs in the two windows. */
void stream_find_needed(const struct stream *s, uint32_t *ret_folded, uint32_t *ret_raw);
