/* SPDX-License-Identifier: MIT */

#include "job.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

/* The time for which a finished call waits for the end of its transfer, so that the connection can
 * be reused. */
#define LINGER (1000 * UINT64_C(1000))

/* The accuracy of timers in microseconds, so that several can fire together. */
#define TIMER_ACCURACY 5000

/* The kernel's buffer for an answer whose client is slow. The default would grow to megabytes.
 */
#define RECEIVE_BUFFER (64 * 1024)

/* Longer header values are not forwarded. */
#define HEADER_MAX 512

/* of gRPC */
#define STATUS_CANCELLED 1

/* --- creation ---------------------------------------------------------------------- */

/* Adds a header with a value from a peer, unless the value could end the header. */
static int add_header(struct job *job, const char *name, const char *value, size_t n)
{
        struct curl_slist *longer;
        char line[HEADER_MAX + 64];

        if (n == 0 || n > HEADER_MAX)
                return 0;
        for (size_t i = 0; i < n; i++)
                if (!isprint((unsigned char)value[i]))
                        return 0;
        (void)snprintf(line, sizeof line, "%s: %.*s", name, (int)n, value);
        longer = curl_slist_append(job->headers, line);
        if (!longer)
                return -ENOMEM;
        job->headers = longer;
        return 0;
}

static int build_headers(struct job *job, const LLMRequest *request)
{
        const struct curl_slist *header = engine_config(job->engine)->headers;
        struct brick_str parent = brick_host->call_traceparent(job->call);
        struct brick_str state = brick_host->call_tracestate(job->call);
        struct brick_str id = brick_str(request->request_id);

        for (; header; header = header->next) {
                struct curl_slist *longer = curl_slist_append(job->headers, header->data);

                if (!longer)
                        return -ENOMEM;
                job->headers = longer;
        }
        if (id.len == 0)
                id = brick_host->call_metadata(job->call, "x-request-id");
        if (add_header(job, "traceparent", parent.ptr, parent.len) < 0 ||
            add_header(job, "tracestate", state.ptr, state.len) < 0)
                return -ENOMEM;
        return add_header(job, "x-request-id", id.ptr, id.len);
}

static uint64_t add_time(uint64_t a, uint64_t b)
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t monotonic_now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
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
        job->expires = add_time(monotonic_now(), config->timeout);
        job->body = chat_request(&config->chat, request, stream);
        r = job->body ? build_headers(job, request) : -EINVAL;
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
        sse_done(&in->sse);
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
        curl_slist_free_all(job->headers);
        free(job->body);
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
                return job->stream ? config->first_token_timeout : UINT64_MAX;
        case JOB_STREAMING: /* a slow client stops the API: no limit */
                return job->blocked ? UINT64_MAX : config->idle_timeout;
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
        uint64_t stage = add_time(job->since, state_limit(job));

        return stage < job->expires ? stage : job->expires;
}

static void set_timer(struct job *job)
{
        (void)sd_event_source_set_time(job->timer, due(job));
        (void)sd_event_source_set_enabled(job->timer, SD_EVENT_ONESHOT);
}

static void enter(struct job *job, enum job_state state)
{
        if (job->state == JOB_OPENING && job->transferring)
                engine_connected(job->engine, job);
        job->state = state;
        job->since = engine_now(job->engine);
        set_timer(job);
}

static void end(struct job *job)
{
        if (job->state == JOB_OVER)
                return;
        engine_close(job->engine, job);
        job->state = JOB_OVER;
        job->timer = sd_event_source_disable_unref(job->timer);
        curl_easy_cleanup(job->easy);
        job->easy = NULL;
        engine_drop(job->engine, job);
}

static void queue(struct job *job)
{
        job->attempts++;
        incoming_done(&job->in);
        sse_init(&job->in.sse, engine_config(job->engine)->max_reply);
        engine_queue(job->engine, job);
        enter(job, JOB_QUEUED);
}

/* --- failures ------------------------------------------------------------------------ */

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

/* The delay that the API asks for. */
static uint64_t retry_after(const struct job *job)
{
        curl_off_t seconds = 0;

        if (job->easy)
                (void)curl_easy_getinfo(job->easy, CURLINFO_RETRY_AFTER, &seconds);
        if (seconds <= 0)
                return 0;
        return seconds > 86400 ? UINT64_MAX : (uint64_t)seconds * 1000000;
}

