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
        uint64_t wait;     /* ns that the collector wants to be left alone; 0: it does not say */
        uint64_t rejected; /* spans that it says it did not take although all is well */
        char reason[256];  /* the error, or why it rejected them; may be empty */
};

/* Not thread-safe. */
struct otlp_http_library {
        /* headers: "Name: value", copied; NULL ends the list. Main thread only. 0 or -ENOMEM. */
        int (*init)(struct otlp_http **ret, const char *url, const char *const *headers);

        /* Sends a body. Calls go_on() about once a second, and stops when it returns false. */
        void (*post)(struct otlp_http *http, const char *body, size_t length, uint64_t timeout,
                     bool (*go_on)(void *user), void *user, struct otlp_answer *ret);
        struct otlp_http *(*free)(struct otlp_http *http);
};
