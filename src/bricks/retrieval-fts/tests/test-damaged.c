/* SPDX-License-Identifier: MIT */

/* Searches of an index in which something was changed: an answer, or a line that says which file is
 * damaged; never a crash. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "index.h"
#include "remove-index.h"
#include "search.h"
#include "util/utf8.h"

#define NOT_FOUND (-1)

static char directory[] = "/tmp/retrieval-XXXXXX";
static char path[64];

/* --- the index -------------------------------------------------------------------------------- */

static void make_index(void)
{
        static const char text[] =
                "zebra quokka\n\nThe zebra sleeps near the quokka and the wombat. "
                "The zebra sleeps near the quokka and the wombat.";
        struct index_statistics statistics;
        struct index *index;
        char *error, key[16];

        remove_index(path);
        assert(index_open(path, NULL, &index, &error) == 0);
        for (int i = 0; i < 3; i++) {
                (void)snprintf(key, sizeof key, "d%d", i);
                assert(index_begin(index, &(struct index_file){
                                                  .path = key, .mtime = 1, .groups = "" }) == 0);
                assert(index_add(index, &(struct index_document){ .key = key,
                                                                  .title = "Animals",
                                                                  .metadata = "{}",
                                                                  .text = text,
                                                                  .n = sizeof text - 1 - i }) == 0);
                assert(index_end(index) == 0);
        }
        assert(index_commit(index, &statistics) == 0);
        (void)index_free(index);
}

/* Without FTS5's guard over its own tables. */
static void change(const char *sql)
{
        char *error = NULL;
        sqlite3 *db;

        assert(sqlite3_open(path, &db) == SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
                fprintf(stderr, "%s: %s\n", sql, error);
        assert(!error);
        assert(sqlite3_close(db) == SQLITE_OK);
}

/* Writes n bytes over the column number of every list of positions. */
static void change_positions(const void *bytes, int n)
{
        static unsigned char block[65536];
        sqlite3_stmt *get, *set;
        sqlite3 *db;
        int size, changed = 0;

        assert(sqlite3_open(path, &db) == SQLITE_OK);
        assert(sqlite3_prepare_v2(db, "SELECT id, block FROM passage_data WHERE id > 100", -1, &get,
                                  NULL) == SQLITE_OK);
        assert(sqlite3_prepare_v2(db, "UPDATE passage_data SET block = ?1 WHERE id = ?2", -1, &set,
                                  NULL) == SQLITE_OK);
        while (sqlite3_step(get) == SQLITE_ROW) {
                size = sqlite3_column_bytes(get, 1);
                assert(size <= (int)sizeof block);
                memcpy(block, sqlite3_column_blob(get, 1), (size_t)size);
                for (int i = 0; i + 1 + n <= size; i++)
                        if (block[i] == 1 && block[i + 1] == 1) {
                                memcpy(block + i + 1, bytes, (size_t)n);
                                i += n;
                                changed++;
                        }
                sqlite3_bind_blob(set, 1, block, size, SQLITE_STATIC);
                sqlite3_bind_int64(set, 2, sqlite3_column_int64(get, 0));
                assert(sqlite3_step(set) == SQLITE_DONE && sqlite3_reset(set) == SQLITE_OK);
        }
        assert(changed > 0);
        sqlite3_finalize(get);
        sqlite3_finalize(set);
        assert(sqlite3_close(db) == SQLITE_OK);
}

/* --- searches --------------------------------------------------------------------------------- */

static int hit(void *user, const struct search_hit *hit)
{
        const char *const texts[] = { hit->id, hit->title, hit->snippet, hit->metadata };

        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                assert(utf8_valid(texts[i], strlen(texts[i])));
        assert(hit->passage >= 1 && hit->passage <= hit->passages && hit->score > 0);
        if (hit->metadata[0] != '{')
                return -EBADMSG;
        ++*(int *)user;
        return 0;
}

/* 0, NOT_FOUND or SEARCH_E_UNAVAILABLE. */
static int search(struct searcher *s, const char *text, struct search_error *error)
{
        int found = 0;
        struct search_query query = {
                .text = text,
                .n = strlen(text),
                .max_results = 5,
                .snippet_words = 8,
                .hit = hit,
                .user = &found,
        };
        int r;

        r = searcher_search(s, &query, error);
        assert(r == 0 || r == SEARCH_E_UNAVAILABLE);
        return r == 0 && found == 0 ? NOT_FOUND : r;
}

/* Every search says which file is damaged, in one line. */
static void expect_damaged(struct searcher *s, const char *what)
{
        static const char *const queries[] = { "zebra", "zebra quokka", "animals" };
        struct search_error error;
        int r = 0;

        for (size_t i = 0; r <= 0 && i < sizeof queries / sizeof *queries; i++)
                r = search(s, queries[i], &error);
        if (r != SEARCH_E_UNAVAILABLE || !strstr(error.text, "is damaged ("))
                fprintf(stderr, "%s: %d %s\n", what, r, error.text);
        assert(r == SEARCH_E_UNAVAILABLE);
        assert(strncmp(error.text, path, strlen(path)) == 0 && !strchr(error.text, '\n'));
        assert(strstr(error.text, "is damaged (") && strstr(error.text, "brickctl index"));
}

static void expect_good(struct searcher *s)
{
        struct search_error error;

        make_index();
        assert(search(s, "zebra", &error) == 0);
}

static void test_positions(struct searcher *s)
{
        static const struct {
                const char *what;
                const char *bytes;
                int n;
                bool told; /* of the others FTS5 may find nothing */
        } rows[] = {
                { "column 2", "\x02", 1, true },
                { "column 127", "\x7f", 1, true },
                { "column 16383", "\xff\x7f", 2, true },
                { "column 2097151", "\xff\xff\x7f", 3, true },
                { "column 2^28 - 1", "\xff\xff\xff\x7f", 4, false },
                { "column 2^32 - 1", "\x8f\xff\xff\xff\x7f", 5, false },
        };
        struct search_error error;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                expect_good(s);
                change_positions(rows[i].bytes, rows[i].n);
                if (rows[i].told)
                        expect_damaged(s, rows[i].what);
                else
                        (void)search(s, "zebra", &error);
        }
}

