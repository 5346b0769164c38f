/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/call.h"
#include "rpc/trailers.h"

#define TRAILERS_MAX 32        /* of a brick */
#define TRAILER_BYTES_MAX 8192 /* of a brick */
#define TRAILERS_OWN 3         /* of brickd, beside them: pushback, error code, error details */

/* Few calls have trailers, and room for the most is 3 KiB. Takes the slices, also on error. */
static int add(struct rpc_call *call, grpc_slice key, grpc_slice value)
{
        if (!call->trailers)
                call->trailers = calloc(TRAILERS_MAX + TRAILERS_OWN, sizeof *call->trailers);
        if (!call->trailers) {
                grpc_slice_unref(key);
                grpc_slice_unref(value);
                return -ENOMEM;
        }
        call->trailers[call->n_trailers++] = (grpc_metadata){ .key = key, .value = value };
        return 0;
}

void rpc_add_trailer(struct rpc_call *call, const char *key, grpc_slice value)
{
        (void)add(call, grpc_slice_from_static_string(key), value);
}

void rpc_add_pushback(struct rpc_call *call, uint64_t ms)
{
        char text[24];

        (void)snprintf(text, sizeof text, "%" PRIu64, ms);
        /* So short a copy lies in the slice itself. */
        rpc_add_trailer(call, "grpc-retry-pushback-ms", grpc_slice_from_copied_string(text));
}

int rpc_trailer(struct call *base, struct brick_str key, struct brick_str value)
{
        struct rpc_call *call = rpc_call_of(base);
        grpc_slice key_slice = grpc_slice_from_static_buffer(key.ptr, key.len);
        grpc_slice value_slice = grpc_slice_from_static_buffer(value.ptr, value.len);

        if (call->n_trailers == TRAILERS_MAX ||
            call->trailer_bytes + key.len + value.len > TRAILER_BYTES_MAX)
                return -E2BIG;
        if (key.len == 0 || !grpc_header_key_is_legal(key_slice) || key.ptr[0] == ':' ||
            (key.len > 5 && memcmp(key.ptr, "grpc-", 5) == 0))
                return -EINVAL;
        if (!grpc_is_binary_header(key_slice) && !grpc_header_nonbin_value_is_legal(value_slice))
                return -EINVAL;
        call->trailer_bytes += key.len + value.len;
        /* Copies outside the arena, which a brick may rewind. */
        return add(call, grpc_slice_from_copied_buffer(key.ptr, key.len),
                   grpc_slice_from_copied_buffer(value.ptr, value.len));
}

struct brick_str rpc_find_trailer(struct call *base, const char *key)
{
        const struct rpc_call *call = rpc_call_of(base);

        for (size_t i = 0; i < call->n_trailers; i++)
                if (grpc_slice_str_cmp(call->trailers[i].key, key) == 0)
                        return (struct brick_str){
                                (const char *)GRPC_SLICE_START_PTR(call->trailers[i].value),
                                GRPC_SLICE_LENGTH(call->trailers[i].value),
                        };
        return (struct brick_str){};
}

void rpc_drop_trailers(struct rpc_call *call)
{
        for (size_t i = 0; i < call->n_trailers; i++) {
                grpc_slice_unref(call->trailers[i].key);
                grpc_slice_unref(call->trailers[i].value);
        }
        call->n_trailers = 0;
}
