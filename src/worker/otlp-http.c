/* SPDX-License-Identifier: MIT */
#include "worker/otlp-http.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define CONNECT_TIMEOUT_MS 2000L
/* The rest of a longer answer is discarded. */
#define ANSWER_MAX 16384

/* Bounds Retry-After, so that it fits into ns. */
#define WAIT_SECONDS_MAX 86400

struct otlp_http {
        CURL *easy;
        struct curl_slist *headers;
        char error[CURL_ERROR_SIZE];
        bool (*go_on)(void *user);
        void *user;
        size_t n_answer;
        char answer[ANSWER_MAX];
};

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
        struct otlp_http *http = user;
        size_t room = sizeof http->answer - http->n_answer;

        n *= size;
        memcpy(http->answer + http->n_answer, bytes, n < room ? n : room);
        http->n_answer += n < room ? n : room;
        return n;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        struct otlp_http *http = user;

        return http->go_on(http->user) ? 0 : 1;
}

static int add_header(struct otlp_http *http, const char *header)
{
        struct curl_slist *longer = curl_slist_append(http->headers, header);

        if (!longer)
                return -ENOMEM;
        http->headers = longer;
        return 0;
}

static struct otlp_http *http_free(struct otlp_http *http)
{
        if (!http)
                return NULL;
        curl_easy_cleanup(http->easy);
        curl_slist_free_all(http->headers);
        free(http);
        return NULL;
}
DEFINE_CLEANUP(struct otlp_http *, http_free);

static void set_options(struct otlp_http *http, const char *url)
{
        CURL *easy = http->easy;

        (void)curl_easy_setopt(easy, CURLOPT_URL, url);
        (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
        (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "brickd/" BRICKD_VERSION);
        (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
        (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
        (void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        (void)curl_easy_setopt(easy, CURLOPT_XFERINFODATA, http);
}

static int http_init(struct otlp_http **ret, const char *url, const char *const *headers)
{
        _cleanup_(http_freep) struct otlp_http *http = calloc(1, sizeof *http);
        int r;

        if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        http->easy = curl_easy_init();
        if (!http->easy)
                return -ENOMEM;
        r = add_header(http, "Content-Type: application/json");
        if (r == 0)
                r = add_header(http, "Expect:"); /* do not wait for 100-continue */
        for (; r == 0 && *headers; headers++)
                r = add_header(http, *headers);
        if (r < 0)
                return r;
        set_options(http, url);
        *ret = TAKE_PTR(http);
        return 0;
}

/* protobuf's JSON writes 64-bit numbers as strings, and reads strings and numbers. Negative ones
 * count as 0. */
static uint64_t number_of(const json_t *json)
{
        long long number = json_is_string(json) ? strtoll(json_string_value(json), NULL, 10)
                                                : json_integer_value(json);

        return number > 0 ? (uint64_t)number : 0;
}

/* {"partialSuccess":{"rejectedSpans":"2","errorMessage":"..."}} */
static void read_answer(const struct otlp_http *http, struct otlp_answer *ret)
{
        json_t *root = json_loadb(http->answer, http->n_answer, 0, NULL);
        const json_t *partial = json_object_get(root, "partialSuccess");
        const char *message = json_string_value(json_object_get(partial, "errorMessage"));

        ret->rejected = number_of(json_object_get(partial, "rejectedSpans"));
        if (message)
                (void)snprintf(ret->reason, sizeof ret->reason, "%s", message);
        json_decref(root);
}

static void http_post(struct otlp_http *http, const char *body, size_t length, uint64_t timeout,
                      bool (*go_on)(void *user), void *user, struct otlp_answer *ret)
{
        curl_off_t wait = 0;
        CURLcode result;

        *ret = (struct otlp_answer){};
        http->go_on = go_on;
        http->user = user;
        http->n_answer = 0;
        http->error[0] = '\0';
        (void)curl_easy_setopt(http->easy, CURLOPT_TIMEOUT_MS, (long)(timeout / NSEC_PER_MSEC));
        (void)curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, body);
        (void)curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
        result = curl_easy_perform(http->easy);
        if (result != CURLE_OK) {
                (void)snprintf(ret->reason, sizeof ret->reason, "%.200s",
                               http->error[0] ? http->error : curl_easy_strerror(result));
                return;
        }
        (void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &ret->status);
        (void)curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &wait);
        wait = wait < 0 ? 0 : wait < WAIT_SECONDS_MAX ? wait : WAIT_SECONDS_MAX;
        ret->wait = (uint64_t)wait * NSEC_PER_SEC;
        if (ret->status / 100 == 2)
                read_answer(http, ret);
        else
                (void)snprintf(ret->reason, sizeof ret->reason, "HTTP %ld", ret->status);
}

__attribute__((visibility("default"))) extern const struct otlp_http_library brickd_otlp_http;

const struct otlp_http_library brickd_otlp_http = {
        .init = http_init,
        .post = http_post,
        .free = http_free,
};
