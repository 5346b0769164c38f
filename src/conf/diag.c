/* SPDX-License-Identifier: MIT */
#include "conf/diag.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "conf/node.h"
#include "conf/text.h"
#include "util/utf8.h"

#define REASON_MAX 512 /* bytes of one reason, with its path */
#define WINDOW 100     /* characters that a quoted line shows */

struct mistake {
        unsigned line; /* 0: the whole file */
        unsigned column;
        char reason[REASON_MAX];
        char *text; /* complete, with the quoted line; made on the first request */
};

struct diag {
        const char *name;
        const char *bytes;
        size_t length;

        struct mistake *shown[DIAG_SHOWN_MAX]; /* sorted by place */
        size_t n_shown;
        size_t n; /* including those that are not shown */

        unsigned *hidden; /* lines */
        size_t n_hidden;
        bool all_hidden; /* the list could not grow: hide every line */
};

int diag_new(struct diag **ret, const char *name, const char *bytes, size_t length)
{
        struct diag *diag;

        diag = calloc(1, sizeof *diag);
        if (!diag)
                return -ENOMEM;
        diag->name = name;
        diag->bytes = bytes;
        diag->length = length;
        text_skip_bom(&diag->bytes, &diag->length);
        *ret = diag;
        return 0;
}

static struct mistake *mistake_free(struct mistake *m)
{
        if (!m)
                return NULL;
        free(m->text);
        free(m);
        return NULL;
}

struct diag *diag_free(struct diag *diag)
{
        if (!diag)
                return NULL;
        for (size_t i = 0; i < diag->n_shown; i++)
                mistake_free(diag->shown[i]);
        free(diag->hidden);
        free(diag);
        return NULL;
}

/* Copies one character of the user's text in a form that is safe on a terminal: replaces invalid
 * UTF-8, control characters and bidirectional overrides. Returns its length in s. */
static size_t show(const char *s, size_t length, char ret[5], unsigned *ret_width)
{
        uint32_t c = 0;
        size_t n;

        n = utf8_decode(s, length, &c);
        memset(ret, 0, 5);
        if (n == 0 || (c >= 0x80 && c < 0xa0) || (c >= 0x202a && c <= 0x202e)) {
                memcpy(ret, "\xef\xbf\xbd", 3);
                c = 0xfffd;
                n = n ? n : 1;
        } else if (c == '\t') {
                ret[0] = ' ';
        } else if (c < ' ' || c == 0x7f) {
                ret[0] = '?';
                c = '?';
        } else {
                memcpy(ret, s, n);
        }
        *ret_width = utf8_width(c);
        return n;
}

/* The length of the line break that s starts with, if libyaml counts it as one; otherwise 0. */
static size_t line_break(const char *s, size_t length)
{
        static const char *const breaks[] = { "\r\n",     "\n",           "\r",
                                              "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9" };

        for (size_t i = 0; i < ELEMENTSOF(breaks); i++) {
                size_t n = strlen(breaks[i]);

                if (n <= length && memcmp(s, breaks[i], n) == 0)
                        return n;
        }
        return 0;
}

static size_t line_length(const char *s, size_t length)
{
        size_t n = 0;

        /* The first comparisons keep line_break() off nearly all bytes: files may have many
         * megabytes. */
        while (n < length && ((s[n] != '\n' && s[n] != '\r' && s[n] != '\xc2' && s[n] != '\xe2') ||
                              line_break(s + n, length - n) == 0))
                n++;
        return n;
}

/* False: the file has no such line. */
static bool find_line(const struct diag *diag, unsigned line, const char **ret, size_t *ret_length)
{
        const char *s = diag->bytes;
        size_t left = diag->length, n;

        for (; line > 1; line--) {
                n = line_length(s, left);
                n += line_break(s + n, left - n);
                if (n == 0)
                        return false;
                s += n;
                left -= n;
        }
        *ret = s;
        *ret_length = line_length(s, left);
        return true;
}

static bool is_hidden(const struct diag *diag, unsigned line)
{
        for (size_t i = 0; i < diag->n_hidden; i++)
                if (diag->hidden[i] == line)
                        return true;
        return diag->all_hidden;
}

static void quote(const struct diag *diag, const struct mistake *m, FILE *f)
{
        size_t length, skipped = 0, at = 0;
        unsigned caret = 0, width;
        const char *s;
        char c[5];

        if (m->line == 0 || is_hidden(diag, m->line) || !find_line(diag, m->line, &s, &length) ||
            length == 0)
                return;

        fprintf(f, "\n%5u | ", m->line);
        if (m->column > WINDOW * 3 / 4)
                skipped = m->column - WINDOW / 2;
        if (skipped > 0) {
                fputs("...", f);
                caret = 3;
        }
        for (; length > 0 && at < skipped + WINDOW; at++) {
                size_t n = show(s, length, c, &width);

                if (at >= skipped) {
                        fputs(c, f);
                        if (at + 1 < m->column)
                                caret += width;
                }
                s += n;
                length -= n;
        }
        if (length > 0)
                fputs("...", f);
        fprintf(f, "\n      | %*s^", (int)caret, "");
}

