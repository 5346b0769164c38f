/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening unix sockets and their files. A path "@name" is an abstract socket, which has no file.
 * Silent.
 *
 * A process that creates or removes a socket file locks PATH.lock meanwhile. If another process has
 * the lock, this waits for it, half a second at most, and then fails with UNIX_E_TAKEN. PATH.lock
 * must be a regular file that belongs to root or to brickd's user: a file of another user, who may
 * have write access to the directory, could stay locked for ever.
 */

#include <sys/stat.h>
#include <sys/types.h>

struct unix_access { /* of a socket file: who may connect */
        mode_t mode;
        uid_t owner; /* (uid_t)-1: leave it */
        gid_t group; /* (gid_t)-1: leave it */
};

struct unix_file { /* identifies a socket file that brickd created; inode 0: none */
        dev_t device;
        ino_t inode;
        struct timespec made;
};

enum {
        UNIX_E_DIRECTORY = 1, /* every user can write the directory and put another socket there */
        UNIX_E_OWNER,         /* brickd may not give the file to that owner or group */
        UNIX_E_TAKEN,         /* another process listens there; *ret_holder says which, if known */
        UNIX_E_LOCK,          /* PATH.lock is not a regular file of root or brickd's user */
};

/*
 * Replaces a socket file on which no process listens any more, and nothing else. If several
 * processes want the same path at once, one gets it. The file never has more permissions than asked
 * for. 0, UNIX_E_* or a negative errno; free() *ret_holder.
 */
int unix_listen(int *ret_fd, struct unix_file *ret_file, const char *path,
                const struct unix_access *access, char **ret_holder);

/* Both touch nothing if the path is not this file any more: -ENOENT. */
int unix_set_access(const char *path, const struct unix_file *file,
                    const struct unix_access *access);
int unix_remove(const char *path, const struct unix_file *file);
