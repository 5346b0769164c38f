/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/memfd.h"
#include "util/cleanup.h"

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS (SIZE_SEALS | F_SEAL_WRITE)

static int write_all(int fd, const char *bytes, size_t length)
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

int memfd_new(const char *name, const char *bytes, size_t length)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = write_all(fd, bytes, length);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int memfd_share(const char *name, size_t size)
{
        _cleanup_close_ int fd = -EBADF;

        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        if (ftruncate(fd, (off_t)size) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int memfd_map(void **ret, int fd, size_t size)
{
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
                return -errno;
        *ret = p;
        return 0;
}

int memfd_read(int fd, size_t max, char **ret, size_t *ret_length)
{
        _cleanup_free_ char *bytes = NULL;
        struct stat st;
        int seals;

        /* Nothing but memory has seals, so that nothing below can block. */
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS)
                return -EBADF;
        if (fstat(fd, &st) < 0)
                return -errno;
        if ((size_t)st.st_size > max)
                return -EFBIG;
        bytes = malloc((size_t)st.st_size + 1);
        if (!bytes)
                return -ENOMEM;
        if (pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size)
                return -EIO;
        bytes[st.st_size] = '\0';
        *ret_length = (size_t)st.st_size;
        *ret = TAKE_PTR(bytes);
        return 0;
}
