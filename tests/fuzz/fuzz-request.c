/* SPDX-License-Identifier: MIT */

/*
 * The validator beside the two parsers that read what it lets through: protobuf-c in bricks and
 * Google's in clients. The first byte picks a type, the rest is a message. What the validator
 * promises is in serve/validate.h.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "google-parser.h"
#include "health.pb-c.h"
#include "reflection.pb-c.h"
#include "serve/service.h"
#include "serve/validate.h"
#include "struct.pb-c.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The requests of the eight services, their replies, and the others. */
static const ProtobufCMessageDescriptor *pick_type(uint8_t byte)
{
        static const ProtobufCMessageDescriptor *const others[] = {
                &google__protobuf__value__descriptor,
                &grpc__health__v1__health_check_request__descriptor,
                &grpc__reflection__v1__server_reflection_request__descriptor,
        };
        const struct service *service = service_of_type(BRICK_TYPE_COMMON + byte % 8);
        unsigned group = byte / 8 % 3;

        if (group == 0)
                return service->request;
        if (group == 1)
                return service->reply;
        return byte % 8 < ELEMENTSOF(others) ? others[byte % 8]
                                             : service_reply(service, BRICK_METHOD_SERVICE_INFO);
}

static bool unpacks(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
        ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, size, bytes);

        if (!message)
                return false;
        protobuf_c_message_free_unpacked(message, NULL);
        return true;
}

/* All fields, one after the other, are all bytes. */
static void check_fields(const uint8_t *bytes, size_t size)
{
        struct validate_field field = { .end = (const char *)bytes };
        const char *end = (const char *)bytes + size;

        while (validate_next_field(&field, end))
                if (field.end <= field.begin)
                        abort();
        if (field.end != end)
                abort();
}

/* Whether five bytes may be a tag of more than 32 bits. */
static bool may_have_wide_tag(const uint8_t *bytes, size_t size)
{
        for (size_t i = 0; i + 4 < size; i++)
                if ((bytes[i] & bytes[i + 1] & bytes[i + 2] & bytes[i + 3] & 0x80) &&
                    bytes[i + 4] > 0x0f && bytes[i + 4] < 0x80)
                        return true;
        return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const ProtobufCMessageDescriptor *type;
        enum google_verdict google;
        bool valid, unpacked;
        size_t length;

        if (size == 0)
                return 0;
        type = pick_type(*data++);
        size--;
        (void)validate_find_string(data, size, 1, &length);
        valid = validate_message(type, data, size, 0);
        unpacked = unpacks(type, data, size);
        google = google_parse(type->name, data, size);
        if (valid) {
                check_fields(data, size);
                if (!unpacked || google != GOOGLE_PARSES)
                        abort();
        } else if (unpacked && google == GOOGLE_PARSES && !may_have_wide_tag(data, size))
                abort();
        return 0;
}
