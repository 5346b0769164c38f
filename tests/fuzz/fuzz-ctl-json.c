/* SPDX-License-Identifier: MIT */

/*
 * Any bytes as a request that a user types and as a reply that a server sends: no crash; a wrong
 * request is told of; a right one comes back from the wire as the same JSON. The first byte says of
 * which service.
 */

#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dump(const ProtobufCMessage *message)
{
        _cleanup_(json_unrefp) json_t *json = message_to_json(message);
        char *text = NULL;
        size_t length;
        FILE *f;

        if (!json)
                return NULL;
        f = open_memstream(&text, &length);
        assert(f);
        output_json(f, json);
        output_tree(f, json);
        assert(fclose(f) == 0);
        return text;
}

static void read_reply(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
        _cleanup_(message_freep) ProtobufCMessage *message = message_unpack(type, bytes, size);

        if (message)
                free(dump(message));
}

static void check_round_trip(const ProtobufCMessage *message)
{
        _cleanup_(message_freep) ProtobufCMessage *again = NULL;
        _cleanup_free_ char *before = dump(message), *after = NULL;
        size_t size = protobuf_c_message_get_packed_size(message);
        _cleanup_free_ uint8_t *bytes = malloc(size + 1);

        assert(bytes && protobuf_c_message_pack(message, bytes) == size);
        again = message_unpack(message->descriptor, bytes, size);
        if (!again) /* nested deeper than a reply may be */
                return;
        after = dump(again);
        assert(before && after && strcmp(before, after) == 0);
}

static void write_request(const ProtobufCMessageDescriptor *type, const char *text_field,
                          const char *text, size_t length)
{
        _cleanup_(message_freep) ProtobufCMessage *message = NULL;
        _cleanup_free_ char *error = NULL;

        if (message_from_text(type, text_field, text, length, &message, &error) == 0)
                check_round_trip(message);
        else
                assert(!message && error && *error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const ProtobufCMethodDescriptor *types;
        const struct service *service;

        if (size == 0)
                return 0;
        service = &services[data[0] % 8];
        types = service_method(service, method_find("Unary"));
        write_request(types->input, service->request_text, (const char *)data + 1, size - 1);
        read_reply(types->output, data + 1, size - 1);
        return 0;
}
