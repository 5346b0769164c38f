/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <errno.h>
#include <stdint.h>

#define FIELD_TEXT 1

enum { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };

static int take_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
        uint64_t value = 0;

        for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
                uint8_t byte = *(*p)++;

                value |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80) {
                        *ret = value;
                        return 0;
                }
        }
        return -EBADMSG;
}

/* Reads the length of a field's value. */
static int take_size(const uint8_t **p, const uint8_t *end, unsigned wire, uint64_t *ret)
{
        uint64_t ignored;

        switch (wire) {
        case WIRE_VARINT:
                *ret = 0;
                return take_varint(p, end, &ignored);
        case WIRE_64:
                *ret = 8;
                return 0;
        case WIRE_BYTES:
                return take_varint(p, end, ret);
        case WIRE_32:
                *ret = 4;
                return 0;
        default:
                return -EBADMSG;
        }
}

int request_text(const void *request, size_t size, const char **ret, size_t *ret_length)
{
        const uint8_t *p = request, *end = size > 0 ? p + size : p;
        const char *text = "";
        size_t length = 0;

        while (p < end) {
                uint64_t tag, n;
                int r;

                r = take_varint(&p, end, &tag);
                if (r == 0)
                        r = take_size(&p, end, tag & 7, &n);
                if (r < 0 || n > (size_t)(end - p))
                        return -EBADMSG;
                if (tag == (FIELD_TEXT << 3 | WIRE_BYTES)) {
                        text = (const char *)p;
                        length = n;
                }
                p += n;
        }
        *ret = text;
        *ret_length = length;
        return 0;
}
