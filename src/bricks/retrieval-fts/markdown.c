/* SPDX-License-Identifier: MIT */
#include "markdown.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct line {
        const char *p;
        const char *end; /* without white space at the end */
};

struct lines {
        const char *p;
        const char *end;
};

static bool next_line(struct lines *lines, struct line *ret)
{
        const char *stop;

        if (lines->p >= lines->end)
                return false;
        stop = memchr(lines->p, '\n', lines->end - lines->p) ?: lines->end;
        *ret = (struct line){ lines->p, stop };
        while (ret->end > ret->p && strchr(" \t\r", ret->end[-1]))
                ret->end--;
        lines->p = stop < lines->end ? stop + 1 : lines->end;
        return true;
}

static bool is(const struct line *line, const char *s)
{
        return (size_t)(line->end - line->p) == strlen(s) && memcmp(line->p, s, strlen(s)) == 0;
}

static bool starts(const struct line *line, const char *s)
{
        return (size_t)(line->end - line->p) >= strlen(s) &&
               strncasecmp(line->p, s, strlen(s)) == 0;
}

static void skip_blanks(struct line *line)
{
        while (line->p < line->end && (*line->p == ' ' || *line->p == '\t'))
                line->p++;
}

/* Takes the value of "title: x" or "title = x", without quotes and comment; that of "title: >" is
 * in the next line. */
static void front_title(struct line line, struct lines rest, struct extract *e)
{
        const char *comment;

        line.p += strlen("title");
        skip_blanks(&line);
        if (line.p == line.end || (*line.p != ':' && *line.p != '='))
                return;
        line.p++;
        skip_blanks(&line);
        if (line.p < line.end && strchr(">|", *line.p)) {
                if (!next_line(&rest, &line))
                        return;
                skip_blanks(&line);
        }
        comment = memmem(line.p, line.end - line.p, " #", 2);
        if (comment && *line.p != '"' && *line.p != '\'')
                line.end = comment;
        if (line.end - line.p > 1 && (*line.p == '"' || *line.p == '\'') &&
            line.end[-1] == *line.p) {
                line.p++;
                line.end--;
        }
        extract_title(e, line.p, line.end - line.p);
}

/* Skips the front matter, if there is one with its end. */
static void front_matter(struct lines *lines, struct extract *e)
{
        struct lines rest = *lines;
        struct line line;
        const char *fence;

        if (!next_line(&rest, &line) || !(is(&line, "---") || is(&line, "+++")))
                return;
        fence = is(&line, "---") ? "---" : "+++";
        while (next_line(&rest, &line)) {
                if (is(&line, fence) || (*fence == '-' && is(&line, "..."))) {
                        *lines = rest;
                        return;
                }
                if (starts(&line, "title") && e->title[0] == '\0')
                        front_title(line, rest, e);
        }
        e->title[0] = '\0'; /* it has no end: it was none */
}

/* The length of a fence of code, and its character; 0: the line is none. */
static size_t fence_length(struct line line, char *ret)
{
        size_t n = 0;

        skip_blanks(&line);
        if (line.p == line.end || (*line.p != '`' && *line.p != '~'))
                return 0;
        *ret = *line.p;
        while (line.p + n < line.end && line.p[n] == *ret)
                n++;
        if (n >= 3 && *ret == '`' && memchr(line.p + n, '`', line.end - line.p - n))
                return 0; /* code within a line */
        return n >= 3 ? n : 0;
}

static bool has_only(const struct line *line, char c)
{
        for (const char *p = line->p; p < line->end; p++)
                if (*p != c)
                        return false;
        return true;
}

static void skip_fenced(struct lines *lines, size_t n, char mark)
{
        struct line line;
        char other = 0;

        while (next_line(lines, &line)) {
                struct line end = line;

                skip_blanks(&end);
                if (fence_length(line, &other) >= n && other == mark && has_only(&end, mark))
                        return;
        }
}

static void skip_comment(struct lines *lines, const struct line *line)
{
        const char *stop = memmem(line->p, lines->end - line->p, "-->", 3);

        if (!stop)
                return;
        if (stop >= lines->p)
                lines->p = memchr(stop, '\n', lines->end - stop) ?: lines->end;
}

/* "## Title ##": the level, and the title in *line; 0: it is no heading. */
static size_t heading_level(struct line *line)
{
        const char *end;
        size_t level = 0;

        if (line->end - line->p > 3 && memcmp(line->p, "    ", 4) == 0)
                return 0; /* code */
        skip_blanks(line);
        while (line->p + level < line->end && line->p[level] == '#')
                level++;
        if (level == 0 || level > 6 || line->p + level == line->end ||
            !strchr(" \t", line->p[level]))
                return 0;
        line->p += level;
        skip_blanks(line);
        for (end = line->end; end > line->p && end[-1] == '#'; end--)
                ;
        if (end > line->p && strchr(" \t", end[-1]))
                line->end = end;
        return line->p < line->end ? level : 0;
}

/* The level of a heading that the line below makes. */
static size_t underline_level(const struct line *line)
{
        if (line->end - line->p < 2)
                return 0;
        return has_only(line, '=') ? 1 : has_only(line, '-') ? 2 : 0;
}

void markdown_title(const char *data, size_t n, struct extract *e)
{
        struct lines lines = { data, data + n };
        struct line line, last = {};
        size_t level, fence;
        char mark;

        front_matter(&lines, e);
        if (e->title[0])
                return;
        for (; next_line(&lines, &line); last = line) {
                fence = fence_length(line, &mark);
                if (fence > 0) {
                        skip_fenced(&lines, fence, mark);
                        line = (struct line){};
                        continue;
                }
                if (starts(&line, "<!--")) {
                        skip_comment(&lines, &line);
                        continue;
                }
                level = heading_level(&line);
                if (level == 0 && last.end > last.p && (level = underline_level(&line)) > 0)
                        line = last;
                if (level == 1 || (level > 1 && e->title[0] == '\0'))
                        extract_title(e, line.p, line.end - line.p);
                if (level == 1)
                        return;
                if (level > 0)
                        line = (struct line){};
        }
}
