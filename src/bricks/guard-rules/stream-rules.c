/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "match.h"
#include "stream-own.h"

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
                        stream_add_hit(s, index, tried->early.from, tried->early.to);
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

        if (literal->kind == LITERAL_ENCODING || stream_is_off(s->plan->rules, literal->owner))
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
        stream_add_hit(s, literal->owner, from, to);
}

static void scan_bytes(struct stream *s, uint32_t n)
{
        literals_scan_piece(s->plan->rules->literals, &s->literals,
                            s->folded.bytes + (s->scanned - s->folded.base), n, on_literal, s);
        s->scanned += n;
}

void stream_scan_literals(struct stream *s)
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
                stream_add_hit(s, pattern->rule, scan->at, scan->match_end);
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
        if (rule->check && (place.from > place.to ||
                            !rule->check(text, place.to - place.from, place.from - window->base))) {
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
                        stream_stop(s);
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

void stream_try_patterns(struct stream *s, uint32_t from_folded, uint32_t from_raw)
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
                                stream_stop(s);
                }
        }
}

void stream_find_needed(const struct stream *s, uint32_t *ret_folded, uint32_t *ret_raw)
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
