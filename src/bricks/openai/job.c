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

#include "answer.h"

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

void job_enter(struct job *job, enum job_state state)
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
        job_enter(job, JOB_QUEUED);
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
        job_enter(job, JOB_BACKOFF);
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

/* --- the transfer -------------------------------------------------------------------- */

static int finish(struct job *job, CURLcode result)
{
        if (job->in.verdict < 0)
                return job->in.verdict;
        return result == CURLE_OK ? answer_finish(job) : fail_because_of_curl(job, result);
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

static int on_connected(void *user, char *ip, char *local_ip, int port, int local_port)
{
        job_enter(user, JOB_WAITING);
        return CURL_PREREQFUNC_OK;
}

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
        SET(CURLOPT_WRITEFUNCTION, answer_on_bytes);
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
        job_enter(job, JOB_OPENING);
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
