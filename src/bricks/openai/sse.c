/* SPDX-License-Identifier: MIT */

#include "sse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void sse_init(struct sse *sse, size_t max)
{
        *sse = (struct sse){ .max = max };
}

void sse_done(struct sse *sse)
{
        free(sse->data);
        free(sse->line);
        *sse = (struct sse){};
}

/* Keeps the buffer NUL-terminated. */
static int append(char **buffer, size_t *n, size_t *size, size_t max, const char *bytes, size_t add)
{
        if (add > max || *n > max - add)
                return -EMSGSIZE;
        if (*n + add + 1 > *size) {
                size_t want = (*n + add + 1) * 2;
                char *grown = realloc(*buffer, want);

                if (!grown)
                        return -ENOMEM;
                *buffer = grown;
                *size = want;
        }
        memcpy(*buffer + *n, bytes, add);
        *n += add;
        (*buffer)[*n] = '\0';
        return 0;
}

static int append_data(struct sse *sse, const char *bytes, size_t n)
{
        return append(&sse->data, &sse->n_data, &sse->data_size, sse->max, bytes, n);
}

static int take_field(struct sse *sse, const char *name, size_t n_name, const char *value,
                      size_t n_value)
{
        int r;

        if (n_name == 5 && memcmp(name, "event", 5) == 0)
                sse->is_error = n_value == 5 && memcmp(value, "error", 5) == 0;
        if (n_name != 4 || memcmp(name, "data", 4) != 0)
                return 0;
        if (sse->has_data) {
                r = append_data(sse, "\n", 1);
                if (r < 0)
                        return r;
        }
        sse->has_data = true;
        return append_data(sse, value, n_value);
}

/* Handles a line. 1: it ends an event. */
static int take_line(struct sse *sse)
{
        const char *line = sse->line, *colon, *value;
        size_t n = sse->n_line;

        sse->n_line = 0;
        if (!sse->past_head && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
                line += 3;
                n -= 3;
        }
        sse->past_head = true;
        if (n == 0) {
                sse->returned = true;
                return sse->has_data;
        }

        colon = memchr(line, ':', n);
        if (colon == line) /* a comment */
                return 0;
        if (!colon)
                return take_field(sse, line, n, "", 0);
        value = colon + 1;
        if (value < line + n && *value == ' ')
                value++;
        return take_field(sse, line, (size_t)(colon - line), value, (size_t)(line + n - value));
}

static void forget_returned(struct sse *sse)
{
        if (!sse->returned)
                return;
        sse->returned = false;
        sse->is_error = false;
        sse->has_data = false;
        sse->n_data = 0;
}

static const char *find_line_end(const char *pos, const char *end)
{
        while (pos < end && *pos != '\n' && *pos != '\r')
                pos++;
        return pos;
}

int sse_next(struct sse *sse, const char **pos, const char *end)
{
        int r;

        forget_returned(sse);
        while (*pos < end) {
                const char *eol;

                if (sse->skip_lf && **pos == '\n')
                        (*pos)++;
                sse->skip_lf = false;
                eol = find_line_end(*pos, end);
                r = append(&sse->line, &sse->n_line, &sse->line_size, sse->max, *pos,
                           (size_t)(eol - *pos));
                if (r < 0)
                        return r;
                *pos = eol;
                if (eol == end)
                        break;
                sse->skip_lf = *eol == '\r';
                (*pos)++;
                r = take_line(sse);
                if (r != 0)
                        return r;
                forget_returned(sse);
        }
        return 0;
}

int sse_last(struct sse *sse)
{
        int r;

        forget_returned(sse);
        if (sse->n_line > 0) {
                r = take_line(sse);
                if (r != 0)
                        return r;
        }
        sse->returned = true;
        return sse->has_data;
}
