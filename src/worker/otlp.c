/* SPDX-License-Identifier: MIT */
#include "worker/otlp.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/diag.h"
#include "conf/node.h"
#include "conf/option.h"
#include "module/load.h"
#include "module/span.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/random.h"
#include "worker/otlp-http.h"

#define BATCH_MAX 512
#define INTERVAL NSEC_PER_SEC
#define POST_TIMEOUT (5 * NSEC_PER_SEC)
#define FLUSH_TIME (2 * NSEC_PER_SEC)

/* The delay doubles with each attempt, up to WAIT_MAX. Meanwhile spans fill the tracer's ring. */
#define ATTEMPTS_MAX 5
#define BACKOFF_FIRST NSEC_PER_SEC
#define WAIT_MAX (30 * NSEC_PER_SEC)

/* The shortest interval between log lines about dropped spans. */
#define LOG_INTERVAL (60 * NSEC_PER_SEC)

struct otlp {
        const struct conf *conf;
        struct tracer *tracer;
        const struct otlp_http_library *library;
        struct otlp_http *http;

        pthread_t thread;
        bool running;
        pthread_mutex_t lock;
        pthread_cond_t stop;
        atomic_bool stopping;
        atomic_uint_fast64_t stop_by; /* CLOCK_MONOTONIC ns */

        /* used by the thread only */
        struct span_record batch[BATCH_MAX];
        size_t n_batch;
        char body[OTLP_REQUEST_MAX(BATCH_MAX)];
        bool failing;       /* the collector did not accept the last batch */
        char reason[256];   /* why it did not accept all spans; "": it did */
        uint64_t dropped;   /* spans dropped after they were taken from the tracer */
        uint64_t logged;    /* dropped spans that have been logged */
        uint64_t logged_at; /* when they were logged; 0: never */
};

/* --- log lines -------------------------------------------------------------------------------- */

static void log_dropped_spans(struct otlp *otlp, bool last)
{
        uint64_t dropped = tracer_dropped(otlp->tracer) + otlp->dropped, now = clock_now();

        if (dropped == otlp->logged)
                return;
        if (!last && otlp->logged_at != 0 && now - otlp->logged_at < LOG_INTERVAL)
                return;
        log_warning("%" PRIu64 " spans dropped: %s", dropped - otlp->logged,
                    otlp->reason[0] ? otlp->reason
                                    : "the collector does not accept them fast enough");
        otlp->logged = dropped;
        otlp->logged_at = now;
}

static void log_failure(struct otlp *otlp, const char *reason)
{
        if (!otlp->failing)
                log_warning("Cannot send traces to %s: %s", otlp->conf->traces_endpoint, reason);
        otlp->failing = true;
        (void)snprintf(otlp->reason, sizeof otlp->reason, "%s", reason);
}

static void log_success(struct otlp *otlp, const struct otlp_answer *answer)
{
        if (otlp->failing)
                log_notice("Sending traces to %s works again", otlp->conf->traces_endpoint);
        otlp->failing = false;
        otlp->dropped += answer->rejected < otlp->n_batch ? answer->rejected : otlp->n_batch;
        (void)snprintf(otlp->reason, sizeof otlp->reason, "%s",
                       answer->rejected > 0 ? answer->reason : "");
}

/* --- the thread ------------------------------------------------------------------------------- */

static bool go_on(void *user)
{
        struct otlp *otlp = user;

        return !atomic_load(&otlp->stopping) || clock_now() < atomic_load(&otlp->stop_by);
}

/* Waits, but returns early on a stop, so that the last attempt comes at once. */
static void pause_for(struct otlp *otlp, uint64_t ns)
{
        uint64_t end = clock_now() + ns;
        struct timespec limit = { .tv_sec = (time_t)(end / NSEC_PER_SEC),
                                  .tv_nsec = (long)(end % NSEC_PER_SEC) };
        int r = 0;

        (void)pthread_mutex_lock(&otlp->lock);
        while (!atomic_load(&otlp->stopping) && r != ETIMEDOUT)
                r = pthread_cond_timedwait(&otlp->stop, &otlp->lock, &limit);
        (void)pthread_mutex_unlock(&otlp->lock);
}

/* Half of the delay is random, so that the workers do not retry in step. */
static uint64_t backoff(unsigned attempt, uint64_t wanted)
{
        uint64_t delay = BACKOFF_FIRST << attempt;

        delay = delay / 2 + random_u64() % (delay / 2);
        if (delay < wanted)
                delay = wanted;
        return delay < WAIT_MAX ? delay : WAIT_MAX;
}

static bool may_try_again(const struct otlp_answer *answer)
{
        return answer->status == 0 || answer->status == 429 || answer->status == 502 ||
               answer->status == 503 || answer->status == 504;
}

static void deliver(struct otlp *otlp, size_t length)
{
        struct otlp_answer answer;

        for (unsigned attempt = 0; go_on(otlp); attempt++) {
                otlp->library->post(otlp->http, otlp->body, length, POST_TIMEOUT, go_on, otlp,
                                    &answer);
                if (answer.status / 100 == 2) {
                        log_success(otlp, &answer);
                        return;
                }
                log_failure(otlp, answer.reason);
                if (!may_try_again(&answer) || attempt + 1 == ATTEMPTS_MAX ||
                    atomic_load(&otlp->stopping))
                        break;
                log_dropped_spans(otlp, false);
                pause_for(otlp, backoff(attempt, answer.wait));
        }
        otlp->dropped += otlp->n_batch;
}

static uint64_t to_unix(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec - clock_now();
}

