/* SPDX-License-Identifier: MIT */
#pragma once

/* An exchange without a network: the test says what the request is and what bricks answer, and sees
 * the answer of the route. */

#include <protobuf-c/protobuf-c.h>

#include "conf/conf.h"
#include "http/exchange.h"
#include "module/instance.h"
#include "shared/stats.h"
#include "util/arena.h"

#define FAKE_BRICKS 4

struct fake_brick {
        struct instance instance;
        struct stats_brick stats;
        struct conf_brick conf;
        struct brick_module module;
        bool forbidden;            /* the client may not call it */
        const char *const *models; /* that it says it has, up to a NULL; NULL: none */
};

struct exchange {
        struct arena arena, request, scratch;
        bool keeps_request, dropped;
        struct http_head head;
        struct conf_http conf;
        const char *body;
        struct fake_brick bricks[FAKE_BRICKS];
        struct instance *instances[FAKE_BRICKS];
        size_t n_bricks;
        const struct brick_pair *trailers;
        size_t n_trailers;
        bool explained;
        bool asked_models;
        void *data;

        /* The last call. */
        struct exchange_call call;
        unsigned calls; /* in all */
        struct arena call_arena;
        struct brick_bytes requests[8]; /* in call_arena */
        bool running;
        bool cancelled;

        /* The answer. */
        unsigned status; /* 0: it has not begun */
        char type[64];
        char fields[512]; /* "name: value\n" */
        char answer[16384];
        size_t length;
        bool ended;
        bool aborted;
        char code[64]; /* of an error */
        char param[64];
        char message[1024];
};

/* Makes it anew, with no bricks. */
void fake_reset(struct exchange *x);
void fake_done(struct exchange *x);

struct fake_brick *fake_add(struct exchange *x, const char *name, unsigned type, uint32_t methods);

/* Adds a field to the request's head. */
void fake_field(struct exchange *x, const char *name, const char *value);

/* What the brick of the running call does. message: of the type of a reply. */
void fake_reply(struct exchange *x, const ProtobufCMessage *message);
void fake_success(struct exchange *x);
void fake_failure(struct exchange *x, unsigned status, const char *message);
void fake_silence(struct exchange *x);

/* The i-th request of the last call; in the arena. */
void *fake_request(struct exchange *x, size_t i, const ProtobufCMessageDescriptor *type);

/* Assert that the answer is this. */
void fake_expect(const struct exchange *x, unsigned status, const char *answer);
void fake_expect_error(const struct exchange *x, unsigned status, const char *code,
                       const char *param);
