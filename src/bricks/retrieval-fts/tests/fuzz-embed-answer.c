/* SPDX-License-Identifier: MIT */

/* What a server of embeddings may answer. The first byte says for how many texts, and whether the
 * dimension is known. */

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "embed-json.h"
#include "util/utf8.h"
#include "vector.h"

#define TEXTS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
        if (!condition)
                abort();
}

static void must_be_line(const char *error)
{
        size_t n = strnlen(error, EMBED_ERROR_SIZE);

        must(n < EMBED_ERROR_SIZE && utf8_valid(error, n) && !strchr(error, '\n'));
}

static void take(const char *json, size_t size, size_t n, size_t dimension)
{
        uint8_t packed[VECTOR_SIZE(VECTOR_DIMENSION_MAX)];
        int8_t components[VECTOR_DIMENSION_MAX];
        char error[EMBED_ERROR_SIZE] = "";
        float *vectors = NULL, scale;
        int r;

        r = embed_answer(json, size, n, &dimension, &vectors, error);
        must_be_line(error);
        must(r == 0 || error[0]);
        if (r < 0)
                return;
        must(dimension > 0 && dimension <= VECTOR_DIMENSION_MAX);
        for (size_t i = 0; i < n * dimension; i++)
                must(isfinite(vectors[i]));
        for (size_t i = 0; i < n; i++)
                if (vector_pack(vectors + i * dimension, dimension, packed))
                        must(vector_unpack(packed, dimension, &scale, components));
        free(vectors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char error[EMBED_ERROR_SIZE], *copy;

        if (size == 0)
                return 0;
        copy = malloc(size); /* a sanitizer sees what goes past its end */
        if (!copy)
                return 0;
        memcpy(copy, data + 1, size - 1);
        take(copy, size - 1, 1 + data[0] / 2 % TEXTS_MAX, data[0] % 2 ? 3 : 0);
        embed_answer_error(copy, size - 1, error);
        must_be_line(error);
        free(copy);
        return 0;
}
