/* SPDX-License-Identifier: MIT */
#include "acl.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "indexer.h"
#include "scope.h"

#define NAME_SIZE_MAX 63
#define NAMES_MAX 64
#define SIDECAR ".groups"
#define SIDECAR_SIZE_MAX 8192

static const char wrong_name[] = "a group is a name of up to 63 characters from A-Z a-z 0-9 . _ @ "
                                 "- that begins with a letter "
                                 "or a digit";
static const char wrong_list[] = "name 1 to 64 groups, or only * for everybody";

struct names {
        char *items[NAMES_MAX]; /* sorted */
        size_t n;
        bool everybody;
};

static void names_done(struct names *names)
{
        for (size_t i = 0; i < names->n; i++)
                free(names->items[i]);
}

static bool is_letter_or_digit(char c)
{
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_name(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!is_letter_or_digit(s[i]) && (i == 0 || !strchr("._@-", s[i]) || s[i] == '\0'))
                        return false;
        return n > 0 && n <= NAME_SIZE_MAX;
}

/* 0; -EINVAL with a message; -ENOMEM. */
static int names_add(struct names *names, const char *s, size_t n, const char **ret_why)
{
        char *copy;
        size_t at;

        if (n == 1 && *s == '*') {
                names->everybody = true;
                return 0;
        }
        *ret_why = is_name(s, n) ? wrong_list : wrong_name;
        if (!is_name(s, n) || names->n == NAMES_MAX)
                return -EINVAL;
        copy = strndup(s, n);
        if (!copy)
                return -ENOMEM;
        for (at = names->n; at > 0 && strcmp(names->items[at - 1], copy) >= 0; at--)
                if (strcmp(names->items[at - 1], copy) == 0) {
                        free(copy);
                        return 0;
                }
        memmove(names->items + at + 1, names->items + at, (names->n - at) * sizeof *names->items);
        names->items[at] = copy;
        names->n++;
        return 0;
}

/* The same. */
static int names_print(const struct names *names, char **ret, const char **ret_why)
{
        char *to;

        *ret_why = wrong_list;
        if (names->everybody == (names->n > 0))
                return -EINVAL;
        *ret = to = malloc(names->n * (NAME_SIZE_MAX + 1) + 1);
        if (!to)
                return -ENOMEM;
        *to = '\0';
        for (size_t i = 0; i < names->n; i++) {
                if (i > 0)
                        *to++ = ' ';
                to = stpcpy(to, names->items[i]);
        }
        return 0;
}

int acl_of_json(const json_t *json, char **ret, const char **ret_why)
{
        _cleanup_(names_done) struct names names = {};
        const json_t *item = json;
        size_t n = json_is_array(json) ? json_array_size(json) : 1;
        int r;

        *ret_why = "must be a string or a list of strings";
        for (size_t i = 0; i < n; i++) {
                if (json_is_array(json))
                        item = json_array_get(json, i);
                if (!json_is_string(item))
                        return -EINVAL;
                r = names_add(&names, json_string_value(item), json_string_length(item), ret_why);
                if (r < 0)
                        return r;
        }
        return names_print(&names, ret, ret_why);
}

/* Names between white space; from # to the end of a line is a comment. */
static int parse(const char *text, char **ret, const char **ret_why)
{
        static const char blank[] = " \t\r\n\f\v";
        _cleanup_(names_done) struct names names = {};
        size_t n;
        int r;

        for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
                if (*text == '#') {
                        text += strcspn(text, "\n");
                        continue;
                }
                n = strcspn(text, " \t\r\n\f\v#");
                r = names_add(&names, text, n, ret_why);
                if (r < 0)
                        return r;
                text += n;
        }
        return names_print(&names, ret, ret_why);
}

/* Reads a whole text. 0; -ENOENT; another negative errno. */
static int text_read(const char *path, char ret[static SIDECAR_SIZE_MAX])
{
        struct stat st;
        ssize_t n = 0;
        int fd, r = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size >= SIDECAR_SIZE_MAX)
                r = -EFBIG;
        else if ((n = read(fd, ret, SIDECAR_SIZE_MAX - 1)) < 0)
                r = -errno;
        close(fd);
        if (r == 0)
                ret[n] = '\0';
        return r == 0 && memchr(ret, '\0', (size_t)n) ? -EINVAL : r;
}

/* 1: *ret has the groups that the file says; 0: there is no such file; -EACCES: reported; -ENOMEM.
 */