/* A file's name may be any bytes. */
static void put_name(const char *name, FILE *f)
{
        _cleanup_free_ char *copy = strdup(name);

        if (copy)
                utf8_clean(copy, strlen(copy));
        fprintf(f, "%s:", copy ? copy : "");
}

static char *render(const struct diag *diag, const struct mistake *m)
{
        char *text = NULL;
        size_t length;
        FILE *f;

        f = open_memstream(&text, &length);
        if (!f)
                return NULL;
        put_name(diag->name, f);
        if (m->line > 0)
                fprintf(f, "%u:%u:", m->line, m->column);
        fprintf(f, " %s", m->reason);
        quote(diag, m, f);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

/* Copies s as a single line, cut to fit. */
static void clean(char *ret, size_t size, const char *s)
{
        size_t left = strlen(s), used = 0;
        unsigned width;
        char c[5];

        while (left > 0) {
                size_t n = show(s, left, c, &width);

                if (used + strlen(c) + sizeof "..." > size) {
                        strcpy(ret + used, "...");
                        return;
                }
                strcpy(ret + used, c);
                used += strlen(c);
                s += n;
                left -= n;
        }
        ret[used] = '\0';
}

static void add(struct diag *diag, unsigned line, unsigned column, const char *reason)
{
        struct mistake *m;
        size_t at;

        diag->n++;
        for (at = diag->n_shown; at > 0; at--) {
                m = diag->shown[at - 1];
                if (m->line < line || (m->line == line && m->column <= column))
                        break;
        }
        if (at == DIAG_SHOWN_MAX)
                return;

        m = calloc(1, sizeof *m);
        if (!m)
                return;
        m->line = line;
        m->column = column;
        clean(m->reason, sizeof m->reason, reason);

        if (diag->n_shown == DIAG_SHOWN_MAX)
                mistake_free(diag->shown[--diag->n_shown]);
        memmove(diag->shown + at + 1, diag->shown + at,
                (diag->n_shown - at) * sizeof diag->shown[0]);
        diag->shown[at] = m;
        diag->n_shown++;
}

__attribute__((format(printf, 5, 0))) static void add_node(struct diag *diag,
                                                           const struct node *node, unsigned line,
                                                           unsigned column, const char *format,
                                                           va_list args)
{
        char reason[REASON_MAX * 2];
        size_t n;

        node_path(node, reason, REASON_MAX / 2);
        n = strlen(reason);
        if (n > 0)
                n += (size_t)snprintf(reason + n, sizeof reason - n, ": ");
        (void)vsnprintf(reason + n, sizeof reason - n, format, args);
        add(diag, line, column, reason);
}

void diag_add(struct diag *diag, const struct node *node, const char *format, ...)
{
        va_list args;

        if (!diag)
                return;
        va_start(args, format);
        add_node(diag, node, node ? node->line : 0, node ? node->column : 0, format, args);
        va_end(args);
}

void diag_add_key(struct diag *diag, const struct node *node, const char *format, ...)
{
        va_list args;

        if (!diag)
                return;
        va_start(args, format);
        add_node(diag, node, node->key_line, node->key_column, format, args);
        va_end(args);
}

void diag_add_at(struct diag *diag, unsigned line, unsigned column, const char *format, ...)
{
        va_list args;

        if (!diag)
                return;
        va_start(args, format);
        add_node(diag, NULL, line, column, format, args);
        va_end(args);
}

void diag_hide_line(struct diag *diag, unsigned line)
{
        unsigned *hidden;

        if (!diag)
                return;
        for (size_t i = 0; i < diag->n_shown; i++)
                if (diag->shown[i]->line == line) {
                        free(diag->shown[i]->text);
                        diag->shown[i]->text = NULL;
                }

        hidden = reallocarray(diag->hidden, diag->n_hidden + 1, sizeof *hidden);
        if (!hidden) {
                diag->all_hidden = true;
                return;
        }
        hidden[diag->n_hidden++] = line;
        diag->hidden = hidden;
}

size_t diag_count(const struct diag *diag)
{
        return diag->n;
}

const char *diag_text(const struct diag *diag, size_t index)
{
        struct mistake *m;

        if (index >= diag->n_shown)
                return NULL;
        m = diag->shown[index];
        if (!m->text)
                m->text = render(diag, m);
        return m->text ? m->text : m->reason;
}

const char *diag_name(const struct diag *diag)
{
        return diag->name;
}

unsigned diag_line(const struct diag *diag, size_t index)
{
        return index < diag->n_shown ? diag->shown[index]->line : 0;
}

void diag_print(const struct diag *diag, FILE *f)
{
        for (size_t i = 0; i < diag->n_shown; i++)
                fprintf(f, "%s\n", diag_text(diag, i));
        if (diag->n > diag->n_shown)
                fprintf(f, "%s: and %zu more\n", diag->name, diag->n - diag->n_shown);
}
