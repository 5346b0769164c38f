/* SPDX-License-Identifier: MIT */

#include "framing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MARK "\xef\xbb\xbf"
#define MARK_SIZE 3

void framing_init(struct framing *framing, size_t max)
{
        *framing = (struct framing){ .max = max };
}

void framing_done(struct framing *framing)
{
        free(framing->copy);
        free(framing->line);
        *framing = (struct framing){};
}

/* --- buffers ----------------------------------------------------------------------------- */

static int append(char **buffer, size_t n, size_t *size, size_t max, const char *bytes, size_t add)
{
        if (add > max || n > max - add)
                return -EMSGSIZE;
        if (n + add >= *size) {
                size_t want = (n + add) * 2 + 16;
                char *grown = realloc(*buffer, want);

                if (!grown)
                        return -ENOMEM;
                *buffer = grown;
                *size = want;
        }
        if (add > 0)
                memcpy(*buffer + n, bytes, add);
        return 0;
}

/* Copies a document that is in the piece. */
static int keep(struct framing *framing)
{
        int r;

        if (framing->data == framing->copy)
                return 0;
        r = append(&framing->copy, 0, &framing->copy_size, framing->max, framing->data,
                   framing->n_data);
        framing->data = framing->copy;
        return r;
}

static int append_data(struct framing *framing, const char *bytes, size_t n)
{
        int r;

        r = keep(framing);
        if (r == 0)
                r = append(&framing->copy, framing->n_data, &framing->copy_size, framing->max,
                           bytes, n);
        if (r < 0)
                return r;
        framing->data = framing->copy;
        framing->n_data += n;
        return 0;
}

