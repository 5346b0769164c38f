/* SPDX-License-Identifier: MIT */

/* Labelled texts: they are refused, or a model can be trained with them, and read again. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"
#include "train.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct train_options options = { .harmless = "h", .bits = 8, .rounds = 3 };
        char *bytes = malloc(size + 1), *error;
        const char *why;
        struct texts *texts;
        void *model;
        size_t n;

        if (!bytes)
                abort();
        memcpy(bytes, data, size);
        if (texts_parse("t", bytes, size, &texts, &error) < 0) {
                free(error);
                return 0;
        }
        if (train(texts, &options, &model, &n, &why) == 0) {
                struct linear *linear = linear_parse(model, n, &why);

                if (!linear)
                        abort();
                linear_free(linear);
        }
        texts_free(texts);
        return 0;
}
