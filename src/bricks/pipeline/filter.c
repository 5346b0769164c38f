/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <string.h>

struct judged {
        struct run *run;
        const struct step *step;
        const char *text;
        GuardResponse *response;
        struct brick_text masked;
        size_t copied; /* bytes of the text that are in masked */
        bool masks;    /* some finding has become a placeholder */
};

static bool is_named(const struct judge_plan *judge, struct brick_str name)
{
        for (size_t i = 0; i < judge->n_mask; i++)
                if (strlen(judge->mask[i]) == name.len &&
                    memcmp(judge->mask[i], name.ptr, name.len) == 0)
                        return true;
        return false;
}

static int mask(struct judged *judged, const struct brick_finding *finding)
{
        const char *placeholder;

        if (finding->start < judged->copied || finding->end <= finding->start)
                return 0; /* inside of one that is masked already */
        placeholder = mask_add(&judged->run->mask, finding->rule.ptr, finding->rule.len,
                               judged->text + finding->start, finding->end - finding->start);
        if (!placeholder)
                return -ENOMEM;
        brick_text_add(&judged->masked, judged->text + judged->copied,
                       finding->start - judged->copied);
        brick_text_adds(&judged->masked, placeholder);
        judged->copied = finding->end;
        judged->masks = true;
        return 0;
}

static int add_result(struct judged *judged, bool is_attack, double score,
                      struct brick_str category, struct brick_str rule)
{
        struct brick_call *call = judged->run->call;
        GuardResult *result = brick_add(call, judged->response, results);

        if (!result)
                return -ENOMEM;
        result->is_attack = is_attack;
        result->confidence = (float)score;
        result->detail = brick_printf(call, "%.*s%s%.*s", (int)category.len, category.ptr,
                                      category.len > 0 && rule.len > 0 ? ": " : "", (int)rule.len,
                                      rule.ptr);
        return result->detail ? 0 : -ENOMEM;
}

static int take(struct judged *judged, const struct brick_judgement *judgement)
{
        bool blamed = false;
        int r = 0;

        for (size_t i = 0; r == 0 && i < judgement->n_findings; i++) {
                const struct brick_finding *finding = &judgement->findings[i];

                if (is_named(&judged->step->judge, finding->category) ||
                    is_named(&judged->step->judge, finding->rule)) {
                        r = mask(judged, finding);
                        continue;
                }
                r = add_result(judged, finding->is_attack, finding->score, finding->category,
                               finding->rule);
                blamed |= finding->is_attack;
        }
        if (r == 0 && judgement->is_attack && !blamed && !judged->masks)
                r = add_result(judged, true, 1, brick_str("the text as a whole"), brick_str(""));
        return r;
}

static int judge(struct judged *judged)
{
        struct brick_target *target =
                judged->step->targets[state_of(judged->run, judged->step)->attempt];
        struct brick_judgement judgement = { .struct_size = sizeof judgement };
        struct brick_filter *filter;
        int r;

        judged->response = BRICK_NEW(judged->run->call, GuardResponse);
        if (!judged->response)
                return -ENOMEM;
        r = brick_host->target_filter_open(target, &filter);
        if (r < 0)
                return r;
        r = brick_host->target_filter_push(target, filter, brick_str(judged->text), 1, &judgement);
        if (r == 0)
                r = take(judged, &judgement);
        brick_host->target_filter_close(target, filter);
        return r;
}

/* What has been masked must not be blamed: the text with placeholders is judged again. */
static int judge_masked(struct judged *judged)
{
        struct judged again = { .run = judged->run,
                                .step = judged->step,
                                .masked = BRICK_TEXT(judged->run->call) };
        int r;

        brick_text_adds(&judged->masked, judged->text + judged->copied);
        again.text = brick_text_end(&judged->masked);
        if (!again.text)
                return -ENOMEM;
        r = judge(&again);
        judged->text = again.text;
        judged->response = again.response;
        return r;
}

int filter_judge(struct run *run, const struct step *step, const char *text, GuardResponse **ret,
                 const char **ret_masked)
{
        struct judged judged = {
                .run = run, .step = step, .text = text, .masked = BRICK_TEXT(run->call)
        };
        int r;

        r = judge(&judged);
        if (r == 0 && judged.masks)
                r = judge_masked(&judged);
        *ret = judged.response;
        *ret_masked = judged.masks ? judged.text : NULL;
        return r;
}
