/* SPDX-License-Identifier: MIT */

/* Index and search, also at the same time. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fold.h"
#include "index.h"
#include "remove-index.h"
#include "search.h"

struct document {
        const char *key;
        const char *title;
        const char *text;
};

/* What a search found: the keys, separated by spaces. */
struct found {
        char keys[4096];
        char snippet[4096];
        char metadata[256];
        int n;
        double score;
};

static char directory[] = "/tmp/retrieval-XXXXXX";
static char path[64];

static const struct document corpus[] = {
        { "fox", "Animals", "The quick brown fox jumps over the lazy dog. Foxes are running." },
        { "bread", "Bakery", "Mix flour, water and salt. Let the dough rest before baking bread." },
        { "apples", "Fruit", "apple apple apple apple" },
        { "basket", "Fruit",
          "An apple and a banana lie with many other things in a basket of wood." },
        { "straße", "Verkehr", "Die Straße über die Brücke war für Fußgänger gesperrt." },
        { "db", "資料庫", "如何安裝資料庫？資料庫管理系統是一種軟體，用來管理資料。" },
        { "gcc", "编译器", "安装C语言编译器gcc需要root权限。" },
        { "tea", "飲み物", "お茶を飲みながら本を読むのが好きです。" },
        { "seoul", "도시", "서울에서 부산까지 기차로 갑니다." },
        { "thai", "ภาษา", "ภาษาไทยไม่มีการเว้นวรรคระหว่างคำ" },
        { "copy", "Zoo", "The quick brown fox jumps over the lazy dog. Foxes are running." },
        { "options", "Manual", "With --color=auto, colour is used; see also foo_bar(3) and C++." },
};

static struct index *open_index(void)
{
        struct index *index;
        char *error;

        assert(index_open(path, NULL, &index, &error) == 0);
        return index;
}

static void add(struct index *index, const struct document *document, const char *metadata,
                int64_t mtime)
{
        struct index_file file = { .path = document->key, .mtime = mtime, .groups = "" };

        assert(index_begin(index, &file) == 0);
        assert(index_add(index, &(struct index_document){
                                        .key = document->key,
                                        .title = document->title,
                                        .metadata = metadata,
                                        .text = document->text,
                                        .n = strlen(document->text),
                                }) == 0);
        assert(index_end(index) == 0);
}

static void commit(struct index *index, int64_t documents)
{
        struct index_statistics statistics;

        assert(index_commit(index, &statistics) == 0);
        assert(statistics.documents == documents);
        index_free(index);
}

static void add_corpus(void)
{
        struct index *index = open_index();

        for (size_t i = 0; i < sizeof corpus / sizeof *corpus; i++)
                add(index, &corpus[i], "{\"n\":1}", 1);
        commit(index, sizeof corpus / sizeof *corpus);
}

static int hit(void *user, const struct search_hit *hit)
{
        struct found *found = user;

        assert(hit->score > 0 && hit->passage >= 1 && hit->passage <= hit->passages);
        assert(found->n == 0 || hit->score <= found->score);
        found->score = hit->score;
        if (found->n++ == 0) {
                (void)snprintf(found->snippet, sizeof found->snippet, "%s", hit->snippet);
                (void)snprintf(found->metadata, sizeof found->metadata, "%s", hit->metadata);
        } else
                strcat(found->keys, " ");
        strcat(found->keys, hit->id);
        return 0;
}

static int search_n(struct searcher *s, const char *text, size_t n, int max_results,
                    struct found *ret)
{
        struct search_error error;
        struct search_query query = {
                .text = text,
                .n = n,
                .max_results = max_results,
                .snippet_words = 8,
                .hit = hit,
                .user = ret,
        };
        int r;

        *ret = (struct found){};
        r = searcher_search(s, &query, &error);
        if (r != 0)
                fprintf(stderr, "%.60s: %s\n", text, error.text);
        return r;
}

static void check(struct searcher *s, const char *text, const char *keys)
{
        struct found found;

        assert(search_n(s, text, strlen(text), 5, &found) == 0);
        if (strcmp(found.keys, keys) != 0)
                fprintf(stderr, "%s: found \"%s\", not \"%s\"\n", text, found.keys, keys);
        assert(strcmp(found.keys, keys) == 0);
}

