/* SPDX-License-Identifier: MIT */
#pragma once

/* The eight services and their methods, with the names that users type. */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct service {
        const char *name; /* "LLM" */
        const ProtobufCServiceDescriptor *descriptor;
        const char *request_text; /* the field that plain text becomes; NULL: none */
        const char *reply_text;   /* the field to print as plain text; NULL: none */
};

struct method {
        const char *name;
        bool request_stream;
        bool reply_stream;
};

extern const struct service services[]; /* a NULL name ends it */
extern const struct method methods[];   /* likewise */

/* Finds "LLM", "LLMService" or "protocols.grpc.llm.LLMService", ignoring case. NULL: unknown. */
const struct service *service_find(const char *name);

/* Finds "OutputStreaming", ignoring case; "info" is GetServiceInfo. NULL: unknown. */
const struct method *method_find(const char *name);

/* NULL: the service does not have the method. */
const ProtobufCMethodDescriptor *service_method(const struct service *service,
                                                const struct method *method);
