/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <strings.h>

#include "common.pb-c.h"
#include "compose.pb-c.h"
#include "guard.pb-c.h"
#include "intention.pb-c.h"
#include "llm.pb-c.h"
#include "rectify.pb-c.h"
#include "retrieval.pb-c.h"
#include "translate.pb-c.h"

#include "ctl/service.h"

const struct service services[] = {
        { "Common", &protocols__grpc__common__common_service__descriptor },
        { "LLM", &protocols__grpc__llm__llmservice__descriptor, "prompt", "text" },
        { "Guard", &protocols__grpc__guard__guard_service__descriptor, "text" },
        { "Intention", &protocols__grpc__intention__intention_service__descriptor, "text" },
        { "Rectify", &protocols__grpc__rectify__rectify_service__descriptor, "text",
          "corrected_text" },
        { "Retrieval", &protocols__grpc__retrieval__retrieval_service__descriptor, "query" },
        { "Translate", &protocols__grpc__translate__translate_service__descriptor, "text", "text" },
        { "Compose", &protocols__grpc__compose__compose_service__descriptor },
        {},
};

const struct method methods[] = {
        { "GetServiceInfo" },
        { "Unary" },
        { "OutputStreaming", .reply_stream = true },
        { "InputStreaming", .request_stream = true },
        { "BidiStreaming", .request_stream = true, .reply_stream = true },
        {},
};

const struct service *service_find(const char *name)
{
        for (const struct service *s = services; s->name; s++)
                if (strcasecmp(name, s->name) == 0 ||
                    strcasecmp(name, s->descriptor->short_name) == 0 ||
                    strcasecmp(name, s->descriptor->name) == 0)
                        return s;
        return NULL;
}

const struct method *method_find(const char *name)
{
        if (strcasecmp(name, "info") == 0)
                return &methods[0];
        for (const struct method *m = methods; m->name; m++)
                if (strcasecmp(name, m->name) == 0)
                        return m;
        return NULL;
}

const ProtobufCMethodDescriptor *service_method(const struct service *service,
                                                const struct method *method)
{
        return protobuf_c_service_descriptor_get_method_by_name(service->descriptor, method->name);
}