static void check_snippet(struct searcher *s, const char *text, const char *snippet)
{
        struct found found;

        assert(search_n(s, text, strlen(text), 1, &found) == 0);
        if (strcmp(found.snippet, snippet) != 0)
                fprintf(stderr, "%s: \"%s\", not \"%s\"\n", text, found.snippet, snippet);
        assert(strcmp(found.snippet, snippet) == 0);
}

static void test_languages(struct searcher *s)
{
        check(s, "fox", "fox");
        check(s, "FOX RUN", "fox");                /* case, stems */
        check(s, "animals", "fox");                /* title */
        check(s, "zoo fox", "copy");               /* and only one of two that say the same */
        check(s, "apple banana", "basket apples"); /* all of the terms before one of them */
        check(s, "banana zeppelin", "basket");
        check(s, "zeppelin", "");
        check(s, "uber brucke", "straße"); /* accents */
        check(s, "Über BRÜCKE", "straße");
        check(s, "--color", "options");
        check(s, "foo_bar(3)", "options");
        check(s, "資料庫", "db");
        check(s, "資料", "db");
        check(s, "庫", "db"); /* inside and at the end of a run */
        check(s, "統是一", "db");
        check(s, "料管", ""); /* each is there, but not next to each other */
        /* traditional and simplified are one with OpenCC */
        check(s, "软件安装", fold_has_han() ? "gcc db" : "gcc");
        check(s, "語", fold_has_han() ? "gcc" : "");
        check(s, "C语言", "gcc"); /* "C++" is no C */
        check(s, "本を読む", "tea");
        check(s, "부산", "seoul");
        check(s, "เว้นวรรค", "thai");
        check(s, "", "");
        check(s, "？。", "");
}

static void test_snippets(struct searcher *s)
{
        check_snippet(s, "dog", "…jumps over the lazy dog. Foxes are running.");
        check_snippet(s, "quick", "The quick brown fox jumps over the lazy…");
        check_snippet(s, "管理系統", "…庫管理系統是一種軟…");
        check_snippet(s, "animals", "The quick brown fox jumps over the lazy…");
        check_snippet(s, "color", "With --color=auto, colour is used; see also…");
}

/* Whatever a user types is text. */
static void test_hostile(struct searcher *s)
{
        static const char *const queries[] = {
                "\"",
                "\"\"",
                "'",
                "fox\"",
                "\"fox",
                "NEAR(",
                "NEAR(fox dog, 2)",
                "fox AND",
                "OR OR",
                "NOT fox",
                "fox NOT",
                "*",
                "fox*",
                "^fox",
                "title:",
                "title:fox",
                "{title body}:fox",
                "- fox",
                "fox + dog",
                "(((((",
                ")",
                "'; DROP TABLE passage; --",
                "%s%n",
                "\\",
                "fox\\",
                "\x01\x02 fox \x7f",
                "\xff\xfe",
                "\xed\xa0\x80",
                "fox\xe8\xb3",
                "\xe2\x80\xae fox",
                "\xef\xac\x81",
                "☃",
                "\t",
                "passage",
                "rank",
                "fox OR OR dog",
                "a-b-c-d",
                "...",
                "fox\n\nOR\n\ndog",
                "#fox @x",
        };
        static const char alphabet[] = "fo x\"'*()-+^:{}\\,.\n\x01\xe8\xb3\x87\xfc ANDORNEAR";
        static char large[1 << 20];
        struct found found;
        size_t n;

        for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
                assert(search_n(s, queries[i], strlen(queries[i]), 5, &found) == 0);
        assert(search_n(s, "a\0fox", 5, 5, &found) == 0 && found.n > 0);
        memset(large, '"', sizeof large);
        assert(search_n(s, large, sizeof large, 5, &found) == 0);
        memset(large, 'a', sizeof large);
        assert(search_n(s, large, sizeof large, 5, &found) == 0);
        for (size_t i = 0; i < sizeof large; i++)
                large[i] = "a-"[i % 2];
        assert(search_n(s, large, sizeof large, 5, &found) == 0);
        srand(1);
        for (int i = 0; i < 500; i++) {
                n = (size_t)rand() % 60;
                for (size_t j = 0; j < n; j++)
                        large[j] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
                assert(search_n(s, large, n, 5, &found) == 0);
        }
}

