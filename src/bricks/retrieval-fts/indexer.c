/* SPDX-License-Identifier: MIT */
#include "indexer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extract.h"
#include "index.h"
#include "jsonl.h"
#include "metadata.h"
#include "stream.h"
#include "util/utf8.h"

#define PROGRESS_INTERVAL_MS 100

/* The first allocation for a file. */
#define READ_SIZE (64 << 10)

static void gzclosep(gzFile *stream)
{
        if (*stream)
                gzclose_r(*stream);
}

static void fts_closep(FTS **walk)
{
        if (*walk)
                fts_close(*walk);
}

void indexer_clear(struct indexer *indexer)
{
        if (indexer->progress)
                fputs("\r\033[K", stderr);
}

__attribute__((format(printf, 2, 0))) static void print(struct indexer *indexer, const char *format,
                                                        va_list args)
{
        indexer_clear(indexer);
        fputs("brickctl index: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
}

void indexer_error(struct indexer *indexer, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        print(indexer, format, args);
        va_end(args);
        indexer->n_errors++;
}

void indexer_note(struct indexer *indexer, const char *format, ...)
{
        va_list args;

        if (indexer->quiet)
                return;
        va_start(args, format);
        print(indexer, format, args);
        va_end(args);
}

/* Names a file that is skipped. */
static void skip(struct indexer *indexer, const char *path, const char *reason)
{
        indexer->n_skipped++;
        indexer_note(indexer, "%s: skipped: %s", path, reason);
}

static void show_progress(struct indexer *indexer, const char *path)
{
        struct timespec now;
        int64_t ms;

        if (!indexer->progress)
                return;
        clock_gettime(CLOCK_MONOTONIC, &now);
        ms = (now.tv_sec - indexer->shown.tv_sec) * 1000 +
             (now.tv_nsec - indexer->shown.tv_nsec) / 1000000;
        if (ms < PROGRESS_INTERVAL_MS)
                return;
        indexer->shown = now;
        indexer_clear(indexer);
        fprintf(stderr, "%lld files read, %lld unchanged: %.40s", (long long)indexer->n_read,
                (long long)indexer->n_unchanged, path);
        fflush(stderr);
}

/* Copies the name without .gz to ret, which must be as long as the name. */
static void plain_name(const char *path, char *ret)
{
        size_t n = strlen(path);

        if (n > 3 && strcmp(path + n - 3, ".gz") == 0)
                n -= 3;
        memcpy(ret, path, n);
        ret[n] = '\0';
}

/* The language in .../man/de/man1/ls.1.gz; "" if the path has none. */
static void path_language(const char *path, char ret[static 16])
{
        const char *s = strstr(path, "/man/"), *end;

        ret[0] = '\0';
        if (!s)
                return;
        s += strlen("/man/");
        end = strchr(s, '/');
        if (!end || end - s < 2 || end - s > 15 || strncmp(end, "/man", 4) != 0 ||
            !isdigit((unsigned char)end[4]))
                return;
        memcpy(ret, s, end - s);
        ret[end - s] = '\0';
}

/* *ret_n is larger than *ret_max, the most that a file of this format may have, if it has more.
 * -EIO: the data is damaged. */
static int read_all(struct indexer *indexer, gzFile stream, char **ret, size_t *ret_n,
                    size_t *ret_max)
{
        size_t allocated = 0, used = 0, max = indexer->max_size;
        _cleanup_free_ char *buffer = NULL;
        char *larger;
        int n;

        do {
                if (used == allocated) {
                        allocated = allocated ? allocated * 2 : READ_SIZE;
                        if (allocated > max + 1)
                                allocated = max + 1;
                        larger = realloc(buffer, allocated);
                        if (!larger)
                                return -ENOMEM;
                        buffer = larger;
                }
                n = stream_read(stream, buffer + used, allocated - used);
                if (n < 0)
                        return n;
                used += n;
                if (max < EXTRACT_PACKED_MAX && extract_is_packed(buffer, used))
                        max = EXTRACT_PACKED_MAX;
        } while (n > 0 && used <= max);
        *ret = TAKE_PTR(buffer);
        *ret_max = max;
        *ret_n = used;
        return 0;
}

/* Returns the same as add_plain(). */
static int add_text(struct indexer *indexer, const struct index_file *file, const char *title,
                    const char *name, const char *data, size_t n)
{
        _cleanup_(extract_done) struct extract e = {};
        _cleanup_free_ char *metadata = NULL;
        int r;

        r = extract(name, data, n, indexer->max_size, &e);
        if (r < 0)
                return r;
        if (r > 0) {
                skip(indexer, file->path, e.note);
                return r != EXTRACT_E_AGAIN;
        }
        if (e.note[0])
                indexer_note(indexer, "%s: %s", file->path, e.note);
        if (!e.language[0])
                path_language(file->path, e.language);
        metadata = metadata_print(file, e.language, NULL);
        if (!metadata)
                return -ENOMEM;
        r = index_add(indexer->index, &(struct index_document){
                                              .key = file->path,
                                              .title = e.title[0] ? e.title : title,
                                              .metadata = metadata,
                                              .text = e.text,
                                              .n = e.n,
                                      });
        if (r == INDEX_E_TOO_LONG)
                skip(indexer, file->path, "it has too many passages");
        else if (r == 0)
                indexer->n_read++;
        return r < 0 ? r : 1;
}

/* True: the file need not be read again until it changes. */
static int add_plain(struct indexer *indexer, const struct index_file *file, const char *title,
                     const char *name, gzFile stream)
{
        _cleanup_free_ char *data = NULL;
        size_t n, max;
        int r;

        r = read_all(indexer, stream, &data, &n, &max);
        if (r == -EIO) {
                indexer_error(indexer, "%s: cannot be read: damaged compressed data", file->path);
                return 0;
        }
        if (r < 0)
                return r;
        if (n > max) {
                skip(indexer, file->path,
                     max == indexer->max_size ? "larger than --max-size" : "larger than 64 MiB");
                return 0;
        }
        return add_text(indexer, file, title, name, data, n);
}

static int add_lines(struct indexer *indexer, const struct index_file *file, gzFile stream)
{
        int64_t errors = indexer->n_errors;
        int r;

        r = jsonl_add(indexer, file, stream);
        if (r < 0)
                return r;
        indexer->n_read++;
        return indexer->n_errors == errors;
}

static int add_stream(struct indexer *indexer, const struct index_file *file, const char *title,
                      gzFile stream)
{
        char plain[PATH_MAX], *name;
        size_t n;

        plain_name(file->path, plain);
        name = strrchr(plain, '/') + 1;
        n = strlen(name);
        if (n > 6 && strcasecmp(name + n - 6, ".jsonl") == 0)
                return add_lines(indexer, file, stream);
        return add_plain(indexer, file, title, name, stream);
}

/* A file may say that it is from a year which nanoseconds cannot. */
static int64_t to_nanoseconds(const struct timespec *t)
{
        int64_t ns;

        if (__builtin_mul_overflow((int64_t)t->tv_sec, INT64_C(1000000000), &ns) ||
            __builtin_add_overflow(ns, (int64_t)t->tv_nsec, &ns))
                return t->tv_sec < 0 ? INT64_MIN : INT64_MAX;
        return ns;
}

/* Of a file that is left out, the index has nothing. */
static int remove_file(struct indexer *indexer, const char *path)
{
        int64_t removed = 0;
        int r;

        r = index_remove(indexer->index, path, &removed);
        indexer->n_removed += removed;
        return r;
}

/* path is absolute; title is for files that have none of their own. */
static int add_file(struct indexer *indexer, const char *path, const char *title)
{
        _cleanup_(gzclosep) gzFile stream = NULL;
        _cleanup_free_ char *groups = NULL;
        struct index_file file = { .path = path };
        struct stat st;
        int fd, r;

        if (acl_is_sidecar(path))
                return 0;
        if (strlen(path) >= PATH_MAX || !utf8_valid(path, strlen(path))) {
                indexer_error(indexer, "%s: the name is too long or not UTF-8", path);
                return 0;
        }
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0) {
                indexer_error(indexer, "%s: %s", path, strerror(errno));
                return 0;
        }
        r = stream_open(fd, &stream);
        if (r < 0 || !S_ISREG(st.st_mode))
                return r;
        show_progress(indexer, path);
        r = acl_of_file(indexer, path, &groups);
        if (r == -EACCES)
                return remove_file(indexer, path);
        if (r < 0)
                return r;
        file.groups = groups;
        file.mtime = to_nanoseconds(&st.st_mtim);
        file.size = st.st_size;
        r = index_begin(indexer->index, &file);
        if (r == INDEX_E_UNCHANGED)
                indexer->n_unchanged++;
        if (r != 0)
                return r < 0 ? r : 0;
        r = add_stream(indexer, &file, title, stream);
        return r > 0 ? index_end(indexer->index) : r;
}

