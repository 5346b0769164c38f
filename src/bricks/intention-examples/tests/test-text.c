/* SPDX-License-Identifier: MIT */

/* Features of texts, and what a verdict is made of. */

#undef NDEBUG
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"

/* Whether two texts have the same features. */
static bool alike(const char *a, const char *b)
{
        struct features x, y;

        features_of(a, strlen(a), &x);
        features_of(b, strlen(b), &y);
        if (x.n != y.n)
                return false;
        for (size_t i = 0; i < x.n; i++)
                if (x.list[i].hash != y.list[i].hash || x.list[i].count != y.list[i].count)
                        return false;
        return true;
}

static void test_folding(void)
{
        assert(alike("Where is order 12345?", "WHERE is order 9!"));
        assert(alike("Où est le café", "ou est le cafe"));
        assert(alike("cafe\xcc\x81", "café"));
        assert(alike("ＡＢＣ", "abc"));
        assert(alike("Ёлка ДОБРОЕ", "елка доброе"));
        assert(alike("ΩΔ", "ωδ"));
        assert(alike("ŠKODA", "škoda"));
        assert(alike("don't", "don’t"));
        assert(alike("你好，世界。", "你好 世界"));
        assert(!alike("你好世界", "你好 世界")); /* the pair in the middle */
        assert(!alike("anagram", "nagaram"));
        assert(alike("?!", ""));
}

static void test_bounds(void)
{
        char text[3 * FEATURES_TEXT_MAX];
        unsigned state = 1;
        struct features features;

        for (size_t i = 0; i < sizeof text; i++)
                text[i] = (char)('a' + (state = state * 1103515245 + 12345) / 65536 % 26);
        features_of(text, sizeof text, &features);
        assert(features.n == FEATURES_MAX);
        memset(text, '\xe8', sizeof text); /* no UTF-8 */
        features_of(text, sizeof text, &features);
        for (size_t i = 0; i + 3 <= sizeof text; i += 3)
                memcpy(text + i, "猫", 3);
        features_of(text, sizeof text, &features);
        assert(features.n == 2 && features.list[0].count > 600);
}

static void test_examples(void)
{
        struct examples *examples = examples_new();
        struct examples_reason reason;

        assert(examples_add_category(examples, "a", &reason) == 0);
        assert(examples_add(examples, "hello", &reason) == 0);
        assert(examples_add(examples, "hello", &reason) == 0 && examples->n == 1);
        assert(examples_add(examples, " ?", &reason) < 0);
        assert(strcmp(reason.text, "an example needs letters or digits") == 0);
        assert(examples_add_category(examples, "a", &reason) < 0);
        assert(examples_add_category(examples, "", &reason) < 0);
        assert(examples_add_category(examples, "b", &reason) == 0);
        assert(examples_add(examples, "hello", &reason) < 0);
        assert(strcmp(reason.text, "this is an example of 'a' as well") == 0);
        examples_free(examples);
}

static struct examples *two_categories(void)
{
        struct examples *examples = examples_new();
        struct examples_reason reason;

        assert(examples_add_category(examples, "parcel", &reason) == 0);
        assert(examples_add(examples, "where is my parcel", &reason) == 0);
        assert(examples_add(examples, "when does the parcel arrive", &reason) == 0);
        assert(examples_add_category(examples, "weather", &reason) == 0);
        assert(examples_add(examples, "will it rain tomorrow", &reason) == 0);
        assert(examples_add(examples, "明天會下雨嗎", &reason) == 0);
        return examples;
}

static void test_verdicts(void)
{
        struct examples *examples = two_categories();
        static const char text[] = "Tell me, where IS the parcel?";
        struct classifier *classifier;
        struct features features;
        struct verdict verdicts[3];
        struct weighed weighed[3];
        void *memory;

        assert(classifier_new(examples, &classifier) == 0);
        memory = malloc(classifier_size(classifier));
        features_of(text, strlen(text), &features);
        assert(classify(classifier, &features, memory, verdicts, 3) >= 1);
        assert(verdicts[0].category == 0 && verdicts[0].example == 0);
        assert(verdicts[0].confidence > 0.5 && verdicts[0].similarity > 0.4);
        assert(classifier_explain(classifier, &features, 0, weighed, 3) == 3);
        assert(weighed[0].start == strlen("Tell me, ") && weighed[0].length == strlen("where"));
        assert(weighed[0].weight >= weighed[1].weight);

        features_of("明天下雨", strlen("明天下雨"), &features);
        assert(classify(classifier, &features, memory, verdicts, 3) == 1);
        assert(verdicts[0].category == 1 && verdicts[0].example == 3);
        /* an example itself is as like as can be */
        features_of("where is my parcel", 18, &features);
        assert(classify(classifier, &features, memory, verdicts, 3) >= 1);
        assert(verdicts[0].similarity > 0.999 && verdicts[0].confidence > 0.9);
        features_of("xyzzy", 5, &features);
        assert(classify(classifier, &features, memory, verdicts, 3) == 0);
        free(memory);
        classifier_free(classifier);
        examples_free(examples);
}

int main(void)
{
        test_folding();
        test_bounds();
        test_examples();
        test_verdicts();
        return 0;
}
