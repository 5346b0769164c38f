/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How OTLP travels: HTTP by libcurl. This is a library of its own, which a worker loads only when
 * it exports traces: libcurl and what it needs would cost every worker 4 MB and a third of its
 * start. It knows nothing of the rest of brickd.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTLP_HTTP_LIBRARY "brickd-otlp.so" /* beside brickd-worker */
#define OTLP_HTTP_SYMBOL "brickd_otlp_http"

struct otlp_http;

struct otlp_answer {
        long status;       /* HTTP's; 0: there is none, see reason */
        uint64_t wait;     /* ns that the collector wants to be left alone; 0: it does not say */
        uint64_t rejected; /* spans that it says it did not take although all is well */
        char reason[256];  /* the error, or why it rejected them; may be empty */
};

/* One thread at a time, but init(). */
struct otlp_http_library {
        /* headers: "Name: value", the last one NULL; copied. Main thread. */
        int (*init)(struct otlp_http **ret, const char *url, const char *const *headers);

        /* Sends one body. It gives up when go_on() says no, which it asks about once a second. */
        void (*post)(struct otlp_http *http, const char *body, size_t length, uint64_t timeout,
                     bool (*go_on)(void *user), void *user, struct otlp_answer *ret);
        struct otlp_http *(*free)(struct otlp_http *http);
};
