/* SPDX-License-Identifier: MIT */

/* brickctl-index, the program that `brickctl index` runs. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "config.h"

#include "embed-index.h"
#include "embed.h"
#include "fold.h"
#include "index.h"
#include "indexer.h"
#include "schema.h"
#include "util/standard.h"

#define DEFAULT_INDEX BRICKD_STATE_DIR "/docs.db"

/* Keeps documents below SCHEMA_PASSAGES_MAX passages. */
#define MAX_SIZE_MAX (32 << 20)

#define MODEL_SIZE_MAX 255
#define KEY_SIZE_MAX 4096

/* A model on a small processor needs long for a batch. */
#define EMBED_TIMEOUT_MS 300000

static const char *arg_db = DEFAULT_INDEX;
static size_t arg_max_size = 4 << 20;
static bool arg_prune = true;
static bool arg_file_groups;
static const char *arg_model;
static const char *arg_key_file;
static struct embed_settings arg_embed = {
        .prefix = "",
        .input_type = "",
        .timeout_ms = EMBED_TIMEOUT_MS,
};
static bool arg_remove;
static bool arg_quiet;

static const char help_text[] =
        "Usage: brickctl index [OPTION...] DIR|FILE|FILE.jsonl...\n"
        "\n"
        "Build or update the index that the brick retrieval-fts searches. Files that have not\n"
        "changed are not read again. Text, Markdown, HTML, manual pages, PDF (with pdftotext),\n"
        "DOCX, ODT and EPUB are read, also compressed with gzip. What is skipped or read by a\n"
        "guess is named. Each line of a .jsonl file is a document:\n"
        "{\"id\": ..., \"title\": ..., \"text\": ..., \"metadata\": {...}}\n"
        "\n"
        "  --db FILE        the index (" DEFAULT_INDEX ")\n"
        "  --max-size SIZE  skip files with more text than this, and longer lines of JSON\n"
        "                   (4MiB; at most 32MiB)\n"
        "  --file-groups    only members of a file's group find what not everybody may read\n"
        "  --embeddings URL get a vector for each passage from this server, such as\n"
        "                   http://127.0.0.1:8000/v1, so that searches find what means the same\n"
        "  --model NAME     its model; with another one than before, all vectors are made again\n"
        "  --api-key-file FILE\n"
        "                   the server's key\n"
        "  --passage-prefix TEXT\n"
        "                   goes before each text, such as \"passage: \" for E5's models\n"
        "  --input-type TYPE\n"
        "                   is sent as input_type, such as \"passage\", to servers that take it\n"
        "  --no-prune       keep documents whose files are gone from the directories given\n"
        "  --remove         drop the files and directories given from the index\n"
        "  -q, --quiet      print nothing but errors\n"
        "  -h, --help       this text\n"
        "  --version        the version\n"
        "\n"
        "Exit status: 0; 1 if a file could not be read, a line of JSON is wrong or the index "
        "could\n"
        "not be written; 64 for a wrong command line.\n";

static void show_tokenizer(void)
{
        char version[TOKENIZER_VERSION_SIZE];

        tokenizer_version(version);
        printf("tokenizer: %s\n", version);
}

static int usage(const char *message)
{
        fprintf(stderr, "brickctl index: %s; see brickctl index --help\n", message);
        return -EINVAL;
}

/* "4194304", "512KiB", "4MiB". */
static int parse_size(const char *s, size_t *ret)
{
        static const char *const units[] = { "", "KiB", "MiB" };
        unsigned long n;
        char *end;

        errno = 0;
        n = strtoul(s, &end, 10);
        if (errno != 0 || end == s || *s == '-' || n > MAX_SIZE_MAX)
                return -EINVAL;
        for (size_t i = 0; i < sizeof units / sizeof *units; i++, n <<= 10) {
                if (n > MAX_SIZE_MAX)
                        return -EINVAL;
                if (strcmp(end, units[i]) == 0 && n > 0) {
                        *ret = n;
                        return 0;
                }
        }
        return -EINVAL;
}

