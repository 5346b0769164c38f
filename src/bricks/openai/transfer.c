/* SPDX-License-Identifier: MIT */

/* One HTTP request of a job, as libcurl makes it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "answer.h"

/* The kernel's buffer for an answer whose client is slow. The default would grow to megabytes. */
#define RECEIVE_BUFFER (64 * 1024)

static int on_connected(void *user, char *ip, char *local_ip, int port, int local_port)
{
        job_enter(user, JOB_WAITING);
        return CURL_PREREQFUNC_OK;
}

static int on_new_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
        int size = RECEIVE_BUFFER;

        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0)
                return CURL_SOCKOPT_ERROR;
        return CURL_SOCKOPT_OK;
}

/* Without them, libcurl need not look for them at each request. */
static bool has_proxy_variable(void)
{
        static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY",
                                             "all_proxy", "ALL_PROXY" };

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                if (getenv(names[i]))
                        return true;
        return false;
}

/* Fails only if out of memory, or if libcurl lacks a feature. */
#define SET(option, value) ok = curl_easy_setopt(easy, option, value) == CURLE_OK && ok

bool job_set_common_options(CURL *easy, const struct config *config)
{
        bool ok = true;

        SET(CURLOPT_CURLU, config->url);
        SET(CURLOPT_USERAGENT, "brickd");
        SET(CURLOPT_WRITEFUNCTION, answer_on_bytes);
        SET(CURLOPT_SOCKOPTFUNCTION, on_new_socket);
        SET(CURLOPT_PREREQFUNCTION, on_connected);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        /* Compressed answers are read, though the headers do not ask for them. */
        SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
        /* One connection per answer, so that the kernel's flow control stops an API whose client is
         * slow. With HTTP/2, libcurl would buffer up to 32 MiB of each paused answer. */
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        /* Without it, closing a transfer waits for its name lookup, and blocks all others. */
        SET(CURLOPT_QUICK_EXIT, 1L);
        /* The timer of the state is shorter and applies first. */
        SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(config->connect_timeout / 1000 + 1000));
        if (config->proxy || !has_proxy_variable()) {
                SET(CURLOPT_PROXY, config->proxy ? config->proxy : "");
                SET(CURLOPT_NOPROXY, "");
        }
        if (config->ca_file) {
                SET(CURLOPT_CAINFO, config->ca_file);
                SET(CURLOPT_CAPATH, NULL);
        }
        return ok;
}

static bool set_own_options(struct job *job, CURL *easy)
{
        bool ok = true;

        SET(CURLOPT_PRIVATE, job);
        SET(CURLOPT_ERRORBUFFER, job->curl_error);
        SET(CURLOPT_POSTFIELDS, job->request.json);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)job->request.n);
        SET(CURLOPT_HTTPHEADER,
            job->n_headers > 0 ? job->headers : engine_config(job->engine)->headers);
        SET(CURLOPT_WRITEDATA, job);
        SET(CURLOPT_PREREQDATA, job);
        return ok;
}

CURL *job_connect(struct job *job)
{
        job_enter(job, JOB_OPENING);
        job->curl_error[0] = '\0';
        if (!job->easy)
                job->easy = engine_take_easy(job->engine);
        return job->easy && set_own_options(job, job->easy) ? job->easy : NULL;
}

/* --- errors ---------------------------------------------------------------------------- */

int job_fail_transfer(struct job *job, CURLcode result)
{
        const char *reason = job->curl_error[0] ? job->curl_error : curl_easy_strerror(result);
        struct failure *failure = &job->failure;
        const char *what = "the connection to the API was lost";
        int32_t code = FAILURE_CONNECTION;
        bool retry = true;

        switch (result) {
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
                code = FAILURE_DNS;
                what = "the host name of the API cannot be resolved";
                break;
        case CURLE_COULDNT_CONNECT:
                code = FAILURE_SERVICE_UNAVAILABLE;
                what = "the API cannot be reached";
                break;
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
                retry = false;
                code = FAILURE_TLS;
                what = "the certificate of the API is not trusted";
                break;
        case CURLE_SSL_CONNECT_ERROR:
                code = FAILURE_TLS;
                what = "the TLS connection to the API failed";
                break;
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
                retry = false;
                code = FAILURE_API;
                what = "the API does not speak HTTP";
                break;
        case CURLE_BAD_CONTENT_ENCODING:
                retry = false;
                code = FAILURE_API;
                what = "the API's answer is compressed in a way that cannot be read";
                break;
        default:
                break;
        }
        failure_set(failure, code, retry, "%s: %s", what, reason);
        return -EBADMSG;
}
