/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/frames.h"

enum {
        DATA = 0,
        HEADERS = 1,
        RST_STREAM = 3,
        SETTINGS = 4,
        PING = 6,
        GOAWAY = 7,
        CONTINUATION = 9,
        ACK = 1,
        END_STREAM = 1,
        END_HEADERS = 4,
};

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
static const struct frames_limits limits = { .block = 100, .bytes = 1000, .requests = 3 };

/* What a client sends. */
static char bytes[4096];
static size_t length;
static uint64_t data; /* of it, what DATA frames carry */

static void begin(void)
{
        length = strlen(PREFACE);
        memcpy(bytes, PREFACE, length);
        data = 0;
}

static void add_to(unsigned stream, unsigned type, unsigned flags, size_t payload)
{
        const char head[] = { (char)(payload >> 16),
                              (char)(payload >> 8),
                              (char)payload,
                              (char)type,
                              (char)flags,
                              0,
                              0,
                              (char)(stream >> 8),
                              (char)stream };

        memcpy(bytes + length, head, sizeof head);
        memset(bytes + length + sizeof head, 3, payload); /* looks like a RST_STREAM */
        length += sizeof head + payload;
        data += type == DATA ? payload : 0;
        assert(length <= sizeof bytes);
}

static void add(unsigned type, unsigned flags, size_t payload)
{
        add_to(1, type, flags, payload);
}

/* DATA that begins a message of so many bytes. */
static void add_message(unsigned stream, unsigned flags, size_t size, size_t payload)
{
        char *p = bytes + length + FRAME_HEAD;
        const char prefix[] = { 0, 0, 0, (char)(size >> 8), (char)size };

        add_to(stream, DATA, flags, payload);
        memcpy(p, prefix, payload < sizeof prefix ? payload : sizeof prefix);
}

/* The verdict, the resets, the data and what is unfinished must not depend on where reads cut the
 * bytes. */
static bool pass(unsigned expected_resets)
{
        bool first = true, passes = true;
        uint64_t weight = 0;

        for (size_t piece = 1; piece <= length; piece++) {
                struct frames frames = { 0 };
                unsigned resets = 0;
                bool ok = true;

                for (size_t at = 0; at < length && ok; at += piece) {
                        size_t n = length - at < piece ? length - at : piece;
                        char *copy = malloc(n); /* exactly: reading on is noticed */

                        assert(copy);
                        memcpy(copy, bytes + at, n);
                        ok = frames_pass(&frames, copy, n, &limits, &resets) == FRAMES_GOOD;
                        free(copy);
                }
                assert(first || ok == passes);
                assert(!ok || (resets == expected_resets && frames.data == data));
                assert(!ok || first || frames.unfinished.weight == weight);
                weight = frames.unfinished.weight;
                unfinished_clear(&frames.unfinished);
                passes = ok;
                first = false;
        }
        return passes;
}

/* SETTINGS, and the acknowledgement of the other side's. */
static void test_greeting(void)
{
        struct frames frames = { 0 };
        unsigned resets = 0;

        begin();
        add(SETTINGS, 0, 6);
        assert(frames_pass(&frames, bytes, length, &limits, &resets) == FRAMES_GOOD);
        assert(!frames.greeted);
        length = 0;
        add(SETTINGS, ACK, 0);
        add(SETTINGS, 0, 0);
        assert(frames_pass(&frames, bytes, length, &limits, &resets) == FRAMES_GOOD);
        assert(frames.greeted);
}

/* --- requests that have not ended --------------------------------------------------------------
 */

static struct frames frames;

static enum frames_verdict pass_on(void)
{
        unsigned resets = 0;
        enum frames_verdict verdict = frames_pass(&frames, bytes, length, &limits, &resets);

        length = 0;
        return verdict;
}

static void begin_frames(void)
{
        unfinished_clear(&frames.unfinished);
        frames = (struct frames){ 0 };
        begin();
        assert(pass_on() == FRAMES_GOOD);
}

static void expect(unsigned requests, uint64_t of_messages)
{
        assert(frames.unfinished.n == requests && frames.unfinished.bytes == of_messages);
        assert(unfinished_weight(&frames.unfinished) >= of_messages);
        assert(unfinished_total() == unfinished_weight(&frames.unfinished));
}

