/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "shared/channel.h"
#include "util/cleanup.h"
#include "util/utf8.h"

static void send_packet(int fd, uint32_t kind, const char *text)
{
        struct iovec iov[] = {
                { .iov_base = &kind, .iov_len = sizeof kind },
                { .iov_base = (void *)text, .iov_len = strlen(text) },
        };
        const struct msghdr message = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };

        while (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR)
                ;
}

void channel_wake(int fd)
{
        send_packet(fd, CHANNEL_WAKE, "");
}

void channel_say(enum channel_kind kind, const char *text)
{
        send_packet(CHANNEL_FD_CONTROL, kind, text);
}

/* A mistake quotes the file on indented lines. Other lines are joined: in the log they could pass
 * for lines of brickd's own. */
static void join_lines(char *text)
{
        for (; (text = strchr(text, '\n')); text++)
                if (text[1] != ' ')
                        *text = ' ';
}

static void clean(char *text, size_t length, bool cut)
{
        static const char dots[] = "...";

        if (cut) {
                length = utf8_prefix(text, length, length - strlen(dots));
                memcpy(text + length, dots, strlen(dots));
                length += strlen(dots);
        }
        utf8_clean(text, length);
        text[length] = '\0';
        join_lines(text);
}

int channel_receive(int fd, struct channel_message *ret)
{
        struct iovec iov[] = {
                { .iov_base = &ret->kind, .iov_len = sizeof ret->kind },
                { .iov_base = ret->text, .iov_len = CHANNEL_TEXT_MAX },
        };
        /* No control buffer: the kernel closes descriptors that are sent along. */
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };
        size_t length = 0;
        ssize_t n;

        do
                n = recvmsg(fd, &message, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);

        if (n <= 0)
                return n == 0 || errno == ECONNRESET ? 0 : -errno;
        if ((size_t)n < sizeof ret->kind)
                ret->kind = 0;
        else
                length = (size_t)n - sizeof ret->kind;
        clean(ret->text, length, message.msg_flags & MSG_TRUNC);
        return 1;
}
