/* SPDX-License-Identifier: MIT */

/* How good the verdicts are, and each that is wrong: test-intention-figures EXAMPLES HELD-OUT */

#undef NDEBUG
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "classify.h"

#define THRESHOLD 0.5
#define BINS 5
#define RIGHT_PERCENT 85
#define REJECTED_PERCENT 90

struct figures {
        size_t known, known_right, known_unknown; /* unknown: held to be so */
        size_t unknown, unknown_right;
        size_t in_bin[BINS], right_in_bin[BINS];
        double squares;
};

static char *read_file(const char *path, size_t *ret_n)
{
        FILE *f = fopen(path, "r");
        char *bytes = malloc(1 << 20);

        assert(f && bytes);
        *ret_n = fread(bytes, 1, (1 << 20) - 1, f);
        bytes[*ret_n] = '\0';
        (void)fclose(f);
        return bytes;
}

static struct examples *load(const char *path)
{
        struct examples *examples = examples_new();
        struct brick_yaml *yaml;
        size_t n;
        char *bytes = read_file(path, &n);

        assert(examples && brick_yaml_new(&yaml, path) == 0);
        assert(examples_read(examples, yaml, bytes, n) == 0);
        brick_yaml_free(yaml);
        free(bytes);
        return examples;
}

static void judge(const struct examples *examples, const struct classifier *classifier,
                  const char *want, const char *text, struct figures *f)
{
        void *memory = malloc(classifier_size(classifier));
        struct features features;
        struct verdict verdict;
        bool unknown = strcmp(want, "unknown") == 0, right, answers;
        const char *got = "unknown";
        size_t bin;

        assert(memory);
        features_of(text, strlen(text), &features);
        verdict.confidence = 0;
        if (classify(classifier, &features, memory, &verdict, 1) > 0)
                got = examples->categories[verdict.category];
        right = strcmp(got, want) == 0;
        answers = verdict.confidence >= THRESHOLD;
        bin = verdict.confidence >= 1 ? BINS - 1 : (size_t)(verdict.confidence * BINS);
        f->in_bin[bin]++;
        f->right_in_bin[bin] += right;
        f->squares += (verdict.confidence - right) * (verdict.confidence - right);
        f->known += !unknown;
        f->known_right += !unknown && right && answers;
        f->known_unknown += !unknown && !answers;
        f->unknown += unknown;
        f->unknown_right += unknown && !answers;
        if (unknown ? answers : !right || !answers)
                printf("%-13s not %-13s %.2f %.2f  %s\n", answers ? got : "unknown", want,
                       verdict.similarity, verdict.confidence, text);
        free(memory);
}

static void measure(const struct classifier *classifier, const char *text)
{
        void *memory = malloc(classifier_size(classifier));
        struct timespec a, b;
        enum { N = 20000 };

        assert(memory);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        for (int i = 0; i < N; i++) {
                struct features features;
                struct verdict verdict;

                features_of(text, strlen(text), &features);
                (void)classify(classifier, &features, memory, &verdict, 1);
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        printf("%.2f us a text\n",
               ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / N / 1e3);
        free(memory);
}

int main(int argc, char **argv)
{
        struct figures f = { 0 };
        struct classifier *classifier;
        struct examples *examples;
        char *bytes, *rest, *line;
        size_t n;

        assert(argc == 3);
        setvbuf(stdout, NULL, _IOLBF, 0);
        examples = load(argv[1]);
        assert(classifier_new(examples, &classifier) == 0);
        rest = bytes = read_file(argv[2], &n);
        while ((line = strsep(&rest, "\n"))) {
                const char *want = strsep(&line, "\t");

                if (line && want[0] != '#')
                        judge(examples, classifier, want, line, &f);
        }
        printf("%zu examples; %zu of %zu right, %zu held unknown; unknown: %zu of %zu right\n",
               examples->n, f.known_right, f.known, f.known_unknown, f.unknown_right, f.unknown);
        for (size_t i = 0; i < BINS; i++)
                printf("confidence %.1f to %.1f: %zu of %zu right\n", (double)i / BINS,
                       (double)(i + 1) / BINS, f.right_in_bin[i], f.in_bin[i]);
        assert(f.known_right * 100 >= f.known * RIGHT_PERCENT);
        assert(f.unknown_right * 100 >= f.unknown * REJECTED_PERCENT);
        printf("Brier score %.3f\n", f.squares / (double)(f.known + f.unknown));
        measure(classifier, "where is my parcel, it has not arrived");
        classifier_free(classifier);
        examples_free(examples);
        free(bytes);
        return 0;
}
