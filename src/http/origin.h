/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which pages may use a port, and under which names. A browser runs the pages of everybody, on
 * machines that reach what others cannot. Pure functions.
 */

#include <stdbool.h>

#include "http/head.h"

struct conf_http;

/* Whether the Host of a request is a name of this machine, or one of http.hosts: any other name may
 * be one that a stranger has pointed to this machine. A client without a Host is no browser. */
bool origin_host_is_own(struct http_text host, const struct conf_http *conf);

enum origin {
        ORIGIN_OWN, /* a page of this port, or no page */
        ORIGIN_ALLOWED,
        ORIGIN_REFUSED,
};

/* origin: the value of the header field; NULL ptr: the request has none. */
enum origin origin_check(struct http_text origin, struct http_text host,
                         const struct conf_http *conf);
