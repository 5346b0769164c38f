/* SPDX-License-Identifier: MIT */
#include "places.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "brick-sdk.h"

#define TRAILER_MAX 1024 /* bytes; what does not fit is left out */

struct line {
        char text[TRAILER_MAX];
        size_t n;
};

static void add(struct line *line, size_t from, size_t to, const char *action, const char *category,
                const char *rule)
{
        size_t room = sizeof line->text - line->n;
        int n = snprintf(line->text + line->n, room, "%s%zu-%zu %s %s %s", line->n > 0 ? ", " : "",
                         from, to, action, category, rule);

        if ((size_t)n < room)
                line->n += (size_t)n;
        else
                line->text[line->n] = '\0';
}

/* All places of the categories that are masked: a stream finds every match, and not just the first
 * one. */
static void add_masked(struct line *line, const struct judge *judge,
                       const struct stream_plan *streams, const char *text, size_t length)
{
        struct brick_judgement judgement = { .struct_size = sizeof judgement };
        struct stream *stream = stream_new(streams);

        if (stream && stream_push(stream, text, length, true, &judgement) == 0) {
                for (size_t i = 0; i < judgement.n_findings; i++) {
                        const struct brick_finding *finding = &judgement.findings[i];
                        const struct category *category = rules_category(judge->rules,
                                                                         finding->category.ptr);

                        if (category && category->masked)
                                add(line, finding->start, finding->end, "mask", category->name,
                                    finding->rule.ptr);
                }
        }
        stream_free(stream);
}

void places_tell(struct brick_call *call, const struct judge *judge,
                 const struct stream_plan *streams, const struct verdict *verdict, const char *text,
                 size_t length)
{
        struct line line;
        bool masks = false;

        line.n = 0;
        for (size_t i = 0; i < verdict->n_hits; i++) {
                const struct hit *hit = &verdict->hits[i];
                const struct category *category = &judge->rules->categories[hit->category];

                if (category->masked && hit->encoding == ENCODING_NONE)
                        masks = true;
                else
                        add(&line, hit->from, hit->to,
                            category_blames(category, judge_score(verdict, hit->category)) ? "block"
                                                                                           : "flag",
                            category->name, hit->rule);
        }
        if (masks)
                add_masked(&line, judge, streams, text, length);
        if (line.n > 0)
                (void)brick_host->call_trailer(call, brick_str(PLACES_TRAILER),
                                               (struct brick_str){ line.text, line.n });
}
