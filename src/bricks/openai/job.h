/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call: its attempts, its timers, and the part of the API's answer that the client has
 * received.
 *
 *   QUEUED -> OPENING -> WAITING -> STREAMING -> LINGERING -> OVER
 *      ^         |          |
 *      +-- BACKOFF <--------+      nothing has been sent yet
 *
 * [rpc] threads may call job_new(), and any thread may take and drop references. All other
 * functions are for the engine's thread.
 */

#include <curl/curl.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "engine.h"
#include "sse.h"

enum job_state {
        JOB_NEW,
        JOB_QUEUED,    /* waits for a connection */
        JOB_OPENING,   /* name lookup, connect, TLS */
        JOB_WAITING,   /* the request has been sent; no text yet */
        JOB_STREAMING, /* some text has been sent to the client */
        JOB_BACKOFF,   /* waits for the next attempt */
        JOB_LINGERING, /* the call is finished; waits for the end of the transfer */
        JOB_OVER,
};

/* The data that one attempt has received. */
struct incoming {
        struct chat_answer answer;
        struct sse sse; /* the events of a stream */
        bool begun;     /* there has been an event */
        char *body;     /* the whole body, if it is not a stream */
        size_t n_body, body_size;
        size_t eaten; /* bytes of a piece consumed before a pause, after which libcurl repeats the
                         piece */
        int verdict;  /* 0; -EBADMSG: see job.failure; or another negative errno */
};

struct job {
        atomic_uint refs;
        struct engine *engine;
        struct brick_call *call; /* NULL: finished */
        bool stream;
        char *body; /* the request */
        struct curl_slist *headers;

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
        unsigned attempts;
        CURL *easy;
        char curl_error[CURL_ERROR_SIZE];
        struct incoming in;
        struct chat_failure failure;

        /* output to the client */
        bool blocked; /* until writable() */
        bool ended;   /* the answer is complete; only held text and the last message may remain */
        char *held;   /* text that waits for the client */
};

/* 0; -EINVAL: JSON cannot represent the request; -ENOMEM. */
int job_new(struct job **ret, struct engine *engine, struct brick_call *call,
            const LLMRequest *request, bool stream);
void job_ref(struct job *job);
void job_unref(struct job *job);

/* Execute orders. All but job_start() may free the job. */
void job_start(struct job *job);
void job_cancel(struct job *job);
void job_resume(struct job *job);

/* Changes the state and restarts its time limit. */
void job_enter(struct job *job, enum job_state state);

/* The job may connect now: returns the transfer to start, or NULL. */
CURL *job_connect(struct job *job);

/* The transfer has ended by itself, and the engine has closed it. May free the job. */
void job_done(struct job *job, CURLcode result);
