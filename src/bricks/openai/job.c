/* SPDX-License-Identifier: MIT */

#include "job.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"

/* The time for which a finished call waits for the end of its transfer, so that the connection can
 * be reused. */
#define LINGER (1000 * UINT64_C(1000))

/* The time for which a complete answer waits for what may follow, such as the count of its tokens.
 */
#define ENDING (500 * UINT64_C(1000))

/* The accuracy of timers in microseconds, so that several can fire together. */
#define TIMER_ACCURACY 5000

/* Longer header values are not forwarded. */
#define HEADER_MAX 512

/* of gRPC */
#define STATUS_CANCELLED 1

/* --- creation ---------------------------------------------------------------------- */

/* Adds a header with a value from a peer, unless the value could end the header. */
static int add_header(struct job *job, const char *name, struct brick_str value)
{
        struct curl_slist *header = &job->headers[job->n_headers];

        if (value.len == 0 || value.len > HEADER_MAX)
                return 0;
        for (size_t i = 0; i < value.len; i++)
                if (!isprint((unsigned char)value.ptr[i]))
                        return 0;
        if (asprintf(&header->data, "%s: %.*s", name, (int)value.len, value.ptr) < 0)
                return -ENOMEM;
        header->next = engine_config(job->engine)->headers;
        if (job->n_headers > 0)
                header[-1].next = header;
        job->n_headers++;
        return 0;
}

static int build_headers(struct job *job, const LLMRequest *request)
{
        struct brick_str id = brick_str(request->request_id);

        if (id.len == 0)
                id = brick_host->call_metadata(job->call, "x-request-id");
        if (add_header(job, "traceparent", brick_host->call_traceparent(job->call)) < 0 ||
            add_header(job, "tracestate", brick_host->call_tracestate(job->call)) < 0)
                return -ENOMEM;
        return add_header(job, "x-request-id", id);
}

/* The metadata x-temperature, which can tell 0 from nothing. NAN: it is not there. */
static int read_temperature(struct brick_call *call, double *ret)
{
        struct brick_str value = brick_host->call_metadata(call, "x-temperature");
        char text[32], *end;

        *ret = NAN;
        if (!value.ptr)
                return 0;
        if (value.len == 0 || value.len >= sizeof text)
                return -ERANGE;
        memcpy(text, value.ptr, value.len);
        text[value.len] = '\0';
        *ret = strtod(text, &end);
        return *end == '\0' && isfinite(*ret) && *ret >= 0 ? 0 : -ERANGE;
}

static int build_request(struct job *job, const LLMRequest *request)
{
        double temperature;
        int r;

        r = read_temperature(job->call, &temperature);
        if (r == 0)
                r = request_make(&job->request, &engine_config(job->engine)->request, request,
                                 job->stream, temperature, engine_limit(job->engine));
        return r;
}

int job_new(struct job **ret, struct engine *engine, struct brick_call *call,
            const LLMRequest *request, bool stream)
{
        const struct config *config = engine_config(engine);
        struct job *job;
        int r;

        job = calloc(1, sizeof *job);
        if (!job)
                return -ENOMEM;
        atomic_init(&job->refs, 1);
        job->engine = engine;
        job->call = call;
        job->stream = stream;
        job->expires = job_add_time(engine_now(), config->timeout);
        r = build_request(job, request);
        if (r == 0)
                r = build_headers(job, request);
        if (r < 0) {
                job_unref(job);
                return r;
        }
        *ret = job;
        return 0;
}

static void incoming_done(struct incoming *in)
{
        chat_answer_done(&in->answer);
        framing_done(&in->framing);
        free(in->body);
        *in = (struct incoming){};
}

void job_ref(struct job *job)
{
        (void)atomic_fetch_add_explicit(&job->refs, 1, memory_order_relaxed);
}

void job_unref(struct job *job)
{
        if (atomic_fetch_sub_explicit(&job->refs, 1, memory_order_acq_rel) != 1)
                return;
        incoming_done(&job->in);
        for (unsigned i = 0; i < job->n_headers; i++)
                free(job->headers[i].data);
        free(job->request.json);
        free(job->held);
        free(job);
}

/* --- states and their timers --------------------------------------------------------- */

static uint64_t state_limit(const struct job *job)
{
        const struct config *config = engine_config(job->engine);

        switch (job->state) {
        case JOB_QUEUED:
        case JOB_OPENING:
                return config->connect_timeout;
        case JOB_WAITING:
                return job->stream ? config->first_token : UINT64_MAX;
        case JOB_THINKING:
        case JOB_STREAMING: /* a slow client stops the API: no limit */
                return job->blocked ? UINT64_MAX : config->stall;
        case JOB_ENDING:
                return job->blocked ? UINT64_MAX : ENDING;
        case JOB_BACKOFF:
                return job->delay;
        case JOB_LINGERING:
                return LINGER;
        default:
                return UINT64_MAX;
        }
}

static uint64_t due(const struct job *job)
{
        uint64_t stage = job_add_time(job->since, state_limit(job));

        return stage < job->expires ? stage : job->expires;
}

static void set_timer(struct job *job)
{
        job->armed = due(job);
        (void)sd_event_source_set_time(job->timer, job->armed);
        (void)sd_event_source_set_enabled(job->timer, SD_EVENT_ONESHOT);
}

void job_enter(struct job *job, enum job_state state)
{
        if (job->state == JOB_OPENING && job->transferring)
                engine_connected(job->engine, job);
        job->state = state;
        job->since = engine_now();
        if (due(job) < job->armed) /* a timer that is early is set again when it fires */
                set_timer(job);
}

