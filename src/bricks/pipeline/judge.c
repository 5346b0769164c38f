/* SPDX-License-Identifier: MIT */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "documents.h"
#include "explain.h"
#include "filter.h"

/* How many documents a guard is asked about at a time. */
#define ASKED_MAX 8

/* The documents of one step, while a guard is asked about each. */
struct judging {
        struct run *run;
        const struct step *step;
        struct documents lists[DOCUMENT_LISTS_MAX];
        size_t n_lists;
        size_t n_documents, n_blamed;
        size_t next; /* to ask about */
        size_t running;
        struct ask *asks[ASKED_MAX]; /* NULL: free */
        bool blamed[];
};

/* ---- what follows a verdict -------------------------------------------------------------------
 */

static const GuardResult *attack_of(const GuardResponse *response)
{
        for (size_t i = 0; i < response->n_results; i++)
                if (response->results[i]->is_attack)
                        return response->results[i];
        return NULL;
}

/* Names of rules only where the guard has said that they are such: details of other guards may
 * quote the text. */
static void log_observed(struct run *run, const struct step *step, const GuardResponse *response)
{
        for (size_t i = 0; i < response->n_results; i++)
                if (response->results[i]->is_attack)
                        brick_logf(brick_host, run->plan->ctx, BRICK_LOG_NOTICE,
                                   "the guard '%s' would refuse this (%lu so far)%s%s", step->name,
                                   run_observed(run, step), step->judge.filter ? ": " : "",
                                   step->judge.filter ? response->results[i]->detail : "");
}

/* detail: of what is to blame. */
static void refuse(struct run *run, const struct step *step, const GuardResponse *response,
                   const char *what, const char *detail)
{
        explain_end(run, step);
        if (step->judge.on_hit == JUDGE_ANSWER)
                run_answer(run, step);
        else if (run->plan->type == BRICK_TYPE_GUARD)
                run_reply(run, &response->base);
        else
                run_fail(run, BRICK_E_FORBIDDEN, what, step, detail);
}

static enum begun take_verdict(struct run *run, const struct step *step,
                               const GuardResponse *response)
{
        const GuardResult *attack = attack_of(response);

        run_set_value(run, step, &response->base);
        explain_verdict(run, step, attack ? attack->detail : "passes");
        if (!attack)
                return BEGUN_DONE;
        if (step->judge.observe) {
                log_observed(run, step, response);
                return BEGUN_DONE;
        }
        refuse(run, step, response, "The text was refused by a guard.", attack->detail);
        return BEGUN_WAITS;
}

/* ---- the text -----------------------------------------------------------------------------------
 */

static void on_text_reply(struct ask *ask, struct brick_bytes message)
{
        ask->user = brick_unpack(ask->run->call, BRICK_DESCRIPTOR(GuardResponse), message);
        ask_next(ask);
}

static void on_text_done(struct ask *ask, const struct brick_outcome *outcome)
{
        struct run *run = ask->run;

        if (outcome->status != 0 || outcome->code != 200)
                step_failed(run, ask->step, outcome);
        else if (!ask->user)
                step_failed_reply(run, ask->step);
        else if (take_verdict(run, ask->step, ask->user) == BEGUN_DONE)
                step_done(run, ask->step);
}

static enum begun ask_about_text(struct run *run, const struct step *step,
                                 const ProtobufCMessage *request)
{
        const struct ask what = {
                .run = run, .step = step, .message = on_text_reply, .done = on_text_done
        };
        struct ask *ask;
        int r;

        r = ask_start(&ask, &what, step->targets[state_of(run, step)->attempt], BRICK_METHOD_UNARY,
                      request);
        if (r < 0)
                step_failed_errno(run, step, r);
        else
                ask_next(ask);
        return BEGUN_WAITS;
}

static enum begun filter_text(struct run *run, const struct step *step, const char *text)
{
        GuardResponse *response;
        const char *masked;
        int r;

