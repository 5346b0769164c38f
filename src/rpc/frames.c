/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "rpc/frames.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum frame_type {
        FRAME_DATA = 0,
        FRAME_HEADERS = 1,
        FRAME_RST_STREAM = 3,
        FRAME_SETTINGS = 4,
        FRAME_CONTINUATION = 9,
};

#define FLAG_ACK 1
#define FLAG_END_HEADERS 4

static size_t min_size(size_t a, size_t b)
{
        return a < b ? a : b;
}

/* The first words of a connection; how many of the bytes are of them. */
static size_t pass_preface(struct frames *frames, const uint8_t *p, size_t length)
{
        size_t n = min_size(length, sizeof preface - 1 - frames->preface);

        if (memcmp(p, preface + frames->preface, n) != 0)
                frames->opaque = true;
        frames->preface += (uint8_t)n;
        return n;
}

static enum frames_verdict pass_headers(struct frames *frames, unsigned flags, uint64_t max_block)
{
        frames->block += FRAME_HEAD + frames->payload;
        if (frames->block > max_block)
                return FRAMES_BLOCK;
        if (!(flags & FLAG_END_HEADERS))
                return FRAMES_GOOD;
        frames->block = 0;
        return frames->greeted || ++frames->early <= FRAMES_EARLY_MAX ? FRAMES_GOOD : FRAMES_EARLY;
}

/* A head is complete. */
static enum frames_verdict pass_head(struct frames *frames, uint64_t max_block, unsigned *resets)
{
        const uint8_t *head = frames->head;

        frames->n_head = 0;
        frames->payload = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        switch (head[3]) {
        case FRAME_HEADERS:
        case FRAME_CONTINUATION:
                return pass_headers(frames, head[4], max_block);
        case FRAME_RST_STREAM:
                ++*resets;
                break;
        case FRAME_SETTINGS:
                frames->greeted = frames->greeted || head[4] & FLAG_ACK;
                break;
        default:
                break;
        }
        return FRAMES_GOOD;
}

enum frames_verdict frames_pass(struct frames *frames, const void *bytes, size_t length,
                                uint64_t max_block, unsigned *resets)
{
        const uint8_t *p = bytes, *end = p + length;
        enum frames_verdict verdict = FRAMES_GOOD;

        if (frames->preface < sizeof preface - 1)
                p += pass_preface(frames, p, length);
        if (frames->opaque)
                return FRAMES_GOOD;
        while (p < end && verdict == FRAMES_GOOD) {
                size_t n = min_size((size_t)(end - p), frames->payload);

                frames->payload -= (uint32_t)n;
                if (frames->head[3] == FRAME_DATA)
                        frames->data += n;
                p += n;
                n = min_size((size_t)(end - p), FRAME_HEAD - frames->n_head);
                memcpy(frames->head + frames->n_head, p, n);
                frames->n_head += (uint8_t)n;
                p += n;
                if (frames->n_head == FRAME_HEAD)
                        verdict = pass_head(frames, max_block, resets);
        }
        return verdict;
}
