/* SPDX-License-Identifier: MIT */

#include "answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- to the client -------------------------------------------------------------- */

int answer_send(struct job *job, const char *text, bool is_final)
{
        LLMResponse reply = PROTOCOLS__GRPC__LLM__LLMRESPONSE__INIT;
        int r;

        reply.text = (char *)text;
        reply.is_final = is_final;
        r = brick_send(job->call, &reply.base);
        job->blocked = r == -EAGAIN;
        return r;
}

/* Sends text to the client. -EAGAIN: it is kept, and no more may be sent until job_resume(). */
static int say(struct job *job, const char *text)
{
        int r;

        if (!*text)
                return 0;
        if (job->state != JOB_STREAMING)
                job_enter(job, JOB_STREAMING);
        r = answer_send(job, text, false);
        if (r == -EAGAIN) {
                job->held = strdup(text);
                if (!job->held)
                        return -ENOMEM;
        }
        return r;
}

static void add_trailer(struct job *job, const char *key, const char *value)
{
        if (*value)
                (void)brick_host->call_trailer(job->call, brick_str(key), brick_str(value));
}

static void add_count(struct job *job, const char *key, int64_t count)
{
        char text[24];

        (void)snprintf(text, sizeof text, "%" PRId64, count);
        add_trailer(job, key, text);
}

static void add_trailers(struct job *job)
{
        const struct chat_answer *answer = &job->in.answer;

        add_trailer(job, "x-model", answer->model);
        add_trailer(job, "x-finish-reason", answer->finish_reason);
        if (!answer->has_usage)
                return;
        add_count(job, "x-usage-prompt-tokens", answer->prompt_tokens);
        add_count(job, "x-usage-completion-tokens", answer->completion_tokens);
        add_count(job, "x-usage-total-tokens", answer->total_tokens);
}

static int send_last(struct job *job, const char *text)
{
        int r;

        r = answer_send(job, text, true);
        if (r < 0)
                return r;
        add_trailers(job);
        brick_finish(job->call);
        job->call = NULL;
        return 0;
}

int answer_conclude(struct job *job)
{
        int r;

        job->ended = true;
        if (job->held)
                return 0;
        r = send_last(job, chat_rest(&job->in.answer));
        if (r == 0)
                job_enter(job, JOB_LINGERING);
        return r == -EAGAIN ? 0 : r;
}

/* --- from the API -------------------------------------------------------------------- */

