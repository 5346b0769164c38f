/* SPDX-License-Identifier: MIT */
#pragma once

/* The eight services and their methods, as a user may name them. */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct service {
        const char *name; /* "LLM" */
        const ProtobufCServiceDescriptor *descriptor;
        const char *request_text; /* the field that a bare text fills; NULL: none */
        const char *reply_text;   /* the field that is the whole answer to a human; NULL: none */
};

struct method {
        const char *name;
        bool request_stream;
        bool reply_stream;
};

extern const struct service services[]; /* a NULL name ends it */
extern const struct method methods[];   /* likewise */

/* "LLM", "LLMService" or "protocols.grpc.llm.LLMService", in any case. NULL: none such. */
const struct service *service_find(const char *name);

/* "OutputStreaming", in any case; "info" is GetServiceInfo. NULL: none such. */
const struct method *method_find(const char *name);

/* NULL: the service does not have the method. */
const ProtobufCMethodDescriptor *service_method(const struct service *service,
                                                const struct method *method);