static int check_embeddings(void)
{
        const char *why = arg_embed.base_url ? embed_check_url(arg_embed.base_url) : NULL;

        if (why) {
                fprintf(stderr, "brickctl index: --embeddings: the URL %s\n", why);
                return -EINVAL;
        }
        if (!arg_embed.base_url != !arg_model)
                return usage("--embeddings and --model go together");
        if (arg_model && (!arg_model[0] || strlen(arg_model) > MODEL_SIZE_MAX))
                return usage("--model takes a name of 1 to 255 bytes");
        return 0;
}

/* 1: continue; 0: exit with success; -EINVAL. */
static int parse_argv(int argc, char **argv)
{
        enum {
                ARG_DB = 256,
                ARG_EMBEDDINGS,
                ARG_FILE_GROUPS,
                ARG_INPUT_TYPE,
                ARG_KEY_FILE,
                ARG_MAX_SIZE,
                ARG_MODEL,
                ARG_NO_PRUNE,
                ARG_PASSAGE_PREFIX,
                ARG_REMOVE,
                ARG_VERSION,
        };
        static const struct option options[] = {
                { "db", required_argument, NULL, ARG_DB },
                { "embeddings", required_argument, NULL, ARG_EMBEDDINGS },
                { "model", required_argument, NULL, ARG_MODEL },
                { "api-key-file", required_argument, NULL, ARG_KEY_FILE },
                { "passage-prefix", required_argument, NULL, ARG_PASSAGE_PREFIX },
                { "input-type", required_argument, NULL, ARG_INPUT_TYPE },
                { "file-groups", no_argument, NULL, ARG_FILE_GROUPS },
                { "max-size", required_argument, NULL, ARG_MAX_SIZE },
                { "no-prune", no_argument, NULL, ARG_NO_PRUNE },
                { "remove", no_argument, NULL, ARG_REMOVE },
                { "quiet", no_argument, NULL, 'q' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "qh", options, NULL)) >= 0)
                switch (c) {
                case ARG_DB:
                        arg_db = optarg;
                        break;
                case ARG_EMBEDDINGS:
                        arg_embed.base_url = optarg;
                        break;
                case ARG_INPUT_TYPE:
                        arg_embed.input_type = optarg;
                        break;
                case ARG_KEY_FILE:
                        arg_key_file = optarg;
                        break;
                case ARG_MODEL:
                        arg_model = optarg;
                        break;
                case ARG_PASSAGE_PREFIX:
                        arg_embed.prefix = optarg;
                        break;
                case ARG_FILE_GROUPS:
                        arg_file_groups = true;
                        break;
                case ARG_MAX_SIZE:
                        if (parse_size(optarg, &arg_max_size) < 0)
                                return usage("--max-size takes 1 to 32MiB");
                        break;
                case ARG_NO_PRUNE:
                        arg_prune = false;
                        break;
                case ARG_REMOVE:
                        arg_remove = true;
                        break;
                case 'q':
                        arg_quiet = true;
                        break;
                case 'h':
                        fputs(help_text, stdout);
                        return 0;
                case ARG_VERSION:
                        puts("brickctl index " BRICKD_VERSION);
                        show_tokenizer();
                        return 0;
                default: /* getopt_long() has reported the mistake */
                        return -EINVAL;
                }
        if (optind == argc)
                return usage("name a directory or a file");
        return check_embeddings() < 0 ? -EINVAL : 1;
}

static double seconds_since(const struct timespec *start)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void summarize(const struct indexer *indexer, const struct index_statistics *statistics,
                      double seconds)
{
        printf("%s: %lld documents in %lld passages (files: %lld read, %lld unchanged, %lld "
               "removed, %lld skipped; %lld errors), %.1f s\n",
               arg_db, (long long)statistics->documents, (long long)statistics->passages,
               (long long)indexer->n_read, (long long)indexer->n_unchanged,
               (long long)indexer->n_removed, (long long)indexer->n_skipped,
               (long long)indexer->n_errors, seconds);
        if (!fold_has_han())
                puts("Traditional and simplified Chinese do not find each other: OpenCC is not "
                     "there.");
}

