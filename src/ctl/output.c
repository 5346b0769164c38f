/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/output.h"
#include "util/cleanup.h"

static bool coloured;

bool output_wants_colour(FILE *f)
{
        const char *no_color = getenv("NO_COLOR");
        const char *term = getenv("TERM");

        return isatty(fileno(f)) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

void output_set_colour(bool on)
{
        coloured = on;
}

const char *output_colour(enum colour colour)
{
        static const char *const sequences[] = {
                [COLOUR_NONE] = "\033[0m",  [COLOUR_BOLD] = "\033[1m", [COLOUR_DIM] = "\033[2m",
                [COLOUR_GOOD] = "\033[32m", [COLOUR_BAD] = "\033[31m",
        };

        return coloured ? sequences[colour] : "";
}

static void print_number(FILE *f, double value)
{
        char text[32];

        for (int digits = 15; digits <= 17; digits++) {
                (void)snprintf(text, sizeof text, "%.*g", digits, value);
                if (strtod(text, NULL) == value)
                        break;
        }
        fputs(text, f);
}

static void print_json(FILE *f, const json_t *json);

static void print_object(FILE *f, const json_t *json)
{
        const char *separator = "";
        const char *key;
        json_t *child;

        fputc('{', f);
        json_object_foreach((json_t *)json, key, child)
        {
                _cleanup_free_ char *quoted = NULL;
                json_t *name = json_string(key);

                quoted = json_dumps(name, JSON_ENCODE_ANY);
                json_decref(name);
                fprintf(f, "%s%s:", separator, quoted ?: "\"\"");
                print_json(f, child);
                separator = ",";
        }
        fputc('}', f);
}

static void print_list(FILE *f, const json_t *json)
{
        const char *separator = "";
        size_t index;
        json_t *child;

        fputc('[', f);
        json_array_foreach(json, index, child)
        {
                fputs(separator, f);
                print_json(f, child);
                separator = ",";
        }
        fputc(']', f);
}

static void print_json(FILE *f, const json_t *json)
{
        if (json_is_object(json))
                print_object(f, json);
        else if (json_is_array(json))
                print_list(f, json);
        else if (json_is_real(json))
                print_number(f, json_real_value(json));
        else
                (void)json_dumpf(json, f, JSON_ENCODE_ANY);
}

void output_json(FILE *f, const json_t *json)
{
        print_json(f, json);
        fputc('\n', f);
}

static void indent(FILE *f, unsigned depth)
{
        for (unsigned i = 0; i < depth; i++)
                fputs("  ", f);
}

static bool is_branch(const json_t *json)
{
        return json_object_size(json) > 0 || json_array_size(json) > 0;
}

/* Prints a text of several lines as an indented block below its key. */
static void print_block(FILE *f, const char *text, unsigned depth)
{
        size_t length;

        do {
                _cleanup_free_ char *line = NULL;

                length = strcspn(text, "\n");
                line = strndup(text, length);
                fputc('\n', f);
                indent(f, depth);
                output_text(f, line ?: "");
                text += length;
        } while (*text++ && *text);
}

static void print_leaf(FILE *f, const json_t *json, unsigned depth)
{
        const char *text = json_string_value(json);

        if (!text)
                print_json(f, json);
        else if (!*text)
                fputs("\"\"", f);
        else if (strchr(text, '\n'))
                print_block(f, text, depth);
        else
                output_text(f, text);
        fputc('\n', f);
}

static void print_tree(FILE *f, const json_t *json, unsigned depth, bool indented);

static void print_tree_object(FILE *f, const json_t *json, unsigned depth, bool indented)
{
        const char *key;
        json_t *child;

        json_object_foreach((json_t *)json, key, child)
        {
                if (!indented)
                        indent(f, depth);
                indented = false;
                fputs(output_colour(COLOUR_BOLD), f);
                output_text(f, key);
                fprintf(f, "%s:%s", output_colour(COLOUR_NONE), is_branch(child) ? "\n" : " ");
                print_tree(f, child, depth + 1, false);
        }
}

static void print_tree_list(FILE *f, const json_t *json, unsigned depth, bool indented)
{
        size_t index;
        json_t *child;

        json_array_foreach(json, index, child)
        {
                if (!indented)
                        indent(f, depth);
                indented = false;
                fputs("- ", f);
                print_tree(f, child, depth + 1, true);
        }
}

/* indented: the first line of a branch already has its indentation. */
static void print_tree(FILE *f, const json_t *json, unsigned depth, bool indented)
{
        if (!is_branch(json))
                print_leaf(f, json, depth);
        else if (json_is_object(json))
                print_tree_object(f, json, depth, indented);
        else
                print_tree_list(f, json, depth, indented);
}

void output_tree(FILE *f, const json_t *json)
{
        print_tree(f, json, 0, false);
}

void output_text(FILE *f, const char *text)
{
        if (!isatty(fileno(f))) {
                fputs(text, f);
                return;
        }
        for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
                /* C1 controls, U+0080 to U+009F, are two bytes in UTF-8. */
                bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;

                if (c1)
                        fprintf(f, "\\x%02x", *++p);
                else if (iscntrl(*p) && *p != '\n' && *p != '\t')
                        fprintf(f, "\\x%02x", *p);
                else
                        fputc(*p, f);
        }
}

/* Counts code points, because a name may use any script. */
static size_t text_width(const char *text)
{
        size_t width = 0;

        for (; *text; text++)
                if ((*text & 0xc0) != 0x80)
                        width++;
        return width;
}

static bool is_number(const char *text)
{
        return text[strspn(text, "0123456789-")] == '\0';
}

struct column {
        size_t width;
        bool right;
};

static struct column measure(const char *const *cells, size_t columns, size_t rows)
{
        struct column column = { .right = rows > 1 };

        for (size_t row = 0; row < rows; row++) {
                const char *cell = cells[row * columns];
                size_t width = text_width(cell);

                if (width > column.width)
                        column.width = width;
                if (row > 0 && !is_number(cell))
                        column.right = false;
        }
        return column;
}

static void print_cell(FILE *f, const char *cell, struct column column, bool last)
{
        size_t padding = column.width - text_width(cell);

        if (column.right)
                fprintf(f, "%*s", (int)padding, "");
        output_text(f, cell);
        if (!last)
                fprintf(f, "%*s", (int)(2 + (column.right ? 0 : padding)), "");
}

void output_table(FILE *f, const char *const *cells, size_t columns, size_t rows)
{
        struct column measures[OUTPUT_COLUMNS_MAX];

        for (size_t i = 0; i < columns; i++)
                measures[i] = measure(cells + i, columns, rows);
        for (size_t row = 0; row < rows; row++) {
                fputs(row == 0 ? output_colour(COLOUR_BOLD) : "", f);
                for (size_t i = 0; i < columns; i++)
                        print_cell(f, cells[row * columns + i], measures[i], i + 1 == columns);
                fprintf(f, "%s\n", row == 0 ? output_colour(COLOUR_NONE) : "");
        }
}

void output_duration(uint64_t seconds, char *buffer, size_t size)
{
        uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

        if (days > 0)
                (void)snprintf(buffer, size, "%" PRIu64 " d %" PRIu64 " h", days, hours % 24);
        else if (hours > 0)
                (void)snprintf(buffer, size, "%" PRIu64 " h %" PRIu64 " min", hours, minutes % 60);
        else if (minutes > 0)
                (void)snprintf(buffer, size, "%" PRIu64 " min %" PRIu64 " s", minutes,
                               seconds % 60);
        else
                (void)snprintf(buffer, size, "%" PRIu64 " s", seconds);
}
