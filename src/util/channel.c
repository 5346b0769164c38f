/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "util/channel.h"

int channel_send(int fd, enum channel_kind kind, const char *text, size_t length)
{
        uint32_t head = (uint32_t)kind;
        struct iovec iov[] = {
                { .iov_base = &head, .iov_len = sizeof head },
                { .iov_base = (void *)text,
                  .iov_len = length < CHANNEL_TEXT_MAX ? length : CHANNEL_TEXT_MAX },
        };
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = length > 0 ? 2 : 1 };
        ssize_t n;

        do
                n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);

        return n < 0 ? -errno : 0;
}

void channel_say(enum channel_kind kind, const char *text)
{
        (void)channel_send(CHANNEL_FD_CONTROL, kind, text, strlen(text));
}

int channel_receive(int fd, struct channel_message *ret)
{
        struct iovec iov[] = {
                { .iov_base = &ret->kind, .iov_len = sizeof ret->kind },
                { .iov_base = ret->text, .iov_len = CHANNEL_TEXT_MAX },
        };
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
        ssize_t n;

        do
                n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);

        if (n == 0)
                return 0;
        if (n < 0)
                return errno == ECONNRESET ? 0 : -errno;
        if ((size_t)n < sizeof ret->kind)
                return -EBADMSG;
        ret->length = (size_t)n - sizeof ret->kind;
        ret->text[ret->length] = '\0';
        return 1;
}
