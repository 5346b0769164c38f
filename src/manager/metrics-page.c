/* SPDX-License-Identifier: MIT */
#include "manager/metrics-page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/names.h"
#include "manager/tally.h"
#include "util/clock.h"

void page_family(struct page *p, const char *name, const char *help, const char *type)
{
        p->name = name;
        (void)fprintf(p->f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void page_begin(struct page *p, const char *suffix)
{
        (void)fprintf(p->f, "%s%s", p->name, suffix);
        p->labelled = false;
}

void page_label(struct page *p, const char *key, const char *value)
{
        size_t plain;

        (void)fprintf(p->f, "%c%s=\"", p->labelled ? ',' : '{', key);
        while (value[plain = strcspn(value, "\n\"\\")]) {
                (void)fwrite(value, 1, plain, p->f);
                (void)fprintf(p->f, "\\%c", value[plain] == '\n' ? 'n' : value[plain]);
                value += plain + 1;
        }
        (void)fprintf(p->f, "%s\"", value);
        p->labelled = true;
}

void page_label_number(struct page *p, const char *key, unsigned number)
{
        char value[16];

        (void)snprintf(value, sizeof value, "%u", number);
        page_label(p, key, value);
}

void page_end(struct page *p, uint64_t value)
{
        (void)fprintf(p->f, "%s %" PRIu64 "\n", p->labelled ? "}" : "", value);
}

void page_end_seconds(struct page *p, uint64_t ns)
{
        (void)fprintf(p->f, "%s %" PRIu64 ".%09" PRIu64 "\n", p->labelled ? "}" : "",
                      ns / NSEC_PER_SEC, ns % NSEC_PER_SEC);
}

void page_end_double(struct page *p, double value)
{
        (void)fprintf(p->f, "%s %.6f\n", p->labelled ? "}" : "", value);
}

void page_value(struct page *p, uint64_t number)
{
        page_begin(p, "");
        page_end(p, number);
}

void page_label_brick(struct page *p, const struct tally_brick *brick)
{
        page_label(p, "brick", brick->name);
        page_label(p, "type", brick_type_to_string(brick->type));
}

void page_label_method(struct page *p, const struct tally_brick *brick, unsigned method)
{
        page_label_brick(p, brick);
        page_label(p, "method", brick_method_to_string(method));
}

static void begin_histogram(struct page *p, const char *suffix, const struct tally_brick *brick,
                            unsigned method)
{
        page_begin(p, suffix);
        if (method == NO_METHOD)
                page_label_brick(p, brick);
        else
                page_label_method(p, brick, method);
}

void page_histogram(struct page *p, const struct tally_brick *brick, unsigned method,
                    const struct stats_histogram *h)
{
        uint64_t count = 0;
        char bound[32];

        if (stats_observed(h) == 0)
                return;

        for (size_t i = 0; i <= STATS_BUCKETS; i++) {
                count = stats_sum(count, stats_get(&h->buckets[i]));
                if (i < STATS_BUCKETS)
                        (void)snprintf(bound, sizeof bound, "%g",
                                       (double)stats_bounds[i] / (double)NSEC_PER_SEC);
                begin_histogram(p, "_bucket", brick, method);
                page_label(p, "le", i < STATS_BUCKETS ? bound : "+Inf");
                page_end(p, count);
        }
        begin_histogram(p, "_sum", brick, method);
        page_end_seconds(p, stats_get(&h->sum));
        begin_histogram(p, "_count", brick, method);
        page_end(p, count);
}
