/* SPDX-License-Identifier: MIT */

#include "answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of the body of an error, the rest is not read. */
#define ERROR_BODY_MAX (64 * 1024)

/* No answer is worth so many bytes for each byte that came compressed. */
#define RATIO_MAX 256
#define RATIO_FROM (1024 * 1024)

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

/* Sends the text so far to the client. -EAGAIN: it is kept, and no more may be sent until
 * job_resume(). */
static int say(struct job *job)
{
        struct text *text = &job->in.answer.text;
        int r;

        if (text->n == 0)
                return 0;
        job->spoken = true;
        if (job->state != JOB_STREAMING)
                job_enter(job, JOB_STREAMING);
        r = answer_send(job, text->p, false);
        if (r == -EAGAIN) {
                job->held = strdup(text->p);
                if (!job->held)
                        return -ENOMEM;
        }
        text_clear(text);
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

static int send_last(struct job *job)
{
        struct text *text = &job->in.answer.text;
        int r;

        r = text_end(text);
        if (r == 0)
                r = answer_send(job, text->p ? text->p : "", true);
        if (r < 0)
                return r;
        add_trailers(job);
        brick_finish(job->call);
        job->call = NULL;
        return 0;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Says what was sent instead of an answer. */
static int refuse_answer(struct job *job)
{
        const struct incoming *in = &job->in;
        char words[sizeof in->sample * 3 + 1];
        size_t blanks = 0;

        failure_words(words, sizeof words, in->sample, in->n_sample);
        while (blanks < in->n_sample && is_blank(in->sample[blanks]))
                blanks++;
        if (in->has_document)
                failure_set(&job->failure, FAILURE_API, false,
                            "the API's answer has no choices[0].message: %s", words);
        else if (blanks == in->n_sample || in->sample[blanks] == ':' || strstr(words, "[DONE]"))
                failure_set(&job->failure, FAILURE_API, false, "the API's answer is empty");
        else
                failure_set(&job->failure, FAILURE_API, false,
                            "the API sent something that is not JSON where the answer was due%s%s",
                            *words ? ": " : "", words);
        return -EBADMSG;
}

int answer_conclude(struct job *job)
{
        int r;

        if (!job->in.answer.has_choice)
                return refuse_answer(job);
        job->ended = true;
        if (job->held)
                return 0;
        r = send_last(job);
        if (r == 0)
                job_enter(job, JOB_LINGERING);
        return r == -EAGAIN ? 0 : r;
}

/* --- documents ----------------------------------------------------------------------- */

static int not_json(struct job *job)
{
        failure_set(&job->failure, FAILURE_API, false,
                    "the API sent something that is not JSON where a part of the answer was due");
        return -EBADMSG;
}

static int too_large(struct job *job)
{
        failure_set(&job->failure, FAILURE_API, false, "the API's answer is larger than %zu bytes",
                    engine_config(job->engine)->max_reply);
        return -EBADMSG;
}

bool answer_is_complete(const struct job *job)
{
        return job->in.answer.finish_reason[0] || job->in.answer.is_whole;
}

/* Whether the transfer ends with these bytes, so that its end need not be waited for. */
static bool is_all_here(const struct job *job)
{
        curl_off_t length = -1, came = 0;

        (void)curl_easy_getinfo(job->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        (void)curl_easy_getinfo(job->easy, CURLINFO_SIZE_DOWNLOAD_T, &came);
        return length >= 0 && came >= length;
}

static int pass_on(struct job *job)
{
        const struct chat_answer *answer = &job->in.answer;
        int r = 0;

        if (job->stream)
                r = say(job);
        else if (answer->text.n > engine_config(job->engine)->max_reply)
                return too_large(job);
        if (answer_is_complete(job) && job->state != JOB_ENDING && !is_all_here(job))
                job_enter(job, JOB_ENDING);
        else if (job->stream && answer->is_working && job->state == JOB_WAITING)
                job_enter(job, JOB_THINKING);
        return r;
}

static bool is_done(struct scan document)
{
        static const char done[] = "[DONE]";

        return (size_t)(document.end - document.p) == sizeof done - 1 &&
               memcmp(document.p, done, sizeof done - 1) == 0;
}

static struct scan trim(const char *data, size_t n)
{
        while (n > 0 && is_blank(data[n - 1]))
                n--;
        for (; n > 0 && is_blank(*data); n--)
                data++;
        return (struct scan){ data, data + n };
}

static int take_document(struct job *job)
{
        const struct framing *framing = &job->in.framing;
        struct scan document = trim(framing->data, framing->n_data);
        const size_t n = (size_t)(document.end - document.p);
        int r;

        if (n == 0 || job->ended)
                return 0;
        if (framing->is_error) {
                failure_from_event(&job->failure, document.p, n);
                return -EBADMSG;
        }
        if (is_done(document))
                return answer_conclude(job);
        if (*document.p != '{' && *document.p != '[') /* servers send texts to keep a connection */
                return 0;
        job->in.n_idle = 0;
        r = chat_take(&job->in.answer, document.p, n, &job->failure);
        if (r == -EINVAL)
                return *document.p == '[' || answer_is_complete(job) ? 0 : not_json(job);
        job->in.has_document = true;
        return r == 0 ? pass_on(job) : r;
}

/* --- bytes --------------------------------------------------------------------------- */

static long http_status(struct job *job)
{
        if (job->in.status == 0)
                (void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &job->in.status);
        return job->in.status;
}

static bool is_success(struct job *job)
{
        return http_status(job) / 100 == 2;
}

/* Whether a few compressed bytes have become very many. */
static bool is_bomb(const struct job *job)
{
        curl_off_t came = 0;

        if (job->in.n_bytes < RATIO_FROM)
                return false;
        (void)curl_easy_getinfo(job->easy, CURLINFO_SIZE_DOWNLOAD_T, &came);
        return job->in.n_bytes / RATIO_MAX > (uint64_t)came;
}

/* Counts bytes, and keeps the first ones to say what they are if they are no answer. */
static int note(struct job *job, const char *bytes, size_t n)
{
        struct incoming *in = &job->in;
        size_t room = sizeof in->sample - in->n_sample;

        if (in->eaten > 0) /* they come again */
                return 0;
        memcpy(in->sample + in->n_sample, bytes, n < room ? n : room);
        in->n_sample += n < room ? n : room;
        in->n_bytes += n;
        in->n_idle += n;
        return in->n_idle / 2 > engine_config(job->engine)->max_reply || is_bomb(job)
                       ? too_large(job)
                       : 0;
}

static int take_pieces(struct job *job, const char *bytes, size_t n)
{
        const char *pos = bytes + job->in.eaten, *end = bytes + n;
        int r;

        r = note(job, bytes, n);
        if (r < 0)
                return r;
        while ((r = framing_next(&job->in.framing, &pos, end)) > 0) {
                r = take_document(job);
                if (r == -EAGAIN)
                        job->in.eaten = (size_t)(pos - bytes);
                if (r < 0)
                        return r;
        }
        job->in.eaten = 0;
        return r == -EMSGSIZE ? too_large(job) : r;
}

/* The body of an error, of which only the beginning counts. */
static int take_error_body(struct job *job, const char *bytes, size_t n)
{
        struct incoming *in = &job->in;

        if (in->n_body == 0)
                job_enter(job, JOB_ENDING);
        if (n > ERROR_BODY_MAX - in->n_body)
                n = ERROR_BODY_MAX - in->n_body;
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
        if (job->state == JOB_STREAMING || job->state == JOB_THINKING)
                job->since = engine_now();
        in->verdict = is_success(job) ? take_pieces(job, bytes, n) : take_error_body(job, bytes, n);
        if (in->verdict == -EAGAIN) {
                in->verdict = 0;
                return CURL_WRITEFUNC_PAUSE;
        }
        return in->verdict < 0 ? 0 : n;
}

/* --- the end of the transfer ----------------------------------------------------------- */

/* False: the body ends with the connection and may be incomplete. */
static bool knows_its_end(const struct job *job)
{
        struct curl_header *header;
        curl_off_t length = -1;

        if (answer_is_complete(job))
                return true;
        (void)curl_easy_getinfo(job->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        return length >= 0 || curl_easy_header(job->easy, "Transfer-Encoding", 0, CURLH_HEADER, -1,
                                               &header) == CURLHE_OK;
}

/* Handles the end of an answer, with or without [DONE]. */
static int finish_answer(struct job *job)
{
        int r;

        while ((r = framing_last(&job->in.framing)) > 0) {
                r = take_document(job);
                if (r < 0 && r != -EAGAIN)
                        return r;
        }
        if (r < 0 && r != -EAGAIN)
                return r == -EMSGSIZE ? too_large(job) : r;
        if (!job->call || job->ended)
                return 0;
        if (!job->in.answer.has_choice || knows_its_end(job))
                return answer_conclude(job);
        failure_set(&job->failure, FAILURE_CONNECTION, true,
                    "the connection to the API was lost in the middle of the answer");
        return -EBADMSG;
}

static int refuse_redirect(struct job *job)
{
        char *url = NULL;

        (void)curl_easy_getinfo(job->easy, CURLINFO_REDIRECT_URL, &url);
        failure_set(&job->failure, FAILURE_API, false,
                    "the API redirects with HTTP %ld to %s, which is not followed; correct "
                    "base_url",
                    http_status(job), url ? url : "nowhere");
        return -EBADMSG;
}

/* The error is in the first document of the body, or the body is no JSON. */
static int fail_by_status(struct job *job)
{
        struct incoming *in = &job->in;
        const char *pos = in->body, *end = pos + in->n_body;
        const char *data = in->body;
        size_t n = in->n_body;
        struct scan document;

        while (pos && (framing_next(&in->framing, &pos, end) > 0 || framing_last(&in->framing) > 0))
                if (scan_document(in->framing.data, in->framing.n_data, &document)) {
                        data = in->framing.data;
                        n = in->framing.n_data;
                        break;
                }
        failure_from_http(&job->failure, http_status(job), data, n);
        return -EBADMSG;
}

int answer_finish(struct job *job)
{
        if (http_status(job) / 100 == 3)
                return refuse_redirect(job);
        return is_success(job) ? finish_answer(job) : fail_by_status(job);
}