static void test_unfinished(void)
{
        begin_frames();
        add(HEADERS, END_HEADERS, 10);
        assert(pass_on() == FRAMES_GOOD);
        expect(1, 0);
        assert(unfinished_weight(&frames.unfinished) == UNFINISHED_CALL);
        assert(unfinished_oldest(&frames.unfinished) == UINT64_MAX); /* a stream may say nothing */
        add_message(1, 0, 295, 3);
        assert(pass_on() == FRAMES_GOOD);
        expect(1, 3);
        assert(unfinished_oldest(&frames.unfinished) < UINT64_MAX);
        add(DATA, 0, 2); /* the length is 3 * 256 + 3 now */
        assert(pass_on() == FRAMES_GOOD);
        expect(1, 5);
        add(DATA, 0, 770);
        assert(pass_on() == FRAMES_GOOD);
        expect(1, 775);
        add(DATA, 0, 1);
        assert(pass_on() == FRAMES_GOOD);
        expect(0, 0);

        /* Another message of the same stream, whose time is the brick's. */
        add_message(1, 0, 100, 50);
        assert(pass_on() == FRAMES_GOOD);
        expect(1, 50);
        assert(unfinished_oldest(&frames.unfinished) == UINT64_MAX);
        add(DATA, 1, 0); /* END_STREAM */
        assert(pass_on() == FRAMES_GOOD);
        expect(0, 0);

        /* Two in one frame, one of them empty, and the next one begun. */
        add_message(1, 0, 5, 10);
        bytes[2] = 25;
        memcpy(bytes + length, "\0\0\0\0\0\0\0\0\0\x9", 10);
        length += 15;
        assert(pass_on() == FRAMES_GOOD);
        expect(1, 10);
}

static void test_several(void)
{
        begin_frames();
        for (unsigned stream = 1; stream <= 5; stream += 2)
                add_to(stream, HEADERS, END_HEADERS, 10);
        for (unsigned stream = 1; stream <= 5; stream += 2)
                add_message(stream, 0, 95, 50);
        assert(pass_on() == FRAMES_GOOD);
        expect(3, 150);
        add_to(3, DATA, 0, 50);
        add_to(5, RST_STREAM, 0, 4);
        assert(pass_on() == FRAMES_GOOD);
        expect(1, 50);
        add_to(1, HEADERS, END_HEADERS | 1, 0); /* trailers */
        assert(pass_on() == FRAMES_GOOD);
        expect(0, 0);
}

static void test_too_much(void)
{
        begin_frames();
        add(HEADERS, END_HEADERS, 0);
        add_message(1, 0, 2000, 1000);
        assert(pass_on() == FRAMES_GOOD);
        add(DATA, 0, 1);
        assert(pass_on() == FRAMES_UNFINISHED);

        begin_frames();
        for (unsigned stream = 1; stream <= 5; stream += 2)
                add_to(stream, HEADERS, END_HEADERS, 0);
        assert(pass_on() == FRAMES_GOOD);
        add_to(7, HEADERS, END_HEADERS | 1, 0); /* which is whole */
        assert(pass_on() == FRAMES_GOOD);
        add_to(9, HEADERS, END_HEADERS, 0);
        assert(pass_on() == FRAMES_UNFINISHED);

        begin_frames();
        add(HEADERS, END_HEADERS, 0);
        add(DATA, 0, 1); /* 3 is neither "compressed" nor "not" */
        assert(pass_on() == FRAMES_MESSAGE);
}

/* The core resets a stream; what the client still sends of it says nothing of where messages
 * begin. */
static void test_reset(void)
{
        static const char sent[] = "\0\0\4\x8\0\0\0\0\1abcd\0\0\4\3\0\0\0\0\1\0\0\0\x8";

        for (size_t piece = 1; piece < sizeof sent; piece++) {
                struct frames_out out = { 0 };

                begin_frames();
                add(HEADERS, END_HEADERS, 0);
                add_to(3, HEADERS, END_HEADERS, 0);
                add_message(1, 0, 2000, 500);
                assert(pass_on() == FRAMES_GOOD);
                expect(2, 500);
                for (size_t at = 0; at < sizeof sent - 1; at += piece)
                        frames_sent(&out, sent + at,
                                    piece < sizeof sent - 1 - at ? piece : sizeof sent - 1 - at,
                                    &frames.unfinished);
                expect(1, 0);
                add(DATA, 0, 400);
                assert(pass_on() == FRAMES_GOOD);
                expect(1, 0);
        }
}

/* Headers, a message, trailers that end the stream, and GOAWAY with an error, wherever they are
 * cut. */
