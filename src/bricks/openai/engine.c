/* SPDX-License-Identifier: MIT */

#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

/*
 * The number of connections to open at the same time. libcurl uses a thread per transfer to resolve
 * a name that is not in its cache, and a server drops connections beyond its backlog.
 */
#define OPENING_MAX 64

/* The most sockets to handle in one iteration of the loop. */
#define SOCKETS_MAX 256

/* The most transfers that are kept for later jobs. */
#define SPARE_MAX 64

struct engine {
        const struct config *config;
        pthread_t thread;
        bool running;
        int wake_fd;
        int sockets_fd; /* an epoll instance with libcurl's sockets */

        atomic_uint limit; /* enum request_limit */

        pthread_mutex_t lock;
        STAILQ_HEAD(, job) inbox;
        bool stopping;

        /* used by the thread only */
        sd_event *event;
        CURLM *multi;
        sd_event_source *orders; /* to which the event loop's turns belong */
        sd_event_source *timer;  /* libcurl's */
        bool due;                /* it wants to go on at once */
        TAILQ_HEAD(, job) queue; /* for a connection */
        LIST_HEAD(, job) jobs;
        unsigned opening, transfers; /* of the jobs that libcurl has */
        CURL *spare[SPARE_MAX];      /* transfers that are not used */
        unsigned n_spare;
};

const struct config *engine_config(const struct engine *engine)
{
        return engine->config;
}

sd_event *engine_event(const struct engine *engine)
{
        return engine->event;
}

uint64_t engine_now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

enum request_limit engine_limit(struct engine *engine)
{
        return (enum request_limit)atomic_load_explicit(&engine->limit, memory_order_relaxed);
}

void engine_set_limit(struct engine *engine, enum request_limit limit)
{
        atomic_store_explicit(&engine->limit, limit, memory_order_relaxed);
}

CURL *engine_take_easy(struct engine *engine)
{
        CURL *easy;

        if (engine->n_spare > 0)
                return engine->spare[--engine->n_spare];
        easy = curl_easy_init();
        if (easy && !job_set_common_options(easy, engine->config)) {
                curl_easy_cleanup(easy);
                return NULL;
        }
        return easy;
}

