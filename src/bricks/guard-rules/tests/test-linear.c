/* SPDX-License-Identifier: MIT */

/* Training, the model's file, judging and explaining. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "linear.h"
#include "train.h"

static const char tsv[] = "# fruit or not\n"
                          "\n"
                          "fruit/en\tan apple a day\n"
                          "fruit\ttwo apples and a banana\n"
                          "fruit\tapple, banana, cherry\n"
                          "fruit\ta ripe banana\n"
                          "fruit\tthe apple pie\\nwith a cherry\n"
                          "none\tthe car is red\n"
                          "none\ta red car and a bus\n"
                          "none\tthe bus is late\n"
                          "none\ttwo cars, one bus\n"
                          "none\tthe train\\tis late\n";

static const struct train_options options = { .harmless = "none", .bits = 12, .rounds = 20 };

static struct texts *parse(const char *text)
{
        struct texts *texts;
        char *error;

        assert(texts_parse("t.tsv", strdup(text), strlen(text), &texts, &error) == 0);
        return texts;
}

static void *make(size_t *ret_size)
{
        struct texts *texts = parse(tsv);
        const char *error;
        void *bytes;

        assert(texts->n == 10 && texts->n_labels == 2);
        assert(strcmp(texts->list[0].group, "en") == 0 && strcmp(texts->labels[0], "fruit") == 0);
        assert(memcmp(texts->list[9].text, "the train\tis late", texts->list[9].length) == 0);
        assert(train(texts, &options, &bytes, ret_size, &error) == 0);
        texts_free(texts);
        return bytes;
}

static struct linear_window judge(const struct linear *model, const char *text, size_t step)
{
        size_t n = strlen(text);
        struct linear_scan scan;

        linear_begin(&scan, model);
        for (size_t i = 0; i < n; i += step)
                linear_push(&scan, text + i, n - i < step ? n - i : step, (uint32_t)i);
        linear_end(&scan, (uint32_t)n);
        return scan.worst;
}

/* The same texts give the same bytes, and the model knows what it has learnt. */
static void test_training(void)
{
        static const char long_text[] =
                "The bus is late. The car is red.\nAn apple and a banana. A bus.";
        size_t size, again;
        void *bytes = make(&size), *other = make(&again);
        struct linear_window window, piecewise;
        struct linear *model;
        const char *error;
        char why[64];

        assert(size == again && memcmp(bytes, other, size) == 0);
        free(other);
        model = linear_parse(bytes, size, &error);
        assert(model && strcmp(model->header.labels[0], "none") == 0);
        assert(strcmp(model->header.labels[1], "fruit") == 0);

        window = judge(model, "an apple and a banana", SIZE_MAX);
        assert(window.label == 1 && linear_probability(model, &window) > 0.5);
        linear_explain(model, &window, "an apple and a banana", why, sizeof why);
        assert(strstr(why, "apple") || strstr(why, "banana"));
        window = judge(model, "the red bus", SIZE_MAX);
        assert(linear_probability(model, &window) < 0.5);
        window = judge(model, "", 1);
        assert(window.label == 0 && linear_probability(model, &window) == 0);
        linear_explain(model, &window, "", why, sizeof why);
        assert(strcmp(why, "") == 0);

        /* the sentence counts, not the whole; and it does not matter how the text is cut */
        window = judge(model, long_text, SIZE_MAX);
        assert(window.label == 1 && linear_probability(model, &window) > 0.3 && window.from > 10);
        for (size_t step = 1; step < 9; step++) {
                piecewise = judge(model, long_text, step);
                assert(memcmp(&piecewise, &window, sizeof window) == 0);
        }

        /* what is repeated in a sentence counts once */
        window = judge(model, "apple apple apple apple", SIZE_MAX);
        piecewise = judge(model, "apple apple apple apple apple apple apple apple", SIZE_MAX);
        assert(window.label == 1 && piecewise.margin == window.margin);
        linear_free(model);
}