static void forget_returned(struct framing *framing)
{
        if (!framing->returned)
                return;
        framing->returned = false;
        framing->is_error = false;
        framing->has_data = false;
        framing->is_bare = false;
        framing->data = NULL;
        framing->n_data = 0;
        framing->nesting = (struct nesting){};
        framing->n_followed = 0;
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* Returns where the document ends, or `end` if it goes on. */
static const char *follow(struct nesting *nesting, const char *p, const char *end)
{
        for (; p < end; p++) {
                if (nesting->escaped) {
                        nesting->escaped = false;
                } else if (nesting->in_string) {
                        nesting->escaped = *p == '\\';
                        nesting->in_string = *p != '"';
                } else if (*p == '"') {
                        nesting->in_string = true;
                } else if (*p == '{' || *p == '[') {
                        nesting->begun = true;
                        nesting->depth++;
                } else if ((*p == '}' || *p == ']') && nesting->depth > 0 &&
                           --nesting->depth == 0) {
                        return p + 1;
                }
        }
        return p;
}

static bool is_closed(const struct nesting *nesting)
{
        return nesting->begun && nesting->depth == 0;
}

/* Takes the bytes of a bare document. 1: it ends; 0: it goes on. */
static int take_bare(struct framing *framing, const char **pos, const char *end)
{
        const char *stop = follow(&framing->nesting, *pos, end);
        int r;

        r = append_data(framing, *pos, (size_t)(stop - *pos));
        if (r < 0)
                return r;
        *pos = stop;
        framing->returned = is_closed(&framing->nesting);
        return framing->returned;
}

/* --- lines of events ----------------------------------------------------------------------- */

/* Whether the data so far is all of an event. Some servers do not put an empty line behind it. */
static bool is_whole(struct framing *framing)
{
        static const char done[] = "[DONE]";

        if (framing->n_data == sizeof done - 1 && memcmp(framing->data, done, sizeof done - 1) == 0)
                return true;
        (void)follow(&framing->nesting, framing->data + framing->n_followed,
                     framing->data + framing->n_data);
        framing->n_followed = framing->n_data;
        return is_closed(&framing->nesting);
}

static bool is_word(const char *p, size_t n, const char *word)
{
        return n == strlen(word) && memcmp(p, word, n) == 0;
}

static int take_data(struct framing *framing, const char *value, size_t n, bool in_piece)
{
        const bool is_first = !framing->has_data;
        int r = 0;

        framing->has_data = true;
        if (is_first && in_piece) {
                framing->data = value;
                framing->n_data = n;
                return n > framing->max ? -EMSGSIZE : 0;
        }
        if (!is_first)
                r = append_data(framing, "\n", 1);
        return r == 0 ? append_data(framing, value, n) : r;
}

/* 0; -EAGAIN: the line belongs to the next event. in_piece: its bytes stay. Older versions of
 * llama.cpp send errors as lines `error: ...`. */
static int take_field(struct framing *framing, const char *name, size_t n_name, const char *value,
                      size_t n_value, bool in_piece)
{
        const bool is_event = is_word(name, n_name, "event");
        const bool is_error = is_word(name, n_name, "error");

        if (!is_event && !is_error && !is_word(name, n_name, "data"))
                return 0;
        if (framing->has_data && is_whole(framing))
                return -EAGAIN;
        if (is_error)
                framing->is_error = true;
        if (!is_event)
                return take_data(framing, value, n_value, in_piece);
        framing->is_error = is_word(value, n_value, "error");
        return 0;
}

/* 1: a document ends; -EAGAIN: it has ended before the line. */
static int take_line(struct framing *framing, const char *line, size_t n, bool in_piece)
{
        const char *colon, *value;

        if (n == 0) {
                framing->returned = true;
                return framing->has_data;
        }
        colon = memchr(line, ':', n);
        if (colon == line) /* a comment */
                return 0;
        if (!colon)
                return take_field(framing, line, n, "", 0, false);
        value = colon + 1;
        if (value < line + n && *value == ' ')
                value++;
        return take_field(framing, line, (size_t)(colon - line), value, (size_t)(line + n - value),
                          in_piece);
}

static const char *find_line_end(const char *pos, const char *end)
{
        const char *lf = memchr(pos, '\n', (size_t)(end - pos)), *cr;

        if (lf)
                end = lf;
        cr = memchr(pos, '\r', (size_t)(end - pos));
        return cr ? cr : end;
}

/* A line that began in an earlier piece. 1, 0: as take_line(). */
static int take_kept_line(struct framing *framing)
{
        int r;

        r = take_line(framing, framing->line, framing->n_line, false);
        framing->line_waits = r == -EAGAIN;
        if (r != -EAGAIN) {
                framing->n_line = 0;
                return r;
        }
        framing->returned = true;
        return 1;
}

static int take_piece_of_line(struct framing *framing, const char **pos, const char *end)
{
        const char *eol = find_line_end(*pos, end), *line = *pos;
        const size_t n = (size_t)(eol - line);
        int r;

        if (eol < end && framing->n_line == 0) {
                r = take_line(framing, line, n, true);
                if (r == -EAGAIN) {
                        framing->returned = true;
                        return 1;
                }
                framing->skip_lf = *eol == '\r';
                *pos = eol + 1;
                return r;
        }
        r = append(&framing->line, framing->n_line, &framing->line_size, framing->max, line, n);
        if (r < 0)
                return r;
        framing->n_line += n;
        *pos = eol;
        if (eol == end)
                return 0;
        framing->skip_lf = *eol == '\r';
        (*pos)++;
        return take_kept_line(framing);
}

/* --- the body -------------------------------------------------------------------------------- */

/* Skips a byte order mark, which may come in pieces. */
static void skip_mark(struct framing *framing, const char **pos, const char *end)
{
        while (framing->n_mark < MARK_SIZE && *pos < end)
                if (**pos == MARK[framing->n_mark]) {
                        framing->n_mark++;
                        (*pos)++;
                } else {
                        framing->n_mark = MARK_SIZE;
                }
}

static int take(struct framing *framing, const char **pos, const char *end)
{
        if (framing->is_bare)
                return take_bare(framing, pos, end);
        if (framing->skip_lf && **pos == '\n') {
                framing->skip_lf = false;
                (*pos)++;
                return 0;
        }
        framing->skip_lf = false;
        if (framing->n_line == 0 && (**pos == ' ' || **pos == '\t')) {
                (*pos)++;
                return 0;
        }
        if (framing->n_line > 0 || (**pos != '{' && **pos != '['))
                return take_piece_of_line(framing, pos, end);
        if (framing->has_data) { /* without an empty line behind it */
                framing->returned = true;
                return 1;
        }
        framing->has_data = true;
        framing->is_bare = true;
        return 0;
}

int framing_next(struct framing *framing, const char **pos, const char *end)
{
        int r = 0;

        forget_returned(framing);
        skip_mark(framing, pos, end);
        if (framing->line_waits)
                r = take_kept_line(framing);
        while (r == 0 && *pos < end) {
                r = take(framing, pos, end);
                if (r == 0)
                        forget_returned(framing);
        }
        if (r == 0 && framing->has_data)
                r = keep(framing);
        return r;
}

int framing_last(struct framing *framing)
{
        int r = 0;

        forget_returned(framing);
        if (framing->n_line > 0)
                r = take_kept_line(framing);
        if (r == 0) {
                framing->returned = true;
                r = framing->has_data;
        }
        return r;
}
