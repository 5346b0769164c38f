/* SPDX-License-Identifier: MIT */
#include "http/explain.h"

#include "struct.pb-c.h"

#include "http/exchange.h"
#include "http/message-json.h"
#include "serve/validate.h"
#include "shared/state.h"

/* The time does not tell how much of the key is right. */
bool explain_has_key(const struct http_head *head, const char *key)
{
        struct http_text value = http_head_field(head, EXPLAIN_FIELD);
        unsigned wrong = 0;

        if (!value.ptr || value.length != EXPLAIN_KEY_LENGTH)
                return false;
        for (size_t i = 0; i < EXPLAIN_KEY_LENGTH; i++)
                wrong |= (unsigned char)value.ptr[i] ^ (unsigned char)key[i];
        return wrong == 0;
}

void explain_put_steps(struct exchange *x, struct json_text *text)
{
        static const ProtobufCMessageDescriptor *const type = &google__protobuf__struct__descriptor;
        const char *glue = "";
        struct brick_str step;

        json_puts(text, "[");
        for (size_t i = 0; (step = exchange_trailer_at(x, EXPLAIN_TRAILER, i)).ptr; i++) {
                if (!validate_message(type, step.ptr, step.len, 0))
                        continue;
                json_puts(text, glue);
                message_json_write(text, type, (struct brick_bytes){ step.ptr, step.len }, 0);
                glue = ",";
        }
        json_puts(text, "]");
}
