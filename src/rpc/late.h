/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Many large requests may come at once, and each costs milliseconds. The polling thread takes them
 * one by one, and between two of them it reads what others have sent. Polling thread only.
 */

#include <grpc/byte_buffer.h>
#include <stdbool.h>
#include <stddef.h>

#include "module/runner.h"

/* Bytes of the request, as it was received; NULL: 0. */
static inline size_t late_size(const grpc_byte_buffer *request)
{
        return request ? request->data.raw.slice_buffer.length : 0;
}

/* Queues the item behind everything else, if the request is large and the polling thread has not
 * waited for its peers for some milliseconds. False: the request is to be taken now. */
bool late_post(struct run_item *item, const grpc_byte_buffer *request);

/* The item runs. True: it is still too early, and the item is queued again. */
bool late_put_off(struct run_item *item);
