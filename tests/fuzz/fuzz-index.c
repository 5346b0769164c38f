/* SPDX-License-Identifier: MIT */

/*
 * Searches and updates of an index of retrieval-fts that was damaged. The first byte picks the
 * query; the rest are patches of a good index: an offset in three bytes, the least significant
 * first, a length in one, and so many bytes. What is found is UTF-8; what cannot be read is an
 * error that names the file.
 */

#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "index.h"
#include "search.h"
#include "util/utf8.h"

#define DOCUMENTS 4

/* Where the header of a database says that it has a write-ahead log. */
#define HEADER_LOG 18

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/fuzz-index-XXXXXX";
static char path[64];
static uint8_t good[1 << 17];
static size_t good_size;

static void remove_files(void)
{
        static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
        char name[80];

        for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
                (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
                (void)unlink(name);
        }
}

static void clean_up(void)
{
        remove_files();
        (void)rmdir(directory);
}

static void add(struct index *index, int number)
{
        char key[16], text[3072] = "The zebra sleeps near the quokka. 資料庫管理系統 ";
        struct index_document document = { .key = key, .title = "Animals", .metadata = "{}" };

        for (int i = 0; strlen(text) < (size_t)number * 900; i++)
                (void)snprintf(text + strlen(text), 32, "word%d zebra\n", i);
        (void)snprintf(key, sizeof key, "d%d", number);
        document.text = text;
        document.n = strlen(text);
        assert(index_begin(index, &(struct index_file){ .path = key, .mtime = 1, .groups = "" }) ==
               0);
        assert(index_add(index, &document) == 0);
        assert(index_end(index) == 0);
}

static void make_good(void)
{
        struct index_statistics statistics;
        struct index *index;
        char *error;
        FILE *f;

        assert(mkdtemp(directory) && atexit(clean_up) == 0);
        (void)snprintf(path, sizeof path, "%s/index", directory);
        assert(index_open(path, NULL, &index, &error) == 0);
        for (int i = 0; i < DOCUMENTS; i++)
                add(index, i);
        assert(index_commit(index, &statistics) == 0);
        (void)index_free(index);

        f = fopen(path, "re");
        assert(f);
        good_size = fread(good, 1, sizeof good, f);
        assert(good_size > HEADER_LOG + 1 && good_size < sizeof good);
        assert(fclose(f) == 0);
        good[HEADER_LOG] = good[HEADER_LOG + 1] = 1;
}

static void write_damaged(const uint8_t *data, size_t size)
{
        static uint8_t bytes[sizeof good];
        FILE *f;

        memcpy(bytes, good, good_size);
        while (size > 4) {
                size_t offset = data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16, n = data[3];

                data += 4;
                size -= 4;
                n = n < size ? n : size;
                offset %= good_size - UINT8_MAX;
                memcpy(bytes + offset, data, n);
                data += n;
                size -= n;
        }
        remove_files();
        f = fopen(path, "we");
        assert(f && fwrite(bytes, 1, good_size, f) == good_size && fclose(f) == 0);
}

static int hit(void *user, const struct search_hit *hit)
{
        const char *const texts[] = { hit->id, hit->title, hit->snippet, hit->metadata };

        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                assert(utf8_valid(texts[i], strlen(texts[i])));
        assert(hit->passage >= 1 && hit->passage <= hit->passages && hit->score > 0);
        return 0;
}

static void search(struct searcher *s, const char *text)
{
        struct search_error error;
        struct search_query query = {
                .text = text,
                .n = strlen(text),
                .max_results = 5,
                .snippet_words = 8,
                .hit = hit,
        };
        int r;

        r = searcher_search(s, &query, &error);
        assert(r == 0 || r == SEARCH_E_UNAVAILABLE);
        assert(r == 0 || strncmp(error.text, path, strlen(path)) == 0);
}

/* brickctl index on the same file: it ends, and says what is wrong. */
static void update(void)
{
        struct index_statistics statistics;
        struct index_file file = { .path = "d1", .mtime = 2, .groups = "" };
        struct index_document document = {
                .key = "d1", .title = "", .metadata = "{}", .text = "yak", .n = 3
        };
        struct index *index;
        int64_t files;
        char *error;
        int r;

        r = index_open(path, NULL, &index, &error);
        if (r < 0) {
                assert(error && strncmp(error, path, strlen(path)) == 0);
                free(error);
                return;
        }
        r = index_begin(index, &file);
        if (r == 0)
                r = index_add(index, &document);
        if (r == 0)
                r = index_end(index);
        if (r >= 0)
                r = index_remove(index, "d2", &files);
        if (r >= 0)
                r = index_commit(index, &statistics);
        assert(r >= 0 || strncmp(index_error(index), path, strlen(path)) == 0);
        (void)index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const queries[] = {
                "zebra", "word1 quokka", "animals", "資料", "庫", "near sleeps word40 the",
        };
        struct search_statistics statistics;
        struct search_error error;
        struct searcher *s;

        if (size == 0)
                return 0;
        if (good_size == 0)
                make_good();
        write_damaged(data + 1, size - 1);
        assert(searcher_new(path, &s) == 0);
        search(s, queries[data[0] % (sizeof queries / sizeof *queries)]);
        (void)searcher_statistics(s, &(struct search_who){}, &statistics, &error);
        (void)searcher_free(s);
        update();
        return 0;
}
