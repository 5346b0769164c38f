/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "passage.h"
#include "schema.h"
#include "scope.h"
#include "unicode.h"

/* The constants of BM25, and the weight of a match in the title; one in the body has 1. They are
 * those that found manual pages best by what the pages are for: see README.md. */
#define BM25_K1 0.9
#define BM25_B 0.75
#define TITLE_WEIGHT 3

/* A term is common if it is in more than 200 passages, in more than an eighth of all, and in more
 * than four times as many as the rarest term of the query. A passage with common ones only is no
 * answer. */
#define COMMON_LEAST 200
#define COMMON_SHARE 8
#define COMMON_TIMES 4

/* More occurrences of a term in a passage change nothing. */
#define COUNT_MAX 32

/* The share of an excerpt's words that come before its first match. */
#define EXCERPT_LEAD 6

/* The value of a repetition of a term in an excerpt; its first occurrence has 1. */
#define REPEATED_VALUE 0.05

struct span {
        int start;
        int end;
};

/* The words of a passage's body, and for each the terms of the query that start there. */
struct words {
        uint64_t *terms;
        size_t n_terms; /* no term starts from there on */
        struct span *spans;
        size_t n;    /* words read so far */
        size_t most; /* that are wanted */
        size_t allocated;
};

struct count {
        const struct statistics *statistics;
        sqlite3_int64 rows;
};

static int count_row(const Fts5ExtensionApi *api, Fts5Context *fts, void *user)
{
        struct count *count = user;

        count->rows += statistics_is_visible(count->statistics, api->xRowid(fts));
        return SQLITE_OK;
}

static void statistics_norms(struct statistics *s)
{
        for (unsigned i = 0; i < ROWID_TITLE_LEVELS; i++)
                s->title_norm[i] = BM25_K1 *
                                   (1 - BM25_B +
                                    BM25_B * rowid_title_words(i) / s->average_size[SCHEMA_TITLE]);
        for (unsigned i = 0; i < ROWID_BODY_LEVELS; i++)
                s->body_norm[i] = BM25_K1 *
                                  (1 - BM25_B +
                                   BM25_B * rowid_body_words(i) / s->average_size[SCHEMA_BODY]);
}

static int statistics_term(const Fts5ExtensionApi *api, Fts5Context *fts, int term,
                           struct statistics *s)
{
        struct count with = { .statistics = s };
        int r;

        if (api->xPhraseSize(fts, term) == 0)
                return SQLITE_OK;
        with.rows = s->passages[term];
        if (with.rows < 0) {
                with.rows = 0;
                r = api->xQueryPhrase(fts, term, &with, count_row);
                if (r == SQLITE_OK && with.rows > s->rows)
                        r = SQLITE_CORRUPT;
                if (r != SQLITE_OK)
                        return r;
        }
        s->rarity[term] = log(1 +
                              ((double)(s->rows - with.rows) + 0.5) / ((double)with.rows + 0.5));
        s->rarity_sum += s->rarity[term];
        s->passages[term] = with.rows;
        return SQLITE_OK;
}

static sqlite3_int64 larger(sqlite3_int64 a, sqlite3_int64 b)
{
        return a > b ? a : b;
}

static void statistics_telling(struct statistics *s)
{
        const sqlite3_int64 *rows = s->passages;
        sqlite3_int64 rarest = INT64_MAX / COMMON_TIMES, most;

        for (int i = 0; i < s->n; i++)
                if (rows[i] > 0 && rows[i] < rarest)
                        rarest = rows[i];
        most = larger(larger(COMMON_LEAST, s->rows / COMMON_SHARE), rarest * COMMON_TIMES);
        for (int i = 0; i < s->n; i++)
                if (rows[i] > 0 && rows[i] <= most)
                        s->telling |= UINT64_C(1) << i;
        for (int i = 0; i < s->n; i++)
                if (rows[i] > 0 && rows[i] <= s->rows / 2)
                        s->counting |= UINT64_C(1) << i;
        s->counting |= s->telling;
}

