/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "rpc/frames.h"

/*
 * The first byte says how long the pieces are in which the rest arrives. Where they are cut must
 * make no difference.
 */

static const struct frames_limits limits = { .block = 4096,
                                             .bytes = UINT64_MAX,
                                             .requests = UINT32_MAX };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct frames whole = { 0 }, pieces = { 0 };
        unsigned whole_resets = 0, piece_resets = 0;
        enum frames_verdict verdict, piecewise = FRAMES_GOOD;
        size_t piece;

        if (size == 0)
                return 0;
        piece = data[0] + 1u;
        data++;
        size--;
        verdict = frames_pass(&whole, data, size, &limits, &whole_resets);
        for (size_t at = 0; piecewise == FRAMES_GOOD && at < size; at += piece)
                piecewise = frames_pass(&pieces, data + at, size - at < piece ? size - at : piece,
                                        &limits, &piece_resets);
        if (piecewise != verdict || whole_resets != piece_resets)
                abort();
        if (verdict == FRAMES_GOOD && (whole.unfinished.weight != pieces.unfinished.weight ||
                                       unfinished_total() != 2 * whole.unfinished.weight))
                abort();
        unfinished_clear(&whole.unfinished);
        unfinished_clear(&pieces.unfinished);
        if (unfinished_total() != 0)
                abort();
        return 0;
}
