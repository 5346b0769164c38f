/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "rpc/frames.h"
#include "util/clock.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum frame_type {
        FRAME_DATA = 0,
        FRAME_HEADERS = 1,
        FRAME_RST_STREAM = 3,
        FRAME_SETTINGS = 4,
        FRAME_PING = 6,
        FRAME_GOAWAY = 7,
        FRAME_CONTINUATION = 9,
};

#define FLAG_ACK 1
#define FLAG_END_STREAM 1
#define FLAG_END_HEADERS 4
#define FLAG_PADDED 8

/* A gRPC message begins with a byte that says whether it is compressed, and its length in four. */
#define MESSAGE_PREFIX 5

static size_t min_size(size_t a, size_t b)
{
        return a < b ? a : b;
}

static uint32_t payload_of(const uint8_t *head)
{
        return (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
}

static uint32_t stream_of(const uint8_t *head)
{
        return (uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 |
               head[8];
}

/* Takes bytes of a frame's head. Returns how many. */
static inline size_t take_head(uint8_t *head, uint8_t *n_head, const uint8_t *p, size_t length)
{
        size_t n;

        if (*n_head == 0 && length >= FRAME_HEAD) {
                memcpy(head, p, FRAME_HEAD);
                *n_head = FRAME_HEAD;
                return FRAME_HEAD;
        }
        n = min_size(length, FRAME_HEAD - *n_head);
        memcpy(head + *n_head, p, n);
        *n_head += (uint8_t)n;
        return n;
}

/* --- requests -------------------------------------------------------------------------------- */

/* Stores the current request, if there is one, as unfinished. False: out of memory. */
static bool store_request(struct frames *frames)
{
        bool done = frames->request.stream == 0 ||
                    unfinished_put(&frames->unfinished, &frames->request);

        frames->request.stream = 0;
        return done;
}

static bool change_to(struct frames *frames, uint32_t stream)
{
        if (!store_request(frames))
                return false;
        if (!unfinished_take(&frames->unfinished, stream, &frames->request))
                frames->request.stream = 0;
        return true;
}

/* Makes the unfinished request of this stream the current one, if it has one. False: out of memory.
 */
static inline bool switch_to(struct frames *frames, uint32_t stream)
{
        if (frames->request.stream == stream)
                return true;
        if (frames->request.stream == 0 && unfinished_is_empty(&frames->unfinished))
                return true;
        return change_to(frames, stream);
}

static void begin_request(struct frames *frames, uint32_t stream, bool first)
{
        struct unfinished_request *request = &frames->request;

        request->stream = stream;
        request->n_prefix = 0;
        request->first = first;
        request->bytes = 0;
        request->begun = UINT64_MAX;
}

/* Takes bytes of a message's prefix; *ret_n is how many. False: no message begins like that. */
static bool pass_prefix(struct unfinished_request *request, const uint8_t *p, size_t length,
                        size_t *ret_n)
{
        size_t n = min_size(length, MESSAGE_PREFIX - request->n_prefix);

        if (request->n_prefix == 0 && p[0] > 1)
                return false;
        for (size_t i = 0; i < n; i++) /* the first byte is shifted out */
                request->left = request->left << 8 | p[i];
        request->n_prefix += (uint8_t)n;
        *ret_n = n;
        return true;
}

/* The size of the message that begins here, if all of it has come; 0: it has not, or it is none. */
static size_t whole_message(const struct unfinished_request *request, const uint8_t *p,
                            size_t length)
{
        uint32_t size;

        if ((request->stream != 0 && request->n_prefix > 0) || length < MESSAGE_PREFIX || p[0] > 1)
                return 0;
        size = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
        return size <= length - MESSAGE_PREFIX ? MESSAGE_PREFIX + (size_t)size : 0;
}

/* The core announces the call, or delivers the message. */
static inline void end_message(struct frames *frames)
{
        frames->request.stream = 0;
        frames->messages++;
}

/* Bytes of messages of the current stream. */
static enum frames_verdict pass_data(struct frames *frames, const uint8_t *p, size_t length)
{
        struct unfinished_request *request = &frames->request;

        while (length > 0) {
                size_t n = whole_message(request, p, length);

                if (n > 0) {
                        end_message(frames);
                        p += n;
                        length -= n;
                        continue;
                }
                if (request->stream == 0)
                        begin_request(frames, stream_of(frames->head), false);
                if (request->n_prefix < MESSAGE_PREFIX) {
                        if (!pass_prefix(request, p, length, &n))
                                return FRAMES_MESSAGE;
                } else {
                        n = min_size(length, request->left);
                        request->left -= (uint32_t)n;
                }
                request->bytes += n;
                p += n;
                length -= n;
                if (request->n_prefix == MESSAGE_PREFIX && request->left == 0)
                        end_message(frames);
        }
        return FRAMES_GOOD;
}

/* Only one thread writes it. */
static uint32_t get_open(const struct frames *frames)
{
        return atomic_load_explicit(&frames->open, memory_order_relaxed);
}

static void set_open(struct frames *frames, uint32_t n)
{
        atomic_store_explicit(&frames->open, n, memory_order_relaxed);
}

/* The client has half-closed the stream. */
static void end_stream(struct frames *frames)
{
        frames->request.stream = 0;
        if (get_open(frames) > 0)
                set_open(frames, get_open(frames) - 1);
}

/* Bytes of the current frame's payload. */
static enum frames_verdict pass_payload(struct frames *frames, const uint8_t *p, size_t length)
{
        enum frames_verdict verdict = FRAMES_GOOD;

        frames->payload -= (uint32_t)length;
        if (frames->head[3] != FRAME_DATA)
                return FRAMES_GOOD;
        frames->data += length;
        if (!frames->skipped)
                verdict = pass_data(frames, p, length);
        if (frames->payload == 0 && frames->head[4] & FLAG_END_STREAM)
                end_stream(frames);
        return verdict;
}

/* The bytes that have come end here: the current request is unfinished. */
static enum frames_verdict pause(struct frames *frames, const struct frames_limits *limits)
{
        struct unfinished_request *request = &frames->request;
        const struct unfinished *unfinished = &frames->unfinished;

        if (request->stream == 0)
                return FRAMES_GOOD;
        if (request->first && request->bytes > 0 && request->begun == UINT64_MAX)
                request->begun = clock_now();
        if (!store_request(frames) || unfinished->bytes > limits->bytes ||
            unfinished->n > limits->requests)
                return FRAMES_UNFINISHED;
        return FRAMES_GOOD;
}

/* --- frames ---------------------------------------------------------------------------------- */

/* Takes bytes of the connection preface. Returns how many. */
static size_t pass_preface(struct frames *frames, const uint8_t *p, size_t length)
{
        size_t n = min_size(length, sizeof preface - 1 - frames->preface);

        if (memcmp(p, preface + frames->preface, n) != 0)
                frames->opaque = true;
        frames->preface += (uint8_t)n;
        return n;
}

static enum frames_verdict pass_block(struct frames *frames, unsigned flags, uint64_t max_block)
{
        frames->block += FRAME_HEAD + frames->payload;
        if (frames->block > max_block)
                return FRAMES_BLOCK;
        if (!(flags & FLAG_END_HEADERS))
                return FRAMES_GOOD;
        frames->block = 0;
        return frames->greeted || ++frames->early <= FRAMES_EARLY_MAX ? FRAMES_GOOD : FRAMES_EARLY;
}

/* A call begins, or ends with trailers. */
static enum frames_verdict pass_headers(struct frames *frames, unsigned flags, uint64_t max_block)
{
        uint32_t stream = stream_of(frames->head);

        frames->calls++;
        if (stream > frames->newest) {
                frames->newest = stream;
                frames->streams++;
        }
        if (!switch_to(frames, stream))
                return FRAMES_UNFINISHED;
        set_open(frames, get_open(frames) + 1);
        if (flags & FLAG_END_STREAM)
                end_stream(frames);
        else if (frames->request.stream == 0)
                begin_request(frames, stream, true);
        return pass_block(frames, flags, max_block);
}

/* The core discards DATA of a stream that it has reset, or will reset because the DATA is padded:
 * such DATA is skipped. So is DATA of stream 0, for which the core ends the connection. */
static enum frames_verdict pass_data_head(struct frames *frames, unsigned flags)
{
        uint32_t stream = stream_of(frames->head);

        if (!switch_to(frames, stream))
                return FRAMES_UNFINISHED;
        frames->skipped = stream == 0 || flags & FLAG_PADDED ||
                          (frames->request.stream == 0 &&
                           unfinished_is_reset(&frames->unfinished, stream));
        if (frames->payload == 0 && flags & FLAG_END_STREAM)
                end_stream(frames);
        return FRAMES_GOOD;
}

/* A frame's head is complete. */
static enum frames_verdict pass_head(struct frames *frames, uint64_t max_block, unsigned *resets)
{
        const uint8_t *head = frames->head;

        frames->n_head = 0;
        frames->payload = payload_of(head);
        switch (head[3]) {
        case FRAME_DATA:
                return pass_data_head(frames, head[4]);
        case FRAME_HEADERS:
                return pass_headers(frames, head[4], max_block);
        case FRAME_CONTINUATION:
                return pass_block(frames, head[4], max_block);
        case FRAME_RST_STREAM:
                ++*resets;
                if (!switch_to(frames, stream_of(head)))
                        return FRAMES_UNFINISHED;
                frames->request.stream = 0;
                break;
        case FRAME_SETTINGS:
                frames->greeted = frames->greeted || head[4] & FLAG_ACK;
                break;
        case FRAME_GOAWAY:
                frames->leaving = true;
                break;
        case FRAME_PING:
                frames->pings += !(head[4] & FLAG_ACK);
                break;
        default:
                break;
        }
        return FRAMES_GOOD;
}

/* The current frame continues: so does the unfinished request of its stream. False: out of memory.
 */
static bool resume(struct frames *frames)
{
        return frames->head[3] != FRAME_DATA || switch_to(frames, stream_of(frames->head));
}

enum frames_verdict frames_pass(struct frames *frames, const void *bytes, size_t length,
                                const struct frames_limits *limits, unsigned *resets)
{
        const uint8_t *p = bytes, *end = p + length;
        enum frames_verdict verdict = FRAMES_GOOD;

        if (frames->preface < sizeof preface - 1)
                p += pass_preface(frames, p, length);
        if (frames->opaque)
                return FRAMES_GOOD;
        if (frames->payload > 0 && !resume(frames))
                return FRAMES_UNFINISHED;
        while (p < end && verdict == FRAMES_GOOD) {
                size_t n = min_size((size_t)(end - p), frames->payload);

                if (n > 0)
                        verdict = pass_payload(frames, p, n);
                p += n;
                p += take_head(frames->head, &frames->n_head, p, (size_t)(end - p));
                if (verdict == FRAMES_GOOD && frames->n_head == FRAME_HEAD)
                        verdict = pass_head(frames, limits->block, resets);
        }
        return verdict == FRAMES_GOOD ? pause(frames, limits) : verdict;
}

/* Only one thread writes it. */
static inline void add(_Atomic uint64_t *n, uint64_t more)
{
        atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                              memory_order_relaxed);
}

/* The head of a frame that the core sends is complete. */
static inline void send_head(struct frames_out *out, const uint8_t *head,
                             struct unfinished *unfinished)
{
        out->payload = payload_of(head);
        out->is_goaway = false;
        if (head[3] <= FRAME_HEADERS) {
                add(&out->replies, 1);
                add(&out->ended, head[4] & FLAG_END_STREAM);
        } else if (head[3] == FRAME_RST_STREAM) {
                unfinished_forget(unfinished, stream_of(head));
        } else if (head[3] == FRAME_GOAWAY) {
                out->is_goaway = true;
                out->n_goaway = 0;
                out->error = 0;
        }
}

/* Four bytes that name a stream, four of the error, and a text. */
static void send_goaway(struct frames_out *out, const uint8_t *p, size_t length)
{
        for (size_t i = 0; i < length && out->n_goaway < FRAMES_GOAWAY; i++) {
                unsigned n = out->n_goaway++;

                if (n == FRAMES_GOAWAY - 1)
                        out->reason = (char)p[i];
                else if (n >= 4)
                        out->error = out->error << 8 | p[i];
        }
}

void frames_sent(struct frames_out *out, const void *bytes, size_t length,
                 struct unfinished *unfinished)
{
        const uint8_t *p = bytes, *end = p + length;

        while (p < end) {
                size_t n = min_size((size_t)(end - p), out->payload);

                if (n > 0 && out->is_goaway)
                        send_goaway(out, p, n);
                out->payload -= (uint32_t)n;
                p += n;
                if (out->n_head == 0 && (size_t)(end - p) >= FRAME_HEAD) {
                        send_head(out, p, unfinished);
                        p += FRAME_HEAD;
                        continue;
                }
                p += take_head(out->head, &out->n_head, p, (size_t)(end - p));
                if (out->n_head == FRAME_HEAD) {
                        out->n_head = 0;
                        send_head(out, out->head, unfinished);
                }
        }
}
