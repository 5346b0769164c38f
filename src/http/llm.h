/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A call to an LLM brick, whose answer is told in one of several forms: chat completions,
 * completions, responses, the events of llmbrick's server. A form writes; what is common is here:
 * the choice of the brick, the request, the texts that end an answer, errors, silence.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "http/chat-request.h"
#include "http/exchange.h"
#include "serve/usage.h"
#include "util/json-write.h"

struct llm;

struct llm_form {
        const char *route;
        const char *id_prefix;
        bool (*read)(struct chat_request *ret, struct json_value body, struct arena *arena,
                     struct exchange_error *ret_error);

        /* The whole answer, as JSON. */
        void (*whole)(struct exchange *x, const struct llm *llm, struct json_text *json,
                      const char *text, size_t length);

        /* A stream, which llm.c has begun: what comes before the first text, a piece of text, the
         * end, an error instead of it. */
        void (*first)(struct exchange *x, struct llm *llm);
        void (*piece)(struct exchange *x, struct llm *llm, const char *text, size_t length);
        void (*last)(struct exchange *x, struct llm *llm);
        void (*error)(struct exchange *x, struct llm *llm, const struct exchange_error *error);

        bool always_begins; /* an error is told in the stream even before the first text */
        bool keeps_text;    /* the end of a stream tells all of it again */
};

struct llm {
        const struct llm_form *form;
        struct chat_request request; /* when it is served, of its texts only model, stops and
                                        message.session_id */
        char id[32];
        time_t created;
        struct json_text text; /* of a stream with stops: what is not given yet; else the answer */
        struct json_text all;  /* of a stream: what has been given, if keeps_text */
        struct usage usage;    /* while the end is told */
        bool has_begun;        /* first() has been called */
        bool stopped;          /* by one of the request's stops */
        unsigned events;       /* for the form: how many it has sent */
};

/* Serves a request in OpenAI's way: reads the body, chooses the brick, calls it. */
void llm_serve(struct exchange *x, const struct llm_form *form);

/* A new one, in the arena. NULL: the exchange is refused. */
struct llm *llm_new(struct exchange *x, const struct llm_form *form);

/* Calls the brick with llm->request. own_name: the model is the brick's name. */
void llm_call(struct exchange *x, struct llm *llm, struct instance *brick, bool own_name);

/* --- for forms ----------------------------------------------------------------------------------
 */

/* Why the answer has ended: "stop", "length" and so on. */
struct brick_str llm_finish_reason(const struct llm *llm);

/* Writes an event, or ends the connection if there was no memory for it. It is made in
 * exchange_scratch(), so that a long stream leaves nothing behind. */
void llm_put_event(struct exchange *x, const struct json_text *event);
