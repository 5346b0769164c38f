/* SPDX-License-Identifier: MIT */
#include "conf/source.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "util/cleanup.h"

#define DEPTH_MAX 16

/* FNV-1a, which mixes well enough: nobody gains from two sources with the same number. */
#define HASH_FIRST UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static uint64_t hash_add(uint64_t hash, const void *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                hash = (hash ^ ((const unsigned char *)bytes)[i]) * HASH_PRIME;
        return hash;
}

static uint64_t hash_file(const char *name, const struct stat *st)
{
        const int64_t facts[] = { (int64_t)st->st_ino, st->st_size, st->st_mtim.tv_sec,
                                  st->st_mtim.tv_nsec };

        return hash_add(hash_add(HASH_FIRST, name, strlen(name)), facts, sizeof facts);
}

uint64_t source_of_file(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
                return 0;
        return hash_file(path, &st);
}

static bool ends_with(const char *name, const char *suffix)
{
        size_t n = strlen(name), k = strlen(suffix);

        return n > k && strcmp(name + n - k, suffix) == 0;
}

struct walk {
        const char *suffix;
        unsigned left; /* entries that may still be looked at */
};

static uint64_t hash_folder(struct walk *walk, int fd, unsigned depth);

/* Links to files count as the files, links to folders do not: they may lead in a circle. */
static uint64_t hash_entry(struct walk *walk, int folder, const char *name, unsigned depth)
{
        struct stat st;
        int fd;

        if (name[0] == '.' || walk->left == 0)
                return 0;
        walk->left--;
        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (S_ISDIR(st.st_mode)) {
                fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                return fd < 0 ? 0 : hash_folder(walk, fd, depth + 1) * HASH_PRIME;
        }
        if (!ends_with(name, walk->suffix) || fstatat(folder, name, &st, 0) < 0 ||
            !S_ISREG(st.st_mode))
                return 0;
        return hash_file(name, &st);
}

/* The sum over all entries, since a folder lists them in any order. Closes fd. */
static uint64_t hash_folder(struct walk *walk, int fd, unsigned depth)
{
        _cleanup_closedir_ DIR *d = depth <= DEPTH_MAX ? fdopendir(fd) : NULL;
        const struct dirent *entry;
        uint64_t sum = 0;

        if (!d) {
                (void)close_fd(fd);
                return 0;
        }
        while ((entry = readdir(d)))
                sum += hash_entry(walk, fd, entry->d_name, depth);
        return sum;
}

uint64_t source_of_folder(const char *path, const char *suffix)
{
        struct walk walk = { suffix, SOURCE_FILES_MAX };
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? 0 : hash_folder(&walk, fd, 0);
}
