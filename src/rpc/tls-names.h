/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who a client is by its certificate, which the handshake has verified against the port's
 * client_ca. The core keeps this once per connection: all calls of one share it, nothing may be
 * added to it.
 */

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stddef.h>

#define TLS_NAMES_MAX 16

struct tls_name {
        unsigned kind;    /* one of IDENTITY_* */
        const char *name; /* valid until tls_names_done() */
};

/*
 * The names in the certificate: its URIs first (a SPIFFE id is one), then its DNS names; the common
 * name only if there are neither. Those past TLS_NAMES_MAX are left out, and so are those that hold
 * a NUL character. Addresses and e-mail addresses are not names here.
 */
struct tls_names {
        struct tls_name list[TLS_NAMES_MAX];
        size_t n; /* 0: the port has no TLS, or the client has shown no certificate */
        grpc_auth_context *context;
};

/* No copies, no locks: costs one reference to what the connection has. [any] */
void tls_names_init(struct tls_names *names, grpc_call *call);
void tls_names_done(struct tls_names *names);
