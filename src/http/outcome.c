/* SPDX-License-Identifier: MIT */
#include "http/outcome.h"

#include "serve/errors.h"
#include "util/cleanup.h"

/* The first row with the code in its range counts. Other codes go by their status of gRPC. */
static const struct {
        int32_t first;
        int32_t last;
        unsigned status; /* 0: the code itself */
} rows[] = {
        { 401, 401, 502 }, /* the brick's own key is wrong, not the client's */
        { 400, 599, 0 },

        { 2000, 2999, 400 }, { 3001, 3001, 403 }, { 3004, 3004, 403 }, { 3000, 3999, 502 },

        { 4001, 4001, 404 }, { 4005, 4005, 429 },

        { 5004, 5004, 429 },

        { 6001, 6001, 404 }, { 6002, 6002, 429 },

        { 8002, 8002, 404 },
};

unsigned http_status_of_grpc(unsigned status)
{
        static const unsigned statuses[STATUS_MAX + 1] = {
                [STATUS_CANCELLED] = 499,
                [STATUS_UNKNOWN] = 500,
                [STATUS_INVALID_ARGUMENT] = 400,
                [STATUS_DEADLINE_EXCEEDED] = 504,
                [STATUS_NOT_FOUND] = 404,
                [STATUS_PERMISSION_DENIED] = 403,
                [STATUS_RESOURCE_EXHAUSTED] = 429,
                [STATUS_FAILED_PRECONDITION] = 400,
                [STATUS_ABORTED] = 409,
                [STATUS_OUT_OF_RANGE] = 400,
                [STATUS_UNIMPLEMENTED] = 501,
                [STATUS_INTERNAL] = 500,
                [STATUS_UNAVAILABLE] = 503,
                [STATUS_UNAUTHENTICATED] = 401,
        };

        return status <= STATUS_MAX && statuses[status] ? statuses[status] : 500;
}

unsigned http_status_of_code(int32_t code)
{
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (code >= rows[i].first && code <= rows[i].last)
                        return rows[i].status ? rows[i].status : (unsigned)code;
        return http_status_of_grpc(errors_status(code));
}

static const struct {
        unsigned status;
        const char *reason;
        const char *type;
        const char *code;
} statuses[] = {
        { 100, "Continue", NULL, NULL },
        { 200, "OK", NULL, NULL },
        { 204, "No Content", NULL, NULL },
        { 304, "Not Modified", NULL, NULL },
        { 400, "Bad Request", "invalid_request_error", NULL },
        { 401, "Unauthorized", "authentication_error", "invalid_api_key" },
        { 403, "Forbidden", "permission_error", "permission_denied" },
        { 404, "Not Found", "invalid_request_error", "not_found" },
        { 405, "Method Not Allowed", "invalid_request_error", "method_not_allowed" },
        { 406, "Not Acceptable", "invalid_request_error", NULL },
        { 408, "Request Timeout", "invalid_request_error", NULL },
        { 409, "Conflict", "invalid_request_error", NULL },
        { 413, "Content Too Large", "invalid_request_error", "request_too_large" },
        { 415, "Unsupported Media Type", "invalid_request_error", "unsupported_media_type" },
        { 422, "Unprocessable Content", "invalid_request_error", NULL },
        { 429, "Too Many Requests", "rate_limit_error", "rate_limit_exceeded" },
        { 431, "Request Header Fields Too Large", "invalid_request_error", "head_too_large" },
        { 499, "Client Closed Request", "server_error", "cancelled" },
        { 500, "Internal Server Error", "server_error", NULL },
        { 501, "Not Implemented", "server_error", "not_implemented" },
        { 502, "Bad Gateway", "server_error", NULL },
        { 503, "Service Unavailable", "server_error", "overloaded" },
        { 504, "Gateway Timeout", "server_error", "timeout" },
        { 505, "HTTP Version Not Supported", "invalid_request_error", NULL },
};

const char *http_reason(unsigned status)
{
        for (size_t i = 0; i < ELEMENTSOF(statuses); i++)
                if (statuses[i].status == status)
                        return statuses[i].reason;
        return "Error";
}

const char *http_type_of_status(unsigned status)
{
        for (size_t i = 0; i < ELEMENTSOF(statuses); i++)
                if (statuses[i].status == status && statuses[i].type)
                        return statuses[i].type;
        return status < 500 ? "invalid_request_error" : "server_error";
}

const char *http_code_of_status(unsigned status)
{
        for (size_t i = 0; i < ELEMENTSOF(statuses); i++)
                if (statuses[i].status == status)
                        return statuses[i].code;
        return NULL;
}

static unsigned status_of(const struct outcome *outcome, bool by_identity)
{
        if (outcome->in_band)
                return http_status_of_code(outcome->code);
        if (outcome->status == STATUS_RESOURCE_EXHAUSTED && !by_identity)
                return 503;
        return http_status_of_grpc(outcome->status);
}

/* Whether another try ends in the same way: the request or the brick's answer to it is at fault. */
static bool repeats(unsigned status)
{
        return status == 501 || (status >= 400 && status < 500 && status != 408 && status != 409 &&
                                 status != 429 && status != 499);
}

struct exchange_error http_error_of(const struct outcome *outcome, bool by_identity,
                                    const char *message, const char *detail, uint64_t retry_ms)
{
        unsigned status = status_of(outcome, by_identity);

        return (struct exchange_error){
                .status = status,
                .message = message,
                .code = http_code_of_status(status),
                .brick_code = outcome->in_band ? outcome->code : 0,
                .detail = detail && *detail ? detail : NULL,
                .retry_ms = retry_ms,
                .would_repeat = repeats(status),
        };
}
