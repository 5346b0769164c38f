/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <stdio.h>

#include "sentence.h"
#include "util/utf8.h"

#define RULE_MAX 128

/* When the text up to an offset has come. */
struct arrival {
        uint64_t end;
        uint64_t at; /* CLOCK_MONOTONIC nanoseconds */
};

struct watch {
        struct run *run;
        const struct step *step;
        const struct watch_plan *plan;
        const struct watch_ops *ops;
        void *user;

        struct buffer text; /* that has not come out */
        uint64_t base;      /* the offset of its first byte in the whole text */
        struct buffer *out;
        bool last;
        char hit[RULE_MAX];

        struct brick_timer *timer; /* NULL: no limit */
        struct arrival *arrivals;  /* of the text that has not come out */
        size_t n_arrivals, max_arrivals;

        struct brick_filter *filter; /* NULL: the guard is asked about sentences */
        bool masked;
        struct buffer before; /* the sentence before, which is judged again with the next one */
        struct ask *ask;
        size_t asked; /* bytes of the text that the guard is asked about */
        bool overdue;
};

static void failed(struct watch *watch, int r)
{
        watch->ops->failed(watch->user, NULL, r);
}

/* ---- what comes out ----------------------------------------------------------------------- */

static void forget_arrivals(struct watch *watch)
{
        size_t n = 0;

        while (n < watch->n_arrivals && watch->arrivals[n].end <= watch->base)
                n++;
        watch->n_arrivals -= n;
        if (n > 0 && watch->n_arrivals > 0)
                memmove(watch->arrivals, watch->arrivals + n,
                        watch->n_arrivals * sizeof watch->arrivals[0]);
}

static void drop(struct watch *watch, size_t n)
{
        buffer_drop(&watch->text, n);
        watch->base += n;
        forget_arrivals(watch);
}

/* Lets the text up to an offset out. */
static void release(struct watch *watch, uint64_t offset)
{
        size_t n;

        if (offset <= watch->base)
                return;
        n = offset - watch->base < watch->text.len ? (size_t)(offset - watch->base)
                                                   : watch->text.len;
        n = utf8_prefix(watch->text.ptr, watch->text.len, n);
        if (buffer_add(watch->out, watch->text.ptr, n) < 0)
                failed(watch, -ENOMEM);
        else
                drop(watch, n);
}

static void log_hit(struct watch *watch, struct brick_str rule, const char *what)
{
        brick_logf(brick_host, watch->run->plan->ctx, BRICK_LOG_NOTICE,
                   "the guard '%s' %s the reply of '%s': %.*s", watch->plan->name, what,
                   watch->step->name, (int)rule.len, rule.ptr);
}

static void log_observed(struct watch *watch, struct brick_str rule)
{
        brick_logf(brick_host, watch->run->plan->ctx, BRICK_LOG_NOTICE,
                   "the guard '%s' would end the reply of '%s' (%lu so far): %.*s",
                   watch->plan->name, watch->step->name, run_observed(watch->run, watch->step),
                   (int)rule.len, rule.ptr);
}

static void hit(struct watch *watch, struct brick_str rule)
{
        (void)snprintf(watch->hit, sizeof watch->hit, "%.*s", (int)rule.len, rule.ptr);
        log_hit(watch, rule, "ends");
}

static void over_limit(struct watch *watch, uint64_t offset, const char *limit)
{
        if (watch->plan->open)
                release(watch, offset);
        else
                hit(watch, brick_str(limit));
}

/* ---- time --------------------------------------------------------------------------------- */

static int note_arrival(struct watch *watch, size_t length)
{
        struct arrival *arrivals = watch->arrivals;

        if (!watch->timer || length == 0)
                return 0;
        if (watch->n_arrivals == watch->max_arrivals) {
                size_t max = 2 * watch->max_arrivals + 16;

                arrivals = realloc(arrivals, max * sizeof *arrivals);
                if (!arrivals)
                        return -ENOMEM;
                watch->arrivals = arrivals;
                watch->max_arrivals = max;
        }
        arrivals[watch->n_arrivals++] = (struct arrival){ watch->base + watch->text.len,
                                                          clock_ns() };
        return 0;
}

