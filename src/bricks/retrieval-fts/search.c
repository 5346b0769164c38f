/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "audience.h"
#include "narrow.h"
#include "ranking.h"
#include "reader.h"
#include "schema.h"
#include "util/utf8.h"
#include "vectors.h"

/* Candidates to keep for each result, because copies of a passage in other documents are skipped.
 */
#define CANDIDATES_PER_RESULT 3

/* Candidates of each ranking, at least, when two are fused: a document that is in both wins. */
#define FUSED_LEAST 50

/* A running search. */
struct search {
        struct reader *reader;
        const struct search_query *query;
        const char *expression;               /* NULL: the query has no words */
        const struct search_meaning *meaning; /* NULL: words alone count */
        struct statistics statistics;
        uint64_t *shown; /* digests of the passages that were passed to hit() */
        int n_shown;
};

static int bind_match(struct search *search, const char *expression)
{
        sqlite3_stmt *match = search->reader->statements[STATEMENT_MATCH];
        int r;

        r = sqlite3_bind_pointer(match, 2, &search->statistics, STATISTICS_TYPE, NULL);
        return r == SQLITE_OK ? sqlite3_bind_text(match, 1, expression, -1, SQLITE_STATIC) : r;
}

/* Takes over what the connection knows of the terms from before. Returns an SQLite result code. */
static int recall(struct search *search)
{
        sqlite3_stmt *version = search->reader->statements[STATEMENT_VERSION];
        struct frequency *frequency = &search->reader->frequency;
        int r, i = 0;

        r = sqlite3_step(version);
        frequency_begin(frequency, sqlite3_column_int64(version, 0), search->statistics.visible);
        sqlite3_reset(version);
        if (r != SQLITE_ROW)
                return r == SQLITE_DONE ? SQLITE_CORRUPT : r;
        for (const char *term = search->expression, *end; term && i < SCHEMA_TERMS_MAX;
             term = term_next(end)) {
                end = term_end(term);
                search->statistics.passages[i++] = frequency_get(frequency, term, end - term);
        }
        return SQLITE_OK;
}

static void remember(struct search *search)
{
        int i = 0;

        for (const char *term = search->expression, *end; term && i < search->statistics.n;
             term = term_next(end)) {
                end = term_end(term);
                frequency_put(&search->reader->frequency, term, end - term,
                              search->statistics.passages[i++]);
        }
}

/*
 * Learns by the first row how common the terms are. Rows that have only common ones of several are
 * no results and most of all: *ret is an expression without them, or NULL if that is all the same.
 * Returns an SQLite result code; SQLITE_DONE: there are no results.
 */
static int learn(struct search *search, char **ret)
{
        sqlite3_stmt *match = search->reader->statements[STATEMENT_MATCH];
        struct statistics *s = &search->statistics;
        uint64_t all;
        int r;

        r = recall(search);
        if (r == SQLITE_OK)
                r = bind_match(search, search->expression);
        if (r == SQLITE_OK)
                r = sqlite3_step(match);
        sqlite3_reset(match);
        if (r != SQLITE_ROW)
                return r;
        remember(search);
        if (s->telling == 0) /* no passage that may be found has one of them */
                return SQLITE_DONE;
        all = s->n < SCHEMA_TERMS_MAX ? (UINT64_C(1) << s->n) - 1 : UINT64_MAX;
        if ((s->telling & all) == all)
                return SQLITE_OK;
        *ret = narrow(search->expression, s->telling, s->counting, s->numbers);
        return *ret ? SQLITE_OK : SQLITE_NOMEM;
}

/* Ranks passages by their words. The rows are in the order of rowid. */
static int rank_words(struct search *search, struct ranking *ranking)
{
        sqlite3_stmt *match = search->reader->statements[STATEMENT_MATCH];
        _cleanup_free_ char *narrowed = NULL;
        struct candidate row = { .marks = &search->statistics.marks };
        int r;

        if (!search->expression)
                return SQLITE_OK;
        r = learn(search, &narrowed);
        if (r == SQLITE_OK)
                r = bind_match(search, narrowed ?: search->expression);
        while (r == SQLITE_OK && (r = sqlite3_step(match)) == SQLITE_ROW) {
                row.rowid = sqlite3_column_int64(match, 0);
                row.score = sqlite3_column_double(match, 1);
                row.weight = search->statistics.share * search->statistics.share;
                r = row.score <= 0 || ranking_add(ranking, &row) ? SQLITE_OK : SQLITE_NOMEM;
        }
        ranking_end(ranking);
        sqlite3_reset(match);
        return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* Ranks passages by their words, and by their meaning if there are vectors. Returns an SQLite
 * result code. */
static int rank(struct search *search, struct ranking **ret)
{
        const struct search_query *query = search->query;
        const struct search_meaning *meaning = search->meaning;
        _cleanup_(ranking_freep) struct ranking *words = NULL, *vectors = NULL;
        size_t max = (size_t)query->max_results * CANDIDATES_PER_RESULT;
        int r;

        if (meaning && max < FUSED_LEAST)
                max = FUSED_LEAST;
        words = ranking_new(max);
        if (!words)
                return SQLITE_NOMEM;
        r = rank_words(search, words);
        if (r != SQLITE_OK)
                return r;
        if (!meaning) {
                *ret = TAKE_PTR(words);
                return SQLITE_OK;
        }
        vectors = ranking_new(max);
        if (!vectors)
                return SQLITE_NOMEM;
        r = vectors_rank(meaning->vectors, meaning->query, &search->statistics, query->cancelled,
                         query->user, vectors);
        if (r != SQLITE_OK)
                return r;
        *ret = ranking_fuse(words, vectors);
        return *ret ? SQLITE_OK : SQLITE_NOMEM;
}

/* FNV-1a */
static uint64_t digest(const char *text)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (const char *p = text; *p; p++)
                hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
        return hash;
}

