/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char *file_read(const char *path, size_t max, size_t *ret_length)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        char *bytes = NULL;
        struct stat st;
        size_t n = 0;
        ssize_t r;

        if (fd < 0)
                return NULL;
        if (fstat(fd, &st) < 0)
                goto out;
        errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
        if (!S_ISREG(st.st_mode) || (size_t)st.st_size > max)
                goto out;
        bytes = malloc((size_t)st.st_size + 1);
        while (bytes && n < (size_t)st.st_size) {
                r = read(fd, bytes + n, (size_t)st.st_size - n);
                if (r < 0) {
                        free(bytes);
                        bytes = NULL;
                } else if (r == 0) {
                        break;
                } else {
                        n += (size_t)r;
                }
        }
        if (bytes)
                bytes[n] = '\0';
        *ret_length = n;
out:
        close(fd);
        return bytes;
}