static void set_timer(struct watch *watch)
{
        if (watch->timer)
                brick_host->timer_set(watch->timer,
                                      watch->n_arrivals > 0 && !watch_hit(watch)
                                              ? watch->arrivals[0].at + watch->plan->max
                                              : UINT64_MAX);
}

/* ---- guards that judge in pieces ------------------------------------------------------------ */

static int mask_finding(struct watch *watch, const struct brick_finding *finding)
{
        char name[PLACEHOLDER_MAX];
        int r;

        watch->masked = true;
        log_hit(watch, finding->rule, "masks a part of");
        if (finding->end <= watch->base)
                return 0;
        mask_name(name, finding->rule.ptr, finding->rule.len);
        r = buffer_add(watch->out, "[", 1);
        if (r == 0)
                r = buffer_add(watch->out, name, strlen(name));
        if (r == 0)
                r = buffer_add(watch->out, "]", 1);
        drop(watch, finding->end - watch->base < watch->text.len
                            ? (size_t)(finding->end - watch->base)
                            : watch->text.len);
        return r;
}

static void take_finding(struct watch *watch, const struct brick_finding *finding)
{
        if (watch->plan->observe) {
                log_observed(watch, finding->rule);
                return;
        }
        release(watch, finding->start);
        if (watch->plan->on_hit == WATCH_MASK) {
                if (mask_finding(watch, finding) < 0)
                        failed(watch, -ENOMEM);
        } else {
                hit(watch, finding->rule);
        }
}

static void take_judgement(struct watch *watch, const struct brick_judgement *judgement)
{
        bool blamed = watch->masked || watch->plan->observe;

        for (size_t i = 0; i < judgement->n_findings && !watch_hit(watch) && !watch->run->over; i++)
                if (judgement->findings[i].is_attack) {
                        take_finding(watch, &judgement->findings[i]);
                        blamed = true;
                }
        if (judgement->is_attack && !blamed)
                hit(watch, brick_str("the text as a whole"));
        if (watch_hit(watch) || watch->run->over)
                return;
        release(watch, watch->last || watch->plan->observe ? UINT64_MAX : judgement->settled);
        if (watch->text.len > watch->plan->hold)
                over_limit(watch, watch->base + watch->text.len - watch->plan->hold,
                           "more undecided text than `hold`");
}

static void push_filter(struct watch *watch, const char *text, size_t length)
{
        struct brick_judgement judgement = { .struct_size = sizeof judgement };
        int r;

        r = brick_host->target_filter_push(watch->plan->target, watch->filter,
                                           (struct brick_str){ text, length }, watch->last,
                                           &judgement);
        if (r < 0)
                failed(watch, r);
        else
                take_judgement(watch, &judgement);
}

/* ---- guards that are asked about sentences ----------------------------------------------------
 */

static void ask_guard(struct watch *watch);

/* The sentence that has been judged becomes the one before the next one. */
static void sentence_passes(struct watch *watch)
{
        watch->before.len = 0;
        if (buffer_add(&watch->before, watch->text.ptr, watch->asked) < 0)
                failed(watch, -ENOMEM);
        else
                release(watch, watch->base + watch->asked);
        watch->asked = 0;
}

static void on_verdict(struct ask *ask, struct brick_bytes message)
{
        struct watch *watch = ask->user;
        GuardResponse *reply = brick_unpack_heap(BRICK_DESCRIPTOR(GuardResponse), message);
        bool attack = !reply; /* what cannot be read is no permission */

        for (size_t i = 0; reply && i < reply->n_results; i++)
                attack |= reply->results[i]->is_attack;
        brick_unpacked_free(reply);
        if (attack && watch->plan->observe)
                log_observed(watch, brick_str("a sentence"));
        else if (attack)
                hit(watch, brick_str("a sentence"));
        ask_next(ask);
}

