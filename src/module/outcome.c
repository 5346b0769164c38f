/* SPDX-License-Identifier: MIT */
#include "module/outcome.h"

#include <errno.h>
#include <string.h>

#include "util/utf8.h"

/* The in-band codes that llmbrick's wrapper uses itself: numbers of gRPC statuses. */
enum {
        CODE_UNIMPLEMENTED = 12,
        CODE_INTERNAL = 13,
};

#define NOT_IMPLEMENTED "The requested operation is not implemented."
#define FAILED "An error occurred while processing "
#define NOT_OF_TYPE "The response from the brick is not of type "

static const struct {
        const char *no_handler;
        const char *failed;
        const char *invalid;
} texts[] = {
        [BRICK_METHOD_SERVICE_INFO] = { "get_service_info handler not implemented",
                                        FAILED "GetServiceInfo.",
                                        "Invalid service info response type!" },
        [BRICK_METHOD_UNARY] = { "Unary handler not registered", FAILED "Unary.",
                                 "Invalid unary response type!" },
        [BRICK_METHOD_OUTPUT_STREAMING] = { "Server streaming handler not registered",
                                            FAILED "OutputStreaming.",
                                            "Invalid output streaming response type!" },
        [BRICK_METHOD_INPUT_STREAMING] = { "Client streaming handler not registered",
                                           FAILED "InputStreaming.",
                                           "Invalid input streaming response type!" },
        [BRICK_METHOD_BIDI_STREAMING] = { "Bidi streaming handler not registered",
                                          FAILED "BidiStreaming.",
                                          "Invalid bidi streaming response type!" },
};

static const char *const not_of_type[] = {
        [BRICK_TYPE_COMMON] = NOT_OF_TYPE "CommonResponse.",
        [BRICK_TYPE_RECTIFY] = NOT_OF_TYPE "RectifyResponse.",
        [BRICK_TYPE_INTENTION] = NOT_OF_TYPE "IntentionResponse.",
        [BRICK_TYPE_GUARD] = NOT_OF_TYPE "GuardResponse.",
        [BRICK_TYPE_LLM] = NOT_OF_TYPE "LLMResponse.",
        [BRICK_TYPE_COMPOSE] = NOT_OF_TYPE "ComposeResponse.",
        [BRICK_TYPE_RETRIEVAL] = NOT_OF_TYPE "RetrievalResponse.",
        [BRICK_TYPE_TRANSLATE] = NOT_OF_TYPE "TranslateResponse.",
};

static struct outcome in_band(int32_t code, const char *message, const char *detail)
{
        return (struct outcome){
                .in_band = true,
                .code = code,
                .message = brick_str(message),
                .detail = brick_str(detail),
        };
}

struct outcome outcome_cancelled(void)
{
        return (struct outcome){ .status = STATUS_CANCELLED, .message = brick_str("Cancelled") };
}

struct outcome outcome_expired(void)
{
        return (struct outcome){
                .status = STATUS_DEADLINE_EXCEEDED,
                .message = brick_str("Deadline Exceeded"),
        };
}

struct outcome outcome_busy(void)
{
        return (struct outcome){
                .status = STATUS_RESOURCE_EXHAUSTED,
                .message = brick_str("The brick is busy"),
        };
}

struct outcome outcome_stopping(void)
{
        return (struct outcome){
                .status = STATUS_UNAVAILABLE,
                .message = brick_str("The server is stopping"),
        };
}

struct outcome outcome_unread(void)
{
        return (struct outcome){
                .status = STATUS_RESOURCE_EXHAUSTED,
                .message = brick_str("The client has too many replies to read"),
        };
}

struct outcome outcome_no_memory(void)
{
        return (struct outcome){
                .status = STATUS_RESOURCE_EXHAUSTED,
                .message = brick_str("The memory for calls is used up"),
        };
}

struct outcome outcome_no_handler(uint32_t method)
{
        return in_band(CODE_UNIMPLEMENTED, texts[method].no_handler, NOT_IMPLEMENTED);
}

/* The handler says that it is not implemented. */
static struct outcome not_implemented(const char *message)
{
        return in_band(CODE_UNIMPLEMENTED, message, NOT_IMPLEMENTED);
}

struct outcome outcome_exception(uint32_t method, const char *message)
{
        return in_band(CODE_INTERNAL, message, texts[method].failed);
}

struct outcome outcome_errno(uint32_t method, int r)
{
        const char *text = strerrordesc_np(r < 0 ? -r : EINVAL);

        return r == -ENOSYS ? not_implemented("") : outcome_exception(method, text ? text : "");
}

struct outcome outcome_invalid_reply(uint32_t method, unsigned type)
{
        if (method == BRICK_METHOD_SERVICE_INFO)
                return in_band(CODE_INTERNAL, texts[method].invalid,
                               NOT_OF_TYPE "ServiceInfoResponse.");
        return in_band(CODE_INTERNAL, texts[method].invalid, not_of_type[type]);
}

struct outcome outcome_no_reply(uint32_t method, unsigned type)
{
        if (method == BRICK_METHOD_SERVICE_INFO)
                return in_band(CODE_UNIMPLEMENTED, "Service info not implemented!",
                               "The brick did not implement service info.");
        return outcome_invalid_reply(method, type);
}

const char *outcome_reply_fault(int r)
{
        switch (r) {
        case -EBADMSG:
                return "sent a reply that is not of its type";
        case -EILSEQ:
                return "sent a reply with a string that is not UTF-8";
        case -EPROTO:
                return "sent a reply with its field `error` set, which brickd sets (to answer with "
                       "an error, use brick_fail() or call_fail())";
        }
        return NULL;
}

struct brick_str outcome_text(struct arena *arena, struct brick_str text)
{
        size_t size = text.len;
        char *copy;

        if (size == 0)
                return brick_str("");
        if (size > OUTCOME_TEXT_MAX)
                size = OUTCOME_TEXT_MAX;
        else if (!utf8_valid(text.ptr, text.len))
                size = size < OUTCOME_TEXT_MAX / 3 ? 3 * size : OUTCOME_TEXT_MAX;
        copy = arena_alloc(arena, size, 1);
        return copy ? (struct brick_str){ copy, utf8_repair(copy, size, text.ptr, text.len) }
                    : brick_str("");
}
