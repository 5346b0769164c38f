/* SPDX-License-Identifier: MIT */
#include "serve/service.h"
#include "common.pb-c.h"
#include "compose.pb-c.h"
#include "guard.pb-c.h"
#include "intention.pb-c.h"
#include "llm.pb-c.h"
#include "rectify.pb-c.h"
#include "retrieval.pb-c.h"
#include "translate.pb-c.h"
#include "util/cleanup.h"

#define INFO (1u << BRICK_METHOD_SERVICE_INFO)
#define UNARY (1u << BRICK_METHOD_UNARY)
#define OUTPUT (1u << BRICK_METHOD_OUTPUT_STREAMING)
#define INPUT (1u << BRICK_METHOD_INPUT_STREAMING)
#define BIDI (1u << BRICK_METHOD_BIDI_STREAMING)

/* A Struct as field 1, present and empty. */
static const char empty_struct[] = { 0x0a, 0x00 };

static const struct service services[] = {
        {
                .type = BRICK_TYPE_COMMON,
                .name = "protocols.grpc.common.CommonService",
                .methods = INFO | UNARY | OUTPUT | INPUT | BIDI,
                .request = &protocols__grpc__common__common_request__descriptor,
                .reply = &protocols__grpc__common__common_response__descriptor,
                .error_field = 2,
                .empty = empty_struct,
                .empty_size = sizeof empty_struct,
        },
        {
                .type = BRICK_TYPE_RECTIFY,
                .name = "protocols.grpc.rectify.RectifyService",
                .methods = INFO | UNARY,
                .request = &protocols__grpc__rectify__rectify_request__descriptor,
                .reply = &protocols__grpc__rectify__rectify_response__descriptor,
                .error_field = 2,
                .client_id = 2,
                .session_id = 3,
                .request_id = 4,
        },
        {
                .type = BRICK_TYPE_INTENTION,
                .name = "protocols.grpc.intention.IntentionService",
                .methods = INFO | UNARY,
                .request = &protocols__grpc__intention__intention_request__descriptor,
                .reply = &protocols__grpc__intention__intention_response__descriptor,
                .error_field = 2,
                .client_id = 2,
                .session_id = 3,
                .request_id = 4,
        },
        {
                .type = BRICK_TYPE_GUARD,
                .name = "protocols.grpc.guard.GuardService",
                .methods = INFO | UNARY,
                .request = &protocols__grpc__guard__guard_request__descriptor,
                .reply = &protocols__grpc__guard__guard_response__descriptor,
                .error_field = 2,
                .client_id = 2,
                .session_id = 3,
                .request_id = 4,
        },
        {
                .type = BRICK_TYPE_LLM,
                .name = "protocols.grpc.llm.LLMService",
                .methods = INFO | UNARY | OUTPUT,
                .request = &protocols__grpc__llm__llmrequest__descriptor,
                .reply = &protocols__grpc__llm__llmresponse__descriptor,
                .error_field = 4,
                .model_id = 1,
                .client_id = 4,
                .session_id = 5,
                .request_id = 6,
        },
        {
                .type = BRICK_TYPE_COMPOSE,
                .name = "protocols.grpc.compose.ComposeService",
                .methods = INFO | UNARY | OUTPUT,
                .request = &protocols__grpc__compose__compose_request__descriptor,
                .reply = &protocols__grpc__compose__compose_response__descriptor,
                .error_field = 2,
                .empty = empty_struct,
                .empty_size = sizeof empty_struct,
                .client_id = 3,
                .session_id = 4,
                .request_id = 5,
        },
        {
                .type = BRICK_TYPE_RETRIEVAL,
                .name = "protocols.grpc.retrieval.RetrievalService",
                .methods = INFO | UNARY,
                .request = &protocols__grpc__retrieval__retrieval_request__descriptor,
                .reply = &protocols__grpc__retrieval__retrieval_response__descriptor,
                .error_field = 2,
                .client_id = 3,
                .session_id = 4,
                .request_id = 5,
        },
        {
                .type = BRICK_TYPE_TRANSLATE,
                .name = "protocols.grpc.translate.TranslateService",
                .methods = INFO | UNARY | OUTPUT,
                .request = &protocols__grpc__translate__translate_request__descriptor,
                .reply = &protocols__grpc__translate__translate_response__descriptor,
                .error_field = 5,
                .model_id = 2,
                .client_id = 4,
                .session_id = 5,
                .request_id = 6,
        },
};

const struct service *service_of_type(unsigned type)
{
        for (size_t i = 0; i < ELEMENTSOF(services); i++)
                if (services[i].type == type)
                        return &services[i];
        return NULL;
}

const ProtobufCMessageDescriptor *service_request(const struct service *service, uint32_t method)
{
        return method == BRICK_METHOD_SERVICE_INFO
                       ? &protocols__grpc__common__service_info_request__descriptor
                       : service->request;
}

const ProtobufCMessageDescriptor *service_reply(const struct service *service, uint32_t method)
{
        return method == BRICK_METHOD_SERVICE_INFO
                       ? &protocols__grpc__common__service_info_response__descriptor
                       : service->reply;
}

uint32_t service_error_field(const struct service *service, uint32_t method)
{
        return method == BRICK_METHOD_SERVICE_INFO ? 4 : service->error_field;
}
