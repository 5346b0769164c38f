/* SPDX-License-Identifier: MIT */

/* brickctl-train, the program that `brickctl train` runs. */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"

#include "fold.h"
#include "linear.h"
#include "train.h"

#define GROUPS_MAX 256

static const char *arg_output;
static const char *arg_model;
static const char *arg_test;
static const char *arg_texts;
static struct train_options arg_train = { .harmless = "harmless", .bits = 18, .rounds = 14 };

static const char help_text[] =
        "Usage: brickctl train --output MODEL [OPTION...] TEXTS.tsv\n"
        "       brickctl train --test TEXTS.tsv --model MODEL\n"
        "\n"
        "Train the model of the brick guard-rules with labelled texts: LABEL<TAB>TEXT on each "
        "line.\n"
        "The labels are categories of the rules, at most three, and `harmless`. In a text, \\n, "
        "\\t\n"
        "and \\\\ stand for a newline, a tab and a backslash. Texts that are like each other "
        "belong\n"
        "beside each other. The same texts give the same model.\n"
        "\n"
        "  --output FILE     write the model here\n"
        "  --test FILE       judge these texts, and print how many of each label and group, "
        "written\n"
        "                    LABEL/GROUP, have a probability of 0.5 or more\n"
        "  --model FILE      judge with this model instead of training one\n"
        "  --harmless LABEL  the label of harmless texts (harmless)\n"
        "  --bits N          the model has 2^N buckets of 4 bytes (18; 8 to 20)\n"
        "  --rounds N        how often each text is learnt (14; 1 to 1000)\n"
        "  -h, --help        this text\n"
        "  --version         the version\n"
        "\n"
        "Exit status: 0; 1 if a file could not be read or written, or is wrong; 64 for a wrong\n"
        "command line.\n";

static int usage(const char *message)
{
        fprintf(stderr, "brickctl train: %s; see brickctl train --help\n", message);
        return -EINVAL;
}

static int parse_number(const char *s, unsigned min, unsigned max, unsigned *ret)
{
        char *end;
        unsigned long n;

        errno = 0;
        n = strtoul(s, &end, 10);
        if (errno != 0 || end == s || *end || s[0] == '-' || n < min || n > max)
                return -EINVAL;
        *ret = (unsigned)n;
        return 0;
}

static int parse_option(int c)
{
        switch (c) {
        case 'o':
                arg_output = optarg;
                return 0;
        case 't':
                arg_test = optarg;
                return 0;
        case 'm':
                arg_model = optarg;
                return 0;
        case 'l':
                arg_train.harmless = optarg;
                return 0;
        case 'b':
                if (parse_number(optarg, LINEAR_BITS_MIN, LINEAR_BITS_MAX, &arg_train.bits) < 0)
                        return usage("--bits takes 8 to 20");
                return 0;
        case 'r':
                if (parse_number(optarg, 1, 1000, &arg_train.rounds) < 0)
                        return usage("--rounds takes 1 to 1000");
                return 0;
        default: /* getopt_long() has reported the mistake */
                return -EINVAL;
        }
}

/* 1: go on; 0: all is done; -EINVAL: reported. */
static int parse_argv(int argc, char **argv)
{
        static const struct option options[] = { { "output", required_argument, NULL, 'o' },
                                                 { "test", required_argument, NULL, 't' },
                                                 { "model", required_argument, NULL, 'm' },
                                                 { "harmless", required_argument, NULL, 'l' },
                                                 { "bits", required_argument, NULL, 'b' },
                                                 { "rounds", required_argument, NULL, 'r' },
                                                 { "help", no_argument, NULL, 'h' },
                                                 { "version", no_argument, NULL, 'v' },
                                                 {} };
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                if (c == 'h' || c == 'v') {
                        fputs(c == 'h' ? help_text : "brickd " BRICKD_VERSION "\n", stdout);
                        return 0;
                }
                r = parse_option(c);
                if (r < 0)
                        return r;
        }
        if (argc - optind > 1)
                return usage("name one file of texts");
        arg_texts = argv[optind];
        if (arg_model ? arg_texts || arg_output || !arg_test : !arg_texts || !arg_output)
                return usage("name texts and --output, or --test and --model");
        return 1;
}

