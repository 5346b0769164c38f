/* SPDX-License-Identifier: MIT */

#include <string.h>

#include "brick-sdk.h"

#define TEXT_MAX 160 /* bytes: a call has room for 8 KiB of trailers */

int brick_is_explained(struct brick_call *call)
{
        return brick_host->call_metadata(call, "x-brick-explain").ptr != NULL;
}

static int add_text(struct brick_call *call, Struct *object, const char *key, const char *text)
{
        size_t n = text ? strlen(text) : 0;
        char *cut;

        if (n == 0)
                return 0;
        if (n <= TEXT_MAX)
                return brick_struct_add_string(call, object, key, text);
        for (n = TEXT_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
                ;
        cut = brick_printf(call, "%.*s…", (int)n, text);
        return cut ? brick_struct_add_string(call, object, key, cut) : -ENOMEM;
}

static int fill(struct brick_call *call, Struct *object, const struct brick_step *step)
{
        int r = add_text(call, object, "step", step->name);

        if (r == 0)
                r = brick_struct_add_number(call, object, "start_us", 0);
        if (r == 0)
                r = brick_struct_add_number(call, object, "took_us", (double)step->took / 1000);
        if (r == 0)
                r = add_text(call, object, "verdict", step->verdict);
        if (r == 0)
                r = add_text(call, object, "input", step->input);
        return r == 0 ? add_text(call, object, "output", step->output) : r;
}

void brick_explain(struct brick_call *call, const struct brick_step *step)
{
        Struct *object = BRICK_NEW(call, Struct);
        uint8_t *packed;
        size_t size;

        if (!object || fill(call, object, step) < 0)
                return;
        size = protobuf_c_message_get_packed_size(&object->base);
        packed = brick_alloc(call, size);
        if (!packed)
                return;
        (void)protobuf_c_message_pack(&object->base, packed);
        (void)brick_host->call_trailer(call, brick_str("x-brick-step-bin"),
                                       (struct brick_str){ (const char *)packed, size });
}