static int sidecar_read(struct indexer *indexer, const char *path, char **ret)
{
        char text[SIDECAR_SIZE_MAX];
        const char *why;
        int r;

        r = text_read(path, text);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                indexer_error(indexer, "%s: %s; files that it is for are left out", path,
                              strerror(-r));
                return -EACCES;
        }
        r = parse(text, ret, &why);
        if (r == -EINVAL) {
                indexer_error(indexer, "%s: %s; files that it is for are left out", path, why);
                return -EACCES;
        }
        return r < 0 ? r : 1;
}

/* The same, of the nearest .groups in a directory or above it. */
static int directory_read(struct indexer *indexer, const char *directory, char **ret)
{
        char path[PATH_MAX + sizeof "/" SIDECAR];
        size_t n = strlen(directory);
        int r;

        for (;;) {
                (void)snprintf(path, sizeof path, "%.*s/" SIDECAR, (int)n, directory);
                r = sidecar_read(indexer, path, ret);
                if (r != 0 || n == 0)
                        return r;
                while (n > 0 && directory[--n] != '/')
                        ;
        }
}

void acl_cache_done(struct acl_cache *cache)
{
        free(cache->directory);
        free(cache->groups);
        *cache = (struct acl_cache){};
}

/* As directory_read(), which is not asked again for the next file of the same directory. */
static int directory_get(struct indexer *indexer, const char *path, char **ret)
{
        struct acl_cache *cache = &indexer->acl;
        size_t n = strrchr(path, '/') - path;
        int r;

        if (!cache->directory || strlen(cache->directory) != n ||
            memcmp(cache->directory, path, n) != 0) {
                acl_cache_done(cache);
                cache->directory = strndup(path, n);
                if (!cache->directory)
                        return -ENOMEM;
                r = directory_read(indexer, cache->directory, &cache->groups);
                if (r < 0) {
                        acl_cache_done(cache);
                        return r;
                }
        }
        if (!cache->groups)
                return 0;
        *ret = strdup(cache->groups);
        return *ret ? 1 : -ENOMEM;
}

/* Notes the group of a file or a directory that not everybody may read or enter. -EACCES: only its
 * owner may, or it has another group than one before. */
static int permission_add(const char *path, gid_t *group)
{
        struct stat st;
        mode_t others, members;

        if (stat(path, &st) < 0)
                return -EACCES;
        others = S_ISDIR(st.st_mode) ? S_IXOTH : S_IROTH;
        members = S_ISDIR(st.st_mode) ? S_IXGRP : S_IRGRP;
        if (st.st_mode & others)
                return 0;
        if (!(st.st_mode & members) || (*group != (gid_t)-1 && *group != st.st_gid))
                return -EACCES;
        *group = st.st_gid;
        return 0;
}

/* The group that may read a file, with all the directories above it; "": everybody may. */
static int permissions_get(struct indexer *indexer, const char *path, char **ret)
{
        const struct group *entry = NULL;
        gid_t group = (gid_t)-1;
        char part[PATH_MAX];
        int r;

        (void)snprintf(part, sizeof part, "%s", path);
        r = permission_add(part, &group);
        for (char *slash; r == 0 && (slash = strrchr(part, '/')) && slash > part;) {
                *slash = '\0';
                r = permission_add(part, &group);
        }
        if (r == 0 && group != (gid_t)-1) {
                entry = getgrgid(group);
                if (!entry || !is_name(entry->gr_name, strlen(entry->gr_name)))
                        r = -EACCES;
        }
        if (r < 0) {
                indexer_error(indexer,
                              "%s: left out, as no single group may read it: change its "
                              "permissions, or name its groups in %s" SIDECAR,
                              path, path);
                return r;
        }
        *ret = strdup(entry ? entry->gr_name : "");
        return *ret ? 0 : -ENOMEM;
}

bool acl_is_sidecar(const char *path)
{
        size_t n = strlen(path), suffix = strlen(SIDECAR);

        return n >= suffix && strcmp(path + n - suffix, SIDECAR) == 0;
}

int acl_of_file(struct indexer *indexer, const char *path, char **ret)
{
        char own[PATH_MAX + sizeof SIDECAR];
        int r;

        (void)snprintf(own, sizeof own, "%s" SIDECAR, path);
        r = sidecar_read(indexer, own, ret) ?: directory_get(indexer, path, ret);
        if (r != 0)
                return r < 0 ? r : 0;
        if (indexer->file_groups)
                return permissions_get(indexer, path, ret);
        *ret = strdup("");
        return *ret ? 0 : -ENOMEM;
}
