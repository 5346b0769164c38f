/* SPDX-License-Identifier: MIT */

/*
 * Removes roff from manual pages, as far as a search needs it, for man(7) and mdoc(7). Drops
 * requests and conditional parts, keeps the arguments of macros, and replaces escapes by the
 * characters that they print.
 */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "extract.h"
#include "unicode.h"

struct special {
        const char *name;
        const char *text;
};

static const struct special specials[] = {
        { "aq", "'" },   { "bu", "\xe2\x80\xa2" },
        { "co", "(c)" }, { "cq", "'" },
        { "dq", "\"" },  { "em", "--" },
        { "en", "-" },   { "eu", "EUR" },
        { "ga", "`" },   { "ha", "^" },
        { "hy", "-" },   { "lB", "[" },
        { "la", "<" },   { "lq", "\"" },
        { "mi", "-" },   { "mu", "x" },
        { "oq", "'" },   { "or", "|" },
        { "pc", "." },   { "ra", ">" },
        { "rB", "]" },   { "rq", "\"" },
        { "rs", "\\" },  { "ru", "_" },
        { "sl", "/" },   { "sq", "'" },
        { "ti", "~" },   { "tm", "(tm)" },
        { "->", "->" },  { "<-", "<-" },
        { "<=", "<=" },  { ">=", ">=" },
        { "Aq", "'" },   { "L\"", "\"" },
        { "R\"", "\"" }, { "C`", "\"" },
        { "C'", "\"" },
};

enum heading {
        HEADING_NONE,
        HEADING_FIRST, /* in the first section, which has the name of the page */
        HEADING_PAST,
};

struct line {
        const char *p;
        const char *end;
};

struct man {
        struct extract *extract;
        struct extract_out *out;
        const char *p; /* the next line */
        const char *end;
        struct line name; /* the argument of the first .Nm, for a .Nm without arguments */
        enum heading heading;
        size_t name_start; /* in out: where the first section's text starts */
        int braces;        /* open in conditional parts */
        bool mdoc;
};

bool man_is(const char *data, size_t n)
{
        static const char *const marks[] = { "\n.TH ", "\n.Dd ", "\n.Dt ", "\n.SH " };
        size_t look = n < 65536 ? n : 65536, blank = 0;

        while (blank < look && data[blank] == '\n')
                blank++;
        if (look - blank < 4 || (data[blank] != '.' && data[blank] != '\''))
                return false;
        if (memcmp(data + blank, ".so ", 4) == 0)
                return true;
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
                if (memcmp(data + blank, marks[i] + 1, 4) == 0 ||
                    memmem(data, look, marks[i], strlen(marks[i])))
                        return true;
        return false;
}

static bool next_line(struct man *m, struct line *ret)
{
        const char *stop;

        if (m->p >= m->end)
                return false;
        stop = memchr(m->p, '\n', m->end - m->p) ?: m->end;
        ret->p = m->p;
        ret->end = stop > m->p && stop[-1] == '\r' ? stop - 1 : stop;
        m->p = stop < m->end ? stop + 1 : m->end;
        return true;
}

/* Takes n characters off the line. */
static struct line take(struct line *line, size_t n)
{
        struct line taken = { line->p, line->p };
        size_t length;

        for (; n > 0 && taken.end < line->end; n--) {
                (void)unicode_get(taken.end, line->end - taken.end, &length);
                taken.end += length;
        }
        line->p = taken.end;
        return taken;
}

/* Takes the name after an escape: one character, "(xx" or "[...]". */
static struct line take_name(struct line *line)
{
        struct line name;
        const char *close;

        if (line->p < line->end && *line->p == '[') {
                close = memchr(line->p, ']', line->end - line->p);
                if (close) {
                        name = (struct line){ line->p + 1, close };
                        line->p = close + 1;
                        return name;
                }
        }
        if (line->p < line->end && *line->p == '(') {
                line->p++;
                return take(line, 2);
        }
        return take(line, 1);
}

