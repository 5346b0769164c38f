/* SPDX-License-Identifier: MIT */
#pragma once

/* Writes protobuf's wire format. Each function returns where the next byte goes. */

#include <stddef.h>
#include <stdint.h>

enum { WIRE_PUT_VARINT = 0, WIRE_PUT_64 = 1, WIRE_PUT_BYTES = 2, WIRE_PUT_32 = 5 };

static inline uint64_t wire_tag(uint32_t field, unsigned wire_type)
{
        return (uint64_t)field << 3 | wire_type;
}

static inline char *wire_put_varint(char *p, uint64_t value)
{
        for (; value > 0x7f; value >>= 7)
                *p++ = (char)((value & 0x7f) | 0x80);
        *p++ = (char)value;
        return p;
}

/* The tag and the length of a string, bytes or a message. */
static inline char *wire_put_head(char *p, uint32_t field, size_t length)
{
        p = wire_put_varint(p, wire_tag(field, WIRE_PUT_BYTES));
        return wire_put_varint(p, length);
}