static void send_batch(struct otlp *otlp)
{
        size_t length = otlp_write_request(otlp->body, otlp->conf->traces_service, otlp->batch,
                                           otlp->n_batch, to_unix());

        deliver(otlp, length);
}

static bool take_batch(struct otlp *otlp)
{
        otlp->n_batch = 0;
        while (otlp->n_batch < BATCH_MAX && tracer_take(otlp->tracer, &otlp->batch[otlp->n_batch]))
                otlp->n_batch++;
        return otlp->n_batch > 0;
}

static void *run(void *arg)
{
        struct otlp *otlp = arg;
        bool last;

        do {
                last = atomic_load(&otlp->stopping);
                if (!last)
                        tracer_wait(otlp->tracer, INTERVAL);
                while (take_batch(otlp))
                        send_batch(otlp);
                log_dropped_spans(otlp, last);
        } while (!last);
        return NULL;
}

/* --- creation and destruction ----------------------------------------------------------------- */

/* The library is in the same directory as this program. */
static int load_library(struct otlp *otlp, char **ret_why)
{
        char path[PATH_MAX + sizeof OTLP_HTTP_LIBRARY];
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
        char *slash;

        if (n < 0)
                return -errno;
        path[n] = '\0';
        slash = strrchr(path, '/');
        (void)strcpy(slash ? slash + 1 : path, OTLP_HTTP_LIBRARY);
        otlp->library = module_symbol(path, OTLP_HTTP_SYMBOL, ret_why);
        return otlp->library ? 0 : -ENOEXEC;
}

static bool is_header_value(const char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        return false;
        return true;
}

/* Makes the line "Name: value", which contains a secret: free it with option_secret_free(). */
static int make_header(const struct conf *conf, const struct conf_header *header, char **ret,
                       struct diag *diag)
{
        char *value;
        int r = 0;

        if (!option_secret(header->value, conf->base, &value, diag))
                return -EINVAL;
        if (!is_header_value(value)) {
                diag_add(diag, header->value,
                         "the value of a header must not contain control characters");
                r = -EINVAL;
        } else if (asprintf(ret, "%s: %s", header->name, value) < 0) {
                *ret = NULL;
                r = -ENOMEM;
        }
        option_secret_free(value);
        return r;
}

static void free_headers(char ***headers)
{
        for (char **h = *headers; h && *h; h++)
                option_secret_free(*h);
        free(*headers);
}

static int init_http(struct otlp *otlp, struct diag *diag)
{
        const struct conf *conf = otlp->conf;
        _cleanup_(free_headers) char **headers = calloc(conf->n_traces_headers + 1,
                                                        sizeof *headers);
        size_t n = 0;
        int r = 0, e;

        if (!headers)
                return -ENOMEM;
        for (size_t i = 0; i < conf->n_traces_headers; i++) {
                e = make_header(conf, &conf->traces_headers[i], &headers[n], diag);
                if (e < 0)
                        r = e;
                else
                        n++;
        }
        if (r < 0)
                return r;
        return otlp->library->init(&otlp->http, conf->traces_endpoint,
                                   (const char *const *)headers);
}

static void init_stop(struct otlp *otlp)
{
        pthread_condattr_t attr;

        (void)pthread_mutex_init(&otlp->lock, NULL);
        (void)pthread_condattr_init(&attr);
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&otlp->stop, &attr);
        (void)pthread_condattr_destroy(&attr);
}

int otlp_new(struct otlp **ret, const struct conf *conf, struct diag *diag)
{
        _cleanup_(otlp_freep) struct otlp *otlp = NULL;
        _cleanup_free_ char *why = NULL;
        int r;

        *ret = NULL;
        if (!conf->traces_endpoint)
                return 0;
        otlp = calloc(1, sizeof *otlp);
        if (!otlp)
                return -ENOMEM;
        otlp->conf = conf;
        init_stop(otlp);
        r = load_library(otlp, &why);
        if (r == -ENOEXEC && why) {
                diag_add(diag, node_get(node_get(conf->root, "traces"), "endpoint"), "%s", why);
                return -EINVAL;
        }
        if (r < 0)
                return r;
        r = init_http(otlp, diag);
        if (r < 0)
                return r;
        r = tracer_new(&otlp->tracer, conf->traces_sample);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(otlp);
        return 0;
}

int otlp_start(struct otlp *otlp)
{
        int r;

        if (!otlp)
                return 0;
        r = -pthread_create(&otlp->thread, NULL, run, otlp);
        otlp->running = r == 0;
        return r;
}

struct tracer *otlp_tracer(const struct otlp *otlp)
{
        return otlp ? otlp->tracer : NULL;
}

static void stop_thread(struct otlp *otlp)
{
        (void)pthread_mutex_lock(&otlp->lock);
        atomic_store(&otlp->stop_by, clock_now() + FLUSH_TIME);
        atomic_store(&otlp->stopping, true);
        (void)pthread_cond_signal(&otlp->stop);
        (void)pthread_mutex_unlock(&otlp->lock);
        tracer_wake(otlp->tracer);
        (void)pthread_join(otlp->thread, NULL);
}

struct otlp *otlp_free(struct otlp *otlp)
{
        if (!otlp)
                return NULL;
        if (otlp->running)
                stop_thread(otlp);
        if (otlp->http)
                (void)otlp->library->free(otlp->http);
        (void)tracer_free(otlp->tracer);
        (void)pthread_cond_destroy(&otlp->stop);
        (void)pthread_mutex_destroy(&otlp->lock);
        free(otlp);
        return NULL;
}
