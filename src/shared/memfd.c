/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/memfd.h"
#include "util/cleanup.h"
#include "util/io.h"

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static int seal(int fd, int seals)
{
        return fcntl(fd, F_ADD_SEALS, seals | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int memfd_new(const char *name, const char *bytes, size_t length)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = io_write(fd, bytes, length);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        r = seal(fd, SIZE_SEALS | F_SEAL_WRITE);
        return r < 0 ? r : TAKE_FD(fd);
}

/* Zeros in a descriptor that has no seals yet. */
static int zeros(const char *name, size_t size)
{
        _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return -errno;
        if (ftruncate(fd, (off_t)size) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int memfd_share(const char *name, size_t size)
{
        _cleanup_close_ int fd = zeros(name, size);
        int r;

        if (fd < 0)
                return fd;
        r = seal(fd, SIZE_SEALS);
        return r < 0 ? r : TAKE_FD(fd);
}

int memfd_map(void **ret, int fd, size_t size)
{
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
                return -errno;
        *ret = p;
        return 0;
}

int memfd_publish(void **ret, const char *name, size_t size)
{
        _cleanup_close_ int fd = zeros(name, size);
        void *p = NULL;
        int r;

        if (fd < 0)
                return fd;
        r = memfd_map(&p, fd, size);
        if (r < 0)
                return r;
        r = seal(fd, SIZE_SEALS | F_SEAL_FUTURE_WRITE);
        if (r < 0) {
                (void)munmap(p, size);
                return r;
        }
        *ret = p;
        return TAKE_FD(fd);
}