void engine_give_easy(struct engine *engine, CURL *easy)
{
        if (engine->n_spare == SPARE_MAX || !easy) {
                curl_easy_cleanup(easy);
                return;
        }
        /* What belongs to the job. */
        (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
        (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
        engine->spare[engine->n_spare++] = easy;
}

/* --- jobs ---------------------------------------------------------------------------- */

void engine_adopt(struct engine *engine, struct job *job)
{
        LIST_INSERT_HEAD(&engine->jobs, job, jobs);
        job_ref(job);
}

void engine_drop(struct engine *engine, struct job *job)
{
        LIST_REMOVE(job, jobs);
        job_unref(job);
}

void engine_queue(struct engine *engine, struct job *job)
{
        TAILQ_INSERT_TAIL(&engine->queue, job, queue);
        job->queued = true;
}

static void leave_queue(struct engine *engine, struct job *job)
{
        TAILQ_REMOVE(&engine->queue, job, queue);
        job->queued = false;
}

void engine_connected(struct engine *engine, struct job *job)
{
        engine->opening--;
}

void engine_close(struct engine *engine, struct job *job)
{
        if (job->queued)
                leave_queue(engine, job);
        if (!job->transferring)
                return;
        (void)curl_multi_remove_handle(engine->multi, job->easy);
        job->transferring = false;
        engine->transfers--;
        if (job->state == JOB_OPENING)
                engine->opening--;
}

static void open_transfer(struct engine *engine, struct job *job)
{
        CURL *easy;

        leave_queue(engine, job);
        easy = job_connect(job);
        if (!easy || curl_multi_add_handle(engine->multi, easy) != CURLM_OK) {
                job_done(job, CURLE_OUT_OF_MEMORY);
                return;
        }
        job->transferring = true;
        engine->transfers++;
        engine->opening++;
}

static void open_transfers(struct engine *engine)
{
        while (!TAILQ_EMPTY(&engine->queue) && engine->opening < OPENING_MAX &&
               engine->transfers < engine->config->max_connections)
                open_transfer(engine, TAILQ_FIRST(&engine->queue));
}

/* --- libcurl ------------------------------------------------------------------------- */

static void run_multi(struct engine *engine, curl_socket_t fd, int events)
{
        CURLMsg *message;
        int n;

        (void)curl_multi_socket_action(engine->multi, fd, events, &n);
        while ((message = curl_multi_info_read(engine->multi, &n))) {
                CURLcode result = message->data.result;
                struct job *job = NULL;

                (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&job);
                engine_close(engine, job);
                job_done(job, result);
        }
}

static int curl_events(uint32_t events)
{
        return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
               (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

/*
 * The sockets have an epoll instance of their own, because the event loop polls again after each
 * source: with a thousand readable sockets, it would poll a thousand times. It does no harm if
 * handling one socket closes another of the same iteration: libcurl no longer knows it, or reads
 * and finds nothing.
 */
static int on_sockets(sd_event_source *source, int fd, uint32_t revents, void *user)
{
        struct epoll_event events[SOCKETS_MAX];
        int n = epoll_wait(fd, events, SOCKETS_MAX, 0);

        for (int i = 0; i < n; i++)
                run_multi(user, events[i].data.fd, curl_events(events[i].events));
        return 0;
}

static int on_curl_timer(sd_event_source *source, uint64_t usec, void *user)
{
        run_multi(user, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static int set_timer(struct engine *engine, uint64_t after)
{
        int r = sd_event_source_set_time(engine->timer, engine_now() + after);

        return r < 0 ? r : sd_event_source_set_enabled(engine->timer, SD_EVENT_ONESHOT);
}

/*
 * Runs before the loop waits: libcurl's callbacks must not add transfers, nor call libcurl. What it
 * wants to do at once, such as sending the request of a new transfer, is done here: a timer would
 * first go to the kernel and back.
 */
static int on_turn(sd_event_source *source, void *user)
{
        struct engine *engine = user;

        open_transfers(engine);
        if (!engine->due)
                return 0;
        engine->due = false;
        run_multi(engine, CURL_SOCKET_TIMEOUT, 0);
        open_transfers(engine); /* for which that has made room */
        return engine->due ? set_timer(engine, 0) : 0;
}

/* libcurl's callback to watch a socket. `known` is set if it is already being watched. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
        struct engine *engine = user;
        struct epoll_event event = { .events = (what & CURL_POLL_IN ? EPOLLIN : 0) |
                                               (what & CURL_POLL_OUT ? EPOLLOUT : 0),
                                     .data.fd = fd };

        if (what == CURL_POLL_REMOVE) {
                (void)epoll_ctl(engine->sockets_fd, EPOLL_CTL_DEL, fd, NULL);
                (void)curl_multi_assign(engine->multi, fd, NULL);
                return 0;
        }
        if (epoll_ctl(engine->sockets_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
                return -1;
        (void)curl_multi_assign(engine->multi, fd, engine);
        return 0;
}

/* libcurl's callback to set its timer. */
static int set_curl_timer(CURLM *multi, long ms, void *user)
{
        struct engine *engine = user;

        engine->due = ms == 0;
        if (ms <= 0)
                return sd_event_source_set_enabled(engine->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        return set_timer(engine, (uint64_t)ms * 1000) < 0 ? -1 : 0;
}

static int open_multi(struct engine *engine)
{
        const struct config *config = engine->config;

        engine->multi = curl_multi_init();
        if (!engine->multi)
                return -ENOMEM;
        if (curl_multi_setopt(engine->multi, CURLMOPT_SOCKETFUNCTION, watch_socket) != CURLM_OK ||
            curl_multi_setopt(engine->multi, CURLMOPT_SOCKETDATA, engine) != CURLM_OK ||
            curl_multi_setopt(engine->multi, CURLMOPT_TIMERFUNCTION, set_curl_timer) != CURLM_OK ||
            curl_multi_setopt(engine->multi, CURLMOPT_TIMERDATA, engine) != CURLM_OK ||
            curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, (long)config->max_connections) !=
                    CURLM_OK)
                return -ENOTSUP;
        return 0;
}

/* --- the thread ---------------------------------------------------------------------- */

static void obey(struct job *job, unsigned orders)
{
        if (orders & ORDER_START)
                job_start(job);
        if (orders & ORDER_CANCEL)
                job_cancel(job);
        else if (orders & ORDER_RESUME)
                job_resume(job);
        job_unref(job);
}

static struct job *next_order(struct engine *engine, unsigned *ret_orders)
{
        struct job *job;

        (void)pthread_mutex_lock(&engine->lock);
        job = STAILQ_FIRST(&engine->inbox);
        if (job) {
                STAILQ_REMOVE_HEAD(&engine->inbox, inbox);
                *ret_orders = job->orders;
                job->orders = 0;
        } else if (engine->stopping) {
                (void)sd_event_exit(engine->event, 0);
        }
        (void)pthread_mutex_unlock(&engine->lock);
        return job;
}

static int on_wake(sd_event_source *source, int fd, uint32_t revents, void *user)
{
        struct engine *engine = user;
        unsigned orders;
        struct job *job;
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        while ((job = next_order(engine, &orders)))
                obey(job, orders);
        return 0;
}

static void *engine_run(void *user)
{
        struct engine *engine = user;
        int r;

        r = sd_event_loop(engine->event);
        if (r < 0)
                brick_logf(brick_host, engine->config->ctx, BRICK_LOG_ERROR,
                           "The event loop failed: %s", strerror(-r));
        while (!LIST_EMPTY(&engine->jobs))
                job_cancel(LIST_FIRST(&engine->jobs));
        return NULL;
}

void engine_order(struct engine *engine, struct job *job, enum order order)
{
        bool wake;

        (void)pthread_mutex_lock(&engine->lock);
        wake = STAILQ_EMPTY(&engine->inbox);
        if (job->orders == 0) {
                STAILQ_INSERT_TAIL(&engine->inbox, job, inbox);
                job_ref(job);
        }
        job->orders |= order;
        (void)pthread_mutex_unlock(&engine->lock);
        if (wake)
                (void)eventfd_write(engine->wake_fd, 1);
}

static int open_loop(struct engine *engine)
{
        int r;

        r = sd_event_new(&engine->event);
        if (r < 0)
                return r;
        r = sd_event_add_io(engine->event, &engine->orders, engine->wake_fd, EPOLLIN, on_wake,
                            engine);
        if (r < 0)
                return r;
        r = sd_event_source_set_prepare(engine->orders, on_turn);
        if (r < 0)
                return r;
        engine->sockets_fd = epoll_create1(EPOLL_CLOEXEC);
        if (engine->sockets_fd < 0)
                return -errno;
        r = sd_event_add_io(engine->event, NULL, engine->sockets_fd, EPOLLIN, on_sockets, engine);
        if (r < 0)
                return r;
        r = sd_event_add_time(engine->event, &engine->timer, CLOCK_MONOTONIC, 0, 1, on_curl_timer,
                              engine);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(engine->timer, SD_EVENT_OFF);
}

/* Blocks all signals in the thread, and so in the threads that libcurl starts: brickd handles
 * signals. */
static int start_thread(struct engine *engine)
{
        sigset_t all, before;
        int r;

        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&engine->thread, NULL, engine_run, engine);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r == 0) {
                engine->running = true;
                (void)pthread_setname_np(engine->thread, "openai");
        }
        return r;
}

int engine_new(struct engine **ret, const struct config *config)
{
        struct engine *engine;
        int r;

        engine = calloc(1, sizeof *engine);
        if (!engine)
                return -ENOMEM;
        engine->config = config;
        atomic_init(&engine->limit, config->limit);
        (void)pthread_mutex_init(&engine->lock, NULL);
        STAILQ_INIT(&engine->inbox);
        TAILQ_INIT(&engine->queue);
        LIST_INIT(&engine->jobs);
        engine->sockets_fd = -1;
        engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = engine->wake_fd < 0 ? -errno : open_loop(engine);
        if (r >= 0)
                r = open_multi(engine);
        if (r >= 0)
                r = start_thread(engine);
        if (r < 0) {
                (void)engine_free(engine);
                return r;
        }
        *ret = engine;
        return 0;
}

static void stop_thread(struct engine *engine)
{
        (void)pthread_mutex_lock(&engine->lock);
        engine->stopping = true;
        (void)pthread_mutex_unlock(&engine->lock);
        (void)eventfd_write(engine->wake_fd, 1);
        (void)pthread_join(engine->thread, NULL);
}

struct engine *engine_free(struct engine *engine)
{
        if (!engine)
                return NULL;
        if (engine->running)
                stop_thread(engine);
        while (engine->n_spare > 0)
                curl_easy_cleanup(engine->spare[--engine->n_spare]);
        if (engine->multi)
                (void)curl_multi_cleanup(engine->multi);
        (void)sd_event_source_disable_unref(engine->orders);
        (void)sd_event_source_disable_unref(engine->timer);
        (void)sd_event_unref(engine->event);
        if (engine->sockets_fd >= 0)
                (void)close(engine->sockets_fd);
        if (engine->wake_fd >= 0)
                (void)close(engine->wake_fd);
        (void)pthread_mutex_destroy(&engine->lock);
        free(engine);
        return NULL;
}
