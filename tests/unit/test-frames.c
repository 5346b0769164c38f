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
        CONTINUATION = 9,
        ACK = 1,
        END_HEADERS = 4,
};

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define MAX_BLOCK 100

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

static void add(unsigned type, unsigned flags, size_t payload)
{
        const char head[] = { (char)(payload >> 16),
                              (char)(payload >> 8),
                              (char)payload,
                              (char)type,
                              (char)flags,
                              0,
                              0,
                              0,
                              1 };

        memcpy(bytes + length, head, sizeof head);
        memset(bytes + length + sizeof head, 3, payload); /* looks like a RST_STREAM */
        length += sizeof head + payload;
        data += type == DATA ? payload : 0;
        assert(length <= sizeof bytes);
}

/* The verdict, the resets and the data must not depend on where reads cut the bytes. */
static bool pass(unsigned expected_resets)
{
        bool first = true, passes = true;

        for (size_t piece = 1; piece <= length; piece++) {
                struct frames frames = { 0 };
                unsigned resets = 0;
                bool ok = true;

                for (size_t at = 0; at < length && ok; at += piece) {
                        size_t n = length - at < piece ? length - at : piece;
                        char *copy = malloc(n); /* exactly: reading on is noticed */

                        assert(copy);
                        memcpy(copy, bytes + at, n);
                        ok = frames_pass(&frames, copy, n, MAX_BLOCK, &resets) == FRAMES_GOOD;
                        free(copy);
                }
                assert(first || ok == passes);
                assert(!ok || (resets == expected_resets && frames.data == data));
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
        assert(frames_pass(&frames, bytes, length, MAX_BLOCK, &resets) == FRAMES_GOOD);
        assert(!frames.greeted);
        length = 0;
        add(SETTINGS, ACK, 0);
        add(SETTINGS, 0, 0);
        assert(frames_pass(&frames, bytes, length, MAX_BLOCK, &resets) == FRAMES_GOOD);
        assert(frames.greeted);
}

int main(void)
{
        test_greeting();
        begin();
        assert(pass(0));
        add(HEADERS, END_HEADERS, 91); /* 100 with its head */
        add(DATA, 0, 300);
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