static int statistics_fill(const Fts5ExtensionApi *api, Fts5Context *fts, struct statistics *s)
{
        int r = SQLITE_OK;

        s->n = api->xPhraseCount(fts);
        if (s->n > SCHEMA_TERMS_MAX)
                return SQLITE_RANGE;
        statistics_norms(s);
        for (int i = 0; r == SQLITE_OK && i < s->n; i++)
                r = statistics_term(api, fts, i, s);
        statistics_telling(s);
        for (int i = 0; i < s->n; i++)
                s->numbers[i] = (int8_t)i;
        return r;
}

static int statistics_get(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_value *argument,
                          struct statistics **ret)
{
        struct statistics *s = sqlite3_value_pointer(argument, STATISTICS_TYPE);
        int r;

        if (!s)
                return SQLITE_MISUSE;
        if (!s->ready) {
                r = statistics_fill(api, fts, s);
                if (r != SQLITE_OK)
                        return r;
                s->ready = true;
        }
        *ret = s;
        return SQLITE_OK;
}

/* Notes a term in the row's body. False: the position is not one of a passage. */
static bool note(struct marks *marks, int term, int word)
{
        if (word > UINT16_MAX)
                return false;
        if (marks->n < MARKS_MAX)
                marks->items[marks->n++] = (struct mark){ (uint16_t)word, (uint16_t)term };
        return true;
}

/*
 * Counts each term in the row's title and body, and notes where the body has it; *ret_found has a
 * bit for each term that occurs. The positions are checked here: FTS5 takes them from the file
 * unchecked.
 */
static int count_terms(const Fts5ExtensionApi *api, Fts5Context *fts, struct statistics *s,
                       double (*counts)[2], uint64_t *ret_found)
{
        int column, offset, r;
        Fts5PhraseIter i;

        *ret_found = 0;
        s->marks.n = 0;
        for (int term = 0; term < s->n; term++) {
                counts[term][SCHEMA_TITLE] = counts[term][SCHEMA_BODY] = 0;
                if (s->numbers[term] < 0)
                        continue;
                r = api->xPhraseFirst(fts, s->numbers[term], &i, &column, &offset);
                if (r != SQLITE_OK)
                        return r;
                if (column >= 0)
                        *ret_found |= UINT64_C(1) << term;
                for (; column >= 0 && counts[term][SCHEMA_BODY] < COUNT_MAX;
                     api->xPhraseNext(fts, &i, &column, &offset)) {
                        if (column > SCHEMA_BODY || offset < 0)
                                return SQLITE_CORRUPT;
                        if (column == SCHEMA_BODY && !note(&s->marks, term, offset))
                                return SQLITE_CORRUPT;
                        counts[term][column]++;
                }
        }
        return SQLITE_OK;
}

static double saturate(double count, double norm)
{
        return count > 0 ? count * (BM25_K1 + 1) / (count + norm) : 0;
}

/* The score of a row; 0 if it may not be found, or has only common terms. */
static int row_score(const Fts5ExtensionApi *api, Fts5Context *fts, struct statistics *s,
                     double *ret)
{
        sqlite3_int64 rowid = api->xRowid(fts);
        double counts[SCHEMA_TERMS_MAX][2], title_norm, body_norm, sum = 0, share = 0;
        uint64_t found;
        int r;

        *ret = 0;
        if (!statistics_is_visible(s, rowid))
                return SQLITE_OK;
        r = count_terms(api, fts, s, counts, &found);
        if (r != SQLITE_OK || !(found & s->telling))
                return r;
        title_norm = s->title_norm[rowid_title_level(rowid)];
        body_norm = s->body_norm[rowid_body_level(rowid)];
        for (int i = 0; i < s->n; i++) {
                if (!(found & UINT64_C(1) << i))
                        continue;
                sum += s->rarity[i] *
                       (TITLE_WEIGHT * saturate(counts[i][SCHEMA_TITLE], title_norm) +
                        saturate(counts[i][SCHEMA_BODY], body_norm));
                share += s->rarity[i] / s->rarity_sum;
        }
        s->share = share;
        *ret = sum * share;
        return SQLITE_OK;
}