static struct texts *read_texts(const char *path)
{
        struct texts *texts;
        char *error = NULL;
        int r = texts_read(path, &texts, &error);

        if (r == 0)
                return texts;
        fprintf(stderr, "brickctl train: %s\n", error ? error : strerror(-r));
        free(error);
        return NULL;
}

static int write_file(const char *path, const void *bytes, size_t size)
{
        FILE *f = fopen(path, "we");
        bool written = f && fwrite(bytes, 1, size, f) == size;

        if (f && fclose(f) != 0)
                written = false;
        if (!written)
                fprintf(stderr, "brickctl train: %s: %s\n", path, strerror(errno));
        return written ? 0 : -EIO;
}

static int run_training(void)
{
        struct texts *texts = read_texts(arg_texts);
        const char *error;
        void *bytes;
        size_t size;
        int r;

        if (!texts)
                return -EINVAL;
        r = train(texts, &arg_train, &bytes, &size, &error);
        if (r == 0) {
                r = write_file(arg_output, bytes, size);
                if (r == 0)
                        printf("%s: %zu texts, %zu bytes\n", arg_output, texts->n, size);
                free(bytes);
        } else {
                fprintf(stderr, "brickctl train: %s: %s\n", arg_texts,
                        error ? error : strerror(-r));
        }
        texts_free(texts);
        return r;
}

struct group {
        uint32_t label;
        const char *name;
        size_t n;
        size_t blamed;
};

static struct group *find_group(struct group *groups, size_t *n, const struct labelled_text *text)
{
        for (size_t i = 0; i < *n; i++)
                if (groups[i].label == text->label && strcmp(groups[i].name, text->group) == 0)
                        return &groups[i];
        if (*n == GROUPS_MAX)
                return &groups[GROUPS_MAX - 1];
        groups[*n] = (struct group){ text->label, text->group, 0, 0 };
        return &groups[(*n)++];
}

static int judge(const struct linear *model, const struct labelled_text *text, bool *ret)
{
        char *folded = malloc(text->length + 1);
        struct linear_scan scan;
        size_t n;

        if (!folded)
                return -ENOMEM;
        n = fold_text(text->text, text->length, folded);
        linear_begin(&scan, model);
        linear_push(&scan, folded, n, 0);
        linear_end(&scan, (uint32_t)n);
        *ret = linear_probability(model, &scan.worst) >= 0.5;
        free(folded);
        return 0;
}

static int run_test(void)
{
        const char *path = arg_model ? arg_model : arg_output, *error;
        struct linear *model = linear_read(path, &error);
        struct group groups[GROUPS_MAX];
        struct texts *texts;
        size_t n_groups = 0;
        int r = 0;

        if (!model) {
                fprintf(stderr, "brickctl train: %s: %s\n", path, error);
                return -EINVAL;
        }
        texts = read_texts(arg_test);
        for (size_t i = 0; texts && i < texts->n && r == 0; i++) {
                struct group *group = find_group(groups, &n_groups, &texts->list[i]);
                bool blamed = false;

                r = judge(model, &texts->list[i], &blamed);
                group->n++;
                group->blamed += blamed;
        }
        for (size_t i = 0; i < n_groups && r == 0; i++)
                printf("%5zu of %5zu  %s%s%s\n", groups[i].blamed, groups[i].n,
                       texts->labels[groups[i].label], groups[i].name[0] ? "/" : "",
                       groups[i].name);
        r = texts ? r : -EINVAL;
        texts_free(texts);
        linear_free(model);
        return r;
}

int main(int argc, char **argv)
{
        int r;

        argv[0] = (char *)"brickctl train"; /* for the messages of getopt_long() */
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? EX_USAGE : EXIT_SUCCESS;
        r = arg_model ? 0 : run_training();
        if (r == 0 && arg_test)
                r = run_test();
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