static long http_status(const struct job *job)
{
        long status = 0;

        (void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

/* Errors are not streams, and some servers send a whole answer although a stream was requested. */
static bool is_event_stream(const struct job *job)
{
        char *type = NULL;

        if (!job->stream || http_status(job) / 100 != 2)
                return false;
        (void)curl_easy_getinfo(job->easy, CURLINFO_CONTENT_TYPE, &type);
        return !type || strncasecmp(type, "application/json", strlen("application/json")) != 0;
}

static int take_event(struct job *job)
{
        struct sse *sse = &job->in.sse;
        int r;

        if (sse->n_data == 0 || job->ended)
                return 0;
        if (strcmp(sse->data, "[DONE]") == 0)
                return answer_conclude(job);
        r = chat_take(&job->in.answer, sse->is_error ? CHAT_ERROR : CHAT_CHUNK, sse->data,
                      sse->n_data, &job->failure);
        job->in.begun = true;
        return r == 0 ? say(job, job->in.answer.text) : r;
}

static int too_large(struct job *job)
{
        chat_fail(&job->failure, CHAT_E_API, false, "the API's answer is larger than %zu bytes",
                  engine_config(job->engine)->max_reply);
        return -EBADMSG;
}

static int take_events(struct job *job, const char *bytes, size_t n)
{
        const char *pos = bytes + job->in.eaten, *end = bytes + n;
        int r;

        while ((r = sse_next(&job->in.sse, &pos, end)) > 0) {
                r = take_event(job);
                if (r == -EAGAIN)
                        job->in.eaten = (size_t)(pos - bytes);
                if (r < 0)
                        return r;
        }
        job->in.eaten = 0;
        return r == -EMSGSIZE ? too_large(job) : r;
}

static int take_body(struct job *job, const char *bytes, size_t n)
{
        struct incoming *in = &job->in;

        if (n > engine_config(job->engine)->max_reply - in->n_body)
                return too_large(job);
        if (in->n_body + n > in->body_size) {
                size_t size = (in->n_body + n) * 2;
                char *body = realloc(in->body, size);

                if (!body)
                        return -ENOMEM;
                in->body = body;
                in->body_size = size;
        }
        memcpy(in->body + in->n_body, bytes, n);
        in->n_body += n;
        return 0;
}

size_t answer_on_bytes(char *bytes, size_t unit, size_t n, void *user)
{
        struct job *job = user;
        struct incoming *in = &job->in;

        if (in->verdict < 0) /* libcurl may call again after an error */
                return 0;
        if (!job->call || job->ended)
                return n;
        if (job->state == JOB_STREAMING)
                job->since = engine_now(job->engine);
        in->verdict = is_event_stream(job) ? take_events(job, bytes, n) : take_body(job, bytes, n);
        if (in->verdict == -EAGAIN) {
                in->verdict = 0;
                return CURL_WRITEFUNC_PAUSE;
        }
        return in->verdict < 0 ? 0 : n;
}

/* False: the body ends with the connection and may be incomplete. */
static bool knows_its_end(const struct job *job)
{
        struct curl_header *header;
        curl_off_t length = -1;

        if (job->in.answer.finish_reason[0])
                return true;
        (void)curl_easy_getinfo(job->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        return length >= 0 || curl_easy_header(job->easy, "Transfer-Encoding", 0, CURLH_HEADER, -1,
                                               &header) == CURLHE_OK;
}

static int empty(struct job *job)
{
        chat_fail(&job->failure, CHAT_E_API, false, "the API's answer is empty");
        return -EBADMSG;
}

/* Handles the end of a stream, with or without [DONE]. */
static int finish_stream(struct job *job)
{
        int r;

        r = sse_last(&job->in.sse);
        if (r > 0)
                r = take_event(job);
        if (r < 0 && r != -EAGAIN)
                return r == -EMSGSIZE ? too_large(job) : r;
        if (!job->call || job->ended)
                return 0;
        if (!job->in.begun)
                return empty(job);
        if (knows_its_end(job))
                return answer_conclude(job);
        chat_fail(&job->failure, CHAT_E_CONNECTION, true,
                  "the connection to the API was lost in the middle of the answer");
        return -EBADMSG;
}

static int finish_whole(struct job *job)
{
        int r;

        if (!job->in.body)
                return empty(job);
        r = chat_take(&job->in.answer, CHAT_WHOLE, job->in.body, job->in.n_body, &job->failure);
        if (r < 0)
                return r;
        if (!job->stream)
                return send_last(job, job->in.answer.text);
        r = say(job, job->in.answer.text);
        return r == 0 || r == -EAGAIN ? answer_conclude(job) : r;
}

static int refuse_redirect(struct job *job)
{
        char *url = NULL;

        (void)curl_easy_getinfo(job->easy, CURLINFO_REDIRECT_URL, &url);
        chat_fail(&job->failure, CHAT_E_API, false,
                  "the API redirects with HTTP %ld to %s, which is not followed; correct "
                  "base_url",
                  http_status(job), url ? url : "nowhere");
        return -EBADMSG;
}

int answer_finish(struct job *job)
{
        long status = http_status(job);

        if (status / 100 == 3)
                return refuse_redirect(job);
        if (status / 100 != 2) {
                chat_fail_http(&job->failure, status, job->in.body, job->in.n_body);
                return -EBADMSG;
        }
        return is_event_stream(job) ? finish_stream(job) : finish_whole(job);
}
