/* SPDX-License-Identifier: MIT */
#include "match.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "workspace.h"

/*
 * Limits on the time that a hostile text can take. PCRE2's own limit counts the backtracking from
 * one starting point, and does not count the steps along a repeat. So a search tries the starting
 * points in slices, lets PCRE2 see only MATCH_SIGHT bytes past a slice, and reads the clock after
 * each slice. Slices grow while one takes less than a tick of the coarse clock.
 */
#define SLICE_WORK (16 << 20) /* size of the first slice times the square of the bytes it sees */
#define SLICE_GROWTH 4
#define SLICE_MAX 4096
#define CANDIDATES_MAX 65536 /* texts that match a regex but fail the rule's check */
#define NAMES_MAX 16

size_t match_size(const struct rules *rules, size_t length)
{
        return rules->n_rules * (sizeof(struct place) + 2 * sizeof(uint32_t) + 1) + length;
}

/* Whether a match of the regex passes the rule's check, if it has one. */
static bool passes_check(const struct rule *rule, const struct workspace *w, const char *text)
{
        PCRE2_SIZE *place = pcre2_get_ovector_pointer(w->data);

        /* With \K in a regex, the start can be past the end. */
        return !rule->check || (place[0] <= place[1] &&
                                rule->check(text + place[0], place[1] - place[0], place[0]));
}

/* The next place at or after `at` where a character starts. */
static size_t next_start(const char *text, size_t length, size_t at)
{
        while (at < length && ((unsigned char)text[at] & 0xc0) == 0x80)
                at++;
        return at;
}

/* How many starting points to try before the clock is read for the first time. */
static size_t first_slice(size_t length)
{
        size_t seen = length < MATCH_SIGHT ? length + 1 : MATCH_SIGHT;
        size_t slice = 1 + SLICE_WORK / (seen * seen);

        return slice < SLICE_MAX ? slice : SLICE_MAX;
}

/* Finds the first match that starts in a slice. Returns the result of pcre2_match(). */
static int search_slice(const pcre2_code *regex, struct workspace *w, const char *text,
                        size_t length, struct place slice)
{
        size_t end = length;
        uint32_t options = PCRE2_NO_UTF_CHECK;

        if (length - slice.to > MATCH_SIGHT) {
                end = next_start(text, length, slice.to + MATCH_SIGHT);
                options |= PCRE2_NOTEOL;
        }
        pcre2_set_offset_limit(w->context, slice.to);
        return pcre2_match(regex, (PCRE2_SPTR)text, end, slice.from, options, w->data, w->context);
}

/* Tries the starting points of a span, both ends included. Where the match is, is in w->data. */
static enum rule_state search(struct match *match, const struct rule *rule, const pcre2_code *regex,
                              struct workspace *w, struct place span)
{
        const char *text = rule->raw ? match->raw : match->folded;
        size_t length = rule->raw ? match->raw_length : match->folded_length;
        size_t n = first_slice(length);
        size_t at = next_start(text, length, span.from);
        size_t candidates = 0;

        while (at <= span.to) {
                struct place slice = { at, span.to - at > n ? at + n : span.to };
                uint64_t start = budget_now();
                int r;

                if (budget_is_over(&match->budget, start))
                        return RULE_UNDECIDED;
                r = search_slice(regex, w, text, length, slice);
                if (r >= 0 && passes_check(rule, w, text))
                        return RULE_HIT;
                if (r >= 0 && ++candidates == CANDIDATES_MAX)
                        return RULE_UNDECIDED;
                if (r < 0 && r != PCRE2_ERROR_NOMATCH)
                        return RULE_UNDECIDED;
                if (r >= 0)
                        slice.to = pcre2_get_startchar(w->data);
                else if (n < SLICE_MAX && budget_now() == start)
                        n *= SLICE_GROWTH;
                at = next_start(text, length, slice.to + 1);
        }
        return RULE_PASSED;
}

static void add_hit(struct match *match, size_t index, struct place place)
{
        size_t n = match->n_hits++;

        for (; n > 0 && match->hits[n - 1] > index; n--)
                match->hits[n] = match->hits[n - 1];
        match->hits[n] = (uint32_t)index;
        match->states[index] = RULE_HIT;
        match->places[index] = place;
}

/* Tries the regexes until one hits. One that stops at a limit does not end this. */
static enum rule_state search_all(struct match *match, size_t index, struct place span)
{
        const struct rule *rule = &match->rules->rules[index];
        struct workspace *w = workspace_get();
        enum rule_state state = RULE_PASSED;

        if (!w)
                return RULE_UNDECIDED;
        for (size_t i = 0; i < rule->n_regexes; i++) {
                enum rule_state s = search(match, rule, rule->regexes[i], w, span);

                if (s == RULE_HIT) {
                        PCRE2_SIZE *place = pcre2_get_ovector_pointer(w->data);

                        add_hit(match, index, (struct place){ place[0], place[1] });
                        return RULE_HIT;
                }
                if (s == RULE_UNDECIDED)
                        state = RULE_UNDECIDED;
        }
        return state;
}

/* Tries the regexes of a rule on its span. If they were undecided on an earlier span, they can
 * still hit on this one. */
static void try_rule(struct match *match, size_t index)
{
        struct place *span = &match->places[index];

        if (match->states[index] == RULE_HIT || span->to == 0)
                return;
        if (search_all(match, index, *span) == RULE_UNDECIDED)
                match->states[index] = RULE_UNDECIDED;
        if (match->states[index] != RULE_HIT)
                span->to = 0;
}

