/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The header of the PROXY protocol, versions 1 and 2, with which a proxy says whose connection it
 * passes on (haproxy.org, proxy-protocol.txt). Reads bytes, and nothing else.
 */

#include <stddef.h>
#include <sys/socket.h>

/* A longer header is refused. Version 2 may carry more about the client, which is skipped. */
#define PROXY_HEADER_MAX 4096

enum proxy_header {
        PROXY_HEADER_MORE,  /* the header goes on */
        PROXY_HEADER_BAD,   /* this is none */
        PROXY_HEADER_NAMED, /* *ret_client is the address of the client */
        PROXY_HEADER_OWN,   /* the connection is the proxy's own, or it does not know the client */
};

/* Unless it goes on or is bad, *ret_length is the length of the header. *ret_client is all zeros
 * before. */
enum proxy_header proxy_header_parse(const void *bytes, size_t length, size_t *ret_length,
                                     struct sockaddr_storage *ret_client);