        r = filter_judge(run, step, text, &response, &masked);
        if (r < 0) {
                step_failed_errno(run, step, r);
                return BEGUN_WAITS;
        }
        if (masked) {
                branch_of(run, step)->text = masked;
                explain_output(run, step, masked, strlen(masked));
        }
        return take_verdict(run, step, response);
}

/* ---- documents ----------------------------------------------------------------------------------
 */

static void end_documents(struct judging *judging);
static void ask_about_more(struct judging *judging);

static RetrievalDocument *document_at(const struct judging *judging, size_t index)
{
        size_t i = 0;

        while (index >= *judging->lists[i].n)
                index -= *judging->lists[i++].n;
        return judging->lists[i].items[index];
}

static char *text_of(struct run *run, const RetrievalDocument *document)
{
        return brick_printf(run->call, "%s\n\n%s", document->title, document->snippet);
}

static void blame(struct judging *judging, size_t index)
{
        judging->n_blamed += !judging->blamed[index];
        judging->blamed[index] = true;
}

static void remove_blamed(struct judging *judging)
{
        size_t index = 0;

        for (size_t i = 0; i < judging->n_lists; i++) {
                struct documents *list = &judging->lists[i];
                size_t kept = 0, n = *list->n;

                for (size_t j = 0; j < n; j++, index++)
                        if (!judging->blamed[index])
                                list->items[kept++] = list->items[j];
                *list->n = kept;
        }
}

/* For expressions, the logs and a pipeline of type Guard: one result that speaks for all. */
static GuardResponse *summary(struct judging *judging)
{
        struct brick_call *call = judging->run->call;
        GuardResponse *response = BRICK_NEW(call, GuardResponse);
        GuardResult *result = response ? brick_add(call, response, results) : NULL;

        if (!result)
                return NULL;
        result->is_attack = judging->n_blamed > 0;
        result->confidence = judging->n_blamed > 0;
        result->detail = brick_printf(call, "%zu of %zu documents", judging->n_blamed,
                                      judging->n_documents);
        return result->detail ? response : NULL;
}

static void log_documents(struct judging *judging, const char *what)
{
        brick_logf(brick_host, judging->run->plan->ctx, BRICK_LOG_NOTICE,
                   "the guard '%s' %s %zu of %zu documents", judging->step->name, what,
                   judging->n_blamed, judging->n_documents);
}

static enum begun take_blamed(struct judging *judging)
{
        const struct step *step = judging->step;
        struct run *run = judging->run;
        GuardResponse *response = summary(judging);

        if (!response) {
                run_fail_errno(run, -ENOMEM);
                return BEGUN_WAITS;
        }
        run_set_value(run, step, &response->base);
        explain_verdict(run, step, response->results[0]->detail);
        if (judging->n_blamed == 0)
                return BEGUN_DONE;
        if (step->judge.observe) {
                log_documents(judging, "would refuse");
                return BEGUN_DONE;
        }
        if (step->judge.on_hit == JUDGE_DROP) {
                log_documents(judging, "drops");
                remove_blamed(judging);
                return BEGUN_DONE;
        }
        refuse(run, step, response, "A document was refused by a guard.",
               response->results[0]->detail);
        return BEGUN_WAITS;
}

static void end_documents(struct judging *judging)
{
        if (take_blamed(judging) == BEGUN_DONE)
                step_done(judging->run, judging->step);
}

static void on_document_reply(struct ask *ask, struct brick_bytes message)
{
        struct judging *judging = ask->user;
        GuardResponse *response = brick_unpack_heap(BRICK_DESCRIPTOR(GuardResponse), message);

        if (!response || attack_of(response))
                blame(judging, ask->index);
        brick_unpacked_free(response);
        ask_next(ask);
}

static void forget(struct judging *judging, const struct ask *ask)
{
        for (size_t i = 0; i < ASKED_MAX; i++)
                if (judging->asks[i] == ask)
                        judging->asks[i] = NULL;
        judging->running--;
}

static void cancel_all(struct judging *judging)
{
        for (size_t i = 0; i < ASKED_MAX; i++)
                if (judging->asks[i])
                        ask_cancel(judging->asks[i]);
}

