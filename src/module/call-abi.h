/* SPDX-License-Identifier: MIT */
#pragma once

/* The functions of the ABI that take a call: rows of the host's table. See brick.h. None of them
 * enters a brick. */

#include "brick.h"

struct brick_bytes call_abi_request(struct brick_call *handle);
struct brick_str call_abi_metadata(struct brick_call *handle, const char *key);
int call_abi_metadata_at(struct brick_call *handle, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value);
struct brick_str call_abi_peer(struct brick_call *handle);
struct brick_str call_abi_identity(struct brick_call *handle);
struct brick_str call_abi_group(struct brick_call *handle, size_t index);
uint64_t call_abi_deadline(struct brick_call *handle);
int call_abi_cancelled(struct brick_call *handle);
void *call_abi_alloc(struct brick_call *handle, size_t size, size_t align);
void call_abi_set_data(struct brick_call *handle, void *data, void (*destroy)(void *data));
void *call_abi_data(struct brick_call *handle);
void call_abi_recv(struct brick_call *handle);
int call_abi_read(struct brick_call *handle, struct brick_bytes *ret);
int call_abi_send(struct brick_call *handle, struct brick_bytes message);
void *call_abi_reserve(struct brick_call *handle, size_t size);
int call_abi_commit(struct brick_call *handle, size_t size);
int call_abi_trailer(struct brick_call *handle, struct brick_str key, struct brick_str value);
void call_abi_finish(struct brick_call *handle, uint32_t status, struct brick_str reason);
void call_abi_fail(struct brick_call *handle, int32_t code, struct brick_str message,
                   struct brick_str detail);
struct brick_str call_abi_traceparent(struct brick_call *handle);
struct brick_str call_abi_tracestate(struct brick_call *handle);
size_t call_abi_mark(struct brick_call *handle);
void call_abi_rewind(struct brick_call *handle, size_t mark);
void call_abi_fail_errno(struct brick_call *handle, int r);
