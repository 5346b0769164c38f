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

/* The sum over all files, since a folder lists them in any order. */
static uint64_t walk(int folder, const char *suffix, unsigned depth, unsigned *left)
{
        _cleanup_closedir_ DIR *d = fdopendir(folder);
        const struct dirent *entry;
        uint64_t sum = 0;

        if (!d) {
                (void)close_fd(folder);
                return 0;
        }
        while (*left > 0 && (entry = readdir(d))) {
                struct stat st;
                int fd;

                if (entry->d_name[0] == '.')
                        continue;
                (*left)--;
                if (fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISLNK(st.st_mode) && ends_with(entry->d_name, suffix) &&
                    fstatat(folder, entry->d_name, &st, 0) < 0)
                        continue;
                if (S_ISREG(st.st_mode) && ends_with(entry->d_name, suffix))
                        sum += hash_file(entry->d_name, &st);
                if (!S_ISDIR(st.st_mode) || depth == 0)
                        continue;
                fd = openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (fd >= 0)
                        sum += walk(fd, suffix, depth - 1, left) * HASH_PRIME;
        }
        return sum;
}

uint64_t source_of_folder(const char *path, const char *suffix)
{
        unsigned left = SOURCE_FILES_MAX;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? 0 : walk(fd, suffix, DEPTH_MAX, &left);
}