static void test_tables(void)
{
        static const char *const changes[] = {
                "UPDATE passage_data SET block = x'ffffffffffffffffffffff' WHERE id = 10",
                "DELETE FROM passage_data WHERE id = 10",
                "DELETE FROM passage_data WHERE id > 10",
                "DELETE FROM passage_content",
                "UPDATE passage_content SET c1 = NULL",
                "UPDATE passage_content SET c1 = CAST(x'7a65627261ff' AS TEXT)",
                "UPDATE passage_content SET c1 = replace(hex(zeroblob(1000000)), '0', 'zebra ')",
                "UPDATE document SET title = CAST(x'fffe' AS TEXT)",
                "UPDATE document SET key = CAST(x'fffe' AS TEXT) || id",
                "UPDATE document SET key = 'a' || char(0) || id",
                "UPDATE document SET metadata = '[1]'",
                "UPDATE document SET metadata = CAST(x'7bff7d' AS TEXT)",
                "UPDATE document SET metadata = hex(zeroblob(1000000))",
                "DELETE FROM audience",
                "UPDATE audience SET id = 1024",
                "UPDATE audience SET id = -1",
                "UPDATE audience SET documents = -1",
                "UPDATE audience SET passages = 2",
                "UPDATE audience SET passages = -1",
                "UPDATE audience SET passages = 9223372036854775807",
                "UPDATE audience SET body_words = 9223372036854775807",
                "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 2000)"
                " INSERT INTO audience SELECT i, 'g' || i, 0, 0, 0, 0 FROM r",
                "DROP TABLE audience",
                "UPDATE document SET passages = 0",
                "UPDATE document SET passages = -1",
                "UPDATE document SET id = id + 100",
                "DELETE FROM document",
                "DROP TABLE document",
                ("DROP TABLE document; CREATE VIEW document AS WITH RECURSIVE r(i) AS"
                 " (SELECT 1 UNION ALL SELECT i FROM r) SELECT i AS id, '' AS key, '' AS title,"
                 " '{}' AS metadata, 1 AS passages FROM r"),
                "DROP TABLE passage_config",
                "UPDATE passage_config SET v = 99 WHERE k = 'version'",
                "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name LIKE 'passage%'",
                ("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 1000000"
                 " WHERE name = 'document'"),
        };

        for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
                _cleanup_(searcher_freep) struct searcher *s = NULL;

                assert(searcher_new(path, &s) == 0);
                make_index();
                change(changes[i]);
                expect_damaged(s, changes[i]);
        }
}