static int compare(const FTSENT **a, const FTSENT **b)
{
        return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* True: what a version control system keeps beside the files; .git is a file in a work tree. */
static bool is_repository(const FTSENT *entry)
{
        static const char *const names[] = {
                ".git", ".hg", ".svn", ".bzr", "CVS", "_darcs", ".jj"
        };

        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                if (strcmp(entry->fts_name, names[i]) == 0)
                        return true;
        return false;
}

/* True: the entry could be read. */
static int add_entry(struct indexer *indexer, const FTSENT *entry, size_t root_length)
{
        char title[PATH_MAX];
        const char *relative = entry->fts_path + root_length;
        int r;

        switch (entry->fts_info) {
        case FTS_F:
                if (entry->fts_level > 0 && is_repository(entry))
                        return 1;
                plain_name(relative + strspn(relative, "/"), title);
                r = add_file(indexer, entry->fts_path, title);
                return r < 0 ? r : 1;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
                indexer_error(indexer, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
                return 0;
        default: /* directories, symbolic links and special files */
                return 1;
        }
}

static int add_directory(struct indexer *indexer, char *path)
{
        char *roots[] = { path, NULL };
        _cleanup_(fts_closep) FTS *walk = NULL;
        bool complete = true;
        int64_t removed = 0;
        FTSENT *entry;
        int r;

        walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, compare);
        if (!walk)
                return -errno;
        while ((errno = 0, entry = fts_read(walk))) {
                if (entry->fts_info == FTS_D && entry->fts_level > 0 && is_repository(entry)) {
                        skip(indexer, entry->fts_path, "the data of a version control system");
                        (void)fts_set(walk, entry, FTS_SKIP);
                        continue;
                }
                r = add_entry(indexer, entry, strlen(path));
                if (r < 0)
                        return r;
                complete = complete && r > 0;
        }
        if (errno != 0) {
                indexer_error(indexer, "%s: %s", path, strerror(errno));
                complete = false;
        }
        /* The files of a directory that could not be read have not been removed. */
        if (!indexer->prune || !complete)
                return 0;
        r = index_prune(indexer->index, path, &removed);
        indexer->n_removed += removed;
        return r;
}

int indexer_add(struct indexer *indexer, const char *path)
{
        _cleanup_free_ char *absolute = NULL;
        struct stat st;

        absolute = realpath(path, NULL);
        if (!absolute || stat(absolute, &st) < 0) {
                indexer_error(indexer, "%s: %s", path, strerror(errno));
                return 0;
        }
        if (S_ISDIR(st.st_mode))
                return add_directory(indexer, absolute);
        if (S_ISREG(st.st_mode)) {
                char title[PATH_MAX];

                plain_name(strrchr(absolute, '/') + 1, title);
                return add_file(indexer, absolute, title);
        }
        indexer_error(indexer, "%s: neither a file nor a directory", path);
        return 0;
}

/* Makes a path absolute and removes trailing slashes; resolves links if the file exists. */
static char *path_normalize(const char *path)
{
        char *s = realpath(path, NULL), *directory;
        size_t n;

        if (s)
                return s;
        if (path[0] == '/')
                s = strdup(path);
        else {
                directory = getcwd(NULL, 0);
                if (!directory || asprintf(&s, "%s/%s", directory, path) < 0)
                        s = NULL;
                free(directory);
        }
        for (n = s ? strlen(s) : 0; n > 1 && s[n - 1] == '/'; n--)
                s[n - 1] = '\0';
        return s;
}

int indexer_remove(struct indexer *indexer, const char *path)
{
        _cleanup_free_ char *absolute = NULL;
        int64_t removed = 0;
        int r;

        absolute = path_normalize(path);
        if (!absolute)
                return -ENOMEM;
        r = index_remove(indexer->index, absolute, &removed);
        if (r < 0)
                return r;
        if (removed == 0)
                indexer_error(indexer, "%s: the index has nothing of it", path);
        indexer->n_removed += removed;
        return 0;
}
