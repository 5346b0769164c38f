/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "match.h"
#include "stream-own.h"

#define BUDGET_OF_CHUNK UINT64_C(400000) /* ns, for every CHUNK bytes beside MATCH_BUDGET */

/* Drops the bytes of a window that nothing needs any more. */
static size_t droppable(const struct window *window, uint32_t needed)
{
        size_t kept = needed - window->base;

        return kept > 2 * STREAM_BACK ? kept - STREAM_BACK : 0;
}

static void drop(struct stream *s, uint32_t folded_needed, uint32_t raw_needed)
{
        struct folding *f = &s->folding;
        size_t n = droppable(&s->folded, folded_needed);

        if (n > 0) {
                f->n -= n;
                f->word = f->word > n ? f->word - n : 0;
                f->first = f->first > n ? f->first - n : 0;
                memmove(f->out, f->out + n, f->n);
                memmove(f->origins, f->origins + n, f->n * sizeof *f->origins);
                s->folded.base += (uint32_t)n;
        }
        n = droppable(&s->raw, raw_needed);
        if (n > 0) {
                memmove(s->raw.bytes, s->raw.bytes + n, s->raw.end - s->raw.base - n);
                s->raw.base += (uint32_t)n;
        }
}

/* How many bytes, but for the beginning of a character at the end. */
static size_t whole_characters(const char *text, size_t length)
{
        for (size_t i = 1; i <= 3 && i <= length; i++) {
                unsigned char c = (unsigned char)text[length - i];
                size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

                if (c >= 0xc0)
                        return size > i && c <= 0xf4 ? length - i : length;
                if (c < 0x80)
                        break;
        }
        return length;
}

/* Takes a chunk of whole characters into the windows. */
static bool take(struct stream *s, const char *chunk, size_t length, bool is_last)
{
        struct folding *f = &s->folding;

        memcpy(s->raw.bytes + (s->raw.end - s->raw.base), chunk, length);
        if (!fold_more(f, chunk, length, s->raw.end))
                return false;
        s->raw.end += (uint32_t)length;
        /* A word that is too long to wait for its end is judged as if it ended here. */
        if (is_last || f->n - fold_settled(f) > STREAM_SIGHT)
                fold_end(f);
        s->folded.end = s->folded.base + (uint32_t)fold_settled(f);
        return true;
}

static int judge(struct stream *s, const char *chunk, size_t length, bool is_last)
{
        uint32_t from_folded = s->folded.end, from_raw = s->raw.end;
        uint32_t folded_needed, raw_needed;

        if (!take(s, chunk, length, is_last))
                return -EILSEQ;
        s->is_last = is_last;
        s->budget.limit += BUDGET_OF_CHUNK * length / CHUNK;
        stream_scan_literals(s);
        stream_try_patterns(s, from_folded, from_raw);
        stream_ask_model(s, from_folded);
        stream_find_needed(s, &folded_needed, &raw_needed);
        drop(s, folded_needed, raw_needed);
        return s->out_of_memory ? -ENOMEM : 0;
}

/* Judges the next CHUNK bytes of a piece, together with what the last one has left. is_cut: the
 * text goes on, perhaps inside a character, but is not judged any further. */
static int judge_some(struct stream *s, const char *piece, size_t length, bool is_last, bool is_cut)
{
        char chunk[sizeof s->carry + CHUNK];
        size_t n = s->n_carry + length, whole;

        memcpy(chunk, s->carry, s->n_carry);
        memcpy(chunk + s->n_carry, piece, length);
        whole = whole_characters(chunk, n);
        if (is_last && !is_cut && whole < n)
                return -EILSEQ;
        s->n_carry = n - whole;
        memcpy(s->carry, chunk + whole, s->n_carry);
        return judge(s, chunk, whole, is_last || is_cut);
}

static uint64_t settled(const struct stream *s)
{
        uint32_t folded, raw;

        stream_find_needed(s, &folded, &raw);
        folded = stream_place(s, folded);
        return folded < raw ? folded : raw;
}

int stream_push(struct stream *s, const char *piece, size_t length, bool is_last,
                struct brick_judgement *ret)
{
        size_t room = s->plan->limits.max_text - (s->raw.end + s->n_carry);
        size_t judged = length < room ? length : room;
        bool is_cut = judged < length;
        int r = 0;

        s->given += length;
        s->workspace = workspace_get();
        if (!s->workspace)
                return -ENOMEM;
        pcre2_set_offset_limit(s->workspace->context, PCRE2_UNSET);
        s->n_findings = 0;
        budget_begin(&s->budget);
        for (size_t i = 0, n; !s->over && r == 0; i += n) {
                bool all = judged - i <= CHUNK;

                n = all ? judged - i : CHUNK;
                r = judge_some(s, piece + i, n, is_last && all, is_cut && all);
                if (all)
                        break;
        }
        budget_end(&s->budget);
        if (is_cut)
                stream_stop(s);
        if (r < 0)
                return r;
        stream_give_places(s);
        ret->is_attack = s->is_attack;
        s->settled = s->over || is_last ? s->given : settled(s);
        ret->settled = s->settled;
        ret->findings = s->findings;
        ret->n_findings = s->n_findings;
        return 0;
}

struct stream *stream_free(struct stream *s)
{
        if (!s)
                return NULL;
        free(s->raw.bytes);
        free(s->folded.bytes);
        free(s->folding.origins);
        free(s->open);
        free(s->to_do);
        free(s->scans);
        free(s->tried);
        free(s->hits);
        free(s->findings);
        free(s);
        return NULL;
}

struct stream *stream_new(const struct stream_plan *plan)
{
        struct stream *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->plan = plan;
        s->budget.limit = MATCH_BUDGET;
        s->raw.bytes = malloc(WINDOW);
        s->folded.bytes = s->folding.out = malloc(WINDOW);
        s->folding.origins = malloc(WINDOW * sizeof *s->folding.origins);
        s->open = calloc(plan->n_words, sizeof *s->open);
        s->to_do = calloc(plan->n_words, sizeof *s->to_do);
        s->scans = calloc(plan->n_patterns + 1, sizeof *s->scans);
        s->tried = calloc(plan->rules->n_rules + 1, sizeof *s->tried);
        s->hits = calloc(plan->rules->n_rules + 1, sizeof *s->hits);
        if (!s->raw.bytes || !s->folded.bytes || !s->folding.origins || !s->open || !s->to_do ||
            !s->scans || !s->tried || !s->hits)
                return stream_free(s);
        if (plan->judge->model)
                linear_begin(&s->model, plan->judge->model);
        return s;
}