static void test_update(struct searcher *s)
{
        struct document changed = { "fox", "Animals", "Now it is about a walrus." };
        struct index_file same = { .path = "bread", .mtime = 1, .groups = "" };
        struct index *index = open_index();
        int64_t files;

        assert(index_begin(index, &same) == INDEX_E_UNCHANGED);
        add(index, &changed, "{}", 2);
        check(s, "walrus", ""); /* not committed */
        commit(index, 12);
        check(s, "walrus", "fox");
        check(s, "quick", "copy");

        /* another file takes the key */
        index = open_index();
        same = (struct index_file){ .path = "/other", .mtime = 1, .groups = "" };
        assert(index_begin(index, &same) == 0);
        assert(index_add(index, &(struct index_document){ .key = "fox",
                                                          .title = "",
                                                          .metadata = "{}",
                                                          .text = "a yak",
                                                          .n = 5 }) == 0);
        assert(index_end(index) == 0);
        commit(index, 12);
        check(s, "walrus", "");
        check(s, "yak", "fox");

        index = open_index();
        assert(index_remove(index, "bread", &files) == 0 && files == 1);
        assert(index_remove(index, "bread", &files) == 0 && files == 0);
        assert(index_prune(index, "", &files) == 0 && files == 1); /* "/other" was not met */
        commit(index, 10);
        check(s, "flour", "");
        check(s, "yak", "");
}

static void test_interrupted(struct searcher *s)
{
        struct index_file file = { .path = "half", .mtime = 5, .groups = "" };
        struct index *index = open_index();

        assert(index_begin(index, &file) == 0);
        index_free(index); /* neither ended nor committed */
        check(s, "apple", "apples basket");
        index = open_index();
        assert(index_begin(index, &file) == 0);
        index_free(index);
}

static void test_unavailable(struct searcher *s)
{
        struct search_statistics statistics;
        struct search_error error;
        struct found found;
        FILE *f;

        remove_index(path);
        assert(search_n(s, "apple", 5, 5, &found) == SEARCH_E_UNAVAILABLE);
        assert(searcher_statistics(s, &(struct search_who){}, &statistics, &error) ==
               SEARCH_E_UNAVAILABLE);
        assert(strstr(error.text, "brickctl index --db /tmp/"));

        f = fopen(path, "w");
        fputs("This is text, and not at all the beginning of a database of SQLite.", f);
        for (int i = 0; i < 4096; i++)
                fputc('x', f);
        fclose(f);
        assert(search_n(s, "apple", 5, 5, &found) == SEARCH_E_UNAVAILABLE);

        remove_index(path);
        assert(mkfifo(path, 0600) == 0);
        assert(search_n(s, "apple", 5, 5, &found) == SEARCH_E_UNAVAILABLE);

        remove_index(path);
        add_corpus();
        check(s, "banana", "basket");
        assert(searcher_statistics(s, &(struct search_who){}, &statistics, &error) == 0 &&
               statistics.documents == 12);
        assert(statistics.passages == 12);
}

#define NOBODY 65534

