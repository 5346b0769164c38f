/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Sends OTLP over HTTP with libcurl. A library of its own, which a worker loads only if it exports
 * traces: libcurl and its dependencies would cost every worker 4 MB and a third of its start-up
 * time. It does not depend on the rest of brickd.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTLP_HTTP_LIBRARY "brickd-otlp.so" /* in the directory of brickd-worker */
#define OTLP_HTTP_SYMBOL "brickd_otlp_http"

struct otlp_http;

struct otlp_answer {
        long status;       /* HTTP's; 0: there is none, see reason */
        uint64_t wait;     /* ns: Retry-After; 0: the collector does not say */
        uint64_t rejected; /* spans that the collector refused in a successful answer */
        char reason[256];  /* the error, or why it refused them; may be empty */
};

/* One thread at a time. */
struct otlp_http_library {
        /* headers: "Name: value", copied; NULL ends the list. Main thread only. 0 or -ENOMEM. */
        int (*init)(struct otlp_http **ret, const char *url, const char *const *headers);

        /* Sends a body and waits for the answer, at most `timeout` ns. Calls go_on() about once a
         * second, and gives up when it returns false. */
        void (*post)(struct otlp_http *http, const char *body, size_t length, uint64_t timeout,
                     bool (*go_on)(void *user), void *user, struct otlp_answer *ret);
        struct otlp_http *(*free)(struct otlp_http *http);
};
