/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "shared/channel.h"
#include "shared/memfd.h"
#include "util/cleanup.h"

#define DESCRIPTORS 8

static int ours, theirs;

/* As a worker does that has been taken over. */
static void send_bytes(const void *bytes, size_t length)
{
        assert(send(theirs, bytes, length, 0) == (ssize_t)length);
}

static void send_text(uint32_t kind, const char *text, size_t length)
{
        _cleanup_free_ char *packet = malloc(sizeof kind + length);

        assert(packet);
        memcpy(packet, &kind, sizeof kind);
        memcpy(packet + sizeof kind, text, length);
        send_bytes(packet, sizeof kind + length);
}

static void arrives(uint32_t kind, const char *text)
{
        struct channel_message message;

        assert(channel_receive(ours, &message) == 1);
        assert(message.kind == kind && strcmp(message.text, text) == 0);
        assert(channel_receive(ours, &message) == -EAGAIN);
}

static void test_texts(void)
{
        static const struct {
                const char *sent;
                const char *arrives;
        } texts[] = {
                { "", "" },
                { "plain", "plain" },
                { "caf\xc3\xa9", "caf\xc3\xa9" },
                { "caf\xe9", "caf?" },
                { "cut \xc3", "cut ?" },
                { "\x1b[31mred\x7f\r\t", "?[31mred???" },
                { "\xc2\x9b"
                  "31m",
                  "??31m" },
                { "\xe2\x80\xae"
                  "right",
                  "???right" },
                { "a mistake\n    3 | one\n      | ^", "a mistake\n    3 | one\n      | ^" },
                { "one\ntwo\n", "one two " },
                { "one\n\n two", "one \n two" },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                send_text(CHANNEL_DIAGNOSTIC, texts[i].sent, strlen(texts[i].sent));
                arrives(CHANNEL_DIAGNOSTIC, texts[i].arrives);
        }
        send_text(CHANNEL_FAILED, "a\0b", 3);
        arrives(CHANNEL_FAILED, "a?b");
}

static void test_lengths(void)
{
        static char text[100000], expected[CHANNEL_TEXT_MAX + 1];

        memset(text, 'x', sizeof text);
        memset(expected, 'x', CHANNEL_TEXT_MAX);
        send_text(CHANNEL_FAILED, text, CHANNEL_TEXT_MAX);
        arrives(CHANNEL_FAILED, expected);
        memcpy(expected + CHANNEL_TEXT_MAX - 3, "...", 3);
        send_text(CHANNEL_FAILED, text, CHANNEL_TEXT_MAX + 1);
        arrives(CHANNEL_FAILED, expected);
        send_text(CHANNEL_FAILED, text, sizeof text);
        arrives(CHANNEL_FAILED, expected);

        /* not within a character */
        memcpy(text + CHANNEL_TEXT_MAX - 4, "\xe2\x82\xac", 3);
        memcpy(expected + CHANNEL_TEXT_MAX - 4, "...", 4);
        send_text(CHANNEL_FAILED, text, sizeof text);
        arrives(CHANNEL_FAILED, expected);
}

/* What is shorter than a kind, or of an unknown one, only wakes. */
static void test_other_packets(void)
{
        struct channel_message message;

        for (size_t n = 1; n < sizeof message.kind; n++) {
                send_bytes("\3\3\3", n);
                assert(channel_receive(ours, &message) == 1);
                assert(message.kind != CHANNEL_FAILED && message.text[0] == '\0');
        }
        send_text(99, "text", 4);
        arrives(99, "text");
        channel_wake(theirs);
        arrives(CHANNEL_WAKE, "");
}

static int first_free(void)
{
        int fd = dup(0);

        (void)close(fd);
        return fd;
}

/* Descriptors that come with a packet are closed, also if there is nothing else in it. */
static void test_descriptors(void)
{
        union {
                char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
                struct cmsghdr head;
        } control = { .head = { .cmsg_len = CMSG_LEN(DESCRIPTORS * sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS } };
        uint32_t kind = CHANNEL_DIAGNOSTIC;
        struct iovec iov = { &kind, sizeof kind };
        struct msghdr head = { .msg_iov = &iov,
                               .msg_iovlen = 1,
                               .msg_control = control.bytes,
                               .msg_controllen = sizeof control.bytes };
        struct channel_message message;
        int before = first_free();

        for (size_t i = 0; i < DESCRIPTORS; i++)
                memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &ours, sizeof(int));
        assert(sendmsg(theirs, &head, 0) == sizeof kind);
        arrives(CHANNEL_DIAGNOSTIC, "");
        assert(first_free() == before);
        iov.iov_len = 0;
        assert(sendmsg(theirs, &head, 0) == 0);
        (void)channel_receive(ours, &message);
        assert(first_free() == before);
}

/* A wake-up that finds no room is not missed: there is something to read. */
static void test_full(void)
{
        struct channel_message message;
        int n = 0;

        for (int i = 0; i < 100000; i++)
                channel_wake(theirs);
        while (channel_receive(ours, &message) == 1)
                n++;
        assert(n > 0 && n < 100000);
        channel_wake(theirs);
        arrives(CHANNEL_WAKE, "");
}

/* Nobody but who has made it can change what it holds. */
static void test_published(void)
{
        void *p, *other;
        int fd = memfd_publish(&p, "published", 100);

        assert(fd >= 0);
        memcpy(p, "hello", 5);
        assert(mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
        other = mmap(NULL, 100, PROT_READ, MAP_SHARED, fd, 0);
        assert(other != MAP_FAILED && memcmp(other, "hello", 5) == 0);
        assert(mprotect(other, 100, PROT_READ | PROT_WRITE) < 0);
        assert(pwrite(fd, "x", 1, 0) < 0 && ftruncate(fd, 0) < 0);
        assert(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100) < 0);
        assert(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
        (void)munmap(p, 100);
        (void)munmap(other, 100);
        (void)close(fd);
}

int main(void)
{
        struct channel_message message;
        int pair[2];

        assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        ours = pair[0];
        theirs = pair[1];
        test_texts();
        test_lengths();
        test_other_packets();
        test_descriptors();
        test_full();
        test_published();
        (void)close(theirs);
        assert(channel_receive(ours, &message) == 0);
        (void)close(ours);
        return 0;
}
