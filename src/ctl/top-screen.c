/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/top.h"
#include "util/clock.h"

#define HEAD_LINES 4

enum { PAIR_BAD = 1 };

struct screen {
        json_t *before; /* the sample before the last; NULL: none */
        json_t *now;
        int error; /* of the last sample */
        enum top_sort sort;
        bool quit;
};

static const struct {
        char key;
        enum top_sort sort;
        const char *name;
} sorts[] = {
        { 'n', TOP_BY_NAME, "name" },        { 'c', TOP_BY_RATE, "calls" },
        { 'f', TOP_BY_ERRORS, "failed" },    { 'l', TOP_BY_LATENCY, "latency" },
        { 'i', TOP_BY_FLIGHT, "in flight" }, { 'u', TOP_BY_QUEUE, "queued" },
};

/* --- drawing, cut to the size of the screen
 * -------------------------------------------------------- */

/* Replaces control characters: text from a peer must not move the cursor. */
static void put_line(int y, attr_t attributes, const char *text)
{
        if (y >= LINES)
                return;
        (void)attron(attributes);
        (void)move(y, 0);
        for (int x = 0; *text && x < COLS; text++, x++)
                (void)addch(isprint((unsigned char)*text) ? (chtype)(unsigned char)*text : '?');
        (void)attroff(attributes);
}

static void draw_summary(const struct screen *s)
{
        const json_t *now = s->now;
        char line[256];

        (void)snprintf(line, sizeof line,
                       "brickd %s, %s, generation %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
                       " of %" JSON_INTEGER_FORMAT " workers ready",
                       json_string_value(json_object_get(now, "version")) ?: "-",
                       json_string_value(json_object_get(now, "state")) ?: "-",
                       json_integer_value(json_object_get(now, "generation")),
                       json_integer_value(json_object_get(now, "workers_ready")),
                       json_integer_value(json_object_get(now, "workers")));
        put_line(0, A_BOLD, line);
        if (s->error < 0) {
                (void)snprintf(line, sizeof line, "No answer from brickd: %s", strerror(-s->error));
                put_line(1, (attr_t)COLOR_PAIR(PAIR_BAD) | A_BOLD, line);
                return;
        }
        (void)snprintf(line, sizeof line,
                       "by %s; sort: n name, c calls, f failed, l latency, i in flight, u queued; "
                       "q quits",
                       sorts[s->sort].name);
        put_line(1, A_DIM, line);
}

static void draw_row(int y, const struct top_row *row)
{
        char mean[TOP_TIME_MAX], p50[TOP_TIME_MAX], p99[TOP_TIME_MAX], line[256];
        bool bad = strcmp(row->state, "unhealthy") == 0 || row->errors > 0;

        top_format_time(row->mean, mean);
        top_format_time(row->p50, p50);
        top_format_time(row->p99, p99);
        (void)snprintf(line, sizeof line, "%-20s %-9s %-9s %10.1f %9.1f %8s %8s %8s %9lld %7lld",
                       row->name, row->type, row->state, row->rate, row->errors, mean, p50, p99,
                       row->in_flight, row->queued);
        put_line(y, bad ? (attr_t)COLOR_PAIR(PAIR_BAD) : A_NORMAL, line);
}

static void draw(const struct screen *s)
{
        _cleanup_free_ struct top_row *rows = NULL;
        char head[256];
        size_t n = 0;

        (void)erase();
        draw_summary(s);
        (void)snprintf(head, sizeof head, "%-20s %-9s %-9s %10s %9s %8s %8s %8s %9s %7s", "NAME",
                       "TYPE", "STATE", "CALLS/S", "FAILED/S", "MEAN", "P50", "P99", "IN FLIGHT",
                       "QUEUED");
        put_line(HEAD_LINES - 1, A_REVERSE, head);
        rows = top_rows(s->before, s->now, &n);
        if (rows)
                top_sort(rows, n, s->sort);
        for (size_t i = 0; rows && i < n && HEAD_LINES + (int)i < LINES; i++)
                draw_row(HEAD_LINES + (int)i, &rows[i]);
        (void)refresh();
}

/* --- the loop --------------------------------------------------------------------------------- */

static void press(struct screen *s, int key)
{
        if (key == 'q' || key == 'Q')
                s->quit = true;
        for (size_t i = 0; i < ELEMENTSOF(sorts); i++)
                if (key == sorts[i].key)
                        s->sort = sorts[i].sort;
}

/* Handles keys and changes of the terminal's size until `end`. */
static void wait_until(struct screen *s, uint64_t end)
{
        uint64_t now;
        int key;

        while (!s->quit && (now = clock_now()) < end) {
                timeout((int)((end - now) / NSEC_PER_MSEC) + 1);
                key = getch();
                if (key == ERR)
                        continue;
                press(s, key);
                draw(s);
        }
}

static void take(struct screen *s, int (*look)(void *user, json_t **ret), void *user)
{
        json_t *next;

        s->error = look(user, &next);
        if (s->error < 0)
                return;
        json_decref(s->before);
        s->before = s->now;
        s->now = next;
}

int top_screen(int (*look)(void *user, json_t **ret), void *user, int64_t interval, unsigned count,
               bool colour)
{
        struct screen s = {};
        SCREEN *terminal = newterm(NULL, stdout, stdin);

        if (!terminal)
                return ctl_error(CTL_FAILED, "Unknown terminal: $TERM is '%s'",
                                 getenv("TERM") ?: "");
        (void)cbreak();
        (void)noecho();
        (void)curs_set(0);
        (void)keypad(stdscr, TRUE);
        if (colour && !getenv("NO_COLOR") && has_colors()) {
                (void)start_color();
                (void)use_default_colors();
                (void)init_pair(PAIR_BAD, COLOR_RED, -1);
        }
        for (unsigned i = 0; !s.quit && (count == 0 || i <= count); i++) {
                uint64_t begin = clock_now();

                take(&s, look, user);
                draw(&s);
                if (count == 0 || i < count)
                        wait_until(&s, begin + (uint64_t)interval);
        }
        (void)endwin();
        delscreen(terminal);
        json_decref(s.before);
        json_decref(s.now);
        return CTL_OK;
}