static void score(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context, int n,
                  sqlite3_value **arguments)
{
        struct statistics *s;
        double value;
        int r;

        if (n != 1) {
                sqlite3_result_error_code(context, SQLITE_MISUSE);
                return;
        }
        r = statistics_get(api, fts, arguments[0], &s);
        if (r == SQLITE_OK)
                r = row_score(api, fts, s, &value);
        if (r != SQLITE_OK)
                sqlite3_result_error_code(context, r);
        else
                sqlite3_result_double(context, value);
}

static void words_done(struct words *w)
{
        free(w->spans);
        free(w->terms);
}

static int words_add(void *user, int flags, const char *token, int length, int start, int end)
{
        struct words *w = user;
        struct span *spans;

        if (flags & FTS5_TOKEN_COLOCATED)
                return SQLITE_OK;
        if (w->n == w->allocated) {
                w->allocated = w->allocated ? w->allocated * 2 : 512;
                spans = reallocarray(w->spans, w->allocated, sizeof *spans);
                if (!spans)
                        return SQLITE_NOMEM;
                w->spans = spans;
        }
        w->spans[w->n++] = (struct span){ start, end };
        return w->n < w->most ? SQLITE_OK : SQLITE_DONE;
}

static int words_mark(struct words *w, const struct marks *marks)
{
        unsigned word;

        for (unsigned i = 0; marks && i < marks->n; i++) {
                word = marks->items[i].word;
                if (word >= PASSAGE_SIZE_MAX)
                        return SQLITE_CORRUPT;
                w->n_terms = word >= w->n_terms ? word + 1 : w->n_terms;
        }
        w->terms = calloc(w->n_terms + 1, sizeof *w->terms);
        if (!w->terms)
                return SQLITE_NOMEM;
        for (unsigned i = 0; marks && i < marks->n; i++)
                w->terms[marks->items[i].word] |= UINT64_C(1) << marks->items[i].term;
        return SQLITE_OK;
}

/* The value of the n words from `first` as an excerpt: the rarity of their terms, and a little for
 * repetitions. */
static double window_value(const struct words *w, const struct statistics *s, size_t first,
                           size_t n)
{
        double value = 0;
        uint64_t seen = 0, here;

        for (size_t i = first; i < w->n_terms && i < first + n; i++) {
                here = w->terms[i];
                for (int term = 0; here != 0 && term < s->n; term++)
                        if (here & UINT64_C(1) << term)
                                value += s->rarity[term] *
                                         (seen & UINT64_C(1) << term ? REPEATED_VALUE : 1);
                seen |= here;
        }
        return value;
}

/* Chooses the first of the n words to show, if there are so many from there on. */
static size_t words_choose(const struct words *w, const struct statistics *s, size_t n)
{
        size_t best = 0, lead = n / EXCERPT_LEAD;
        double value, best_value = 0;

        for (size_t i = 0; i < w->n_terms; i++) {
                if (w->terms[i] == 0)
                        continue;
                value = window_value(w, s, i, n - lead);
                if (value > best_value) {
                        best_value = value;
                        best = i;
                }
        }
        return best > lead ? best - lead : 0;
}

/* Copies text[start, end), each run of white space as one space. */
static size_t copy_flat(char *to, const char *text, size_t start, size_t end)
{
        size_t length, n = 0;

        for (size_t i = start; i < end; i += length) {
                if (!unicode_is_space(unicode_get(text + i, end - i, &length))) {
                        memcpy(to + n, text + i, length);
                        n += length;
                } else if (n > 0 && to[n - 1] != ' ')
                        to[n++] = ' ';
        }
        while (n > 0 && to[n - 1] == ' ')
                n--;
        return n;
}

