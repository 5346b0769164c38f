/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The time between two tries. */
#define RETRY_MS 50

/* SQLite locks bytes of the first two gigabytes. */
#define LOCK_BYTE (INT64_C(1) << 40)

/* The lock belongs to the descriptor, not to the process, so SQLite's own locks do not touch it. */
static int try_lock(int fd)
{
        struct flock lock = {
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = 1
        };

        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
                return 0;
        return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

/* True: the path still has the file, which somebody may have removed during the wait. */
static bool is_at(int fd, const char *path)
{
        struct stat open_st, st;

        return fstat(fd, &open_st) == 0 && stat(path, &st) == 0 && open_st.st_dev == st.st_dev &&
               open_st.st_ino == st.st_ino;
}

int lock_take(const char *path, void (*waiting)(const char *path))
{
        const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
        int fd, r;

        fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        for (int waited_ms = 0; (r = try_lock(fd)) == -EBUSY; waited_ms += RETRY_MS) {
                if (waited_ms == 0 && waiting)
                        waiting(path);
                if (waited_ms >= LOCK_WAIT_S * 1000)
                        break;
                (void)nanosleep(&pause, NULL);
        }
        if (r == 0 && !is_at(fd, path))
                r = -ESTALE;
        if (r == 0)
                return fd;
        close(fd);
        return r;
}
