/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One gRPC call as a client makes it. Everything blocks, until the call's deadline at most. One
 * thread may send while another receives.
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

/* How a call is encrypted. */
struct rpc_tls {
        bool wanted;       /* else plain text */
        bool pinned;       /* roots is the server's own certificate: its names do not matter */
        char *roots;       /* PEM; NULL: those of the system */
        char *certificate; /* PEM, the client's own; NULL: none */
        char *key;
        const char *name; /* that the server's certificate must have; NULL: the address's */
};

/* Why this may not be sent as metadata; NULL: it may. */
const char *rpc_metadata_error(const struct rpc_metadata *metadata);

/*
 * Starts a call: address is host:port or unix:/path, path is /service/method, timeout in ns (0:
 * none). Nothing is known of the server yet. 0 or a negative errno.
 */
int rpc_new(struct rpc **ret, const char *address, const struct rpc_tls *tls, const char *path,
            const struct rpc_metadata *metadata, size_t n_metadata, int64_t timeout);
struct rpc *rpc_free(struct rpc *rpc);
DEFINE_CLEANUP(struct rpc *, rpc_free);

/* 0; -ENOMEM; -EPIPE: the call is over, rpc_finish() says how. */
int rpc_send(struct rpc *rpc, const ProtobufCMessage *message);
int rpc_send_end(struct rpc *rpc);

/*
 * 1: a reply, *ret for protobuf_c_message_free_unpacked(); 0: there are no more; -EBADMSG: one that
 * is no such message.
 */
int rpc_receive(struct rpc *rpc, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret);

/* Any thread. */
void rpc_cancel(struct rpc *rpc);

/*
 * Waits for the end of the call, once rpc_receive() has returned 0 or the call is cancelled. The
 * gRPC status; the server's words for it stay with the call.
 */
int rpc_finish(struct rpc *rpc, const char **ret_text);
