/* SPDX-License-Identifier: MIT */
#pragma once

#include <grpc/grpc.h>
#include <stdint.h>

#include "brick.h"

struct conf;
struct rpc_call;
struct rpc_end;

/* The lines about a call that has ended: that it has, if `log: access:` wants it; that it was slow,
 * if it was longer than `log: slow:`. Polling thread. */
void access_log(struct rpc_call *call, const struct rpc_end *end);

/* The id that the client has given its request, in the message or else in the metadata; empty:
 * none. It lives as long as the call. */
struct brick_str access_request_id(const struct rpc_call *call);

/* What the lines about a call need of its request: a message with nothing else, which may take its
 * place. Returns its length. */
#define ACCESS_DIGEST_MAX 512
size_t access_digest(const struct rpc_call *call, char ret[static ACCESS_DIGEST_MAX]);

/* The same for a call that brickd has answered itself: label stands for brick and method; both
 * texts are there for ever. */
void access_log_builtin(const struct conf *conf, const char *path, const char *label,
                        const grpc_metadata_array *metadata, unsigned status, uint64_t started);
