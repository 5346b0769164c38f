/* SPDX-License-Identifier: MIT */
#include "rpc/batch.h"
#include "util/line-limit.h"
#include "util/log.h"

bool batch_start(grpc_call *call, const grpc_op *ops, size_t n, struct batch_tag *tag)
{
        static struct line_limit limit = LINE_LIMIT_INIT;
        grpc_call_error error = grpc_call_start_batch(call, ops, n, tag, NULL);

        if (error == GRPC_CALL_OK)
                return true;
        if (line_limit_take(&limit) >= 0)
                log_error("gRPC core refused a batch: %s", grpc_call_error_to_string(error));
        (void)grpc_call_cancel(call, NULL);
        return false;
}

grpc_call *batch_bell_new(grpc_completion_queue *queue)
{
        grpc_channel *channel = grpc_lame_client_channel_create(NULL, GRPC_STATUS_UNAVAILABLE,
                                                                "never called");
        grpc_call *call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                                   grpc_slice_from_static_string("/"), NULL,
                                                   gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);

        grpc_channel_destroy(channel);
        return call;
}