static void test_sent(void)
{
        static const char sent[] = "\0\0\2\1\4\0\0\0\1ab"
                                   "\0\0\4\0\0\0\0\0\1\1\7\1\1"
                                   "\0\0\1\1\5\0\0\0\1t"
                                   "\0\0\x16\7\0\0\0\0\0\0\0\0\1\0\0\0\x0btoo_many_pings";

        for (size_t piece = 1; piece < sizeof sent; piece++) {
                struct frames_out out = { 0 };

                for (size_t at = 0; at < sizeof sent - 1; at += piece) {
                        size_t n = piece < sizeof sent - 1 - at ? piece : sizeof sent - 1 - at;

                        if (!frames_sent_rest(&out, n))
                                frames_sent(&out, sent + at, n, &frames.unfinished);
                }
                assert(out.replies == 3 && out.ended == 1);
                assert(out.n_goaway == FRAMES_GOAWAY && out.error == 11 && out.reason == 't');
                assert(out.payload == 0 && out.n_head == 0);
        }
}

/* What a client sends besides calls. */
static void test_others(void)
{
        begin_frames();
        assert(frames.streams == 0 && frames.pings == 0);
        add_to(1, HEADERS, END_HEADERS | END_STREAM, 0);
        add_to(3, HEADERS, END_HEADERS, 0);
        add_to(3, HEADERS, END_HEADERS | END_STREAM, 0); /* trailers begin no stream */
        add_to(0, PING, 0, 8);
        add_to(0, PING, ACK, 8);
        add_to(0, PING, 0, 8);
        assert(pass_on() == FRAMES_GOOD);
        assert(frames.streams == 2 && frames.pings == 2 && !frames.leaving);
        add_to(0, GOAWAY, 0, 8);
        assert(pass_on() == FRAMES_GOOD);
        assert(frames.leaving);
}

/* Against a table that is as simple as can be. */
static void test_table(void)
{
        static struct unfinished_request model[512];
        struct unfinished table = { 0 };
        unsigned n = 0;

        srandom(1);
        for (int i = 0; i < 200000; i++) {
                unsigned k = (unsigned)random() % 512;
                struct unfinished_request *r = &model[k], got;
                uint32_t stream = 1 + 2 * (k % 16 * 4096 + k);

                if (r->stream == 0) {
                        *r = (struct unfinished_request){ .stream = stream,
                                                          .bytes = (uint64_t)random() % 1000 };
                        assert(unfinished_put(&table, r));
                        n++;
                } else {
                        assert(unfinished_take(&table, stream, &got));
                        assert(got.stream == stream && got.bytes == r->bytes);
                        r->stream = 0;
                        n--;
                }
                assert(table.n == n);
                assert(!unfinished_take(&table, 2, &got));
        }
        unfinished_clear(&table);
        assert(unfinished_total() == 0);
}

int main(void)
{
        test_greeting();
        test_unfinished();
        test_several();
        test_too_much();
        test_reset();
        test_sent();
        test_others();
        unfinished_clear(&frames.unfinished);
        test_table();
        begin();
        assert(pass(0));
        add(HEADERS, END_HEADERS, 91); /* 100 with its head */
        add_message(1, 0, 295, 300);
        add(RST_STREAM, 0, 4);
        add(HEADERS, END_HEADERS, 91); /* the next block is counted anew */
        add(RST_STREAM, 0, 4);
        assert(pass(2));

        begin();
        add(HEADERS, END_HEADERS, 92);
        assert(!pass(0));

        /* All pieces of a block count, and so do empty ones. */
        begin();
        add(HEADERS, 0, 30);
        add(CONTINUATION, 0, 20);
        add(CONTINUATION, END_HEADERS, 23);
        assert(pass(0));
        begin();
        add(HEADERS, 0, 30);
        add(CONTINUATION, 0, 20);
        add(CONTINUATION, END_HEADERS, 24);
        assert(!pass(0));
        begin();
        add(HEADERS, 0, 0);
        for (int i = 0; i < 20; i++)
                add(CONTINUATION, 0, 0);
        assert(!pass(0));

        /* A block that never ends is refused when its head says too much. */
        begin();
        memcpy(bytes + length, "\xff\xff\xff\x01\0\0\0\0\1", 9);
        length += 9;
        assert(!pass(0));

        /* Calls before the settings are acknowledged are few. */
        begin();
        add(SETTINGS, 0, 0);
        for (int i = 0; i < FRAMES_EARLY_MAX; i++)
                add(HEADERS, END_HEADERS, 0);
        assert(pass(0));
        add(SETTINGS, ACK, 0);
        add(HEADERS, END_HEADERS, 0);
        assert(pass(0));
        length -= 18;
        add(HEADERS, END_HEADERS, 0);
        assert(!pass(0));

        /* What is not HTTP/2 in plain text is not looked at: TLS, and anything else. */
        begin();
        add(HEADERS, 0, 1000);
        add(RST_STREAM, 0, 4);
        bytes[0] = 0x16;
        assert(pass(0));
        bytes[0] = 'P';
        bytes[20] = 'x';
        assert(pass(0));
        return 0;
}