/* A search by a user who may read the three files and create none. */
static void check_as_nobody(void)
{
        _cleanup_(searcher_freep) struct searcher *s = NULL;
        char name[80];

        assert(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
        (void)snprintf(name, sizeof name, "%s/other", directory);
        assert(open(name, O_CREAT | O_RDWR, 0644) < 0);
        assert(searcher_new(path, &s) == 0);
        check(s, "banana", "basket");
}

static void test_read_only(void)
{
        int status;
        pid_t pid;

        remove_index(path);
        add_corpus();
        assert(chmod(directory, 0755) == 0);
        pid = fork();
        assert(pid >= 0);
        if (pid == 0) {
                check_as_nobody();
                _exit(0);
        }
        assert(waitpid(pid, &status, 0) == pid && status == 0);
}

/* What root makes belongs to the owner of the directory. */
static void test_owner(void)
{
        static const char *const suffixes[] = { "", "-wal", "-shm" };
        struct stat st;
        char name[80];

        remove_index(path);
        assert(chown(directory, NOBODY, NOBODY) == 0);
        add_corpus();
        for (size_t i = 0; i < 3; i++) {
                (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
                assert(stat(name, &st) == 0 && st.st_uid == NOBODY && st.st_gid == NOBODY);
        }
}

/* An index whose tokens are not those of this program must be made again. */
static void test_other_tokenizer(struct searcher *s)
{
        struct found found;
        struct index *index;
        char *error;
        sqlite3 *db;

        remove_index(path);
        add_corpus();
        assert(sqlite3_open(path, &db) == SQLITE_OK);
        assert(sqlite3_exec(db, "UPDATE tokenizer SET version = '1, Unicode 1'", NULL, NULL,
                            NULL) == SQLITE_OK);
        sqlite3_close(db);
        assert(search_n(s, "apple", 5, 5, &found) == SEARCH_E_UNAVAILABLE);
        assert(index_open(path, NULL, &index, &error) == -EINVAL);
        assert(strstr(error, "was made with tokenizer 1, Unicode 1, this program has 2, "));
        free(error);
}

static void test_not_an_index(void)
{
        struct index *index;
        char *error;
        FILE *f;

        remove_index(path);
        f = fopen(path, "w");
        for (int i = 0; i < 4096; i++)
                fputc('x', f);
        fclose(f);
        assert(index_open(path, NULL, &index, &error) < 0 && strstr(error, "not an index"));
        free(error);
        remove_index(path);
        assert(index_open("/nonexistent/index.db", NULL, &index, &error) == -ENOENT && error);
        free(error);
}

static bool cancel_at_once(void *user)
{
        return true;
}

static void test_many(struct searcher *s)
{
        static char text[40000];
        struct document document = { .title = "", .text = text };
        struct index *index = open_index();
        struct search_error error;
        struct search_query query = {
                .text = "common",
                .n = 6,
                .max_results = 5,
                .snippet_words = 8,
                .cancelled = cancel_at_once,
        };
        struct found found;
        char key[16];

        document.key = key;
        for (int i = 0; i < 60; i++) {
                (void)snprintf(key, sizeof key, "many%02d", i);
                for (char *p = text; p + 32 < text + sizeof text;)
                        p = stpcpy(stpcpy(p, key), " common words ");
                add(index, &document, "{}", 1);
        }
        commit(index, 72);
        assert(searcher_search(s, &query, &error) == SEARCH_E_CANCELLED);
        assert(search_n(s, "common", 6, 50, &found) == 0 && found.n == 50); /* one per document */
}

/* Readers see all documents of one generation, never two generations or a part of one. */
static atomic_bool writing = true;

static void *read_all_the_time(void *user)
{
        struct found found;
        long generation, last = 0;
        int searches = 0;

        while (atomic_load(&writing) || searches < 10) {
                assert(search_n(user, "constant 資料", 15, 50, &found) == 0);
                assert(found.n == 20);
                generation = strtol(found.metadata + strlen("{\"n\":"), NULL, 10);
                assert(generation >= last);
                last = generation;
                searches++;
        }
        return NULL;
}

static void write_generation(int generation)
{
        struct index *index = open_index();
        struct document document = { .title = "title" };
        char key[16], text[64], metadata[32];

        document.key = key;
        document.text = text;
        (void)snprintf(metadata, sizeof metadata, "{\"n\":%d}", generation);
        for (int i = 0; i < 20; i++) {
                (void)snprintf(key, sizeof key, "doc%d", i);
                (void)snprintf(text, sizeof text, "constant text, 資料庫 %d", i);
                add(index, &document, metadata, generation);
        }
        commit(index, 20);
}

static void test_concurrency(struct searcher *s)
{
        pthread_t threads[4];

        remove_index(path);
        write_generation(1);
        for (size_t i = 0; i < 4; i++)
                assert(pthread_create(&threads[i], NULL, read_all_the_time, s) == 0);
        for (int generation = 2; generation < 15; generation++)
                write_generation(generation);
        atomic_store(&writing, false);
        for (size_t i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
}

int main(void)
{
        _cleanup_(searcher_freep) struct searcher *s = NULL;

        assert(mkdtemp(directory));
        (void)snprintf(path, sizeof path, "%s/index.db", directory);
        assert(searcher_new(path, &s) == 0);
        add_corpus();
        test_languages(s);
        test_snippets(s);
        test_hostile(s);
        test_update(s);
        test_interrupted(s);
        test_unavailable(s);
        test_many(s);
        test_concurrency(s);
        if (geteuid() == 0) { /* only root can be somebody else */
                test_read_only();
                test_owner();
        }
        test_other_tokenizer(s);
        test_not_an_index();
        remove_index(path);
        rmdir(directory);
        return 0;
}