static void on_verdict_done(struct ask *ask, const struct brick_outcome *outcome)
{
        struct watch *watch = ask->user;

        watch->ask = NULL;
        if (outcome->status != 0 || outcome->code != 200) {
                watch->ops->failed(watch->user, outcome, 0);
                return;
        }
        if (!watch_hit(watch)) {
                sentence_passes(watch);
                if (!watch->run->over)
                        ask_guard(watch);
        }
        if (watch->run->over)
                return;
        set_timer(watch);
        watch->ops->progress(watch->user);
}

static int start_ask(struct watch *watch)
{
        const struct ask what = {
                .run = watch->run,
                .step = watch->step,
                .name = watch->plan->name,
                .message = on_verdict,
                .done = on_verdict_done,
                .user = watch,
        };
        GuardRequest request = PROTOCOLS__GRPC__GUARD__GUARD_REQUEST__INIT;
        size_t before = watch->before.len;
        int r;

        r = buffer_add(&watch->before, watch->text.ptr, watch->asked);
        if (r < 0)
                return r;
        watch->before.ptr[watch->before.len] = '\0';
        request.text = watch->before.ptr;
        r = ask_start(&watch->ask, &what, watch->plan->target, BRICK_METHOD_UNARY, &request.base);
        watch->before.len = before;
        if (r == 0)
                ask_next(watch->ask);
        return r;
}

/* Asks about what is there: whole sentences, or as much as may be held. */
static void ask_guard(struct watch *watch)
{
        int r;

        watch->asked = sentence_end(watch->text.ptr, watch->text.len, watch->plan->hold,
                                    watch->last || watch->overdue);
        watch->overdue = false;
        if (watch->asked == 0)
                return;
        r = start_ask(watch);
        if (r < 0)
                failed(watch, r);
}

/* ---- */

static void on_timer(void *user)
{
        struct watch *watch = user;

        if (watch->run->over || watch_hit(watch))
                return;
        if (watch->filter && watch->n_arrivals > 0) {
                over_limit(watch, watch->arrivals[0].end, "text undecided for longer than `for`");
        } else if (!watch->filter && !watch->ask) {
                watch->overdue = true;
                ask_guard(watch);
        }
        if (watch->run->over)
                return;
        if (!watch->ask)
                set_timer(watch);
        watch->ops->progress(watch->user);
}

int watch_new(struct watch **ret, struct run *run, const struct step *step,
              const struct watch_ops *ops, void *user, struct buffer *out)
{
        struct watch *watch = calloc(1, sizeof *watch);
        int r = 0;

        if (!watch)
                return -ENOMEM;
        *watch = (struct watch){
                .run = run,
                .step = step,
                .plan = &step->watch,
                .ops = ops,
                .user = user,
                .out = out,
        };
        *ret = watch;
        if (watch->plan->filter)
                r = brick_host->target_filter_open(watch->plan->target, &watch->filter);
        if (r == 0 && watch->plan->max > 0)
                r = brick_host->timer_new(run->call, on_timer, watch, &watch->timer);
        return r;
}

void watch_push(struct watch *watch, const char *text, size_t length, bool last)
{
        watch->last |= last;
        if (buffer_add(&watch->text, text, length) < 0 || note_arrival(watch, length) < 0) {
                failed(watch, -ENOMEM);
                return;
        }
        if (watch->filter)
                push_filter(watch, text, length);
        else if (!watch->ask)
                ask_guard(watch);
        if (!watch->run->over)
                set_timer(watch);
}

bool watch_busy(const struct watch *watch)
{
        return watch->ask;
}

const char *watch_hit(const struct watch *watch)
{
        return watch->hit[0] ? watch->hit : NULL;
}

void watch_close(struct watch *watch)
{
        if (watch->filter)
                brick_host->target_filter_close(watch->plan->target, watch->filter);
        watch->filter = NULL;
        if (watch->timer)
                brick_host->timer_free(watch->timer);
        watch->timer = NULL;
        if (watch->ask)
                ask_cancel(watch->ask);
        watch->ask = NULL;
}

void watch_free(struct watch *watch)
{
        if (!watch)
                return;
        watch_close(watch);
        buffer_done(&watch->text);
        buffer_done(&watch->before);
        free(watch->arrivals);
        free(watch);
}
