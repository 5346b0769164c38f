/* SPDX-License-Identifier: MIT */
#include "rpc/explain.h"

#include <grpc/slice.h>
#include <stdbool.h>
#include <string.h>

#include "shared/state.h"

#define NAME "x-brick-explain"

/* The time does not tell how much of the key is right. */
static bool is_key(grpc_slice value, const char *key)
{
        const uint8_t *bytes = GRPC_SLICE_START_PTR(value);
        unsigned wrong = 0;

        if (GRPC_SLICE_LENGTH(value) != EXPLAIN_KEY_LENGTH)
                return false;
        for (size_t i = 0; i < EXPLAIN_KEY_LENGTH; i++)
                wrong |= bytes[i] ^ (unsigned char)key[i];
        return wrong == 0;
}

static inline bool is_named(const grpc_metadata *pair)
{
        return GRPC_SLICE_LENGTH(pair->key) == strlen(NAME) &&
               memcmp(GRPC_SLICE_START_PTR(pair->key), NAME, strlen(NAME)) == 0;
}

/* The slices belong to the call, so dropping them from the array leaks nothing. */
static void replace(grpc_metadata_array *metadata, const char *key)
{
        grpc_metadata *pairs = metadata->metadata;
        size_t kept = 0;

        for (size_t i = 0; i < metadata->count; i++) {
                if (is_named(&pairs[i])) {
                        if (!is_key(pairs[i].value, key))
                                continue;
                        pairs[i].value = grpc_slice_from_static_string("1");
                }
                pairs[kept++] = pairs[i];
        }
        metadata->count = kept;
}

void explain_check(grpc_metadata_array *metadata, const char *key)
{
        for (size_t i = 0; i < metadata->count; i++)
                if (is_named(&metadata->metadata[i])) {
                        replace(metadata, key);
                        return;
                }
}