static void touch(struct match *match, size_t index)
{
        if (match->states[index] == RULE_PASSED) {
                match->states[index] = RULE_TOUCHED;
                match->touched[match->n_touched++] = (uint32_t)index;
        }
}

/*
 * A need has been found, so the regexes have to be tried around it. The needs come in the order of
 * their ends, so only the last span of a rule has to be kept: in its place, as it has not hit.
 */
static void on_need(struct match *match, size_t index, size_t start, size_t end)
{
        struct place *span = &match->places[index];
        size_t from = start > MATCH_REACH ? start - MATCH_REACH : 0;
        size_t rest = match->folded_length - end;

        touch(match, index);
        if (match->rules->rules[index].raw) { /* offsets in the folded text do not apply */
                *span = (struct place){ 0, match->raw_length };
                return;
        }
        if (span->to < from)
                try_rule(match, index);
        if (match->states[index] == RULE_HIT)
                return;
        if (span->to == 0 || from < span->from)
                span->from = from;
        span->to = end + (rest > MATCH_REACH ? MATCH_REACH : rest);
}

/* Whether a literal is a whole word: "dan" does not count in "danger". Only at an end that is an
 * ASCII letter or digit is the character beside it checked. */
static bool stands_alone(const struct match *match, size_t start, size_t end)
{
        const char *s = match->folded;

        return (start == 0 || !match_is_word(s[start]) || !match_is_word(s[start - 1])) &&
               (end == match->folded_length || !match_is_word(s[end - 1]) ||
                !match_is_word(s[end]));
}

static bool is_wanted(const struct match *match, size_t index)
{
        const struct rules *rules = match->rules;

        if (match->only != MATCH_ALL)
                return index == match->only;
        return !rules->categories[rules->rules[index].category].off;
}

static void on_literal(void *user, const struct literal *literal, size_t end)
{
        struct match *match = user;
        size_t start = end - literal->length;

        if (literal->kind == LITERAL_ENCODING) {
                match->encodings |= 1u << literal->owner;
                return;
        }
        if (match->states[literal->owner] == RULE_HIT || !is_wanted(match, literal->owner))
                return;
        if (literal->kind == LITERAL_NEED)
                on_need(match, literal->owner, start, end);
        else if (stands_alone(match, start, end))
                add_hit(match, literal->owner, (struct place){ start, end });
}

/* The rules without needs, and what is left of the others. */
static void try_rules(struct match *match)
{
        const struct rules *rules = match->rules;

        for (size_t i = 0; i < rules->n_always; i++) {
                uint32_t index = rules->always[i];

                if (!is_wanted(match, index))
                        continue;
                match->places[index].from = 0;
                match->places[index].to = rules->rules[index].raw ? match->raw_length
                                                                  : match->folded_length;
                touch(match, index);
        }
        for (size_t i = 0; i < match->n_touched; i++) {
                uint32_t index = match->touched[i];

                try_rule(match, index);
                if (match->states[index] == RULE_TOUCHED)
                        match->states[index] = RULE_PASSED;
                match->undecided += match->states[index] == RULE_UNDECIDED;
        }
}

int match_text(struct match *ret, const struct rules *rules, size_t only, const char *text,
               size_t length, void *memory)
{
        struct place *places = memory;
        uint32_t *hits = (uint32_t *)(places + rules->n_rules);
        uint32_t *touched = hits + rules->n_rules;
        uint8_t *states = (uint8_t *)(touched + rules->n_rules);
        char *folded = (char *)(states + rules->n_rules);
        size_t n = fold_text(text, length, folded);

        if (n == SIZE_MAX)
                return -EILSEQ;
        memset(places, 0, rules->n_rules * sizeof *places);
        memset(states, RULE_PASSED, rules->n_rules);
        *ret = (struct match){
                .rules = rules,
                .states = states,
                .places = places,
                .hits = hits,
                .touched = touched,
                .raw = text,
                .raw_length = length,
                .folded = folded,
                .folded_length = n,
                .only = only,
                .budget = { .limit = MATCH_BUDGET },
        };
        budget_begin(&ret->budget);
        if (rules->literals)
                literals_scan(rules->literals, folded, n, on_literal, ret);
        try_rules(ret);
        return 0;
}

struct names {
        char *out;
        size_t size;
        size_t n;
        size_t count;
};

static void add_name(struct names *names, const char *name)
{
        if (names->count++ < NAMES_MAX && names->n < names->size)
                names->n += (size_t)snprintf(names->out + names->n, names->size - names->n, "%s%s",
                                             names->count > 1 ? ", " : "", name);
}

void match_names(const struct match *match, size_t category, char *out, size_t size)
{
        struct names names = { .out = out, .size = size };
        const struct rule *rules = match->rules->rules;

        out[0] = '\0';
        for (size_t i = 0; i < match->n_hits && category != MATCH_ALL; i++)
                if (rules[match->hits[i]].category == category)
                        add_name(&names, rules[match->hits[i]].id);
        for (size_t i = 0; i < match->n_touched && category == MATCH_ALL; i++)
                if (match->states[match->touched[i]] == RULE_UNDECIDED)
                        add_name(&names, rules[match->touched[i]].id);
        if (names.count > NAMES_MAX && names.n < size)
                snprintf(out + names.n, size - names.n, " and %zu more", names.count - NAMES_MAX);
}