static void end(struct job *job)
{
        if (job->state == JOB_OVER)
                return;
        engine_close(job->engine, job);
        job->state = JOB_OVER;
        job->timer = sd_event_source_disable_unref(job->timer);
        engine_give_easy(job->engine, job->easy);
        job->easy = NULL;
        engine_drop(job->engine, job);
}

void job_queue(struct job *job)
{
        job->attempts++;
        incoming_done(&job->in);
        framing_init(&job->in.framing, engine_config(job->engine)->max_reply);
        engine_queue(job->engine, job);
        job_enter(job, JOB_QUEUED);
}

/* --- failures ------------------------------------------------------------------------ */

/* Masks a secret in a text: an API may repeat it in an error message. */
static void hide(char *text, const char *secret)
{
        size_t n = strlen(secret);
        char *p = text;

        while (n >= 8 && (p = strstr(p, secret)))
                memset(p, '*', n);
}

/* Ends the attempt with an errno; -EBADMSG: with job->failure. */
static void fail(struct job *job, int error)
{
        const struct config *config = engine_config(job->engine);
        struct failure *failure = &job->failure;

        engine_close(job->engine, job);
        if (error == -ECANCELED) {
                brick_host->call_finish(job->call, STATUS_CANCELLED, brick_str(""));
                goto over;
        }
        if (error == -EMSGSIZE)
                failure_set(failure, FAILURE_RESOURCE_EXHAUSTED, false,
                            "the model's answer is larger than the reply limit of this server");
        else if (error != -EBADMSG)
                failure_set(failure, BRICK_E_INTERNAL, false, "%s", strerror(-error));
        else if (!job->spoken && job_try_again(job))
                return;
        for (size_t i = 0; i < config->n_secrets; i++) {
                hide(failure->message, config->secrets[i]);
                hide(failure->detail, config->secrets[i]);
        }
        (void)brick_fail(job->call, failure->code, failure->message, failure->detail);
over:
        job->call = NULL;
        end(job);
}

static void time_out(struct job *job)
{
        const struct config *config = engine_config(job->engine);
        struct failure *failure = &job->failure;

        if (engine_now() >= job->expires)
                failure_set(failure, FAILURE_MODEL_TIMEOUT, false,
                            "the model did not finish its answer within %" PRIu64 " ms",
                            config->timeout / 1000);
        else if (job->state == JOB_WAITING)
                failure_set(failure, FAILURE_MODEL_TIMEOUT, false,
                            "the model did not start its answer within %" PRIu64 " ms",
                            config->first_token / 1000);
        else if (job->state == JOB_THINKING || job->state == JOB_STREAMING)
                failure_set(failure, FAILURE_MODEL_TIMEOUT, false,
                            "the model sent nothing for %" PRIu64 " ms in its answer",
                            config->stall / 1000);
        else
                failure_set(failure, FAILURE_SERVICE_TIMEOUT, true,
                            "no connection to the API within %" PRIu64 " ms",
                            config->connect_timeout / 1000);
        fail(job, -EBADMSG);
}

/* The rest of an answer, or of an error, does not come. */
static void stop_waiting(struct job *job)
{
        int r = answer_is_complete(job) ? answer_conclude(job) : answer_finish(job);

        if (r < 0)
                fail(job, r);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
        struct job *job = user;

        job->armed = UINT64_MAX;
        /* Bytes that have arrived since may have moved the deadline. */
        if (engine_now() < due(job))
                set_timer(job);
        else if (job->state == JOB_LINGERING)
                end(job);
        else if (job->state == JOB_ENDING && engine_now() < job->expires)
                stop_waiting(job);
        else if (job->state == JOB_BACKOFF && engine_now() < job->expires)
                job_queue(job);
        else
                time_out(job);
        return 0;
}

/* --- the transfer -------------------------------------------------------------------- */

static int finish(struct job *job, CURLcode result)
{
        if (job->in.verdict < 0)
                return job->in.verdict;
        if (result == CURLE_OK)
                return answer_finish(job);
        return answer_is_complete(job) ? answer_conclude(job) : job_fail_transfer(job, result);
}

void job_done(struct job *job, CURLcode result)
{
        int r = 0;

        if (job->call && !job->ended)
                r = finish(job, result);
        if (r < 0)
                fail(job, r);
        else if (!job->call)
                end(job);
}

/* --- orders -------------------------------------------------------------------------- */

void job_start(struct job *job)
{
        struct engine *engine = job->engine;
        int r;

        engine_adopt(engine, job);
        job->armed = job->expires;
        r = sd_event_add_time(engine_event(engine), &job->timer, CLOCK_MONOTONIC, job->armed,
                              TIMER_ACCURACY, on_timer, job);
        if (r < 0)
                fail(job, r);
        else
                job_queue(job);
}

void job_cancel(struct job *job)
{
        if (job->call)
                fail(job, -ECANCELED);
        else
                end(job);
}

static void unpause(struct job *job)
{
        CURLcode result;

        job->since = engine_now();
        if (due(job) < job->armed)
                set_timer(job);
        result = curl_easy_pause(job->easy, CURLPAUSE_CONT);
        if (result == CURLE_OK)
                return;
        engine_close(job->engine, job);
        job_done(job, result);
}

void job_resume(struct job *job)
{
        int r = 0;

        if (!job->call || !job->blocked)
                return;
        if (job->held) {
                r = answer_send(job, job->held, false);
                if (r == -EAGAIN)
                        return;
                free(job->held);
                job->held = NULL;
        }
        if (r == 0 && job->ended)
                r = answer_conclude(job);
        else if (r == 0)
                return unpause(job);
        if (r < 0)
                fail(job, r);
        else if (!job->call && !job->transferring)
                end(job);
}