/* What cannot be told from an index of other texts. */
static void test_untold(struct searcher *s)
{
        static const char *const changes[] = {
                "UPDATE passage_data SET block = zeroblob(1000000) WHERE id > 10",
                "UPDATE document SET passages = 2147483647",
                "UPDATE passage_data SET block = x'ffffffffffffffffff0303' WHERE id = 1",
                "UPDATE passage_data SET block = x'' WHERE id = 1",
                "UPDATE passage_content SET id = -id",
                "UPDATE audience SET body_words = 0, title_words = 0",
        };
        struct search_error error;

        for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
                expect_good(s);
                change(changes[i]);
                (void)search(s, "zebra quokka", &error);
        }
}

static void test_statistics(struct searcher *s)
{
        static const char *const changes[] = {
                "DELETE FROM audience",
                "UPDATE audience SET documents = -1",
                "INSERT INTO embedding VALUES (1, 'm', '', '', 4097, 1)",
                "INSERT INTO embedding VALUES (1, 'm', '', '', -1, 1)",
                "INSERT INTO embedding VALUES (1, hex(zeroblob(128)), '', '', 4, 1)",
        };
        struct search_statistics statistics;
        struct search_error error;

        for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
                expect_good(s);
                change(changes[i]);
                assert(searcher_statistics(s, &(struct search_who){}, &statistics, &error) ==
                       SEARCH_E_UNAVAILABLE);
                assert(strstr(error.text, "is damaged ("));
        }
}

/* What one search has found to be damaged is so for all, until the file changes. */
static void test_memory(struct searcher *s)
{
        struct search_statistics statistics;
        struct search_error error;

        expect_good(s);
        assert(searcher_statistics(s, &(struct search_who){}, &statistics, &error) == 0);
        change_positions("\x7f", 1);
        expect_damaged(s, "positions");
        assert(searcher_statistics(s, &(struct search_who){}, &statistics, &error) ==
               SEARCH_E_UNAVAILABLE);
        assert(strstr(error.text, "is damaged ("));
        expect_good(s);
        assert(searcher_statistics(s, &(struct search_who){}, &statistics, &error) == 0);
}

/* The entries of document_file name rows that are not there. */
static void test_writing(void)
{
        struct index *index;
        int64_t files;
        char *error;

        make_index();
        change("PRAGMA writable_schema = ON;"
               "CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'document_file';"
               "DELETE FROM sqlite_schema WHERE name = 'document_file'");
        change("DELETE FROM document");
        change("PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept");
        assert(index_open(path, NULL, &index, &error) == 0);
        assert(index_remove(index, "d0", &files) < 0);
        assert(strncmp(index_error(index), path, strlen(path)) == 0);
        assert(strstr(index_error(index), "is damaged ("));
        (void)index_free(index);
}

int main(void)
{
        _cleanup_(searcher_freep) struct searcher *s = NULL;

        assert(mkdtemp(directory));
        (void)snprintf(path, sizeof path, "%s/index.db", directory);
        assert(searcher_new(path, &s) == 0);
        test_positions(s);
        test_tables();
        test_untold(s);
        test_statistics(s);
        test_memory(s);
        test_writing();
        remove_index(path);
        assert(rmdir(directory) == 0);
        return 0;
}
