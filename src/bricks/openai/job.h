/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call: its attempts, its timers, and what of the API's answer has reached the client.
 *
 *   QUEUED -> OPENING -> WAITING -> STREAMING -> LINGERING -> OVER
 *      ^         |          |
 *      +-- BACKOFF <--------+      nothing has been sent yet
 *
 * job_new() is for [rpc] threads, references for any; all else belongs to the engine's thread.
 */

#include <curl/curl.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "engine.h"
#include "sse.h"

enum job_state {
        JOB_NEW,
        JOB_QUEUED,    /* for a connection */
        JOB_OPENING,   /* name lookup, connect, TLS */
        JOB_WAITING,   /* the request is on its way; no text yet */
        JOB_STREAMING, /* some text has been sent to the client */
        JOB_BACKOFF,   /* until the next attempt */
        JOB_LINGERING, /* the call is finished; the end of the transfer makes its connection
                          reusable */
        JOB_OVER,
};

/* What one attempt has received. */
struct incoming {
        struct chat_answer answer;
        struct sse sse; /* a stream: its events */
        bool begun;     /* there was one */
        char *body;     /* anything else: all of it */
        size_t n_body, body_size;
        size_t eaten; /* bytes of a piece, taken before the pause; libcurl gives them again */
        int verdict;  /* -EBADMSG: see job.failure; or another negative errno: give up */
};

struct job {
        atomic_uint refs;
        struct engine *engine;
        struct brick_call *call; /* NULL: finished */
        bool stream;
        char *body; /* the request */
        struct curl_slist *headers;

        /* The engine's. */
        unsigned orders; /* under its lock, as is the next */
        STAILQ_ENTRY(job) inbox;
        TAILQ_ENTRY(job) queue;
        LIST_ENTRY(job) jobs;
        bool queued;
        bool transferring; /* libcurl has it */

        enum job_state state;
        uint64_t since;   /* when the state was entered, or bytes last came */
        uint64_t expires; /* the whole timeout */
        uint64_t delay;   /* of JOB_BACKOFF */
        sd_event_source *timer;
        unsigned attempts;
        CURL *easy;
        char curl_error[CURL_ERROR_SIZE];
        struct incoming in;
        struct chat_failure failure;

        /* Towards the client. */
        bool blocked; /* until writable() */
        bool ended; /* the answer is complete; at most the held text and the last message remain */
        char *held; /* text that the client has not yet room for */
};

/* 0; -EINVAL: the request cannot be put into JSON; -ENOMEM. */
int job_new(struct job **ret, struct engine *engine, struct brick_call *call,
            const LLMRequest *request, bool stream);
void job_ref(struct job *job);
void job_unref(struct job *job);

/* Orders. All but the first may free the job. */
void job_start(struct job *job);
void job_cancel(struct job *job);
void job_resume(struct job *job);

/* It may connect: gives the transfer to run, or NULL. */
CURL *job_connect(struct job *job);

/* The engine has closed the transfer, which has ended by itself. May free the job. */
void job_done(struct job *job, CURLcode result);
