/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shared/channel.h"
#include "shared/memfd.h"
#include "util/cleanup.h"

static char *text_of(size_t length)
{
        char *text = malloc(length + 1);

        assert(text);
        for (size_t i = 0; i < length; i++)
                text[i] = (char)('a' + i % 26);
        text[length] = '\0';
        return text;
}

/* A text of the one length is sent, one of the other arrives, and no descriptor is left. */
static void exchange(const int pair[2], size_t sent, size_t arrives)
{
        _cleanup_free_ char *text = text_of(sent);
        struct channel_message message;
        int before = dup(0), after;

        (void)close(before);
        assert(channel_send(pair[0], CHANNEL_STATUS, text, sent) == 0);
        assert(channel_receive(pair[1], &message) == 1);
        assert(message.kind == CHANNEL_STATUS);
        assert(message.length == arrives && strlen(message.text) == arrives);
        assert(memcmp(message.text, text, arrives) == 0);
        channel_message_done(&message);
        assert(channel_receive(pair[1], &message) == -EAGAIN);
        after = dup(0);
        assert(after == before);
        (void)close(after);
}

static void test_lengths(const int pair[2])
{
        static const size_t lengths[] = {
                0, 1, CHANNEL_PACKET_MAX, CHANNEL_PACKET_MAX + 1, 1 << 20, CHANNEL_TEXT_MAX
        };

        for (size_t i = 0; i < ELEMENTSOF(lengths); i++)
                exchange(pair, lengths[i], lengths[i]);
        exchange(pair, CHANNEL_TEXT_MAX + 1, CHANNEL_PACKET_MAX);
}

/* The worker is then not silent, which would be its end. */
static void test_no_descriptor_left(const int pair[2])
{
        _cleanup_free_ char *text = text_of(CHANNEL_PACKET_MAX + 1);
        struct channel_message message;
        struct rlimit saved, none;

        assert(getrlimit(RLIMIT_NOFILE, &saved) == 0);
        none = saved;
        none.rlim_cur = (rlim_t)pair[1] + 1;
        assert(setrlimit(RLIMIT_NOFILE, &none) == 0);
        assert(channel_send(pair[0], CHANNEL_STATUS, text, CHANNEL_PACKET_MAX + 1) == 0);
        assert(setrlimit(RLIMIT_NOFILE, &saved) == 0);
        assert(channel_receive(pair[1], &message) == 1);
        assert(message.length == CHANNEL_PACKET_MAX);
        channel_message_done(&message);
}

/* What a worker must know whole is not said in part. */
static void test_nothing_cut_to_workers(const int pair[2])
{
        _cleanup_free_ char *text = text_of(CHANNEL_TEXT_MAX + 1);
        struct channel_message message;

        assert(channel_send(pair[0], CHANNEL_IDENTITIES, text, CHANNEL_TEXT_MAX + 1) == -EFBIG);
        assert(channel_receive(pair[1], &message) == -EAGAIN);
}

/* The length is that of the memory, whatever the text holds. */
static void test_nul(const int pair[2])
{
        static const char text[] = "{\0 and more, up to here }";
        struct channel_message message;

        assert(channel_send(pair[0], CHANNEL_STATUS, text, sizeof text - 1) == 0);
        assert(channel_receive(pair[1], &message) == 1);
        assert(message.length == sizeof text - 1);
        assert(memcmp(message.text, text, sizeof text) == 0);
        channel_message_done(&message);
}

/* More than one descriptor with a message: none of them stays. */
static void test_many_descriptors(const int pair[2])
{
        union {
                char bytes[CMSG_SPACE(8 * sizeof(int))];
                struct cmsghdr head;
        } control = { .head = { .cmsg_len = CMSG_LEN(8 * sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS } };
        uint32_t kind = CHANNEL_STATUS;
        struct iovec iov = { &kind, sizeof kind };
        struct msghdr head = { .msg_iov = &iov,
                               .msg_iovlen = 1,
                               .msg_control = control.bytes,
                               .msg_controllen = sizeof control.bytes };
        struct channel_message message;
        int before = dup(0), after;

        (void)close(before);
        for (size_t i = 0; i < 8; i++)
                memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &pair[0], sizeof(int));
        assert(sendmsg(pair[0], &head, 0) == sizeof kind);
        assert(channel_receive(pair[1], &message) == -EBADF);
        after = dup(0);
        assert(after == before);
        (void)close(after);
}

/* What is no sealed memory is not read: it could block, or change. */
static void test_other_descriptors(void)
{
        char *text = NULL;
        size_t length;
        int pipes[2], fd;

        assert(pipe2(pipes, O_CLOEXEC) == 0);
        assert(memfd_read(pipes[0], 100, &text, &length) == -EBADF);
        fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert(fd >= 0 && memfd_read(fd, 100, &text, &length) == -EBADF);
        (void)close(fd);
        fd = memfd_new("sealed", "hello", 5);
        assert(fd >= 0);
        assert(memfd_read(fd, 4, &text, &length) == -EFBIG);
        assert(!text && memfd_read(fd, 5, &text, &length) == 0);
        assert(length == 5 && strcmp(text, "hello") == 0);
        free(text);
        (void)close(fd);
        (void)close(pipes[0]);
        (void)close(pipes[1]);
}

int main(void)
{
        struct channel_message message;
        int pair[2];

        assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        test_lengths(pair);
        test_no_descriptor_left(pair);
        test_nothing_cut_to_workers(pair);
        test_nul(pair);
        test_many_descriptors(pair);
        test_other_descriptors();
        (void)close(pair[0]);
        assert(channel_receive(pair[1], &message) == 0);
        (void)close(pair[1]);
        return 0;
}
