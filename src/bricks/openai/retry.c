/* SPDX-License-Identifier: MIT */

/* When a request that has failed is sent again. */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "job.h"

#define USEC_PER_SEC 1000000

/* Exponential, with a random upper half, so that callers that failed together do not retry
 * together. */
static uint64_t backoff(const struct job *job)
{
        const struct config *config = engine_config(job->engine);
        uint64_t delay = config->retry_min;
        uint32_t chance = 0;

        for (unsigned i = 1; i < job->attempts && delay < config->retry_max; i++)
                delay *= 2;
        if (delay > config->retry_max)
                delay = config->retry_max;
        if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) < 0)
                chance = UINT32_MAX;
        return delay / 2 + chance % (delay / 2 + 1);
}

/* The value of a header of the answer. NULL: it has none. */
static const char *header(const struct job *job, const char *name)
{
        struct curl_header *header;

        if (!job->easy ||
            curl_easy_header(job->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
                return NULL;
        return header->value;
}

/* A number that may have a fraction. NAN: it is none. */
static double to_number(const char *text)
{
        char *end;
        double number = text ? strtod(text, &end) : NAN;

        return text && end != text && *end == '\0' ? number : NAN;
}

/* In seconds, or as a date. */
static double seconds_from(const char *text)
{
        double seconds = to_number(text);
        time_t date;

        if (!text || !isnan(seconds))
                return seconds;
        date = curl_getdate(text, NULL);
        return date < 0 ? NAN : difftime(date, time(NULL));
}

/* The delay that the API asks for, in microseconds. */
static uint64_t retry_after(const struct job *job)
{
        static const char *const names[] = { "retry-after-ms", "x-ms-retry-after-ms" };
        double seconds = NAN;

        for (size_t i = 0; i < sizeof names / sizeof names[0] && isnan(seconds); i++)
                seconds = to_number(header(job, names[i])) / 1000;
        if (isnan(seconds))
                seconds = seconds_from(header(job, "Retry-After"));
        if (isnan(seconds) || seconds <= 0)
                return 0;
        return seconds > 86400 ? UINT64_MAX : (uint64_t)(seconds * USEC_PER_SEC);
}

/* Some models want another name for max_tokens, and their API says so. It is tried once a call, and
 * the next calls begin with the name that the API wants. */
static bool rename_limit(struct job *job)
{
        static const char *const hints[] = { "max_completion_tokens", "MaxCompletionTokens" };
        const struct failure *failure = &job->failure;
        enum request_limit other = job->request.limit == REQUEST_MAX_TOKENS
                                           ? REQUEST_MAX_COMPLETION_TOKENS
                                           : REQUEST_MAX_TOKENS;

        if (engine_config(job->engine)->knows_limit || job->renamed || job->request.limit_at == 0 ||
            (failure->code != 400 && failure->code != 422) ||
            !(strstr(failure->message, hints[0]) || strstr(failure->message, hints[1])))
                return false;
        job->renamed = true;
        request_set_limit(&job->request, other);
        engine_set_limit(job->engine, other);
        job->attempts--; /* it is no retry */
        job_queue(job);
        return true;
}

bool job_try_again(struct job *job)
{
        uint64_t deadline = brick_host->call_deadline(job->call) / 1000;

        if (rename_limit(job))
                return true;
        if (!job->failure.retry || job->attempts > engine_config(job->engine)->retries)
                return false;
        job->delay = job_add_time(backoff(job), retry_after(job));
        if (job_add_time(engine_now(), job->delay) >=
            (deadline < job->expires ? deadline : job->expires))
                return false;
        brick_logf(brick_host, engine_config(job->engine)->ctx, BRICK_LOG_DEBUG,
                   "Attempt %u failed with error %" PRId32 "; the next one starts in %" PRIu64
                   " ms",
                   job->attempts, job->failure.code, job->delay / 1000);
        job_enter(job, JOB_BACKOFF);
        return true;
}
