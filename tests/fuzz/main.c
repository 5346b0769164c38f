/* SPDX-License-Identifier: MIT */

/* Runs a fuzzer on every file of the folders given, without libFuzzer: the corpus as a test. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *folder, const char *name)
{
        _cleanup_free_ char *path = NULL, *bytes = NULL;
        _cleanup_fclose_ FILE *f = NULL;
        size_t length;

        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return -ENOMEM;
        f = fopen(path, "re");
        if (!f)
                return -errno;
        /* Exactly as large as the input, so that reading on is noticed. */
        if (fseek(f, 0, SEEK_END) != 0)
                return -errno;
        length = (size_t)ftell(f);
        rewind(f);
        bytes = malloc(length);
        if ((!bytes && length > 0) || fread(bytes, 1, length, f) != length)
                return -EIO;
        printf("%s\n", path);
        (void)fflush(stdout);
        return LLVMFuzzerTestOneInput((const uint8_t *)bytes, length);
}

static int run_folder(const char *folder)
{
        struct dirent *entry;
        int n = 0, r;
        DIR *dir;

        dir = opendir(folder);
        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                r = run_file(folder, entry->d_name);
                if (r < 0) {
                        closedir(dir);
                        return r;
                }
                n++;
        }
        closedir(dir);
        return n > 0 ? 0 : -ENOENT;
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                int r = run_folder(argv[i]);

                if (r < 0) {
                        errno = -r;
                        perror(argv[i]);
                        return 1;
                }
        }
        return argc > 1 ? 0 : 1;
}
