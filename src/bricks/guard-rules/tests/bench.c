/* SPDX-License-Identifier: MIT */

/* bench-guard-rules RULES TEXTS: what it costs to judge texts, one a line, and all of them as one.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brick-yaml.h"
#include "judge.h"
#include "stream.h"

#define ROUNDS 2000

static double microseconds(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void judge(const struct judge *judging, const char *text, size_t length, void *memory)
{
        struct verdict verdict;
        struct match match;

        if (judge_text(judging, text, length, memory, &match, &verdict) < 0)
                abort();
}

static void report(const char *what, double time, size_t times, size_t bytes)
{
        printf("%-10s %8.2f us each, %5.1f ns per byte\n", what, time / (double)times,
               time * 1000 / (double)bytes);
}

#define TOKEN 4 /* bytes of a piece */

/* The texts as one that arrives in tokens: what a token costs, and how many bytes are held back
 * after it. */
static void bench_stream(const struct judge *judging, const char *texts, size_t length)
{
        const struct stream_limits limits = { .max_text = SIZE_MAX };
        struct brick_judgement judgement = { .struct_size = sizeof judgement };
        struct stream_plan *plan;
        struct stream *stream;
        size_t n = 0, held = 0, most = 0;
        double start;

        if (stream_plan_new(&plan, judging, &limits) < 0)
                abort();
        start = microseconds();
        for (int i = 0; i < ROUNDS / 100; i++) {
                stream = stream_new(plan);
                for (size_t at = 0; stream && at + TOKEN < length; at += TOKEN, n++) {
                        if (stream_push(stream, texts + at, TOKEN, false, &judgement) < 0)
                                abort();
                        held += at + TOKEN - judgement.settled;
                        if (at + TOKEN - judgement.settled > most)
                                most = at + TOKEN - judgement.settled;
                }
                stream_free(stream);
        }
        report("tokens", microseconds() - start, n, n * TOKEN);
        printf("%-10s %8.2f bytes in the mean, at most %zu\n", "held back",
               (double)held / (double)n, most);
        stream_plan_free(plan);
}

static void bench(const struct judge *judging, char *texts, size_t length, void *memory)
{
        size_t n = 0, bytes = 0;
        double start;

        start = microseconds();
        for (int i = 0; i < ROUNDS; i++) {
                for (char *line = texts; line < texts + length;) {
                        size_t size = strcspn(line, "\n");

                        judge(judging, line, size, memory);
                        line += size + 1;
                        bytes += size;
                        n++;
                }
        }
        report("lines", microseconds() - start, n, bytes);

        start = microseconds();
        for (int i = 0; i < ROUNDS / 10; i++)
                judge(judging, texts, length, memory);
        report("as one", microseconds() - start, ROUNDS / 10, length * ROUNDS / 10);
        bench_stream(judging, texts, length);
}

static int load(struct rules **ret, const char *path)
{
        double start = microseconds();
        struct brick_yaml *yaml;
        int r;

        if (rules_new(ret) < 0 || brick_yaml_new(&yaml, path) < 0)
                return -ENOMEM;
        r = rules_read(*ret, path, yaml);
        if (r < 0)
                fprintf(stderr, "%s\n", brick_yaml_mistake(yaml, 0));
        else
                printf("%zu rules loaded in %.1f ms\n", (*ret)->n_rules,
                       (microseconds() - start) / 1e3);
        brick_yaml_free(yaml);
        return r;
}

int main(int argc, char **argv)
{
        static char texts[1 << 20];
        struct rules *rules = NULL;
        struct linear *model;
        struct judge judging;
        const char *error;
        size_t length = 0;
        void *memory;
        FILE *f;

        if (argc != 3 || load(&rules, argv[1]) < 0)
                return EXIT_FAILURE;
        model = rules->model ? linear_read(rules->model, &error) : NULL;
        if (judge_init(&judging, rules, model))
                return EXIT_FAILURE;
        f = fopen(argv[2], "r");
        if (f) {
                length = fread(texts, 1, sizeof texts - 1, f);
                fclose(f);
        }
        memory = malloc(match_size(rules, length));
        if (!memory)
                return EXIT_FAILURE;
        bench(&judging, texts, length, memory);
        free(memory);
        linear_free(model);
        rules_free(rules);
        return EXIT_SUCCESS;
}
