/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "audience.h"
#include "reader.h"
#include "schema.h"
#include "unicode.h"

/* Candidates to keep for each result, because copies of a passage in other documents are skipped.
 */
#define CANDIDATES_PER_RESULT 3

struct candidate {
        sqlite3_int64 rowid;
        double score;
};

/* A running search. */
struct search {
        struct reader *reader;
        const struct search_query *query;
        const char *expression;
        struct statistics statistics;
        uint64_t *shown; /* digests of the passages that were passed to hit() */
        int n_shown;
};

/* The best candidates so far, best first; at most one per document. */
struct ranking {
        size_t n;
        size_t max;
        struct candidate items[];
};

static void ranking_insert(struct ranking *ranking, const struct candidate *candidate)
{
        size_t at = ranking->n;

        while (at > 0 && ranking->items[at - 1].score < candidate->score)
                at--;
        if (at == ranking->max)
                return;
        if (ranking->n < ranking->max)
                ranking->n++;
        memmove(ranking->items + at + 1, ranking->items + at,
                (ranking->n - at - 1) * sizeof *ranking->items);
        ranking->items[at] = *candidate;
}

/* Ranks the best passage of each document. The rows are in the order of rowid, so passages of one
 * document are adjacent; candidates with equal scores keep this order. */
static int rank(struct search *search, struct ranking *ranking)
{
        sqlite3_stmt *match = search->reader->statements[STATEMENT_MATCH];
        struct candidate best = { .rowid = -1 }, row;
        int r;

        sqlite3_bind_pointer(match, 2, &search->statistics, STATISTICS_TYPE, NULL);
        r = sqlite3_bind_text(match, 1, search->expression, -1, SQLITE_STATIC);
        while (r == SQLITE_OK && (r = sqlite3_step(match)) == SQLITE_ROW) {
                row.rowid = sqlite3_column_int64(match, 0);
                row.score = sqlite3_column_double(match, 1);
                r = SQLITE_OK;
                if (row.score <= 0)
                        continue;
                if (best.rowid >= 0 && rowid_document(row.rowid) == rowid_document(best.rowid)) {
                        if (row.score > best.score)
                                best = row;
                        continue;
                }
                if (best.rowid >= 0)
                        ranking_insert(ranking, &best);
                best = row;
        }
        if (best.rowid >= 0)
                ranking_insert(ranking, &best);
        sqlite3_reset(match);
        return r == SQLITE_DONE ? SQLITE_OK : r;
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

        if (!s || memchr(s, '\0', n) || !unicode_valid(s, n))
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

        sqlite3_bind_text(passage, 1, search->expression, -1, SQLITE_STATIC);
        sqlite3_bind_pointer(passage, 2, &search->statistics, STATISTICS_TYPE, NULL);
        sqlite3_bind_int(passage, 3, search->query->snippet_words);
        r = row_by_id(passage, 4, candidate->rowid);
        if (r == SQLITE_DONE || (r == SQLITE_ROW && !column_text(passage, 1, &body)))
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
        size_t max = (size_t)search->query->max_results * CANDIDATES_PER_RESULT;
        _cleanup_free_ struct ranking *ranking = NULL;
        _cleanup_free_ uint64_t *shown = NULL;
        struct search_statistics statistics;
        int r;

        r = audience_read(search->reader, &search->query->who, &search->statistics, &statistics);
        if (r != SQLITE_OK)
                return r;
        ranking = calloc(1, sizeof *ranking + max * sizeof *ranking->items);
        shown = calloc(search->query->max_results, sizeof *shown);
        if (!ranking || !shown)
                return -ENOMEM;
        ranking->max = max;
        search->shown = shown;
        r = rank(search, ranking);
        for (size_t i = 0; r == SQLITE_OK && i < ranking->n; i++) {
                if (search->n_shown == search->query->max_results)
                        break;
                r = show(search, &ranking->items[i]);
        }
        return r;
}

int reader_search(struct reader *reader, const char *path, const struct search_query *query,
                  const char *expression, struct search_error *error)
{
        struct search search = { .reader = reader, .query = query, .expression = expression };
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