/* False: an equal passage has been shown. */
static bool is_new(struct search *search, const char *body)
{
        uint64_t hash = digest(body);

        for (int i = 0; i < search->n_shown; i++)
                if (search->shown[i] == hash)
                        return false;
        search->shown[search->n_shown++] = hash;
        return true;
}

/* Binds an id and returns the result of the first step: SQLITE_ROW if there is a row. */
static int row_by_id(sqlite3_stmt *statement, int parameter, sqlite3_int64 id)
{
        int r;

        r = sqlite3_bind_int64(statement, parameter, id);
        return r == SQLITE_OK ? sqlite3_step(statement) : r;
}

/* The text of a column. False: it is not valid UTF-8 without NUL, so the file is damaged. */
static bool column_text(sqlite3_stmt *statement, int i, const char **ret)
{
        const char *s = (const char *)sqlite3_column_text(statement, i);
        size_t n = (size_t)sqlite3_column_bytes(statement, i);

        if (!s || memchr(s, '\0', n) || !utf8_valid(s, n))
                return false;
        *ret = s;
        return true;
}

static bool hit_read(sqlite3_stmt *document, sqlite3_stmt *passage,
                     const struct candidate *candidate, struct search_hit *hit)
{
        hit->score = candidate->score;
        hit->passage = rowid_number(candidate->rowid) + 1;
        hit->passages = sqlite3_column_int(document, 3);
        return column_text(document, 0, &hit->id) && column_text(document, 1, &hit->title) &&
               column_text(document, 2, &hit->metadata) && column_text(passage, 0, &hit->snippet) &&
               hit->passage <= hit->passages;
}

/* Returns 0, an SQLite result code, or the negative errno of hit(). */
static int show_passage(struct search *search, const struct candidate *candidate,
                        sqlite3_stmt *passage)
{
        sqlite3_stmt *document = search->reader->statements[STATEMENT_DOCUMENT];
        struct search_hit hit;
        int r;

        r = row_by_id(document, 1, rowid_document(candidate->rowid));
        if (r == SQLITE_ROW)
                r = hit_read(document, passage, candidate, &hit)
                            ? search->query->hit(search->query->user, &hit)
                            : SQLITE_CORRUPT;
        else if (r == SQLITE_DONE)
                r = SQLITE_CORRUPT;
        sqlite3_reset(document);
        return r == -EBADMSG ? SQLITE_CORRUPT : r;
}

/* Returns the same as show_passage(). */
static int show(struct search *search, const struct candidate *candidate)
{
        sqlite3_stmt *passage = search->reader->statements[STATEMENT_PASSAGE];
        const char *body;
        int r;

        search->statistics.shown = candidate->marks;
        sqlite3_bind_pointer(passage, 1, &search->statistics, STATISTICS_TYPE, NULL);
        sqlite3_bind_int(passage, 2, search->query->snippet_words);
        r = row_by_id(passage, 3, candidate->rowid);
        if (r == SQLITE_DONE) /* a vector may be from before a change */
                r = candidate->marks ? SQLITE_CORRUPT : SQLITE_OK;
        else if (r == SQLITE_ROW && !column_text(passage, 1, &body))
                r = SQLITE_CORRUPT;
        else if (r == SQLITE_ROW)
                r = is_new(search, body) ? show_passage(search, candidate, passage) : SQLITE_OK;
        sqlite3_reset(passage);
        return r;
}

static int progress(void *user)
{
        const struct search_query *query = user;

        return query->cancelled && query->cancelled(query->user);
}

/* Returns an SQLite result code, or the negative errno of hit(). */
static int run(struct search *search)
{
        _cleanup_(ranking_freep) struct ranking *ranking = NULL;
        _cleanup_free_ uint64_t *shown = NULL;
        struct search_statistics statistics;
        int r;

        r = audience_read(search->reader, &search->query->who, &search->statistics, &statistics);
        if (r == SQLITE_OK)
                r = rank(search, &ranking);
        if (r != SQLITE_OK)
                return r;
        search->shown = shown = calloc(search->query->max_results, sizeof *shown);
        if (!shown)
                return -ENOMEM;
        for (size_t i = 0; r == SQLITE_OK && i < ranking->n; i++) {
                if (search->n_shown == search->query->max_results)
                        break;
                r = show(search, &ranking->items[i]);
        }
        return r;
}

int reader_search(struct reader *reader, const char *path, const struct search_query *query,
                  const char *expression, const struct search_meaning *meaning,
                  struct search_error *error)
{
        struct search search = {
                .reader = reader,
                .query = query,
                .expression = expression,
                .meaning = meaning,
        };
        int r;

        sqlite3_progress_handler(reader->db, READER_STEPS, progress, (void *)query);
        r = sqlite3_exec(reader->db, "BEGIN", NULL, NULL, NULL);
        if (r == SQLITE_OK)
                r = run(&search);
        if (r > 0)
                r = reader_failed(reader, path, r, error);
        sqlite3_progress_handler(reader->db, 0, NULL, NULL);
        if (!sqlite3_get_autocommit(reader->db))
                (void)sqlite3_exec(reader->db, "ROLLBACK", NULL, NULL, NULL);
        return r;
}