/* Schedules another attempt. False: a retry is useless, or there is no time left. */
static bool try_again(struct job *job)
{
        uint64_t deadline = brick_host->call_deadline(job->call) / 1000;

        if (!job->failure.retry || job->attempts > engine_config(job->engine)->retries)
                return false;
        job->delay = add_time(backoff(job), retry_after(job));
        if (add_time(engine_now(job->engine), job->delay) >=
            (deadline < job->expires ? deadline : job->expires))
                return false;
        brick_logf(brick_host, engine_config(job->engine)->ctx, BRICK_LOG_DEBUG,
                   "Attempt %u failed with error %" PRId32 "; the next one starts in %" PRIu64
                   " ms",
                   job->attempts, job->failure.code, job->delay / 1000);
        enter(job, JOB_BACKOFF);
        return true;
}

/* Masks the key in a text: an API may repeat it in an error message. */
static void hide_key(char *text, const char *key)
{
        size_t n = key ? strlen(key) : 0;
        char *p = text;

        while (n >= 8 && (p = strstr(p, key)))
                memset(p, '*', n);
}

/* Ends the attempt with an errno; -EBADMSG: with job->failure. */
static void fail(struct job *job, int error)
{
        struct chat_failure *failure = &job->failure;
        const char *key = engine_config(job->engine)->api_key;

        engine_close(job->engine, job);
        if (error == -ECANCELED) {
                brick_host->call_finish(job->call, STATUS_CANCELLED, brick_str(""));
                goto over;
        }
        if (error == -EMSGSIZE)
                chat_fail(failure, CHAT_E_RESOURCE_EXHAUSTED, false,
                          "the model's answer is larger than the reply limit of this server");
        else if (error != -EBADMSG)
                chat_fail(failure, BRICK_E_INTERNAL, false, "%s", strerror(-error));
        else if (job->state != JOB_STREAMING && try_again(job))
                return;
        hide_key(failure->message, key);
        hide_key(failure->detail, key);
        (void)brick_fail(job->call, failure->code, failure->message, failure->detail);
over:
        job->call = NULL;
        end(job);
}

static int fail_because_of_curl(struct job *job, CURLcode result)
{
        const char *reason = job->curl_error[0] ? job->curl_error : curl_easy_strerror(result);
        struct chat_failure *failure = &job->failure;
        const char *what = "the connection to the API was lost";
        int32_t code = CHAT_E_CONNECTION;
        bool retry = true;

        switch (result) {
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
                code = CHAT_E_DNS;
                what = "the host name of the API cannot be resolved";
                break;
        case CURLE_COULDNT_CONNECT:
                code = CHAT_E_SERVICE_UNAVAILABLE;
                what = "the API cannot be reached";
                break;
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
                retry = false;
                code = CHAT_E_TLS;
                what = "the certificate of the API is not trusted";
                break;
        case CURLE_SSL_CONNECT_ERROR:
                code = CHAT_E_TLS;
                what = "the TLS connection to the API failed";
                break;
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
                retry = false;
                code = CHAT_E_API;
                what = "the API does not speak HTTP";
                break;
        default:
                break;
        }
        chat_fail(failure, code, retry, "%s: %s", what, reason);
        return -EBADMSG;
}

static void time_out(struct job *job)
{
        const struct config *config = engine_config(job->engine);
        struct chat_failure *failure = &job->failure;

        if (engine_now(job->engine) >= job->expires)
                chat_fail(failure, CHAT_E_MODEL_TIMEOUT, false,
                          "the model did not finish its answer within %" PRIu64 " ms",
                          config->timeout / 1000);
        else if (job->state == JOB_WAITING)
                chat_fail(failure, CHAT_E_MODEL_TIMEOUT, false,
                          "the model did not start its answer within %" PRIu64 " ms",
                          config->first_token_timeout / 1000);
        else if (job->state == JOB_STREAMING)
                chat_fail(failure, CHAT_E_MODEL_TIMEOUT, false,
                          "the model sent nothing for %" PRIu64 " ms in its answer",
                          config->idle_timeout / 1000);
        else
                chat_fail(failure, CHAT_E_SERVICE_TIMEOUT, true,
                          "no connection to the API within %" PRIu64 " ms",
                          config->connect_timeout / 1000);
        fail(job, -EBADMSG);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
        struct job *job = user;

        /* Bytes that have arrived since may have moved the deadline. */
        if (engine_now(job->engine) < due(job))
                set_timer(job);
        else if (job->state == JOB_LINGERING)
                end(job);
        else if (job->state == JOB_BACKOFF && engine_now(job->engine) < job->expires)
                queue(job);
        else
                time_out(job);
        return 0;
}

/* --- to the client -------------------------------------------------------------- */

static int send_reply(struct job *job, const char *text, bool is_final)
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
                enter(job, JOB_STREAMING);
        r = send_reply(job, text, false);
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

        r = send_reply(job, text, true);
        if (r < 0)
                return r;
        add_trailers(job);
        brick_finish(job->call);
        job->call = NULL;
        return 0;
}

