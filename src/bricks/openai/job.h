/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call: its attempts, its timers, and the part of the API's answer that the client has
 * received.
 *
 *   QUEUED -> OPENING -> WAITING -> THINKING -> STREAMING -> ENDING -> LINGERING -> OVER
 *      ^         |          |          |
 *      +-- BACKOFF <--------+----------+      the client has not been sent anything
 *
 * THINKING and STREAMING are states of streams, and each of THINKING to ENDING may be left out. An
 * answer that is an error goes from ENDING to BACKOFF, too.
 *
 * [rpc] threads may call job_new(), and any thread may take and drop references. All other
 * functions are for the engine's thread.
 */

#include <curl/curl.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "chat.h"
#include "engine.h"
#include "framing.h"

enum job_state {
        JOB_NEW,
        JOB_QUEUED,    /* waits for a connection */
        JOB_OPENING,   /* name lookup, connect, TLS */
        JOB_WAITING,   /* the request has been sent; no sign of work yet */
        JOB_THINKING,  /* the model is at work; no text yet */
        JOB_STREAMING, /* some text has been sent to the client */
        JOB_ENDING,    /* the model has said all, or the answer is an error; its rest may come */
        JOB_BACKOFF,   /* waits for the next attempt */
        JOB_LINGERING, /* the call is finished; waits for the end of the transfer */
        JOB_OVER,
};

/* The data that one attempt has received. */
struct incoming {
        struct chat_answer answer;
        struct framing framing;
        long status; /* of HTTP; 0: not known yet */
        bool has_document;
        char *body; /* of an error, its beginning */
        size_t n_body, body_size;
        uint64_t n_bytes; /* of an answer */
        size_t n_idle;    /* since the last document */
        size_t eaten;     /* bytes of a piece consumed before a pause, after which libcurl repeats
                             the piece */
        int verdict;      /* 0; -EBADMSG: see job.failure; or another negative errno */
        size_t n_sample;
        char sample[256]; /* the first bytes of an answer */
};

struct job {
        atomic_uint refs;
        struct engine *engine;
        struct brick_call *call; /* NULL: finished */
        bool stream;
        struct request request;
        struct curl_slist headers[3]; /* its own; the last is followed by those of all requests */
        unsigned n_headers;

        /* used by the engine */
        unsigned orders; /* protected by the engine's lock, like the next member */
        STAILQ_ENTRY(job) inbox;
        TAILQ_ENTRY(job) queue;
        LIST_ENTRY(job) jobs;
        bool queued;
        bool transferring; /* the transfer has been added to libcurl */

        enum job_state state;
        uint64_t since;   /* time at which the state began or bytes last arrived */
        uint64_t expires; /* deadline of the whole answer */
        uint64_t delay;   /* of JOB_BACKOFF */
        sd_event_source *timer;
        uint64_t armed; /* the time of the timer, which is due at the latest then */
        unsigned attempts;
        bool renamed; /* the field of the limit has been, after a refusal */
        CURL *easy;
        char curl_error[CURL_ERROR_SIZE];
        struct incoming in;
        struct failure failure;

        /* output to the client */
        bool spoken;  /* some text has been sent */
        bool blocked; /* until writable() */
        bool ended;   /* the answer is complete; only held text and the last message may remain */
        char *held;   /* text that waits for the client */
};

/* UINT64_MAX stands for all later times. */
static inline uint64_t job_add_time(uint64_t a, uint64_t b)
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* 0; -EINVAL, -ENODATA: as request_make(); -ERANGE: the metadata x-temperature is no temperature;
 * -ENOMEM. */
int job_new(struct job **ret, struct engine *engine, struct brick_call *call,
            const LLMRequest *request, bool stream);
void job_ref(struct job *job);
void job_unref(struct job *job);

/* Execute orders. All but job_start() may free the job. */
void job_start(struct job *job);
void job_cancel(struct job *job);
void job_resume(struct job *job);

/* Puts the job into the queue for another attempt. */
void job_queue(struct job *job);

/* retry.c: schedules another attempt after job->failure. False: it is useless, or there is no time
 * left. */
bool job_try_again(struct job *job);

/* Changes the state and restarts its time limit. */
void job_enter(struct job *job, enum job_state state);

/* The job may connect now: returns the transfer to start, or NULL. */
CURL *job_connect(struct job *job);

/* transfer.c: makes job->failure of an error of libcurl. Returns -EBADMSG or -ENOMEM. */
int job_fail_transfer(struct job *job, CURLcode result);

/* The transfer has ended by itself, and the engine has closed it. May free the job. */
void job_done(struct job *job, CURLcode result);

/* Sets the options that all transfers of an engine have. False: out of memory, or libcurl lacks a
 * feature. */
bool job_set_common_options(CURL *easy, const struct config *config);
