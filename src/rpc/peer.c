/* SPDX-License-Identifier: MIT */
#include "rpc/peer.h"

#include <grpc/support/alloc.h>
#include <grpc/support/string_util.h>

#include "conf/conf.h"
#include "serve/forwarded.h"

static struct brick_str slice_str(const grpc_slice *slice)
{
        return (struct brick_str){ (const char *)GRPC_SLICE_START_PTR(*slice),
                                   GRPC_SLICE_LENGTH(*slice) };
}

static bool field(const void *request, size_t index, struct brick_str *ret_name,
                  struct brick_str *ret_value)
{
        const grpc_metadata_array *array = request;

        if (index >= array->count)
                return false;
        *ret_name = slice_str(&array->metadata[index].key);
        *ret_value = slice_str(&array->metadata[index].value);
        return true;
}

char *rpc_peer_of(grpc_call *call, const grpc_metadata_array *metadata,
                  const struct conf_port *conf)
{
        char *peer = grpc_call_get_peer(call), client[FORWARDED_MAX];

        if (!forwarded_client(&conf->forwarded, brick_str(peer), field, metadata, client))
                return peer;
        gpr_free(peer);
        return gpr_strdup(client);
}