/* At the end of the answer: sends the last message, unless another still waits for the client. */
static int conclude(struct job *job)
{
        int r;

        job->ended = true;
        if (job->held)
                return 0;
        r = send_last(job, chat_rest(&job->in.answer));
        if (r == 0)
                enter(job, JOB_LINGERING);
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
                return conclude(job);
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

static size_t on_bytes(char *bytes, size_t unit, size_t n, void *user)
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

static int on_connected(void *user, char *ip, char *local_ip, int port, int local_port)
{
        enter(user, JOB_WAITING);
        return CURL_PREREQFUNC_OK;
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
                return conclude(job);
        chat_fail(&job->failure, CHAT_E_CONNECTION, true,
                  "the connection to the API broke in the middle of the answer");
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
        return r == 0 || r == -EAGAIN ? conclude(job) : r;
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

static int finish(struct job *job, CURLcode result)
{
        long status;

        if (job->in.verdict < 0)
                return job->in.verdict;
        if (result != CURLE_OK)
                return fail_because_of_curl(job, result);
        status = http_status(job);
        if (status / 100 == 3)
                return refuse_redirect(job);
        if (status / 100 != 2) {
                chat_fail_http(&job->failure, status, job->in.body, job->in.n_body);
                return -EBADMSG;
        }
        return is_event_stream(job) ? finish_stream(job) : finish_whole(job);
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

/* --- the transfer -------------------------------------------------------------------- */

static int on_new_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
        int size = RECEIVE_BUFFER;

        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0)
                return CURL_SOCKOPT_ERROR;
        return CURL_SOCKOPT_OK;
}

static bool set_options(struct job *job, CURL *easy)
{
        const struct config *config = engine_config(job->engine);
        bool ok = true;

        /* Fails only if out of memory, or if libcurl lacks a feature. */
#define SET(option, value) ok = curl_easy_setopt(easy, option, value) == CURLE_OK && ok
        SET(CURLOPT_PRIVATE, job);
        SET(CURLOPT_ERRORBUFFER, job->curl_error);
        SET(CURLOPT_URL, config->url);
        SET(CURLOPT_POSTFIELDS, job->body);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(job->body));
        SET(CURLOPT_HTTPHEADER, job->headers);
        SET(CURLOPT_USERAGENT, "brickd");
        SET(CURLOPT_WRITEFUNCTION, on_bytes);
        SET(CURLOPT_WRITEDATA, job);
        SET(CURLOPT_SOCKOPTFUNCTION, on_new_socket);
        SET(CURLOPT_PREREQFUNCTION, on_connected);
        SET(CURLOPT_PREREQDATA, job);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        /* One connection per answer, so that the kernel's flow control stops an API whose client is
         * slow. With HTTP/2, libcurl would buffer up to 32 MiB of each paused answer. */
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        /* Without it, closing a transfer waits for its name lookup, and blocks all others. */
        SET(CURLOPT_QUICK_EXIT, 1L);
        /* The timer of the state is shorter and applies first. */
        SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(config->connect_timeout / 1000 + 1000));
        if (config->proxy) {
                SET(CURLOPT_PROXY, config->proxy);
                SET(CURLOPT_NOPROXY, "");
        }
        if (config->ca_file) {
                SET(CURLOPT_CAINFO, config->ca_file);
                SET(CURLOPT_CAPATH, NULL);
        }
#undef SET
        return ok;
}

CURL *job_connect(struct job *job)
{
        enter(job, JOB_OPENING);
        job->curl_error[0] = '\0';
        if (job->easy)
                return job->easy;
        job->easy = curl_easy_init();
        return job->easy && set_options(job, job->easy) ? job->easy : NULL;
}

/* --- orders -------------------------------------------------------------------------- */

void job_start(struct job *job)
{
        struct engine *engine = job->engine;
        int r;

        engine_adopt(engine, job);
        r = sd_event_add_time(engine_event(engine), &job->timer, CLOCK_MONOTONIC, job->expires,
                              TIMER_ACCURACY, on_timer, job);
        if (r < 0)
                fail(job, r);
        else
                queue(job);
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

        job->since = engine_now(job->engine);
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
                r = send_reply(job, job->held, false);
                if (r == -EAGAIN)
                        return;
                free(job->held);
                job->held = NULL;
        }
        if (r == 0 && job->ended)
                r = conclude(job);
        else if (r == 0)
                return unpause(job);
        if (r < 0)
                fail(job, r);
        else if (!job->call && !job->transferring)
                end(job);
}
