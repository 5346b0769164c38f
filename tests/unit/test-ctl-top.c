/* SPDX-License-Identifier: MIT */

/* From two looks at brickd's counters to rates and times. */

#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <string.h>

#include "ctl/json.h"
#include "ctl/top.h"

#define MS INT64_C(1000000)

/* Bounds at 10 and 100 ms. */
static json_t *look(int64_t time, int calls, int failures, int a, int b, int c, int64_t sum)
{
        return json_pack(
                "{s:I, s:[I,I], s:[{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:{s:I, s:[i,i,i]}}]}",
                "time", (json_int_t)(time * MS), "bounds", (json_int_t)(10 * MS),
                (json_int_t)(100 * MS), "bricks", "name", "b", "type", "LLM", "state", "ready",
                "calls", calls, "failures", failures, "in_flight", 1, "queued", 2, "duration",
                "sum", (json_int_t)(sum * MS), "buckets", a, b, c);
}

static struct top_row row_of(json_t *before, json_t *now)
{
        size_t n = 0;
        struct top_row *rows = top_rows(before, now, &n), row;

        assert(rows && n == 1);
        row = rows[0];
        free(rows);
        assert(strcmp(row.name, "b") == 0 && row.in_flight == 1 && row.queued == 2);
        return row;
}

static bool near(double a, double b)
{
        return fabs(a - b) < 1e-9;
}

static void test_rates(void)
{
        _cleanup_(json_unrefp) json_t *before = look(1000, 10, 1, 5, 5, 0, 100);
        _cleanup_(json_unrefp) json_t *now = look(3000, 14, 2, 7, 6, 1, 500);
        _cleanup_(json_unrefp) json_t *anew = look(5000, 3, 0, 3, 0, 0, 6);
        struct top_row row;

        row = row_of(before, now);
        assert(near(row.rate, 2) && near(row.errors, 0.5) && near(row.mean, 0.1));
        assert(near(row.p50, 0.01));
        assert(near(row.p99, 0.1)); /* or more: nobody knows */

        row = row_of(NULL, now);
        assert(row.rate == 0 && isnan(row.mean) && isnan(row.p50) && isnan(row.p99));
        row = row_of(now, now);
        assert(row.rate == 0 && isnan(row.mean));

        /* brickd has been started again */
        row = row_of(now, anew);
        assert(near(row.rate, 1.5) && near(row.mean, 0.002) && near(row.p50, 0.005));
}

/* Whatever comes instead of numbers. */
static void test_nonsense(void)
{
        static const char *const texts[] = {
                "{}",
                "{\"bricks\": 7}",
                "{\"bricks\": [7, {}, {\"name\": 7, \"duration\": []}], \"time\": \"x\"}",
                "{\"bricks\": [{\"name\": \"b\", \"type\": \"LLM\"}], \"bounds\": [], \"time\": 1}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                        _cleanup_(json_unrefp) json_t *a = json_loads(texts[i], 0, NULL);
                        _cleanup_(json_unrefp) json_t *b = json_loads(texts[k], 0, NULL);
                        size_t n;

                        assert(a && b);
                        free(top_rows(a, b, &n));
                }
}

static void test_sort(void)
{
        struct top_row rows[] = {
                { .place = 0, .name = "a", .rate = 1, .p99 = NAN },
                { .place = 1, .name = "b", .rate = 5, .p99 = 2 },
                { .place = 2, .name = "c", .rate = 5, .p99 = 3 },
        };

        top_sort(rows, 3, TOP_BY_RATE);
        assert(*rows[0].name == 'b' && *rows[1].name == 'c' && *rows[2].name == 'a');
        top_sort(rows, 3, TOP_BY_LATENCY);
        assert(*rows[0].name == 'c' && *rows[1].name == 'b' && *rows[2].name == 'a');
}

static void test_times(void)
{
        static const struct {
                double seconds;
                const char *text;
        } times[] = {
                { NAN, "-" },        { 0, "0us" },        { 0.00085, "850us" },
                { 0.0012, "1.2ms" }, { 0.25, "250.0ms" }, { 3.4, "3.4s" },
        };
        char text[TOP_TIME_MAX];

        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                top_format_time(times[i].seconds, text);
                assert(strcmp(text, times[i].text) == 0);
        }
}

int main(void)
{
        test_rates();
        test_nonsense();
        test_sort();
        test_times();
        return 0;
}
