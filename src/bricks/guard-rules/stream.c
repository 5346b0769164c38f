/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "match.h"
#include "stream-plan.h"
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

#define BUDGET_OF_CHUNK UINT64_C(400000) /* ns, for every CHUNK bytes beside MATCH_BUDGET */

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

/* ---- findings ---------------------------------------------------------------------------------
 */

/* The place in the original text of an offset in the folded one. */
static uint32_t place_of(const struct stream *s, uint32_t offset)
{
        const struct folding *f = &s->folding;
        size_t i = offset > s->folded.base ? offset - s->folded.base : 0;

        return i < f->n ? f->origins[i] : f->space ? f->space_at : s->raw.end;
}

static void add_finding(struct stream *s, const struct brick_finding *finding)
{
        if (s->n_findings == s->findings_size) {
                size_t size = s->findings_size ? s->findings_size * 2 : 8;
                struct brick_finding *p = reallocarray(s->findings, size, sizeof *p);

                if (!p) {
                        s->out_of_memory = true;
                        return;
                }
                s->findings = p;
                s->findings_size = size;
        }
        s->findings[s->n_findings++] = *finding;
        s->is_attack = s->is_attack || finding->is_attack;
}

/* As match_score(), in the same order of the rules. */
static double score_of(const struct stream *s, uint32_t category)
{
        const struct rules *rules = s->plan->rules;
        double score = 0;

        for (size_t i = 0; i < rules->n_rules; i++)
                if (rules->rules[i].category == category && s->tried[i].hit)
                        score += (1 - score) * rules->rules[i].score;
        return score;
}

static void add_hit(struct stream *s, uint32_t index, uint32_t start, uint32_t end)
{
        const struct rule *rule = &s->plan->rules->rules[index];
        const struct category *category = &s->plan->rules->categories[rule->category];
        double score;

        s->tried[index].hit = true;
        score = score_of(s, rule->category);
        add_finding(s, &(struct brick_finding){
                               .start = rule->raw ? start : place_of(s, start),
                               .end = rule->raw ? end : place_of(s, end),
                               .rule = brick_str(rule->id),
                               .category = brick_str(category->name),
                               .score = score,
                               .is_attack = score >= category->threshold,
                       });
}

/* The rest of the text is not judged. */
static void stop_at_limit(struct stream *s)
{
        if (s->over)
                return;
        s->over = true;
        add_finding(s, &(struct brick_finding){
                               .start = s->raw.end,
                               .end = s->raw.end,
                               .rule = brick_str("limit"),
                               .category = brick_str("limit"),
                               .score = 0.5,
                               .is_attack = s->plan->limits.flag,
                       });
}

/* ---- literals ---------------------------------------------------------------------------------
 */

/* A byte of the folded text; a space where it is not kept any more. */
static char folded_at(const struct stream *s, uint32_t offset)
{
        return offset < s->folded.base ? ' ' : s->folded.bytes[offset - s->folded.base];
}

static void add_need(struct stream *s, uint32_t index, uint32_t start, uint32_t end)
{
        struct tried *tried = &s->tried[index];
        struct span *span = &tried->spans[(tried->n_spans + SPANS - 1) % SPANS];
        uint32_t from = start > MATCH_REACH ? start - MATCH_REACH : 0;

        if (s->plan->rules->rules[index].raw) {
                tried->needed = true;
                if (tried->early.to > 0)
                        add_hit(s, index, tried->early.from, tried->early.to);
                tried->early.to = 0;
        } else if (tried->n_spans > 0 && from <= span->to) {
                span->to = end + MATCH_REACH;
        } else {
                tried->spans[tried->n_spans++ % SPANS] = (struct span){ from, end + MATCH_REACH };
        }
}

/* end counts from stream.scanned, as literals_scan_piece() says it. */
static void on_literal(void *user, const struct literal *literal, size_t end)
{
        struct stream *s = user;
        uint32_t to = s->scanned + (uint32_t)end;
        uint32_t from = to - (uint32_t)literal->length;

        if (stream_is_off(s->plan->rules, literal->owner))
                return;
        if (literal->kind == LITERAL_NEED) {
                add_need(s, literal->owner, from, to);
                return;
        }
        if (from > 0 && match_is_word(folded_at(s, from)) && match_is_word(folded_at(s, from - 1)))
                return;
        if (match_is_word(folded_at(s, to - 1))) {
                if (to == s->folded.end && !s->is_last)
                        s->deferred = true;
                if (to == s->folded.end ? !s->is_last : match_is_word(folded_at(s, to)))
                        return;
        }
        add_hit(s, literal->owner, from, to);
}

