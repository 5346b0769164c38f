/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "manager/holder.h"
#include "manager/unix.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define LOCK_LIMIT (500 * NSEC_PER_MSEC)

struct address {
        struct sockaddr_un un;
        socklen_t length;
};

static bool is_abstract(const char *path)
{
        return path[0] == '@';
}

static int address_init(struct address *a, const char *path)
{
        size_t n = strlen(path);

        *a = (struct address){ .un.sun_family = AF_UNIX };
        if (n >= sizeof a->un.sun_path)
                return -ENAMETOOLONG;
        memcpy(a->un.sun_path, path, n);
        /* The name of an abstract socket has a length and no terminating zero. */
        a->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
        if (is_abstract(path))
                a->un.sun_path[0] = '\0';
        else
                a->length++;
        return 0;
}

static struct unix_file identify(const struct stat *st)
{
        return (struct unix_file){ .device = st->st_dev, .inode = st->st_ino, .made = st->st_mtim };
}

/* Compares the time as well: a file system may reuse the inode number of a removed file. */
static bool is_same(const struct unix_file *a, const struct unix_file *b)
{
        return a->device == b->device && a->inode == b->inode && a->made.tv_sec == b->made.tv_sec &&
               a->made.tv_nsec == b->made.tv_nsec;
}

static int identify_path(const char *path, struct unix_file *ret)
{
        struct stat st;

        *ret = (struct unix_file){};
        if (lstat(path, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        *ret = identify(&st);
        return 0;
}

static int bind_address(int fd, const struct address *a)
{
        if (bind(fd, (const struct sockaddr *)&a->un, a->length) < 0)
                return errno == EADDRINUSE ? UNIX_E_TAKEN : -errno;
        return 0;
}

/* --- a path that already exists --------------------------------------------------------------- */

static bool is_dead(const struct address *a, char **ret_holder)
{
        _cleanup_close_ int fd = -EBADF;
        struct ucred peer;
        socklen_t length = sizeof peer;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return false;
        if (connect(fd, (const struct sockaddr *)&a->un, a->length) < 0)
                return errno == ECONNREFUSED;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
                (void)holder_by_pid(peer.pid, ret_holder);
        return false;
}

static int bind_over_dead(int fd, const struct address *a, const char *path, char **ret_holder)
{
        struct unix_file file;
        int r;

        r = identify_path(path, &file);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r == 0) {
                if (!is_dead(a, ret_holder))
                        return UNIX_E_TAKEN;
                if (unlink(path) < 0 && errno != ENOENT)
                        return -errno;
        }
        return bind_address(fd, a);
}

/* --- the lock of a path ----------------------------------------------------------------------- */

/*
 * A socket that another process has bound but does not listen on yet seems dead; and a path that
 * was dead a moment ago may by now have another process's socket. So a process holds the lock from
 * before it checks the path until it is done with it, which takes almost no time.
 */
struct path_lock {
        char *name;
        int fd; /* -EBADF: not locked */
};

static void path_unlock(struct path_lock *lock)
{
        if (lock->fd >= 0)
                (void)unlink(lock->name);
        lock->fd = close_fd(lock->fd);
        free(lock->name);
}

/* A member of the directory's group may have put anything there. O_NONBLOCK, because opening a FIFO
 * would wait for a writer. */
static int open_lock(const char *name, int *ret)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = open(name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                  S_IRUSR | S_IWUSR);
        if (fd < 0)
                return errno == ELOOP || errno == EISDIR || errno == ENXIO ? UNIX_E_LOCK : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()))
                return UNIX_E_LOCK;
        *ret = TAKE_FD(fd);
        return 0;
}

static int try_to_lock(struct path_lock *lock)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = open_lock(lock->name, &fd);
        if (r != 0)
                return r;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? UNIX_E_TAKEN : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_nlink == 0) /* the last holder has just removed the file */
                return UNIX_E_TAKEN;
        lock->fd = TAKE_FD(fd);
        return 0;
}

static int path_lock(struct path_lock *lock, const char *path)
{
        const struct timespec nap = { .tv_nsec = NSEC_PER_MSEC };
        uint64_t end = clock_now() + LOCK_LIMIT;
        int r;

        if (asprintf(&lock->name, "%s.lock", path) < 0) {
                lock->name = NULL;
                return -ENOMEM;
        }
        while ((r = try_to_lock(lock)) == UNIX_E_TAKEN && clock_now() < end)
                (void)nanosleep(&nap, NULL);
        return r;
}

