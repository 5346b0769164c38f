/* SPDX-License-Identifier: MIT */

/* A text of a client, in UTF-8 or not: its features, and the verdict on it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct examples *make_examples(void)
{
        static const char *const texts[][2] = {
                { "order", "Where is my order 12345?" },
                { "order", "我的訂單到哪裡了" },
                { "greeting", "Hello, how are you" },
                { "greeting", "Доброе утро, ёлка" },
                { "thanks", "謝謝" },
                { "thanks", "ありがとう 👋" },
        };
        struct examples *examples = examples_new();
        struct examples_reason reason;

        for (size_t i = 0; examples && i < sizeof texts / sizeof texts[0]; i++) {
                if (i % 2 == 0 && examples_add_category(examples, texts[i][0], &reason) < 0)
                        abort();
                if (examples_add(examples, texts[i][1], &reason) < 0)
                        abort();
        }
        return examples;
}

static void check_features(const struct features *features, size_t size)
{
        for (size_t i = 0; i < features->n; i++) {
                const struct feature *feature = &features->list[i];

                if (feature->count == 0 || feature->length == 0 ||
                    (size_t)feature->start + feature->length > size ||
                    (i > 0 && features->list[i - 1].hash >= feature->hash))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct examples *examples;
        static struct classifier *classifier;
        struct features features;
        struct verdict verdicts[3];
        struct weighed weighed[5];
        void *memory;
        size_t n;

        if (!examples) {
                examples = make_examples();
                if (!examples || classifier_new(examples, &classifier) < 0)
                        abort();
        }
        memory = malloc(classifier_size(classifier));
        features_of((const char *)data, size, &features);
        check_features(&features, size);
        n = classify(classifier, &features, memory, verdicts, 3);
        for (size_t i = 0; i < n; i++) {
                /* of floats, so a little more than 1 is no mistake */
                if (!(verdicts[i].similarity > 0 && verdicts[i].similarity < 1.001) ||
                    !(verdicts[i].confidence >= 0 && verdicts[i].confidence <= 1))
                        abort();
                (void)classifier_explain(classifier, &features, verdicts[i].example, weighed, 5);
        }
        free(memory);
        return 0;
}
