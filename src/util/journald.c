/* SPDX-License-Identifier: MIT */
#include "util/journald.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "util/cleanup.h"
#include "util/clock.h"

static bool may_nap(uint64_t deadline)
{
        struct timespec nap = { .tv_nsec = NSEC_PER_MSEC };

        return clock_now() < deadline && nanosleep(&nap, NULL) == 0;
}

/* Journald ignores an empty datagram. It reads datagrams in their order, and has processed one
 * before it reads the next. */
static bool send_marker(int fd, uint64_t deadline)
{
        static const struct sockaddr_un journald = { AF_UNIX, "/run/systemd/journal/socket" };

        while (sendto(fd, "", 0, MSG_NOSIGNAL, &journald, sizeof journald) < 0)
                if (errno != EAGAIN || !may_nap(deadline))
                        return false;
        return true;
}

void journald_wait(uint64_t deadline)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int unread;

        if (fd < 0 || !send_marker(fd, deadline))
                return;
        while (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0 && may_nap(deadline))
                ;
}
