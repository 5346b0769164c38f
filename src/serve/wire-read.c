/* SPDX-License-Identifier: MIT */
#include "serve/wire-read.h"

#include <string.h>

#include "serve/wire.h"

static const uint8_t *read_varint(const uint8_t *p, uint64_t *ret)
{
        *ret = 0;
        for (unsigned shift = 0;; shift += 7) {
                *ret |= (uint64_t)(*p & 0x7f) << shift;
                if (!(*p++ & 0x80))
                        return p;
        }
}

static const uint8_t *read_fixed(const uint8_t *p, size_t size, uint64_t *ret)
{
        *ret = 0;
        for (size_t i = 0; i < size; i++)
                *ret |= (uint64_t)p[i] << 8 * i;
        return p + size;
}

bool wire_next_field(struct brick_bytes *rest, struct wire_field *ret)
{
        const uint8_t *p = rest->ptr;
        uint64_t tag;

        if (rest->len == 0)
                return false;
        p = read_varint(p, &tag);
        ret->number = (uint32_t)(tag >> 3);
        ret->wire_type = tag & 7;
        switch (ret->wire_type) {
        case WIRE_PUT_VARINT:
                p = read_varint(p, &ret->value);
                break;
        case WIRE_PUT_64:
                p = read_fixed(p, 8, &ret->value);
                break;
        case WIRE_PUT_32:
                p = read_fixed(p, 4, &ret->value);
                break;
        default:
                p = read_varint(p, &ret->value);
                ret->content = (struct brick_bytes){ p, ret->value };
                p += ret->value;
        }
        rest->len -= (size_t)(p - (const uint8_t *)rest->ptr);
        rest->ptr = p;
        return true;
}

float wire_float(const struct wire_field *field)
{
        uint32_t bits = (uint32_t)field->value;
        float number;

        memcpy(&number, &bits, sizeof number);
        return number;
}
