/* SPDX-License-Identifier: MIT */

/*
 * Searches an index as the brick retrieval-fts does, and a table of bare FTS5 beside it.
 *
 * Usage: searches brick|fts5 FILE QUERIES RESULTS ROUNDS [EMBEDDINGS-URL]
 *        searches vectors PASSAGES DIMENSION ROUNDS
 *
 * FILE is an index of brickctl index, or a database whose table `bare` of FTS5 has the columns key,
 * title and body. QUERIES has one on each line. Prints the keys of the results of each query, one
 * line each, then "CPU seconds-of-a-search". Each of the ROUNDS searches for all queries; the
 * fastest round counts. With a URL the brick's searches are hybrid. `vectors` compares a query with
 * so many vectors made at random.
 */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "embed.h"
#include "search.h"
#include "vector.h"
#include "vectors.h"

#define EMBED_TIMEOUT_MS 60000
#define QUERIES_MAX 100000
#define RESULTS_MAX 1000

struct found {
        size_t n;
        char *keys[RESULTS_MAX];
};

/* The two kinds of engine, and what gives the first one vectors of queries, or NULL. */
static struct searcher *brick;
static sqlite3_stmt *bare;
static struct embed *embed;
static const char *embed_text;

static void die(const char *what)
{
        fprintf(stderr, "searches: %s\n", what);
        exit(EXIT_FAILURE);
}

static void add(struct found *found, const char *key)
{
        if (found->n < RESULTS_MAX)
                found->keys[found->n++] = strdup(key);
}

static int hit(void *user, const struct search_hit *hit)
{
        add(user, hit->id);
        return 0;
}

static int embed_query(void *user, const char *model, size_t dimension, float *ret)
{
        struct embed_request request = { .model = model, .texts = &embed_text, .n = 1 };
        char error[EMBED_ERROR_SIZE];
        float *vector = NULL;
        long wait_ms;

        if (embed_run(embed, &request, &dimension, &vector, &wait_ms, error) < 0)
                die(error);
        memcpy(ret, vector, dimension * sizeof *ret);
        free(vector);
        return 0;
}

static void search_brick(const char *text, int results, struct found *ret)
{
        struct search_query query = {
                .text = text,
                .n = strlen(text),
                .max_results = results,
                .snippet_words = 40,
                .embed = embed ? embed_query : NULL,
                .hit = hit,
                .user = ret,
        };
        struct search_error error;

        embed_text = text;
        if (searcher_search(brick, &query, &error) != 0)
                die(error.text);
}

/* A query for FTS5: each word in quotes, any of them. */
static char *expression(const char *text)
{
        char *s = malloc(strlen(text) * 8 + 8), *to = s;
        bool inside = false;

        for (*to = '\0'; *text; text++) {
                bool blank = strchr(" \t\"\n", *text);

                if (!blank && !inside)
                        to = stpcpy(to, to == s ? "\"" : " OR \"");
                if (blank && inside)
                        to = stpcpy(to, "\"");
                if (!blank)
                        *to++ = *text;
                inside = !blank;
        }
        strcpy(to, inside ? "\"" : "");
        return s;
}

static void search_bare(const char *text, int results, struct found *ret)
{
        char *match = expression(text);
        int r;

        sqlite3_bind_text(bare, 1, match, -1, SQLITE_STATIC);
        sqlite3_bind_int(bare, 2, results);
        while ((r = sqlite3_step(bare)) == SQLITE_ROW)
                add(ret, (const char *)sqlite3_column_text(bare, 0));
        if (r != SQLITE_DONE)
                die("a search of FTS5 fails");
        sqlite3_reset(bare);
        free(match);
}

static void search(const char *text, int results, struct found *ret)
{
        ret->n = 0;
        if (brick)
                search_brick(text, results, ret);
        else
                search_bare(text, results, ret);
}

static void found_clear(struct found *found)
{
        for (size_t i = 0; i < found->n; i++)
                free(found->keys[i]);
        found->n = 0;
}