static void on_document_done(struct ask *ask, const struct brick_outcome *outcome)
{
        struct judging *judging = ask->user;

        forget(judging, ask);
        if (outcome->status != 0 || outcome->code != 200) {
                cancel_all(judging);
                step_failed(judging->run, judging->step, outcome);
                return;
        }
        ask_about_more(judging);
        if (judging->running == 0 && !judging->run->over)
                end_documents(judging);
}

static int ask_about(struct judging *judging, size_t slot, size_t index)
{
        const struct step *step = judging->step;
        struct run *run = judging->run;
        const struct ask what = { .run = run,
                                  .step = step,
                                  .message = on_document_reply,
                                  .done = on_document_done,
                                  .user = judging,
                                  .index = index };
        size_t mark = brick_mark(run->call);
        ProtobufCMessage *request = request_for(run->call, step->map, run->request);
        char *text = text_of(run, document_at(judging, index));
        int r = -ENOMEM;

        if (request && text) {
                field_set_pointer(request, step->map->input, text);
                r = ask_start(&judging->asks[slot], &what,
                              step->targets[state_of(run, step)->attempt], BRICK_METHOD_UNARY,
                              request);
        }
        brick_rewind(run->call, mark);
        if (r < 0)
                return r;
        judging->running++;
        ask_next(judging->asks[slot]);
        return 0;
}

static void ask_about_more(struct judging *judging)
{
        int r = 0;

        for (size_t i = 0; i < ASKED_MAX && judging->next < judging->n_documents; i++) {
                if (judging->asks[i])
                        continue;
                r = ask_about(judging, i, judging->next++);
                if (r < 0)
                        break;
        }
        if (r == 0)
                return;
        cancel_all(judging);
        run_fail_errno(judging->run, r);
}

/* Of a guard that names its rules, for the log. */
static int observe_documents(struct judging *judging)
{
        struct run *run = judging->run;

        for (size_t i = 0; i < judging->n_documents; i++) {
                size_t mark = brick_mark(run->call);
                char *text = text_of(run, document_at(judging, i));
                GuardResponse *response;
                const char *masked;
                int r = -ENOMEM;

                if (text)
                        r = filter_judge(run, judging->step, text, &response, &masked);
                if (r < 0)
                        return r;
                if (attack_of(response)) {
                        blame(judging, i);
                        log_observed(run, judging->step, response);
                }
                brick_rewind(run->call, mark);
        }
        return 0;
}

static enum begun begin_documents(struct run *run, const struct step *step)
{
        struct documents lists[DOCUMENT_LISTS_MAX];
        size_t n_lists = documents_lists(run, step->documents, lists), n = 0;
        struct judging *judging;
        int r;

        for (size_t i = 0; i < n_lists; i++)
                n += *lists[i].n;
        judging = calloc(1, sizeof *judging + n);
        if (!judging) {
                run_fail_errno(run, -ENOMEM);
                return BEGUN_WAITS;
        }
        judge_free(state_of(run, step)->judging); /* of the brick that has failed */
        state_of(run, step)->judging = judging;
        judging->run = run;
        judging->step = step;
        judging->n_documents = n;
        judging->n_lists = n_lists;
        memcpy(judging->lists, lists, sizeof lists);
        if (step->judge.observe && step->judge.filter) {
                r = observe_documents(judging);
                if (r == 0)
                        return take_blamed(judging);
                step_failed_errno(run, step, r);
                return BEGUN_WAITS;
        }
        if (n == 0)
                return take_blamed(judging);
        ask_about_more(judging);
        return BEGUN_WAITS;
}

/* ---- */

enum begun judge_begin(struct run *run, const struct step *step)
{
        const ProtobufCMessage *request;

        if (step->judge.documents)
                return begin_documents(run, step);
        request = step_request(run, step);
        if (!request)
                return BEGUN_WAITS;
        explain_input(run, step, request);
        if (step->judge.filter && (step->judge.observe || step->judge.mask))
                return filter_text(run, step, ((const GuardRequest *)request)->text);
        return ask_about_text(run, step, request);
}

void judge_free(struct judging *judging)
{
        free(judging);
}
