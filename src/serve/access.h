/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The lines that the log has of a call that has ended: the access line, if `log: access:` wants it,
 * and the slow line, if the call took longer than `log: slow:`.
 */

#include <stdint.h>

#include "brick.h"

struct conf;
struct served;
struct served_end;

/* On the thread that serves the call. */
void access_log(struct served *call, const struct served_end *end);

/* The id that the client has given its request, in the message or else in the metadata; empty:
 * none. It lives as long as the call. */
struct brick_str access_request_id(struct served *call);

/* The model that the request of a service with models names; empty: none. It lives as long as the
 * call. */
struct brick_str access_model(const struct served *call);

/* What the lines about a call need of its request: a message with these fields only, which may
 * replace the request. Returns its length. */
#define ACCESS_DIGEST_MAX 544
size_t access_digest(const struct served *call, char ret[static ACCESS_DIGEST_MAX]);

/* The access line of a call that brickd has answered itself, without a brick. label takes the place
 * of brick and method; path and label must never be freed. request_id: the metadata x-request-id,
 * or empty. */
void access_log_builtin(const struct conf *conf, const char *path, const char *label,
                        struct brick_str request_id, unsigned status, uint64_t started);

/* The access line of a request to a port with `protocol: http` that has made no call. */
struct access_http {
        const char *route;   /* never freed */
        unsigned status;     /* of HTTP */
        struct brick_str id; /* of the request */
        struct brick_str identity;
        const char *peer;
        uint64_t started;
};
void access_log_http(const struct conf *conf, const struct access_http *request);