static void put_special(struct extract_out *out, struct line *line)
{
        struct line name = take_name(line);
        size_t n = name.end - name.p;
        char hex[8] = {};

        for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
                if (strlen(specials[i].name) == n && memcmp(specials[i].name, name.p, n) == 0) {
                        extract_put(out, specials[i].text, strlen(specials[i].text));
                        return;
                }
        if (n > 4 && n < sizeof hex && name.p[0] == 'u') {
                memcpy(hex, name.p + 1, n - 1);
                extract_put_char(out, (uint32_t)strtoul(hex, NULL, 16));
        } else if (n == 2 && isalpha((unsigned char)name.p[0]) && strchr("'`^:,~", name.p[1]))
                extract_put(out, name.p,
                            1); /* an accented letter, without its accent, which is folded anyway */
}

/* "\s-1", "\s+(10", "\s'12'", "\s0" */
static void skip_size(struct line *line)
{
        if (line->p < line->end && (*line->p == '+' || *line->p == '-'))
                line->p++;
        (void)take_name(line);
}

/* "\h'...'": the delimiter is whatever comes first. */
static void skip_delimited(struct line *line)
{
        struct line delimiter = take(line, 1);
        const char *close;

        close = memmem(line->p, line->end - line->p, delimiter.p, delimiter.end - delimiter.p);
        line->p = close ? close + (delimiter.end - delimiter.p) : line->end;
}

/* One escape, of which line->p is past the backslash. */
static void put_escape(struct extract_out *out, struct line *line)
{
        size_t length;
        uint32_t c;

        if (line->p >= line->end)
                return;
        c = unicode_get(line->p, line->end - line->p, &length);
        if (c == '(' || c == '[' || c == '*') {
                line->p += c == '*';
                put_special(out, line);
                return;
        }
        line->p += length;
        if (c == '"' || c == '#')
                line->p = line->end;
        else if (c == 'f' || c == 'm' || c == 'M' || c == 'F' || c == 'n' || c == 'k' || c == 'Y' ||
                 c == 'V' || c == 'g')
                (void)take_name(line);
        else if (c == 's')
                skip_size(line);
        else if (c == ' ' || c == '~' || c == '0' || c == 't')
                extract_put(out, " ", 1);
        else if (c == 'e' || c == '\\')
                extract_put(out, "\\", 1);
        else if (c < 0x80 && strchr("hvwolLDbNXAZBRSH", (int)c))
                skip_delimited(line);
        else if (c < 0x80 && strchr("&|^,/:%c)p{}dzuraE!?", (int)c))
                return;
        else
                extract_put_char(out, c);
}

static void put_line(struct extract_out *out, struct line line)
{
        const char *slash;

        while (line.p < line.end) {
                slash = memchr(line.p, '\\', line.end - line.p) ?: line.end;
                extract_put(out, line.p, slash - line.p);
                line.p = slash;
                if (line.p < line.end) {
                        line.p++;
                        put_escape(out, &line);
                }
        }
}

/* Reads the next argument of a macro. A quoted one may contain spaces; "" in it stands for a quote.
 */
static bool next_argument(struct line *line, struct line *ret)
{
        bool quoted;

        while (line->p < line->end && (*line->p == ' ' || *line->p == '\t'))
                line->p++;
        if (line->p >= line->end)
                return false;
        if (line->end - line->p > 1 && line->p[0] == '\\' && line->p[1] == '"')
                return false;
        quoted = *line->p == '"';
        line->p += quoted;
        ret->p = line->p;
        for (; line->p < line->end; line->p++) {
                if (quoted ? *line->p == '"' : *line->p == ' ' || *line->p == '\t')
                        break;
                if (*line->p == '\\' && line->p + 1 < line->end)
                        line->p++;
        }
        ret->end = line->p;
        if (quoted && line->p < line->end)
                line->p++;
        return true;
}

