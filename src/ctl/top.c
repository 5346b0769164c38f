/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/control.h"
#include "ctl/file.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/top.h"
#include "util/clock.h"

#define ANSWER_TIMEOUT (2 * NSEC_PER_SEC)

/* --- from counters to rates ------------------------------------------------------------------- */

static json_int_t number(const json_t *object, const char *key)
{
        return json_integer_value(json_object_get(object, key));
}

static const json_t *find_brick(const json_t *stats, const char *name, const char *type)
{
        size_t index;
        json_t *brick;

        json_array_foreach(json_object_get(stats, "bricks"), index, brick)
        {
                const char *other = json_string_value(json_object_get(brick, "type"));

                if (strcmp(json_string_value(json_object_get(brick, "name")) ?: "", name) == 0 &&
                    other && strcmp(other, type) == 0)
                        return brick;
        }
        return NULL;
}

/* A counter that is smaller than before has been reset. */
static double increase(json_int_t before, json_int_t now)
{
        return (double)(now >= before ? now - before : now);
}

static double bucket(const json_t *before, const json_t *now, size_t i)
{
        const json_t *old = json_object_get(json_object_get(before, "duration"), "buckets");
        const json_t *new = json_object_get(json_object_get(now, "duration"), "buckets");

        return increase(json_integer_value(json_array_get(old, i)),
                        json_integer_value(json_array_get(new, i)));
}

static double bound(const json_t *stats, size_t i)
{
        return (double)json_integer_value(json_array_get(json_object_get(stats, "bounds"), i)) /
               (double)NSEC_PER_SEC;
}

/* Interpolates within a bucket, as Prometheus does. */
static double quantile(const json_t *stats, const json_t *before, const json_t *now, double count,
                       double q)
{
        size_t n = json_array_size(json_object_get(stats, "bounds"));
        double seen = 0, rank = q * count, in, low;

        for (size_t i = 0; i < n; i++) {
                in = bucket(before, now, i);
                if (seen + in >= rank && in > 0) {
                        low = i > 0 ? bound(stats, i - 1) : 0;
                        return low + (bound(stats, i) - low) * (rank - seen) / in;
                }
                seen += in;
        }
        return bound(stats, n - 1); /* in the last bucket, which has no bound */
}

static void measure(struct top_row *row, const json_t *stats, const json_t *before,
                    const json_t *now, double seconds)
{
        size_t n = json_array_size(json_object_get(stats, "bounds"));
        double count = 0, sum;

        row->rate = increase(number(before, "calls"), number(now, "calls")) / seconds;
        row->errors = increase(number(before, "failures"), number(now, "failures")) / seconds;
        for (size_t i = 0; i <= n; i++)
                count += bucket(before, now, i);
        if (count <= 0 || n == 0)
                return;
        sum = increase(number(json_object_get(before, "duration"), "sum"),
                       number(json_object_get(now, "duration"), "sum"));
        row->mean = sum / (double)NSEC_PER_SEC / count;
        row->p50 = quantile(stats, before, now, count, 0.5);
        row->p99 = quantile(stats, before, now, count, 0.99);
}

struct top_row *top_rows(const json_t *before, const json_t *now, size_t *ret_n)
{
        const json_t *bricks = json_object_get(now, "bricks");
        double seconds = (double)(number(now, "time") - number(before, "time")) /
                         (double)NSEC_PER_SEC;
        struct top_row *rows = calloc(json_array_size(bricks) + 1, sizeof *rows);
        size_t index;
        json_t *brick;

        if (!rows)
                return NULL;
        json_array_foreach(bricks, index, brick)
        {
                struct top_row *row = &rows[index];

                *row = (struct top_row){
                        .place = index,
                        .name = json_string_value(json_object_get(brick, "name")) ?: "-",
                        .type = json_string_value(json_object_get(brick, "type")) ?: "-",
                        .state = json_string_value(json_object_get(brick, "state")) ?: "-",
                        .mean = NAN,
                        .p50 = NAN,
                        .p99 = NAN,
                        .in_flight = number(brick, "in_flight"),
                        .queued = number(brick, "queued"),
                };
                if (before && seconds > 0)
                        measure(row, now, find_brick(before, row->name, row->type), brick, seconds);
        }
        *ret_n = json_array_size(bricks);
        return rows;
}

static double weight(const struct top_row *row, enum top_sort by)
{
        switch (by) {
        case TOP_BY_NAME:
                break;
        case TOP_BY_RATE:
                return row->rate;
        case TOP_BY_ERRORS:
                return row->errors;
        case TOP_BY_LATENCY:
                return isnan(row->p99) ? -1 : row->p99;
        case TOP_BY_FLIGHT:
                return (double)row->in_flight;
        case TOP_BY_QUEUE:
                return (double)row->queued;
        }
        return 0;
}

static int compare(const void *a, const void *b, void *by)
{
        double x = weight(a, *(enum top_sort *)by), y = weight(b, *(enum top_sort *)by);

        if (x != y)
                return x < y ? 1 : -1;
        return ((const struct top_row *)a)->place > ((const struct top_row *)b)->place ? 1 : -1;
}