static void scan_bytes(struct stream *s, uint32_t n)
{
        literals_scan_piece(s->plan->rules->literals, &s->literals,
                            s->folded.bytes + (s->scanned - s->folded.base), n, on_literal, s);
        s->scanned += n;
}

/* Leaves the last byte unread if a literal ends with it that may yet be a part of a word. */
static void scan_literals(struct stream *s)
{
        uint32_t before;

        if (!s->plan->rules->literals || s->scanned == s->folded.end)
                return;
        scan_bytes(s, s->folded.end - s->scanned - 1);
        before = s->literals;
        s->deferred = false;
        scan_bytes(s, 1);
        if (s->deferred) {
                s->literals = before;
                s->scanned--;
        }
}

/* ---- patterns ---------------------------------------------------------------------------------
 */

/* The offset of the next character behind the one at `at`. */
static uint32_t next_character(const struct window *w, uint32_t at)
{
        do
                at++;
        while (at < w->end && ((unsigned char)w->bytes[at - w->base] & 0xc0) == 0x80);
        return at;
}

static bool is_needed(const struct stream *s, uint32_t index, uint32_t at)
{
        const struct tried *tried = &s->tried[index];

        if (!s->plan->rules->rules[index].needs || tried->needed)
                return true;
        for (unsigned i = 0; i < SPANS && i < tried->n_spans; i++)
                if (at >= tried->spans[i].from && at <= tried->spans[i].to)
                        return true;
        return false;
}

/* A match waits for a need behind it. False: it has been dealt with. */
static bool waits_for_need(struct stream *s, const struct pattern *pattern,
                           const struct window *window, struct scan *scan)
{
        uint32_t next = next_character(window, scan->at);

        if (is_needed(s, pattern->rule, scan->at)) {
                add_hit(s, pattern->rule, scan->at, scan->match_end);
                if (scan->match_end > next)
                        next = scan->match_end;
        } else if (!s->is_last && window->end - scan->at <= MATCH_REACH + s->plan->longest) {
                return true;
        } else if (s->plan->rules->rules[pattern->rule].raw) {
                s->tried[pattern->rule].early = (struct span){ scan->at, scan->match_end };
        }
        scan->at = next;
        scan->match_end = 0;
        return false;
}

/* Calls PCRE2 for what can begin at scan->at or later. On a match or a partial one, *ret_place is
 * where it begins and ends. Returns the result of pcre2_match(). */
static int try_pattern(struct stream *s, const struct pattern *pattern, const struct window *window,
                       uint32_t at, struct span *ret_place)
{
        uint32_t base = at - window->base > pattern->back ? at - pattern->back : window->base;
        uint32_t options = PCRE2_NO_UTF_CHECK | (s->is_last ? 0 : PCRE2_PARTIAL_HARD);
        PCRE2_SIZE *place = pcre2_get_ovector_pointer(s->workspace->data);
        int r;

        while (base < at && ((unsigned char)window->bytes[base - window->base] & 0xc0) == 0x80)
                base++;
        if (base > 0)
                options |= PCRE2_NOTBOL;
        r = pcre2_match(pattern->regex, (PCRE2_SPTR)window->bytes + (base - window->base),
                        window->end - base, at - base, options, s->workspace->data,
                        s->workspace->context);
        if (r >= 0 || r == PCRE2_ERROR_PARTIAL)
                *ret_place = (struct span){ base + (uint32_t)place[0], base + (uint32_t)place[1] };
        return r;
}

/* A match: true if it waits for a need. */
static bool on_match(struct stream *s, const struct pattern *pattern, const struct window *window,
                     struct scan *scan, struct span place)
{
        const struct rule *rule = &s->plan->rules->rules[pattern->rule];
        const char *text = window->bytes + (place.from - window->base);

        /* With \K in a regex, the start can be past the end. */
        if (rule->check && (place.from > place.to || !rule->check(text, place.to - place.from))) {
                scan->at = next_character(window, place.from);
                return false;
        }
        scan->at = place.from;
        scan->match_end = place.to;
        return waits_for_need(s, pattern, window, scan);
}

/* Tries a pattern on what has come. True: it may match with the next piece, at scan->at. */
static bool advance(struct stream *s, const struct pattern *pattern, const struct window *window,
                    struct scan *scan)
{
        struct span place;
        int r;

        if (scan->match_end > 0 && waits_for_need(s, pattern, window, scan))
                return true;
        while (scan->at < window->end && !s->over) {
                r = try_pattern(s, pattern, window, scan->at, &place);
                if (r == PCRE2_ERROR_NOMATCH)
                        return false;
                if (r >= 0) {
                        if (on_match(s, pattern, window, scan, place))
                                return true;
                } else if (r == PCRE2_ERROR_PARTIAL) {
                        scan->at = place.from;
                        if (window->end - place.from <= STREAM_SIGHT)
                                return true;
                        scan->at = next_character(window, place.from);
                } else {
                        stop_at_limit(s);
                }
        }
        return false;
}

