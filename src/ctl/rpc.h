/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A gRPC call of a client. Every function blocks, at most until the call's deadline. One thread may
 * send while another receives.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

struct rpc;

struct rpc_metadata {
        const char *key;
        const char *value;
};

/* The encryption of a call. */
struct rpc_tls {
        bool wanted;       /* false: no encryption */
        bool pinned;       /* roots is the server's own certificate: do not check its name */
        char *roots;       /* PEM; NULL: the roots of the system */
        char *certificate; /* the client's, PEM; NULL: none */
        char *key;
        const char *name; /* the server's certificate must have it; NULL: the host of the address */
};

/* Why the metadata is not valid; NULL: it is valid. */
const char *rpc_metadata_error(const struct rpc_metadata *metadata);

/*
 * Starts a call without waiting for the server. address is host:port, unix:/path or unix:@name;
 * path is /service/method; timeout is in ns, 0: none. The strings in metadata must stay valid until
 * rpc_finish(). 0 or a negative errno.
 */
int rpc_new(struct rpc **ret, const char *address, const struct rpc_tls *tls, const char *path,
            const struct rpc_metadata *metadata, size_t n_metadata, int64_t timeout);
struct rpc *rpc_free(struct rpc *rpc);
DEFINE_CLEANUP(struct rpc *, rpc_free);

/* 0; -EPIPE: the call is over, and rpc_finish() has its status. */
int rpc_send(struct rpc *rpc, const ProtobufCMessage *message);
int rpc_send_end(struct rpc *rpc);

/*
 * 1: a reply, which the caller frees with protobuf_c_message_free_unpacked(); 0: no more replies;
 * -EBADMSG: the reply is not a valid message.
 */
int rpc_receive(struct rpc *rpc, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret);

/* Can be called from any thread. */
void rpc_cancel(struct rpc *rpc);

/*
 * Waits for the end of the call. Call it after rpc_receive() has returned 0 or after rpc_cancel().
 * Returns the gRPC status; its message, *ret_text, belongs to the call.
 */
int rpc_finish(struct rpc *rpc, const char **ret_text);

/* After rpc_finish(): the index-th value of a key of the trailing metadata; it belongs to the call.
 * False: there is none. */
bool rpc_trailer(const struct rpc *rpc, const char *key, size_t index, const void **ret,
                 size_t *ret_length);

/* Prints "gRPC error NOT_FOUND: text" to stderr, for a status other than OK. */
void rpc_print_status(int status, const char *text);