static bool is(const char *name, const char *list)
{
        size_t n = strlen(name);

        for (const char *s = strstr(list, name); n > 0 && s; s = strstr(s + 1, name))
                if ((s == list || s[-1] == ' ') && (s[n] == ' ' || s[n] == '\0'))
                        return true;
        return false;
}

/* True: a macro of mdoc that may be used inside the line of another macro. */
static bool is_inline(const struct line *word)
{
        static const char list[] =
                "Ac Ad Ao Ap Aq Ar Bc Bo Bq Brc Bro Brq Bsx Bx Cd Cm Dc Do Dq Dv "
                "Ec Em En Eo Er Ev Fa Fl Fn Ft Fx Ic Li Lk Ms Mt Nm No Ns Nx Oc "
                "Oo Op Ot Ox Pa Pc Pf Po Pq Qc Ql Qo Qq Sc So Sq Sx Sy Tn Ux Va "
                "Vt Xc Xo Xr";
        char name[4] = {};
        size_t n = word->end - word->p;

        if (n < 2 || n >= sizeof name)
                return false;
        memcpy(name, word->p, n);
        return is(name, list);
}

static void put_space(struct extract_out *out)
{
        if (out->n > 0 && out->text[out->n - 1] != ' ' && out->text[out->n - 1] != '\n')
                extract_put(out, " ", 1);
}

static void name_remember(struct man *m, struct line *line)
{
        struct line rest = *line, word;

        if (!next_argument(&rest, &word))
                *line = m->name;
        else if (!m->name.p)
                m->name = word;
}

static void put_mdoc(struct man *m, const char *macro, struct line line)
{
        bool dash = is(macro, "Fl"), space = true;
        struct line word;

        if (is(macro, "Nd"))
                extract_put(m->out, "- ", 2);
        if (is(macro, "Nm"))
                name_remember(m, &line);
        while (next_argument(&line, &word)) {
                if (is_inline(&word)) {
                        dash = word.p[0] == 'F' && word.p[1] == 'l';
                        continue;
                }
                if (word.end - word.p == 1 && strchr(".,:;)]", *word.p))
                        space = false;
                if (space)
                        put_space(m->out);
                if (dash)
                        extract_put(m->out, "-", 1);
                put_line(m->out, word);
                space = true;
                dash = false;
        }
        extract_put(m->out, "\n", 1);
}

static void put_arguments(struct man *m, struct line line, bool spaced)
{
        struct line word;

        for (bool first = true; next_argument(&line, &word); first = false) {
                if (!first && spaced)
                        put_space(m->out);
                put_line(m->out, word);
        }
        extract_put(m->out, "\n", 1);
}

/* "ls - list directory contents" makes "ls(1) - list directory contents". */
static void set_title(struct man *m, const char *name)
{
        const char *s = m->out->text + m->name_start, *dash, *dot = strrchr(name, '.');
        size_t n = m->out->n - m->name_start;
        char title[512];

        if (!dot || dot == name) {
                extract_title(m->extract, s, n);
                return;
        }
        dash = memmem(s, n, " - ", 3) ?: memmem(s, n, "\n- ", 3);
        if (dash)
                (void)snprintf(title, sizeof title, "%.*s(%s) - %.*s", (int)(dot - name), name,
                               dot + 1, (int)(n - (dash + 3 - s)), dash + 3);
        else
                (void)snprintf(title, sizeof title, "%.*s(%s)", (int)(dot - name), name, dot + 1);
        extract_title(m->extract, title, strlen(title));
}

static void handle_heading(struct man *m, const char *name, struct line line)
{
        if (m->heading == HEADING_FIRST)
                set_title(m, name);
        extract_break(m->out, true);
        put_arguments(m, line, true);
        m->heading = m->heading == HEADING_NONE ? HEADING_FIRST : HEADING_PAST;
        m->name_start = m->out->n;
}

