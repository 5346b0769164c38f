/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "rpc/merge.h"
#include "serve/validate.h"
#include "serve/wire.h"

#define TEXT_FIELD 1

static struct brick_str text_of(const struct brick_bytes *piece)
{
        struct brick_str text;

        text.ptr = validate_find_string(piece->ptr, piece->len, TEXT_FIELD, &text.len);
        return text;
}

static char *put(char *to, const void *bytes, size_t length)
{
        if (length > 0)
                memcpy(to, bytes, length);
        return to + length;
}

static char *put_all_but_text(char *to, const struct brick_bytes *piece)
{
        struct validate_field field = { .end = piece->ptr };

        while (validate_next_field(&field, (const char *)piece->ptr + piece->len))
                if (field.number != TEXT_FIELD)
                        to = put(to, field.begin, (size_t)(field.end - field.begin));
        return to;
}

size_t merge_replies(char *to, const struct brick_bytes *pieces, size_t n)
{
        char *begin = to;
        size_t length = 0;

        for (size_t i = 0; i < n; i++)
                length += text_of(&pieces[i]).len;
        if (length > 0)
                to = wire_put_head(to, TEXT_FIELD, length);
        for (size_t i = 0; i < n; i++) {
                struct brick_str text = text_of(&pieces[i]);

                to = put(to, text.ptr, text.len);
        }
        for (size_t i = 0; i < n; i++)
                to = put_all_but_text(to, &pieces[i]);
        return (size_t)(to - begin);
}