/* Reads the key, without the white space at its end. */
static int read_key(char **ret)
{
        _cleanup_free_ char *key = malloc(KEY_SIZE_MAX + 1);
        FILE *f = fopen(arg_key_file, "re");
        size_t n;

        if (!f || !key) {
                fprintf(stderr, "brickctl index: %s: %s\n", arg_key_file, strerror(errno));
                if (f)
                        fclose(f);
                return -EIO;
        }
        n = fread(key, 1, KEY_SIZE_MAX, f);
        fclose(f);
        key[n] = '\0';
        while (n > 0 && strchr(" \t\r\n", key[n - 1]))
                key[--n] = '\0';
        if (n == 0 || strlen(key) != n || strpbrk(key, "\r\n")) {
                fprintf(stderr, "brickctl index: %s: expected a key in one line\n", arg_key_file);
                return -EINVAL;
        }
        *ret = TAKE_PTR(key);
        return 0;
}

static int add_vectors(struct indexer *indexer)
{
        struct embed_index e = {
                .index = indexer->index,
                .settings = &arg_embed,
                .model = arg_model,
                .progress = indexer->progress,
        };
        _cleanup_free_ char *key = NULL;
        int r;

        if (arg_key_file && read_key(&key) < 0)
                return -EIO;
        arg_embed.key = key;
        r = embed_index(&e);
        arg_embed.key = NULL;
        if (!arg_quiet)
                printf("vectors: %lld made, %lld known, %lld refused\n", (long long)e.n_asked,
                       (long long)e.n_known, (long long)e.n_failed);
        indexer->n_errors += e.n_failed;
        return r;
}

static int run(char **paths, int n, struct indexer *indexer)
{
        struct index_statistics statistics = {};
        struct timespec start;
        int r;

        clock_gettime(CLOCK_MONOTONIC, &start);
        for (int i = 0; i < n; i++) {
                if (arg_remove)
                        r = indexer_remove(indexer, paths[i]);
                else
                        r = indexer_add(indexer, paths[i]);
                if (r < 0)
                        return r;
        }
        r = index_commit(indexer->index, &statistics);
        indexer_clear(indexer);
        acl_cache_done(&indexer->acl);
        if (r < 0)
                return r;
        if (!arg_quiet)
                summarize(indexer, &statistics, seconds_since(&start));
        return 0;
}

static void say_waiting(const char *path)
{
        fprintf(stderr, "brickctl index: %s: waiting for another brickctl index\n", path);
}

int main(int argc, char **argv)
{
        _cleanup_(index_freep) struct index *index = NULL;
        _cleanup_free_ char *error = NULL;
        struct indexer indexer = {};
        int r;

        standard_open();
        argv[0] = (char *)"brickctl index"; /* for the messages of getopt_long() */
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? EX_USAGE : EXIT_SUCCESS;
        r = index_open(arg_db, say_waiting, &index, &error);
        if (r < 0) {
                fprintf(stderr, "brickctl index: %s\n", error ?: strerror(-r));
                return EXIT_FAILURE;
        }
        indexer.index = index;
        indexer.max_size = arg_max_size;
        indexer.file_groups = arg_file_groups;
        indexer.prune = arg_prune;
        indexer.quiet = arg_quiet;
        indexer.progress = !arg_quiet && isatty(STDERR_FILENO);
        r = run(argv + optind, argc - optind, &indexer);
        if (r == 0 && arg_embed.base_url && !arg_remove)
                r = add_vectors(&indexer);
        if (r == -EIO && !index_error(index)[0]) /* it has been said */
                return EXIT_FAILURE;
        if (r < 0) {
                fprintf(stderr, "brickctl index: %s\n",
                        index_error(index)[0] ? index_error(index) : strerror(-r));
                return EXIT_FAILURE;
        }
        return indexer.n_errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
