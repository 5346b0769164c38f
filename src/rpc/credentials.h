/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How a gRPC client proves who it is: the metadata `authorization`, and the names in the
 * certificate that the handshake has verified against the port's client_ca. The core keeps a
 * certificate once per connection, for all calls of it: nothing may be added to it.
 */

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include "serve/auth.h"

#define CREDENTIALS_NAMES_MAX 16

/*
 * The names in the certificate: its URIs first (a SPIFFE id is one), then its DNS names; the common
 * name only if there are neither. Names past CREDENTIALS_NAMES_MAX are left out, and so are names
 * that hold a NUL character. Addresses and e-mail addresses are not names here.
 */
struct credentials {
        struct auth_proof proof;
        grpc_slice authorization; /* a short value lies in the slice itself */
        struct auth_name names[CREDENTIALS_NAMES_MAX];
        grpc_auth_context *context;
};

/*
 * Removes every `authorization` from the metadata, so that no brick can pass on or log what proves
 * who calls, and looks up the names of the certificate if there was none. Copies nothing and takes
 * no lock: the proof is valid until credentials_done(), as long as the call and its metadata.
 * call NULL: no certificate. [any]
 */
void credentials_take(struct credentials *credentials, grpc_call *call,
                      grpc_metadata_array *metadata);
void credentials_done(struct credentials *credentials);
