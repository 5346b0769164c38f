/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "shared/channel.h"
#include "shared/memfd.h"
#include "util/cleanup.h"

union fd_control { /* room for one descriptor */
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
};

static void attach(struct msghdr *message, union fd_control *control, int fd)
{
        struct cmsghdr *head;

        message->msg_control = control->bytes;
        message->msg_controllen = sizeof control->bytes;
        head = CMSG_FIRSTHDR(message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
}

int channel_send(int fd, enum channel_kind kind, const char *text, size_t length)
{
        _cleanup_close_ int memory = -EBADF;
        union fd_control control = {};
        uint32_t head = (uint32_t)kind;
        struct iovec iov[] = {
                { .iov_base = &head, .iov_len = sizeof head },
                { .iov_base = (void *)text, .iov_len = length },
        };
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = length > 0 ? 2 : 1 };
        ssize_t n;

        if (length > CHANNEL_PACKET_MAX) {
                memory = length <= CHANNEL_TEXT_MAX ? memfd_new("brickd-text", text, length)
                                                    : -EFBIG;
                if (memory < 0 && kind >= CHANNEL_QUERY)
                        return memory;
                iov[1].iov_len = CHANNEL_PACKET_MAX; /* a part of it is better than silence */
        }
        if (memory >= 0) {
                attach(&message, &control, memory);
                message.msg_iovlen = 1;
        }
        do
                n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);

        return n < 0 ? -errno : 0;
}

void channel_say(enum channel_kind kind, const char *text)
{
        (void)channel_send(CHANNEL_FD_CONTROL, kind, text, strlen(text));
}

static int attached(struct msghdr *message)
{
        struct cmsghdr *head = CMSG_FIRSTHDR(message);
        int fd = -EBADF;

        if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
                memcpy(&fd, CMSG_DATA(head), sizeof fd);
        return fd;
}

static int take_text(const char *packet, size_t length, int memory, struct channel_message *ret)
{
        if (memory >= 0)
                return memfd_read(memory, CHANNEL_TEXT_MAX, &ret->text, &ret->length);
        ret->text = malloc(length + 1); /* of strndup() a NUL would make less than the length */
        if (!ret->text)
                return -ENOMEM;
        memcpy(ret->text, packet, length);
        ret->text[length] = '\0';
        ret->length = length;
        return 0;
}

int channel_receive(int fd, struct channel_message *ret)
{
        _cleanup_close_ int memory = -EBADF;
        struct channel_message m = {};
        union fd_control control;
        char packet[CHANNEL_PACKET_MAX];
        struct iovec iov[] = {
                { .iov_base = &m.kind, .iov_len = sizeof m.kind },
                { .iov_base = packet, .iov_len = sizeof packet },
        };
        struct msghdr message = {
                .msg_iov = iov,
                .msg_iovlen = 2,
                .msg_control = control.bytes,
                /* Less than the room: the padding is enough for a second one, which would stay. */
                .msg_controllen = CMSG_LEN(sizeof(int)),
        };
        ssize_t n;
        int r;

        do
                n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);

        if (n == 0)
                return 0;
        if (n < 0)
                return errno == ECONNRESET ? 0 : -errno;
        memory = attached(&message);
        if ((size_t)n < sizeof m.kind)
                return -EBADMSG;
        r = take_text(packet, (size_t)n - sizeof m.kind, memory, &m);
        if (r < 0)
                return r;
        *ret = m;
        return 1;
}

void channel_message_done(struct channel_message *message)
{
        free(message->text);
        *message = (struct channel_message){};
}
