/* SPDX-License-Identifier: MIT */

/* Encodings: what comes out is bounded, valid UTF-8, and has a place. */

#include <stdint.h>
#include <stdlib.h>

#include "decode.h"
#include "fold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        char *folded = malloc(size + 1);
        struct decoder decoder;
        struct decoded decoded;

        if (!folded)
                abort();
        if (fold_text(text, size, folded) != SIZE_MAX) {
                (void)encodings_of(text, size);
                decoder_begin(&decoder, text, size, UINT32_MAX);
                while (decoder_next(&decoder, &decoded))
                        if (decoded.from >= decoded.to || decoded.to > size ||
                            decoded.length > size ||
                            fold_text(decoded.text, decoded.length, folded) == SIZE_MAX)
                                abort();
                decoder_end(&decoder);
        }
        free(folded);
        return 0;
}
