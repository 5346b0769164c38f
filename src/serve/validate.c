/* SPDX-License-Identifier: MIT */
#include "serve/validate.h"
#include "util/utf8.h"

enum wire_type {
        WIRE_VARINT = 0,
        WIRE_64 = 1,
        WIRE_BYTES = 2,
        WIRE_32 = 5,
};

/* The longest encodings that both parsers accept, in bytes. Longer ones are refused even if they
 * only add zeros. */
#define TAG_SIZE_MAX 5
#define LENGTH_SIZE_MAX 5
#define VARINT_SIZE_MAX 10

struct reader {
        const uint8_t *p;
        const uint8_t *end;
};

struct field {
        uint32_t number;
        enum wire_type wire;
        struct reader content; /* of WIRE_BYTES; not meaningful for others */
};

/* A varint of at most size_max bytes. */
static bool read_long_varint(struct reader *r, unsigned size_max, uint64_t *ret)
{
        uint64_t value = 0;

        for (unsigned i = 0; i < size_max && r->p < r->end; i++) {
                uint8_t byte = *r->p++;

                value |= (uint64_t)(byte & 0x7f) << (7 * i);
                if (!(byte & 0x80)) {
                        *ret = value;
                        return true;
                }
        }
        return false;
}

/* Most varints have one byte. */
static inline bool read_varint(struct reader *r, unsigned size_max, uint64_t *ret)
{
        if (r->p < r->end && *r->p < 0x80) {
                *ret = *r->p++;
                return true;
        }
        return read_long_varint(r, size_max, ret);
}

static bool read_length(struct reader *r, enum wire_type wire, uint64_t *ret)
{
        switch (wire) {
        case WIRE_64:
                *ret = 8;
                return true;
        case WIRE_32:
                *ret = 4;
                return true;
        case WIRE_BYTES:
                return read_varint(r, LENGTH_SIZE_MAX, ret) && *ret <= INT32_MAX;
        default:
                return false;
        }
}

static inline bool read_field(struct reader *r, struct field *ret)
{
        uint64_t tag, n;

        if (!read_varint(r, TAG_SIZE_MAX, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
                return false;
        ret->number = (uint32_t)(tag >> 3);
        ret->wire = (enum wire_type)(tag & 7);
        if (ret->wire == WIRE_VARINT)
                return read_varint(r, VARINT_SIZE_MAX, &n);
        if (!read_length(r, ret->wire, &n) || n > (uint64_t)(r->end - r->p))
                return false;
        ret->content = (struct reader){ r->p, r->p + n };
        r->p += n;
        return true;
}

/* NULL: the type has no such field. Descriptors are sorted by number, and most types number their
 * fields 1, 2, 3 and so on. */
static inline const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                         uint32_t number)
{
        if (number <= type->n_fields && type->fields[number - 1].id == number)
                return &type->fields[number - 1];
        for (unsigned i = 0; i < type->n_fields; i++)
                if (type->fields[i].id == number)
                        return &type->fields[i];
        return NULL;
}

/* The wire type of each field type; WIRE_VARINT if it is not listed. */
static const uint8_t wire_types[] = {
        [PROTOBUF_C_TYPE_SFIXED32] = WIRE_32,   [PROTOBUF_C_TYPE_FIXED32] = WIRE_32,
        [PROTOBUF_C_TYPE_FLOAT] = WIRE_32,      [PROTOBUF_C_TYPE_SFIXED64] = WIRE_64,
        [PROTOBUF_C_TYPE_FIXED64] = WIRE_64,    [PROTOBUF_C_TYPE_DOUBLE] = WIRE_64,
        [PROTOBUF_C_TYPE_STRING] = WIRE_BYTES,  [PROTOBUF_C_TYPE_BYTES] = WIRE_BYTES,
        [PROTOBUF_C_TYPE_MESSAGE] = WIRE_BYTES,
};

static bool validate_fields(const ProtobufCMessageDescriptor *type, struct reader r,
                            uint32_t forbidden, unsigned depth);

static inline bool validate_field(const ProtobufCFieldDescriptor *type, const struct field *field,
                                  unsigned depth)
{
        const struct reader *content = &field->content;

        if (field->wire != wire_types[type->type])
                return false;
        if (type->type == PROTOBUF_C_TYPE_STRING)
                return utf8_valid((const char *)content->p, (size_t)(content->end - content->p));
        if (type->type == PROTOBUF_C_TYPE_MESSAGE)
                return depth < VALIDATE_DEPTH_MAX &&
                       (content->p == content->end ||
                        validate_fields(type->descriptor, *content, 0, depth + 1));
        return true;
}

/* The recursion is bounded: depth is at most VALIDATE_DEPTH_MAX. */
static bool validate_fields(const ProtobufCMessageDescriptor *type, struct reader r,
                            uint32_t forbidden, unsigned depth)
{
        const ProtobufCFieldDescriptor *known;
        struct field field;

        while (r.p < r.end) {
                if (!read_field(&r, &field) || field.number == forbidden)
                        return false;
                known = find_field(type, field.number);
                if (known && !validate_field(known, &field, depth))
                        return false;
        }
        return true;
}

bool validate_message(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length,
                      uint32_t forbidden)
{
        const uint8_t *p = bytes;

        return length == 0 || validate_fields(type, (struct reader){ p, p + length }, forbidden, 0);
}

void validate_find_strings(const void *bytes, size_t length, const uint32_t *fields, size_t n,
                           struct brick_str *ret)
{
        struct reader r = { bytes, (const uint8_t *)bytes + length };
        struct field field = { 0 };

        while (length > 0 && r.p < r.end && read_field(&r, &field))
                for (size_t i = 0; i < n; i++)
                        if (field.number == fields[i] && field.wire == WIRE_BYTES)
                                ret[i] = (struct brick_str){
                                        (const char *)field.content.p,
                                        (size_t)(field.content.end - field.content.p),
                                };
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
        struct reader r = { (const uint8_t *)field->end, (const uint8_t *)end };
        struct field found;

        field->begin = field->end;
        if (field->begin == end || !read_field(&r, &found))
                return false;
        field->number = found.number;
        field->end = (const char *)r.p;
        return true;
}
