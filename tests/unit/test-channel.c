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

#include "util/channel.h"
#include "util/cleanup.h"
#include "util/memfd.h"

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
        test_other_descriptors();
        (void)close(pair[0]);
        assert(channel_receive(pair[1], &message) == 0);
        (void)close(pair[1]);
        return 0;
}
