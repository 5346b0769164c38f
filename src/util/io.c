/* SPDX-License-Identifier: MIT */
#include "util/io.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

ssize_t io_read(int fd, char *bytes, size_t size)
{
        size_t length = 0;

        while (length < size) {
                ssize_t n = read(fd, bytes + length, size - length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t)n;
        }
        return (ssize_t)length;
}

int io_write(int fd, const char *bytes, size_t length)
{
        while (length > 0) {
                ssize_t n = write(fd, bytes, length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                bytes += n;
                length -= (size_t)n;
        }
        return 0;
}

bool io_has_unread(int fd)
{
        int n = 0;

        return ioctl(fd, FIONREAD, &n) == 0 && n > 0;
}