/* Skips a definition, the format of a table or an equation, up to the line `stop`. */
static void skip_until(struct man *m, const char *stop)
{
        size_t n = strlen(stop);
        struct line line;

        while (next_line(m, &line))
                if ((size_t)(line.end - line.p) >= n && memcmp(line.p, stop, n) == 0)
                        return;
}

/* Skips the format of a table, whose last line ends with a dot. */
static void skip_format(struct man *m)
{
        struct line line;

        while (next_line(m, &line))
                if (line.end > line.p && line.end[-1] == '.')
                        return;
}

/* Counts the \{ and \} of a line. */
static void count_braces(struct man *m, struct line line)
{
        for (const char *p = line.p; p + 1 < line.end; p++) {
                if (*p != '\\')
                        continue;
                p++;
                m->braces += *p == '{';
                m->braces -= *p == '}';
        }
        if (m->braces < 0)
                m->braces = 0;
}

/* Handles a request, whose name has lower case and which prints nothing. */
static void handle_request(struct man *m, const char *macro, struct line line)
{
        if (is(macro, "if ie el"))
                count_braces(m, line);
        else if (is(macro, "de de1 am ig"))
                skip_until(m, "..");
        else if (is(macro, "br"))
                extract_break(m->out, false);
        else if (is(macro, "sp"))
                extract_break(m->out, true);
}

static void handle_macro(struct man *m, const char *name, const char *macro, struct line line)
{
        if (is(macro, "SH SS Sh Ss"))
                handle_heading(m, name, line);
        else if (islower((unsigned char)macro[0]))
                handle_request(m, macro, line);
        else if (is(macro, "TH Dd Dt Os In At UC IX Sm"))
                m->mdoc = m->mdoc || is(macro, "Dd Dt");
        else if (is(macro, "PP P LP Pp"))
                extract_break(m->out, true);
        else if (is(macro, "TP HP TQ RS RE Bl El Bd Ed EX EE UE ME YS Bk Ek Rs Re"))
                extract_break(m->out, false);
        else if (is(macro, "IP")) {
                struct line word;

                extract_break(m->out, false);
                if (next_argument(&line, &word)) {
                        put_line(m->out, word);
                        extract_put(m->out, "\n", 1);
                }
        } else if (is(macro, "TS"))
                skip_format(m);
        else if (is(macro, "EQ"))
                skip_until(m, ".EN");
        else if (m->mdoc) {
                if (is(macro, "It"))
                        extract_break(m->out, false);
                put_mdoc(m, macro, line);
        } else
                put_arguments(m, line, !is(macro, "BI BR IB IR RB RI"));
}

static void handle_control(struct man *m, const char *name, struct line line)
{
        char macro[8] = {};
        size_t n = 0;

        line.p++;
        while (line.p < line.end && (*line.p == ' ' || *line.p == '\t'))
                line.p++;
        for (; line.p < line.end && isalnum((unsigned char)*line.p); line.p++)
                if (n + 1 < sizeof macro)
                        macro[n++] = *line.p;
        if (n > 0)
                handle_macro(m, name, macro, line);
}

static void handle_text(struct man *m, struct line line)
{
        struct line rest = line;

        while (rest.p < rest.end && (*rest.p == ' ' || *rest.p == '\t'))
                rest.p++;
        if (rest.p == rest.end) {
                extract_break(m->out, true);
                return;
        }
        put_line(m->out, line);
        extract_put(m->out, "\n", 1);
}

void man_extract(const char *name, const char *data, size_t n, struct extract *e,
                 struct extract_out *out)
{
        struct man m = { .extract = e, .out = out, .p = data, .end = data + n };
        struct line line;

        while (next_line(&m, &line)) {
                if (m.braces > 0)
                        count_braces(&m, line);
                else if (line.p < line.end && (*line.p == '.' || *line.p == '\''))
                        handle_control(&m, name, line);
                else
                        handle_text(&m, line);
        }
        if (m.heading == HEADING_FIRST)
                set_title(&m, name);
}
