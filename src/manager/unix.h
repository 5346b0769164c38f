/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening unix sockets and their files. A path of "@name" is an abstract socket, which has no
 * file. Silent.
 *
 * Who makes or removes a file holds PATH.lock meanwhile. Another who has it is waited for, half a
 * second at the most; after that the path is UNIX_E_TAKEN. PATH.lock must be a regular file of
 * root's or our own: another user who may write the directory could hold any other for ever.
 */

#include <sys/stat.h>
#include <sys/types.h>

struct unix_access { /* who may connect */
        mode_t mode;
        uid_t owner; /* (uid_t)-1: as it is */
        gid_t group; /* (gid_t)-1: as it is */
};

struct unix_file { /* the one that we made, to tell it from another's; no inode: none */
        dev_t device;
        ino_t inode;
        struct timespec made;
};

enum {
        UNIX_E_DIRECTORY = 1, /* its directory is open to everybody, who could put another there */
        UNIX_E_OWNER,         /* we may not give the file to that owner or group */
        UNIX_E_TAKEN,         /* somebody listens there; *ret_holder says who, if it can be known */
        UNIX_E_LOCK,          /* PATH.lock is no file of ours */
};

/*
 * A file that a program without life has left is replaced, and nothing else; of many who want the
 * same path at once, one gets it. The file is never wider than asked for to anybody who connects.
 */
int unix_listen(int *ret_fd, struct unix_file *ret_file, const char *path,
                const struct unix_access *access, char **ret_holder);

/* Both leave a file alone that is not ours any more: -ENOENT. */
int unix_set_access(const char *path, const struct unix_file *file,
                    const struct unix_access *access);
int unix_remove(const char *path, const struct unix_file *file);