void top_sort(struct top_row *rows, size_t n, enum top_sort by)
{
        if (by != TOP_BY_NAME)
                qsort_r(rows, n, sizeof *rows, compare, &by);
}

void top_format_time(double seconds, char text[static TOP_TIME_MAX])
{
        if (isnan(seconds))
                (void)snprintf(text, TOP_TIME_MAX, "-");
        else if (seconds < 0.001)
                (void)snprintf(text, TOP_TIME_MAX, "%.0fus", seconds * 1e6);
        else if (seconds < 1)
                (void)snprintf(text, TOP_TIME_MAX, "%.1fms", seconds * 1e3);
        else
                (void)snprintf(text, TOP_TIME_MAX, "%.1fs", seconds);
}

/* --- lines ------------------------------------------------------------------------------------ */

struct target {
        const struct ctl *ctl;
        const char *control;
};

static int look(void *user, json_t **ret)
{
        const struct target *target = user;

        return control_ask(target->ctl, target->control, ANSWER_TIMEOUT, "Stats", ret);
}

static json_t *time_json(double seconds)
{
        return isnan(seconds) ? json_null() : json_real(seconds);
}

static json_t *row_json(const struct top_row *row)
{
        return json_pack("{s:s, s:s, s:s, s:f, s:f, s:o, s:o, s:o, s:I, s:I}", "name", row->name,
                         "type", row->type, "state", row->state, "calls_per_second", row->rate,
                         "failures_per_second", row->errors, "mean_seconds", time_json(row->mean),
                         "p50_seconds", time_json(row->p50), "p99_seconds", time_json(row->p99),
                         "in_flight", (json_int_t)row->in_flight, "queued",
                         (json_int_t)row->queued);
}

static void print_json(const struct top_row *rows, size_t n)
{
        _cleanup_(json_unrefp) json_t *list = json_array();

        for (size_t i = 0; i < n; i++)
                (void)json_array_append_new(list, row_json(&rows[i]));
        output_json(stdout, list);
}

static void print_head(void)
{
        printf("%-8s %-20s %-9s %-9s %10s %9s %8s %8s %8s %9s %7s\n", "TIME", "NAME", "TYPE",
               "STATE", "CALLS/S", "FAILED/S", "MEAN", "P50", "P99", "IN FLIGHT", "QUEUED");
}

static void print_rows(const struct top_row *rows, size_t n)
{
        char mean[TOP_TIME_MAX], p50[TOP_TIME_MAX], p99[TOP_TIME_MAX], clock[16] = "";
        time_t now = time(NULL);
        struct tm tm;

        if (localtime_r(&now, &tm))
                (void)strftime(clock, sizeof clock, "%H:%M:%S", &tm);
        for (size_t i = 0; i < n; i++) {
                const struct top_row *row = &rows[i];

                top_format_time(row->mean, mean);
                top_format_time(row->p50, p50);
                top_format_time(row->p99, p99);
                printf("%-8s %-20s %-9s %-9s %10.1f %9.1f %8s %8s %8s %9lld %7lld\n", clock,
                       row->name, row->type, row->state, row->rate, row->errors, mean, p50, p99,
                       row->in_flight, row->queued);
        }
}

static void sleep_for(int64_t ns)
{
        struct timespec t = { (time_t)((uint64_t)ns / NSEC_PER_SEC),
                              (long)((uint64_t)ns % NSEC_PER_SEC) };

        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
                ;
}

static int print_looks(const struct ctl *ctl, struct target *target)
{
        _cleanup_(json_unrefp) json_t *before = NULL;
        int r;

        r = look(target, &before);
        if (r == 0 && !ctl->json)
                print_head();
        (void)fflush(stdout);
        for (unsigned i = 0; r == 0 && (ctl->count == 0 || i < ctl->count); i++) {
                _cleanup_free_ struct top_row *rows = NULL;
                json_t *now;
                size_t n;

                sleep_for(ctl->interval);
                r = look(target, &now);
                if (r < 0)
                        break;
                rows = top_rows(before, now, &n);
                if (rows && ctl->json)
                        print_json(rows, n);
                else if (rows)
                        print_rows(rows, n);
                json_decref(before);
                before = now;
                if (fflush(stdout) != 0)
                        return CTL_OK; /* the reader has gone; main() reports the error */
        }
        return r < 0 ? control_no_answer(target->control, r) : CTL_OK;
}

static int top(const struct ctl *ctl, const struct file *file)
{
        struct target target = { ctl, file->control };
        json_t *stats;
        int r;

        if (ctl->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
                return print_looks(ctl, &target);
        r = look(&target, &stats); /* report a missing permission before the screen opens */
        if (r < 0)
                return control_no_answer(target.control, r);
        json_decref(stats);
        return top_screen(look, &target, ctl->interval, ctl->count, !ctl->no_color);
}

int command_top(struct ctl *ctl)
{
        return control_with_file(ctl, top);
}