/* Adds the patterns of which a match can begin in the bytes from `from` on. */
static void add_begun(struct stream *s, const struct window *window, uint32_t from, bool raw)
{
        const struct stream_plan *plan = s->plan;

        for (size_t word = 0; word < plan->n_words; word++) {
                uint64_t set = 0;

                for (uint32_t at = from; at < window->end; at++)
                        set |= plan->starts[(unsigned char)window->bytes[at - window->base] *
                                                    plan->n_words +
                                            word];
                s->to_do[word] |= set & (raw ? plan->raw[word] : ~plan->raw[word]);
        }
}

/* from: where the new bytes of the two windows begin. */
static void try_patterns(struct stream *s, uint32_t from_folded, uint32_t from_raw)
{
        const struct stream_plan *plan = s->plan;

        memcpy(s->to_do, s->open, plan->n_words * sizeof *s->to_do);
        add_begun(s, &s->folded, from_folded, false);
        add_begun(s, &s->raw, from_raw, true);
        for (size_t word = 0; word < plan->n_words; word++) {
                for (uint64_t set = s->to_do[word]; set != 0; set &= set - 1) {
                        uint64_t bit = set & -set;
                        size_t i = word * 64 + (size_t)__builtin_ctzll(set);
                        bool raw = plan->raw[word] & bit;

                        if (!(s->open[word] & bit))
                                s->scans[i] = (struct scan){ raw ? from_raw : from_folded, 0 };
                        if (advance(s, &plan->patterns[i], raw ? &s->raw : &s->folded,
                                    &s->scans[i]))
                                s->open[word] |= bit;
                        else
                                s->open[word] &= ~bit;
                        if (budget_is_over(&s->budget, budget_now()))
                                stop_at_limit(s);
                }
        }
}

/* ---- pieces -----------------------------------------------------------------------------------
 */

/* The first offsets that an open pattern still needs in the two windows. */
static void find_needed(const struct stream *s, uint32_t *ret_folded, uint32_t *ret_raw)
{
        const struct stream_plan *plan = s->plan;
        const struct literals *literals = plan->rules->literals;
        size_t begun = literals ? literals_begun(literals, s->literals) : 0;

        if (begun > STREAM_SIGHT)
                begun = STREAM_SIGHT;
        *ret_folded = literals ? s->scanned - (uint32_t)begun : s->folded.end;
        *ret_raw = s->raw.end;
        for (size_t word = 0; word < plan->n_words; word++) {
                for (uint64_t set = s->open[word]; set != 0; set &= set - 1) {
                        uint32_t *first = plan->raw[word] & set & -set ? ret_raw : ret_folded;
                        uint32_t at = s->scans[word * 64 + (size_t)__builtin_ctzll(set)].at;

                        if (at < *first)
                                *first = at;
                }
        }
}

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
        scan_literals(s);
        try_patterns(s, from_folded, from_raw);
        find_needed(s, &folded_needed, &raw_needed);
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

        find_needed(s, &folded, &raw);
        folded = place_of(s, folded);
        return folded < raw ? folded : raw;
}

/* A finding is not empty, and begins behind what was settled before: what a need blames late, or a
 * limit, has no better place. False: there is none. */
static bool give_place(const struct stream *s, struct brick_finding *finding)
{
        if (s->given == s->settled)
                return false;
        if (finding->start >= s->given)
                finding->start = s->given - 1;
        if (finding->start < s->settled)
                finding->start = s->settled;
        if (finding->end <= finding->start)
                finding->end = finding->start + 1;
        return true;
}

static void give_places(struct stream *s)
{
        size_t kept = 0;

        for (size_t i = 0; i < s->n_findings; i++)
                if (give_place(s, &s->findings[i]))
                        s->findings[kept++] = s->findings[i];
        s->n_findings = kept;
}

static int by_start(const void *a, const void *b)
{
        const struct brick_finding *x = a, *y = b;

        return (x->start > y->start) - (x->start < y->start);
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
                stop_at_limit(s);
        if (r < 0)
                return r;
        give_places(s);
        if (s->n_findings > 1)
                qsort(s->findings, s->n_findings, sizeof *s->findings, by_start);
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
        if (!s->raw.bytes || !s->folded.bytes || !s->folding.origins || !s->open || !s->to_do ||
            !s->scans || !s->tried)
                return stream_free(s);
        return s;
}
