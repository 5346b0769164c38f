/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "serve/fault.h"
#include "serve/validate.h"
#include "util/utf8.h"

#define WIRE_TYPE_MASK 7
#define WIRE_TYPE_BYTES 2

/* The content of a well-formed field; NULL: its wire type is not bytes. */
static const char *content_of(const struct validate_field *field)
{
        const char *p = field->begin;

        if ((*p & WIRE_TYPE_MASK) != WIRE_TYPE_BYTES)
                return NULL;
        for (int varints = 0; varints < 2; p++) /* the tag and the length */
                varints += !(*p & 0x80);
        return p;
}

/* VALIDATE_DEPTH_MAX bounds the recursion. */
static bool has_bad_string(const ProtobufCMessageDescriptor *type, const char *begin,
                           const char *end, unsigned depth)
{
        struct validate_field field = { .end = begin };

        while (validate_next_field(&field, end)) {
                const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(
                        type, field.number);
                const char *content = content_of(&field);

                if (!known || !content)
                        continue;
                if (known->type == PROTOBUF_C_TYPE_STRING &&
                    !utf8_valid(content, (size_t)(field.end - content)))
                        return true;
                if (known->type == PROTOBUF_C_TYPE_MESSAGE && depth < VALIDATE_DEPTH_MAX &&
                    has_bad_string(known->descriptor, content, field.end, depth + 1))
                        return true;
        }
        return false;
}

int fault_of_reply(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length)
{
        const char *begin = bytes;

        if (validate_message(type, bytes, length, 0))
                return -EPROTO;
        return has_bad_string(type, begin, begin + length, 0) ? -EILSEQ : -EBADMSG;
}
