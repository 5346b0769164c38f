/* SPDX-License-Identifier: MIT */
#include "types.h"

#include <string.h>

static const struct type_map maps[] = {
        [BRICK_TYPE_COMMON] = { "Common", BRICK_DESCRIPTOR(CommonRequest),
                                BRICK_DESCRIPTOR(CommonResponse), "data", "data", FLOW_DATA,
                                FLOW_DATA, true },
        [BRICK_TYPE_RECTIFY] = { "Rectify", BRICK_DESCRIPTOR(RectifyRequest),
                                 BRICK_DESCRIPTOR(RectifyResponse), "text", "corrected_text",
                                 FLOW_TEXT, FLOW_TEXT, false },
        [BRICK_TYPE_INTENTION] = { "Intention", BRICK_DESCRIPTOR(IntentionRequest),
                                   BRICK_DESCRIPTOR(IntentionResponse), "text", "results",
                                   FLOW_TEXT, FLOW_INTENT, false },
        [BRICK_TYPE_GUARD] = { "Guard", BRICK_DESCRIPTOR(GuardRequest),
                               BRICK_DESCRIPTOR(GuardResponse), "text", "results", FLOW_TEXT,
                               FLOW_VERDICT, false },
        [BRICK_TYPE_LLM] = { "LLM", BRICK_DESCRIPTOR(LLMRequest), BRICK_DESCRIPTOR(LLMResponse),
                             "prompt", "text", FLOW_TEXT, FLOW_TEXT, true },
        [BRICK_TYPE_COMPOSE] = { "Compose", BRICK_DESCRIPTOR(ComposeRequest),
                                 BRICK_DESCRIPTOR(ComposeResponse), "input_documents", "output",
                                 FLOW_DOCUMENTS, FLOW_DATA, true },
        [BRICK_TYPE_RETRIEVAL] = { "Retrieval", BRICK_DESCRIPTOR(RetrievalRequest),
                                   BRICK_DESCRIPTOR(RetrievalResponse), "query", "documents",
                                   FLOW_TEXT, FLOW_DOCUMENTS, false },
        [BRICK_TYPE_TRANSLATE] = { "Translate", BRICK_DESCRIPTOR(TranslateRequest),
                                   BRICK_DESCRIPTOR(TranslateResponse), "text", "text", FLOW_TEXT,
                                   FLOW_TEXT, true },
};

static const struct {
        const char *name, *makers;
} flows[] = {
        [FLOW_TEXT] = { "a text", "Rectify, Translate or LLM" },
        [FLOW_DOCUMENTS] = { "documents", "Retrieval" },
        [FLOW_DATA] = { "data", "Compose or Common" },
        [FLOW_VERDICT] = { "a verdict", "Guard" },
        [FLOW_INTENT] = { "an intention", "Intention" },
};

const struct type_map *type_map(uint32_t type)
{
        return &maps[type];
}

const char *flow_name(enum flow flow)
{
        return flows[flow].name;
}

const char *flow_makers(enum flow flow)
{
        return flows[flow].makers;
}

const ProtobufCFieldDescriptor *field_named(const ProtobufCMessageDescriptor *type,
                                            const char *name)
{
        return protobuf_c_message_descriptor_get_field_by_name(type, name);
}

static void *at(const ProtobufCMessage *message, unsigned offset)
{
        return (char *)message + offset;
}

void *field_place(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
        return at(message, field->offset);
}

size_t *field_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
        return at(message, field->quantifier_offset);
}

static void **pointer_of(const ProtobufCMessage *message, const char *name)
{
        const ProtobufCFieldDescriptor *field = field_named(message->descriptor, name);

        return field ? field_place(message, field) : NULL;
}

void *field_pointer(const ProtobufCMessage *message, const char *name)
{
        void **pointer = pointer_of(message, name);

        return pointer ? *pointer : NULL;
}

void field_set_pointer(ProtobufCMessage *message, const char *name, const void *value)
{
        void **pointer = pointer_of(message, name);

        if (pointer)
                *pointer = (void *)value;
}

ProtobufCMessage *request_for(struct brick_call *call, const struct type_map *map,
                              const ProtobufCMessage *given)
{
        static const char *const always[] = { "client_id", "session_id", "request_id",
                                              "source_language" };
        ProtobufCMessage *request = brick_new(call, map->request);

        if (!request)
                return NULL;
        if (given->descriptor == map->request) {
                memcpy(request, given, map->request->sizeof_message);
                return request;
        }
        for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
                if (field_named(given->descriptor, always[i]))
                        field_set_pointer(request, always[i], field_pointer(given, always[i]));
        return request;
}
