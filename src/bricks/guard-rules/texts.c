/* SPDX-License-Identifier: MIT */
#include "texts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "fold.h"

struct reader {
        const char *path;
        size_t line;
        struct texts *texts;
        char **ret_error;
};

__attribute__((format(printf, 2, 3))) static int blame(struct reader *r, const char *format, ...)
{
        char message[256];
        va_list ap;

        va_start(ap, format);
        vsnprintf(message, sizeof message, format, ap);
        va_end(ap);
        if (asprintf(r->ret_error, "%s:%zu: %s", r->path, r->line, message) < 0) {
                *r->ret_error = NULL;
                return -ENOMEM;
        }
        return -EINVAL;
}

static bool is_name(const char *name)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_."; /* as in a model */
        size_t n = strlen(name);

        return n > 0 && n <= TEXTS_NAME_MAX && strspn(name, letters) == n;
}

static int find_label(struct reader *r, const char *name, uint32_t *ret)
{
        struct texts *t = r->texts;

        for (*ret = 0; *ret < t->n_labels; ++*ret)
                if (strcmp(t->labels[*ret], name) == 0)
                        return 0;
        if (!is_name(name))
                return blame(r, "a label is 1 to %d small letters, digits, '-', '_' and '.'",
                             TEXTS_NAME_MAX);
        if (t->n_labels == TEXTS_LABELS_MAX)
                return blame(r, "'%s' is label number %d; a model has at most %d", name,
                             TEXTS_LABELS_MAX + 1, TEXTS_LABELS_MAX);
        snprintf(t->labels[t->n_labels++], sizeof t->labels[0], "%.*s", TEXTS_NAME_MAX, name);
        return 0;
}

/* Replaces \n, \t and \\ in place. */
static int unescape(struct reader *r, char *text, size_t *ret_length)
{
        char *out = text;

        for (const char *p = text; *p; p++) {
                if (*p != '\\') {
                        *out++ = *p;
                        continue;
                }
                switch (*++p) {
                case 'n':
                        *out++ = '\n';
                        break;
                case 't':
                        *out++ = '\t';
                        break;
                case '\\':
                        *out++ = '\\';
                        break;
                default:
                        return blame(r, "a backslash is written \\\\; there are \\n and \\t, too");
                }
        }
        *ret_length = (size_t)(out - text);
        return 0;
}

static bool is_utf8(const char *text, size_t length)
{
        char *folded = malloc(length + 1);
        bool valid = folded && fold_text(text, length, folded) != SIZE_MAX;

        free(folded);
        return valid;
}

static int append(struct texts *t, const struct labelled_text *text)
{
        if ((t->n & (t->n - 1)) == 0) {
                struct labelled_text *p = reallocarray(t->list, t->n ? t->n * 2 : 1, sizeof *p);

                if (!p)
                        return -ENOMEM;
                t->list = p;
        }
        t->list[t->n++] = *text;
        return 0;
}

static int read_line(struct reader *r, char *line, size_t size)
{
        struct labelled_text text = {};
        char *tab = strchr(line, '\t'), *slash;
        int e;

        if (strlen(line) < size)
                return blame(r, "there is a NUL byte");
        if (line[0] == '\0' || line[0] == '#')
                return 0;
        if (!tab)
                return blame(r, "there is no tab between a label and a text");
        *tab = '\0';
        slash = strchr(line, '/');
        text.group = "";
        if (slash) {
                *slash = '\0';
                text.group = slash + 1;
                if (!is_name(text.group))
                        return blame(r, "a group is 1 to %d letters, digits, '-', '_' and '.'",
                                     TEXTS_NAME_MAX);
        }
        e = find_label(r, line, &text.label);
        if (e == 0)
                e = unescape(r, tab + 1, &text.length);
        if (e < 0)
                return e;
        text.text = tab + 1;
        if (!is_utf8(text.text, text.length))
                return blame(r, "the text is not UTF-8");
        return append(r->texts, &text);
}

int texts_parse(const char *path, char *bytes, size_t size, struct texts **ret, char **ret_error)
{
        struct reader r = { .path = path, .line = 1, .ret_error = ret_error };
        char *line = bytes, *end = bytes + size;
        int e = 0;

        *ret_error = NULL;
        r.texts = calloc(1, sizeof *r.texts);
        if (!r.texts) {
                free(bytes);
                return -ENOMEM;
        }
        r.texts->bytes = bytes;
        for (; line < end && e == 0; r.line++) {
                char *stop = memchr(line, '\n', (size_t)(end - line));

                stop = stop ? stop : end;
                *stop = '\0';
                e = read_line(&r, line, (size_t)(stop - line));
                line = stop + 1;
        }
        if (e < 0) {
                texts_free(r.texts);
                return e;
        }
        *ret = r.texts;
        return 0;
}

int texts_read(const char *path, struct texts **ret, char **ret_error)
{
        size_t size;
        char *bytes = file_read(path, TEXTS_FILE_MAX, &size);

        if (bytes)
                return texts_parse(path, bytes, size, ret, ret_error);
        if (asprintf(ret_error, "%s: %s", path,
                     errno == EFBIG    ? "larger than 256 MiB"
                     : errno == EINVAL ? "not a regular file"
                                       : strerror(errno)) < 0) {
                *ret_error = NULL;
                return -ENOMEM;
        }
        return -EINVAL;
}

struct texts *texts_free(struct texts *t)
{
        if (!t)
                return NULL;
        free(t->list);
        free(t->bytes);
        free(t);
        return NULL;
}