/* One field of a good file after the other is spoiled. */
static void test_files(void)
{
        static const struct {
                size_t offset;
                uint32_t value;
                const char *error;
        } spoiled[] = {
                { offsetof(struct linear_header, magic), 0, "not a model that" },
                { offsetof(struct linear_header, version), 1, "of another version" },
                { offsetof(struct linear_header, n_labels), 1, "number of labels" },
                { offsetof(struct linear_header, n_labels), 5, "number of labels" },
                { offsetof(struct linear_header, bits), 40, "too many weights" },
                { offsetof(struct linear_header, bits), 11, "cut off or too long" },
                { offsetof(struct linear_header, n_terms), UINT32_MAX, "cut off or too long" },
                { offsetof(struct linear_header, terms_size), UINT32_MAX, "cut off or too long" },
                { offsetof(struct linear_header, scale), 0x7fc00000, "a number in it" },
                { offsetof(struct linear_header, bias), 0x7f800000, "a number in it" },
                { offsetof(struct linear_header, scale), 0xff4bf354, "a number in it" },
                { offsetof(struct linear_header, slope), 0x49742410, "a number in it" },
                { offsetof(struct linear_header, offset), 0xc9742410, "a number in it" },
                { offsetof(struct linear_header, labels), 0x20202020, "a label is no name" },
        };
        size_t size;
        char *good = make(&size), *bad;
        const char *error;

        for (size_t i = 0; i < sizeof spoiled / sizeof spoiled[0]; i++) {
                bad = malloc(size);
                assert(bad);
                memcpy(bad, good, size);
                memcpy(bad + spoiled[i].offset, &spoiled[i].value, 4);
                assert(!linear_parse(bad, size, &error));
                if (!strstr(error, spoiled[i].error)) {
                        fprintf(stderr, "%zu: %s\n", i, error);
                        abort();
                }
        }
        for (size_t n = 0; n < size; n += 997) {
                bad = malloc(n + 1);
                assert(bad);
                memcpy(bad, good, n);
                assert(!linear_parse(bad, n, &error));
        }
        free(good);
        assert(!linear_read("/does/not/exist", &error) && strstr(error, "No such file"));
        assert(!linear_read("/dev/null", &error) && strstr(error, "not a regular file"));
}

static void test_mistakes(void)
{
        static const struct {
                const char *text;
                const char *error;
        } mistakes[] = {
                { "a\tb\nno tab\n", "t.tsv:2: there is no tab" },
                { "bad label\tb\n", "t.tsv:1: a label is 1 to 31 small letters" },
                { "a/\tb\n", "t.tsv:1: a group is 1 to 31 letters" },
                { "a\tb\\c\n", "t.tsv:1: a backslash is written" },
                { "a\tb\\", "t.tsv:1: a backslash is written" },
                { "a\t\xff\n", "t.tsv:1: the text is not UTF-8" },
                { "a\tx\nb\tx\nc\tx\nd\tx\ne\tx\n", "t.tsv:5: 'e' is label number 5" },
        };
        struct texts *texts;
        const char *why;
        char *error;
        void *bytes;
        size_t size;

        for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
                size = strlen(mistakes[i].text);
                assert(texts_parse("t.tsv", strdup(mistakes[i].text), size, &texts, &error) ==
                       -EINVAL);
                if (strncmp(error, mistakes[i].error, strlen(mistakes[i].error)) != 0) {
                        fprintf(stderr, "%s\n", error);
                        abort();
                }
                free(error);
        }
        assert(texts_read("/does/not/exist", &texts, &error) == -EINVAL);
        assert(strcmp(error, "/does/not/exist: No such file or directory") == 0);
        free(error);

        texts = parse("a\tx\nb\ty\n");
        assert(train(texts, &options, &bytes, &size, &why) == -EINVAL);
        assert(strstr(why, "no text has the label"));
        texts_free(texts);
        texts = parse("none\tx\n");
        assert(train(texts, &options, &bytes, &size, &why) == -EINVAL);
        assert(strstr(why, "all texts are harmless"));
        texts_free(texts);
}

int main(void)
{
        test_training();
        test_files();
        test_mistakes();
        return 0;
}