/* Where the text to show starts and ends: punctuation that is attached to the first and the last
 * word is shown as well, as in "--all" and "done.". */
static size_t shown_start(const struct words *w, const char *text, size_t first)
{
        int at = w->spans[first].start, least = first > 0 ? w->spans[first - 1].end : 0;

        while (at > least && strchr("-([{<\"'`$#@/~", text[at - 1]))
                at--;
        return at;
}

static size_t shown_end(const struct words *w, const char *text, size_t last)
{
        int at = w->spans[last].end, most = w->spans[last + 1].start;
        size_t length;

        while (at < most && !unicode_is_space(unicode_get(text + at, most - at, &length)))
                at += length;
        return at;
}

/* Prints the words from `first`, with an ellipsis where text is omitted. */
static int words_print(const struct words *w, size_t first, size_t words, const char *text,
                       size_t size, sqlite3_context *context)
{
        static const char ellipsis[] = "\xe2\x80\xa6";
        size_t start = 0, end = size, n = 0;
        char *s;

        if (first > 0)
                start = shown_start(w, text, first);
        if (first + words < w->n)
                end = shown_end(w, text, first + words - 1);
        s = malloc(end - start + 2 * sizeof ellipsis);
        if (!s)
                return SQLITE_NOMEM;
        if (start > 0) {
                memcpy(s, ellipsis, 3);
                n = 3;
        }
        n += copy_flat(s + n, text, start, end);
        if (end < size) {
                memcpy(s + n, ellipsis, 3);
                n += 3;
        }
        sqlite3_result_text64(context, s, n, free, SQLITE_UTF8);
        return SQLITE_OK;
}

static int row_excerpt(const Fts5ExtensionApi *api, Fts5Context *fts, const struct statistics *s,
                       size_t words, sqlite3_context *context)
{
        _cleanup_(words_done) struct words w = {};
        const char *text;
        size_t first = 0;
        int size, r;

        r = api->xColumnText(fts, SCHEMA_BODY, &text, &size);
        if (r == SQLITE_OK && size > PASSAGE_SIZE_MAX) /* the next steps may take quadratic time */
                r = SQLITE_CORRUPT;
        if (r == SQLITE_OK)
                r = words_mark(&w, s->shown);
        if (r == SQLITE_OK) {
                first = words_choose(&w, s, words);
                w.most = first + words + 1; /* the last one tells where the text before it ends */
                r = api->xTokenize(fts, text, size, &w, words_add);
        }
        if (r != SQLITE_OK && r != SQLITE_DONE)
                return r;
        if (r == SQLITE_OK && w.n < w.n_terms) /* the text ends before a word that it must have */
                return SQLITE_CORRUPT;
        if (first + words > w.n)
                first = w.n > words ? w.n - words : 0;
        return words_print(&w, first, words, text, size, context);
}

static void excerpt(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context, int n,
                    sqlite3_value **arguments)
{
        struct statistics *s;
        int words, r;

        words = n == 2 ? sqlite3_value_int(arguments[1]) : 0;
        if (words <= 0) {
                sqlite3_result_error_code(context, SQLITE_MISUSE);
                return;
        }
        s = sqlite3_value_pointer(arguments[0], STATISTICS_TYPE);
        r = s ? row_excerpt(api, fts, s, words, context) : SQLITE_MISUSE;
        if (r != SQLITE_OK)
                sqlite3_result_error_code(context, r);
}

int rank_register(fts5_api *api)
{
        int r;

        r = api->xCreateFunction(api, "score", NULL, score, NULL);
        if (r != SQLITE_OK)
                return r;
        return api->xCreateFunction(api, "excerpt", NULL, excerpt, NULL);
}
