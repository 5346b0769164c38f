/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <errno.h>
#include <unistd.h>

#define BUFFER_SIZE (128 << 10)

int stream_open(int fd, gzFile *ret)
{
        gzFile stream;

        stream = gzdopen(fd, "rb");
        if (!stream) {
                close(fd);
                return -ENOMEM;
        }
        gzbuffer(stream, BUFFER_SIZE);
        *ret = stream;
        return 0;
}

int stream_read(gzFile stream, char *buffer, size_t n)
{
        int r, error;

        r = gzread(stream, buffer, (unsigned)n);
        if (r > 0)
                return r;
        /* gzread() does not report data that ends too early. */
        (void)gzerror(stream, &error);
        return r == 0 && error == Z_OK ? 0 : -EIO;
}