/* --- the file --------------------------------------------------------------------------------- */

/* In a directory that every user can write, others could put a socket of their own in its place.
 * The sticky bit, as on /tmp, prevents that. */
static int check_directory(const char *path)
{
        _cleanup_free_ char *directory = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
        struct stat st;

        if (!directory)
                return -ENOMEM;
        if (stat(directory, &st) < 0)
                return -errno;
        return (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX) ? UNIX_E_DIRECTORY : 0;
}

static int set_access(int fd, const struct unix_access *access)
{
        char self[32];

        if ((access->owner != (uid_t)-1 || access->group != (gid_t)-1) &&
            fchownat(fd, "", access->owner, access->group, AT_EMPTY_PATH) < 0)
                return errno == EPERM ? UNIX_E_OWNER : -errno;
        /* fchmod() does not work on an O_PATH descriptor. */
        (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        return chmod(self, access->mode) < 0 ? -errno : 0;
}

/* Opens the socket file with O_PATH: what is then done with the descriptor touches this file only,
 * whatever happens to the path. */
static int open_file(const char *path, const struct unix_file *expected, struct unix_file *ret)
{
        _cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        *ret = identify(&st);
        if (!S_ISSOCK(st.st_mode) || (expected && !is_same(ret, expected)))
                return -ENOENT;
        return TAKE_FD(fd);
}

int unix_set_access(const char *path, const struct unix_file *file,
                    const struct unix_access *access)
{
        _cleanup_close_ int fd = -EBADF;
        struct unix_file now;

        fd = open_file(path, file, &now);
        return fd < 0 ? fd : set_access(fd, access);
}

static int remove_file(const char *path, const struct unix_file *file)
{
        struct unix_file now;
        int r;

        r = identify_path(path, &now);
        if (r < 0)
                return r;
        if (!is_same(&now, file))
                return -ENOENT;
        return unlink(path) < 0 ? -errno : 0;
}

int unix_remove(const char *path, const struct unix_file *file)
{
        _cleanup_(path_unlock) struct path_lock lock = { .fd = -EBADF };
        int r;

        if (file->inode == 0)
                return -ENOENT;
        r = path_lock(&lock, path);
        return r != 0 ? r : remove_file(path, file);
}

/* --- listening -------------------------------------------------------------------------------- */

static int prepare_file(const char *path, const struct unix_access *access,
                        struct unix_file *ret_file)
{
        _cleanup_close_ int fd = -EBADF;

        fd = open_file(path, NULL, ret_file);
        return fd < 0 ? fd : set_access(fd, access);
}

static int listen_at_path(int fd, const struct address *a, const char *path,
                          const struct unix_access *access, struct unix_file *ret_file,
                          char **ret_holder)
{
        _cleanup_(path_unlock) struct path_lock lock = { .fd = -EBADF };
        int r;

        /* bind() creates the file with the socket's mode; nobody can connect before listen(). */
        if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
                return -errno;
        r = path_lock(&lock, path);
        if (r == 0)
                r = bind_over_dead(fd, a, path, ret_holder);
        if (r != 0)
                return r;
        r = prepare_file(path, access, ret_file);
        if (r == 0 && listen(fd, SOMAXCONN) < 0)
                r = -errno;
        if (r != 0)
                (void)remove_file(path, ret_file);
        return r;
}

static int listen_abstract(int fd, const struct address *a, char **ret_holder)
{
        int r;

        r = bind_address(fd, a);
        if (r == UNIX_E_TAKEN)
                (void)is_dead(a, ret_holder);
        if (r != 0)
                return r;
        return listen(fd, SOMAXCONN) < 0 ? -errno : 0;
}

int unix_listen(int *ret_fd, struct unix_file *ret_file, const char *path,
                const struct unix_access *access, char **ret_holder)
{
        _cleanup_close_ int fd = -EBADF;
        struct unix_file file = {};
        struct address a;
        int r;

        r = address_init(&a, path);
        if (r == 0 && !is_abstract(path))
                r = check_directory(path);
        if (r != 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        r = is_abstract(path) ? listen_abstract(fd, &a, ret_holder)
                              : listen_at_path(fd, &a, path, access, &file, ret_holder);
        if (r != 0)
                return r;
        *ret_file = file;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
