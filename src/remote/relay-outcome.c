/* SPDX-License-Identifier: MIT */
#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/outcome.h"
#include "remote/relay.h"
#include "util/line-limit.h"

/* The text of the status. No server has sent a status without trailers: the connection is lost. */
static struct brick_str reason_of(const struct relay *relay)
{
        if (relay->upstream->lost && relay->status == GRPC_STATUS_UNAVAILABLE &&
            relay->trailers.count == 0)
                return brick_str(relay->upstream->lost);
        return (struct brick_str){ (const char *)GRPC_SLICE_START_PTR(relay->details),
                                   GRPC_SLICE_LENGTH(relay->details) };
}

/* The error behind a status that `errors_as_status` has asked for. */
static bool find_error(struct relay *relay, struct payload *ret)
{
        struct brick_str code = metadata_find(&relay->trailers, "x-brick-error-code");
        char text[16] = "";

        if (!relay->upstream->errors_as_status || code.len == 0 || code.len >= sizeof text)
                return false;
        if (payload_find_error(ret, metadata_find(&relay->trailers, "grpc-status-details-bin")))
                return true;
        memcpy(text, code.ptr, code.len);
        *ret = (struct payload){
                .code = (int32_t)strtol(text, NULL, 10),
                .message = reason_of(relay),
        };
        return ret->code != 0 && ret->code != 200;
}

/* Whether the call has never had a connection: the core says why the last attempt to connect has
 * failed, or still knows no other end than the name. */
static bool was_never_sent(const struct relay *relay)
{
        static const char words[] = "; last error: ";
        char *peer;
        bool never;

        if (memmem(GRPC_SLICE_START_PTR(relay->details), GRPC_SLICE_LENGTH(relay->details), words,
                   sizeof words - 1))
                return true;
        peer = grpc_call_get_peer(relay->core);
        never = strncmp(peer, "dns:", 4) == 0;
        gpr_free(peer);
        return never;
}

/* What the core says of it names the backend's addresses, which are not for clients. */
static void log_unreachable(const struct relay *relay)
{
        static struct line_limit limit = LINE_LIMIT_INIT;
        const int length = (int)GRPC_SLICE_LENGTH(relay->details);
        char others[48] = "";
        int n = line_limit_take(&limit);

        if (n > 0)
                (void)snprintf(others, sizeof others, "; so ended %d more calls", n);
        if (n >= 0)
                brick_logf(relay->host, relay->upstream->ctx, BRICK_LOG_WARNING,
                           "no connection to %s: %.*s%s", relay->backend->address, length,
                           (const char *)GRPC_SLICE_START_PTR(relay->details), others);
}

void relay_finish(struct relay *relay)
{
        const struct brick_host *host = relay->host;
        struct brick_call *call = relay->call;
        struct payload error = relay->payload;

        if (relay->status == GRPC_STATUS_UNAVAILABLE && !relay->refused && !relay->upstream->lost &&
            was_never_sent(relay)) {
                log_unreachable(relay);
                relay->refused = "No backend of this brick can be reached";
                relay->refused_status = STATUS_UNAVAILABLE;
        }

        metadata_pass_on(relay->upstream, call, &relay->headers);
        metadata_pass_on(relay->upstream, call, &relay->trailers);
        if (relay->refused)
                host->call_finish(call, relay->refused_status, brick_str(relay->refused));
        else if (error.failed || (relay->status != GRPC_STATUS_OK && find_error(relay, &error)))
                host->call_fail(call, error.code, error.message, error.detail);
        else
                host->call_finish(call, (uint32_t)relay->status, reason_of(relay));
}
