/* SPDX-License-Identifier: MIT */
#include "embed.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unicode.h"

/* As large as the answer for 64 texts with 4096 components of 24 characters. */
#define ANSWER_SIZE_MAX (8 << 20)

#define WAIT_MAX_MS 60000

/* Bytes of what the server says of a failure. */
#define STATUS_TEXT_MAX 140

struct embed {
        const struct embed_settings *settings;
        CURL *curl;
        struct curl_slist *headers;
        char *answer;
        size_t size;
        size_t allocated;
        const struct embed_request *request; /* the running one */
};

int embed_init(void)
{
        return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

const char *embed_check_url(const char *url)
{
        if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
                return "must begin with http:// or https://";
        if (strpbrk(url, " ?#"))
                return "must have neither a query nor a fragment";
        if (strstr(url, "/embeddings"))
                return "must end before /embeddings, which is added";
        return NULL;
}

static size_t receive(char *bytes, size_t one, size_t n, void *user)
{
        struct embed *embed = user;
        char *larger;
        size_t room;

        if (n > ANSWER_SIZE_MAX - embed->size)
                return 0;
        if (embed->size + n > embed->allocated) {
                room = (embed->size + n) * 2;
                larger = realloc(embed->answer, room);
                if (!larger)
                        return 0;
                embed->answer = larger;
                embed->allocated = room;
        }
        memcpy(embed->answer + embed->size, bytes, n);
        embed->size += n;
        return n;
}

static int progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        const struct embed *embed = user;

        return embed->request->cancelled && embed->request->cancelled(embed->request->user);
}

static bool add_header(struct embed *embed, const char *name, const char *value)
{
        _cleanup_free_ char *line = NULL;
        struct curl_slist *longer;

        if (asprintf(&line, "%s: %s", name, value) < 0) {
                line = NULL;
                return false;
        }
        longer = curl_slist_append(embed->headers, line);
        if (longer)
                embed->headers = longer;
        return longer != NULL;
}

static bool add_bearer(struct embed *embed, const char *key)
{
        _cleanup_free_ char *value = NULL;

        if (asprintf(&value, "Bearer %s", key) < 0) {
                value = NULL;
                return false;
        }
        return add_header(embed, "Authorization", value);
}

static bool prepare(struct embed *embed)
{
        const struct embed_settings *s = embed->settings;
        _cleanup_free_ char *url = NULL;
        size_t n = strlen(s->base_url);
        CURL *curl = embed->curl;

        while (n > 0 && s->base_url[n - 1] == '/')
                n--;
        if (asprintf(&url, "%.*s/embeddings", (int)n, s->base_url) < 0) {
                url = NULL;
                return false;
        }
        return curl && add_header(embed, "Content-Type", "application/json") &&
               (!s->key || add_bearer(embed, s->key)) &&
               curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HTTPHEADER, embed->headers) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_USERAGENT, "brickd") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, s->timeout_ms) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEDATA, embed) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XFERINFODATA, embed) == CURLE_OK;
}

struct embed *embed_free(struct embed *embed)
{
        if (!embed)
                return NULL;
        curl_easy_cleanup(embed->curl);
        curl_slist_free_all(embed->headers);
        free(embed->answer);
        free(embed);
        return NULL;
}

struct embed *embed_new(const struct embed_settings *settings)
{
        _cleanup_(embed_freep) struct embed *embed = calloc(1, sizeof *embed);

        if (!embed)
                return NULL;
        embed->settings = settings;
        embed->curl = curl_easy_init();
        return prepare(embed) ? TAKE_PTR(embed) : NULL;
}

/* What a transfer that brought no answer means. */
static int transfer_failed(const struct embed *embed, CURLcode code, char *error)
{
        if (code == CURLE_OUT_OF_MEMORY)
                return -ENOMEM;
        if (code == CURLE_ABORTED_BY_CALLBACK)
                return -ECANCELED;
        if (code == CURLE_WRITE_ERROR) {
                (void)snprintf(error, EMBED_ERROR_SIZE, "the answer is longer than %d MiB",
                               ANSWER_SIZE_MAX >> 20);
                return -EBADMSG;
        }
        (void)snprintf(error, EMBED_ERROR_SIZE, "%s: %s", embed->settings->base_url,
                       curl_easy_strerror(code));
        return -EAGAIN;
}

static bool may_pass(long status)
{
        return status == 408 || status == 429 || status >= 500;
}

static int status_failed(struct embed *embed, long status, long *ret_wait_ms, char *error)
{
        char why[EMBED_ERROR_SIZE];
        curl_off_t seconds = 0;

        embed_answer_error(embed->answer ?: "", embed->size, why);
        if (strlen(why) > STATUS_TEXT_MAX)
                why[unicode_floor(why, STATUS_TEXT_MAX)] = '\0';
        (void)snprintf(error, EMBED_ERROR_SIZE, "%.80s: HTTP status %ld%s%.140s",
                       embed->settings->base_url, status, why[0] ? ": " : "", why);
        (void)curl_easy_getinfo(embed->curl, CURLINFO_RETRY_AFTER, &seconds);
        *ret_wait_ms = seconds > WAIT_MAX_MS / 1000 ? WAIT_MAX_MS : (long)seconds * 1000;
        return may_pass(status) ? -EAGAIN : -EBADMSG;
}

int embed_run(struct embed *embed, const struct embed_request *request, size_t *dimension,
              float **ret, long *ret_wait_ms, char error[static EMBED_ERROR_SIZE])
{
        _cleanup_free_ char *body = embed_request(request->model, embed->settings->input_type,
                                                  embed->settings->prefix, request->texts,
                                                  request->n);
        long status = 0;
        CURLcode code;

        *ret_wait_ms = 0;
        error[0] = '\0';
        if (!body)
                return -ENOMEM;
        embed->request = request;
        embed->size = 0;
        (void)curl_easy_setopt(embed->curl, CURLOPT_POSTFIELDS, body);
        code = curl_easy_perform(embed->curl);
        if (code != CURLE_OK)
                return transfer_failed(embed, code, error);
        (void)curl_easy_getinfo(embed->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status != 200)
                return status_failed(embed, status, ret_wait_ms, error);
        return embed_answer(embed->answer ?: "", embed->size, request->n, dimension, ret, error);
}
