/* SPDX-License-Identifier: MIT */
#include "rpc/validate.h"
#include "util/utf8.h"

enum wire_type {
        WIRE_VARINT = 0,
        WIRE_64 = 1,
        WIRE_BYTES = 2,
        WIRE_32 = 5,
};

/* Parsers take a tag of up to five bytes, even if the rest of a longer one is zeros. */
#define TAG_SIZE_MAX 5

struct reader {
        const uint8_t *p;
        const uint8_t *end;
};

static bool read_varint(struct reader *r, uint64_t *ret)
{
        uint64_t value = 0;

        for (unsigned shift = 0; shift < 70 && r->p < r->end; shift += 7) {
                uint8_t byte = *r->p++;

                value |= (uint64_t)(byte & 0x7f) << shift;
                if (!(byte & 0x80)) {
                        *ret = value;
                        return true;
                }
        }
        return false;
}

/* One field: its number, its wire type, and of WIRE_BYTES the content. */
static bool read_field(struct reader *r, uint32_t *ret_number, enum wire_type *ret_wire,
                       struct reader *ret_content)
{
        const uint8_t *start = r->p;
        uint64_t tag, n = 0;

        if (!read_varint(r, &tag) || tag > UINT32_MAX || tag >> 3 == 0 ||
            r->p - start > TAG_SIZE_MAX)
                return false;
        *ret_number = (uint32_t)(tag >> 3);
        *ret_wire = (enum wire_type)(tag & 7);
        switch (*ret_wire) {
        case WIRE_VARINT:
                return read_varint(r, &n);
        case WIRE_64:
                n = 8;
                break;
        case WIRE_32:
                n = 4;
                break;
        case WIRE_BYTES:
                if (!read_varint(r, &n))
                        return false;
                break;
        default:
                return false;
        }
        if (n > (uint64_t)(r->end - r->p))
                return false;
        *ret_content = (struct reader){ r->p, r->p + n };
        r->p += n;
        return true;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  uint32_t number)
{
        for (unsigned i = 0; i < type->n_fields; i++)
                if (type->fields[i].id == number)
                        return &type->fields[i];
        return NULL;
}

static enum wire_type wire_of(ProtobufCType type)
{
        switch (type) {
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return WIRE_64;
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_FLOAT:
                return WIRE_32;
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
        case PROTOBUF_C_TYPE_MESSAGE:
                return WIRE_BYTES;
        default:
                return WIRE_VARINT;
        }
}

/* Recursion is bounded by depth. */
static bool validate(const ProtobufCMessageDescriptor *type, struct reader r, uint32_t forbidden,
                     unsigned depth)
{
        while (r.p < r.end) {
                const ProtobufCFieldDescriptor *field;
                struct reader content;
                enum wire_type wire;
                uint32_t number;

                if (!read_field(&r, &number, &wire, &content) || number == forbidden)
                        return false;
                field = find_field(type, number);
                if (!field)
                        continue;
                if (wire != wire_of(field->type))
                        return false;
                if (field->type == PROTOBUF_C_TYPE_STRING &&
                    !utf8_valid((const char *)content.p, (size_t)(content.end - content.p)))
                        return false;
                if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
                    (depth == VALIDATE_DEPTH_MAX ||
                     !validate(field->descriptor, content, 0, depth + 1)))
                        return false;
        }
        return true;
}

bool validate_message(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length,
                      uint32_t forbidden)
{
        const uint8_t *p = bytes;

        return length == 0 || validate(type, (struct reader){ p, p + length }, forbidden, 1);
}

void validate_find_strings(const void *bytes, size_t length, const uint32_t *fields, size_t n,
                           struct brick_str *ret)
{
        struct reader r = { bytes, (const uint8_t *)bytes + length }, content;
        enum wire_type wire;
        uint32_t number;

        while (length > 0 && r.p < r.end && read_field(&r, &number, &wire, &content))
                for (size_t i = 0; i < n; i++)
                        if (number == fields[i] && wire == WIRE_BYTES)
                                ret[i] = (struct brick_str){ (const char *)content.p,
                                                             (size_t)(content.end - content.p) };
}

const char *validate_find_string(const void *bytes, size_t length, uint32_t field,
                                 size_t *ret_length)
{
        struct brick_str found = {};

        validate_find_strings(bytes, length, &field, 1, &found);
        *ret_length = found.len;
        return found.ptr;
}

bool validate_next_field(struct validate_field *field, const char *end)
{
        struct reader r = { (const uint8_t *)field->end, (const uint8_t *)end }, content;
        enum wire_type wire;

        field->begin = field->end;
        if (field->begin == end || !read_field(&r, &field->number, &wire, &content))
                return false;
        field->end = (const char *)r.p;
        return true;
}