static void engine_open(const char *kind, const char *path)
{
        static const char sql[] = "SELECT key, title, snippet(bare, 2, '', '', '...', 40) FROM bare"
                                  " WHERE bare MATCH ?1 ORDER BY rank LIMIT ?2";
        sqlite3 *db;

        if (strcmp(kind, "brick") == 0) {
                if (searcher_new(path, &brick) < 0)
                        die("out of memory");
                return;
        }
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(db, sql, -1, &bare, NULL) != SQLITE_OK)
                die(sqlite3_errmsg(db));
}

static size_t queries_read(const char *path, char **ret)
{
        FILE *f = fopen(path, "re");
        size_t n = 0, size = 0;

        if (!f)
                die("the file of queries cannot be read");
        for (; n < QUERIES_MAX && getline(&ret[n], &size, f) > 0; n++, size = 0)
                ret[n][strcspn(ret[n], "\n")] = '\0';
        fclose(f);
        return n;
}

static double cpu_seconds(void)
{
        struct timespec now;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double measure(char **queries, size_t n, int results, int rounds)
{
        struct found found = {};
        double best = 0, began, took;

        for (int round = 0; round < rounds; round++) {
                began = cpu_seconds();
                for (size_t i = 0; i < n; i++) {
                        search(queries[i], results, &found);
                        found_clear(&found);
                }
                took = (cpu_seconds() - began) / (double)n;
                best = round == 0 || took < best ? took : best;
        }
        return best;
}

/* The statement gives passages and vectors whose scale is 2^-10. */
static void vectors_fill(const char *passages, const char *dimension, struct vectors **ret)
{
        struct vectors_info info = { .dimension = strtoul(dimension, NULL, 10) };
        sqlite3_stmt *statement = NULL;
        char sql[512];
        sqlite3 *db;

        (void)snprintf(sql, sizeof sql,
                       "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT %lu)"
                       " SELECT i << 26, CAST(x'0000803a' || randomblob(%lu) AS BLOB) FROM r",
                       strtoul(passages, NULL, 10), info.dimension);
        if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
            sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
            vectors_read(statement, &info, ret) != SQLITE_OK)
                die("the vectors cannot be made");
        sqlite3_finalize(statement);
        sqlite3_close(db);
}

static int measure_vectors(char **argv)
{
        static const struct statistics everybody = { .visible = { 1 } };
        float query[VECTOR_DIMENSION_MAX];
        struct vectors *vectors;
        struct ranking *ranking;
        double best = 0, began, took;

        vectors_fill(argv[2], argv[3], &vectors);
        for (size_t i = 0; i < VECTOR_DIMENSION_MAX; i++)
                query[i] = (float)(i % 17) - 8;
        for (int round = 0; round < atoi(argv[4]); round++) {
                ranking = ranking_new(50);
                began = cpu_seconds();
                if (!ranking ||
                    vectors_rank(vectors, query, &everybody, NULL, NULL, ranking) != SQLITE_OK)
                        die("out of memory");
                took = cpu_seconds() - began;
                best = round == 0 || took < best ? took : best;
                (void)ranking_free(ranking);
        }
        printf("CPU %.9f\n", best);
        (void)vectors_unref(vectors);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        static char *queries[QUERIES_MAX];
        struct embed_settings settings = {
                .prefix = "",
                .input_type = "query",
                .timeout_ms = EMBED_TIMEOUT_MS,
        };
        struct found found = {};
        size_t n;

        if (argc == 5 && strcmp(argv[1], "vectors") == 0)
                return measure_vectors(argv);
        if (argc < 6)
                die("brick|fts5 FILE QUERIES RESULTS ROUNDS [EMBEDDINGS-URL]");
        if (argc > 6) {
                settings.base_url = argv[6];
                if (embed_init() < 0 || !(embed = embed_new(&settings)))
                        die("out of memory");
        }
        engine_open(argv[1], argv[2]);
        n = queries_read(argv[3], queries);
        for (size_t i = 0; i < n; i++) {
                search(queries[i], atoi(argv[4]), &found);
                for (size_t k = 0; k < found.n; k++)
                        printf("%s%s", k > 0 ? "\t" : "", found.keys[k]);
                putchar('\n');
                found_clear(&found);
        }
        printf("CPU %.9f\n", measure(queries, n, atoi(argv[4]), atoi(argv[5])));
        return EXIT_SUCCESS;
}
