/* SPDX-License-Identifier: MIT */

/* Who may find what: of what somebody may not find, a search tells nothing. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "index.h"
#include "remove-index.h"
#include "rowid.h"
#include "search.h"

struct document {
        const char *key;
        const char *title;
        const char *text;
};

static char directory[] = "/tmp/retrieval-XXXXXX";
static char path[64];

static struct index *open_index(void)
{
        struct index *index;
        char *error;

        assert(index_open(path, NULL, &index, &error) == 0);
        return index;
}

static void commit(struct index *index, int64_t documents)
{
        struct index_statistics statistics;

        assert(index_commit(index, &statistics) == 0);
        assert(statistics.documents == documents);
        index_free(index);
}

struct secret {
        struct document document;
        const char *groups;
};

static const struct secret secrets[] = {
        { { "menu", "Menu", "Today the canteen serves soup and salmon." }, "" },
        { { "rota", "Rota", "The kitchen rota: soup on Monday, salmon on Friday." }, "kitchen" },
        { { "pay", "Pay", "Salmon salaries are confidential. soup soup soup" }, "board staff" },
        { { "merger", "Merger", "The salmon merger is secret; soup." }, "board" },
        { { "menu-2", "Menu", "Today the canteen serves soup and salmon." }, "board" },
};

/* The index has what a member of this group may find, or all if it is NULL. */
static void add_secrets(const char *group)
{
        struct index *index = open_index();
        int64_t n = 0;

        for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
                const struct document *document = &secrets[i].document;
                struct index_file file = { .path = document->key, .groups = secrets[i].groups };

                if (group && secrets[i].groups[0] && !strstr(secrets[i].groups, group))
                        continue;
                assert(index_begin(index, &file) == 0);
                assert(index_add(index, &(struct index_document){
                                                .key = document->key,
                                                .title = document->title,
                                                .metadata = "{}",
                                                .text = document->text,
                                                .n = strlen(document->text),
                                        }) == 0);
                assert(index_end(index) == 0);
                n++;
        }
        commit(index, n);
}

static bool is_member(void *user, const char *group, size_t n)
{
        return strlen(user) == n && memcmp(user, group, n) == 0;
}

static int print_hit(void *user, const struct search_hit *hit)
{
        FILE *f = user;

        fprintf(f, "%s %s %s %s %.17g %d/%d\n", hit->id, hit->title, hit->snippet, hit->metadata,
                hit->score, hit->passage, hit->passages);
        return 0;
}

static void learn(struct searcher *s, const struct search_who *who, const char *text, FILE *f)
{
        struct search_query query = {
                .who = *who,
                .text = text,
                .n = strlen(text),
                .max_results = 50,
                .snippet_words = 40,
                .hit = print_hit,
                .user = f,
        };
        struct search_error error;

        fprintf(f, "%s:\n", text);
        assert(searcher_search(s, &query, &error) == 0);
}

/* Everything that somebody can learn from searches. group: "none": one who is in no group. */
static char *learn_all(struct searcher *s, const char *group)
{
        struct search_who who = { is_member, (void *)group };
        struct search_statistics statistics;
        struct search_error error;
        char *learnt;
        size_t n;
        FILE *f = open_memstream(&learnt, &n);

        if (strcmp(group, "none") == 0)
                who = (struct search_who){};
        learn(s, &who, "soup", f);
        learn(s, &who, "salmon soup", f);
        learn(s, &who, "merger", f);
        learn(s, &who, "confidential rota", f);
        learn(s, &who, "menu", f);
        assert(searcher_statistics(s, &who, &statistics, &error) == 0);
        fprintf(f, "%lld %lld\n", (long long)statistics.documents, (long long)statistics.passages);
        assert(fclose(f) == 0);
        return learnt;
}

/* What somebody may not find changes nothing for them: neither results nor scores nor numbers. */
static void test_groups(struct searcher *s)
{
        static const char *const groups[] = { "none", "kitchen", "staff", "board", "kit" };
        char *expected[sizeof groups / sizeof *groups], *learnt;

        for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
                remove_index(path);
                add_secrets(groups[i]);
                expected[i] = learn_all(s, groups[i]);
        }
        remove_index(path);
        add_secrets(NULL);
        for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
                learnt = learn_all(s, groups[i]);
                if (strcmp(learnt, expected[i]) != 0)
                        fprintf(stderr, "%s:\n%snot\n%s", groups[i], learnt, expected[i]);
                assert(strcmp(learnt, expected[i]) == 0);
                free(learnt);
                free(expected[i]);
        }
}

/* A file whose groups have changed is read again. */
static void test_groups_change(struct searcher *s)
{
        struct index_file file = { .path = "menu", .groups = "" };
        struct index *index;
        char *learnt;

        index = open_index();
        assert(index_begin(index, &file) == INDEX_E_UNCHANGED);
        file.groups = "staff";
        assert(index_begin(index, &file) == 0);
        assert(index_add(index, &(struct index_document){ .key = "menu",
                                                          .title = "",
                                                          .metadata = "{}",
                                                          .text = "soup",
                                                          .n = 4 }) == 0);
        assert(index_end(index) == 0);
        commit(index, 5);
        learnt = learn_all(s, "none");
        assert(!strstr(learnt, "menu Menu") && !strstr(learnt, "canteen"));
        free(learnt);
}

/* Adds a file whose documents have so many sets of groups, other ones than those of another file.
 */
static int add_sets(struct index *index, int64_t mtime, int n)
{
        struct index_document document = { .title = "", .metadata = "{}", .text = "a", .n = 1 };
        struct index_file file = { .path = "/many", .mtime = mtime, .groups = "" };
        char key[16], group[32];
        int r = 0;

        document.key = key;
        document.groups = group;
        assert(index_begin(index, &file) == 0);
        for (int i = 0; r == 0 && i < n; i++) {
                (void)snprintf(key, sizeof key, "d%d", i);
                (void)snprintf(group, sizeof group, "g%d-%d", (int)mtime, i);
                r = index_add(index, &document);
        }
        return r ?: index_end(index);
}

/* As many sets of groups as there can be. Those that no document has any more make room. */
static void test_many_groups(void)
{
        struct index *index;

        remove_index(path);
        for (int i = 0; i < 2; i++) {
                index = open_index();
                assert(add_sets(index, i, ROWID_AUDIENCES - 1) == 0);
                commit(index, ROWID_AUDIENCES - 1);
        }
        index = open_index();
        assert(add_sets(index, 2, ROWID_AUDIENCES) == -E2BIG);
        assert(strstr(index_error(index), "different sets of groups"));
        (void)index_free(index);
}

int main(void)
{
        _cleanup_(searcher_freep) struct searcher *s = NULL;

        assert(mkdtemp(directory));
        (void)snprintf(path, sizeof path, "%s/index.db", directory);
        assert(searcher_new(path, &s) == 0);
        test_groups(s);
        test_groups_change(s);
        test_many_groups();
        remove_index(path);
        return rmdir(directory);
}
