/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "struct.pb-c.h"

#include "http/message-json.h"
#include "serve/wire.h"
#include "util/arena.h"

/* One field of a message that is known to be valid. */
struct wire_field {
        uint32_t number;
        unsigned wire_type;
        uint64_t value;             /* of a number */
        struct brick_bytes content; /* of WIRE_PUT_BYTES */
};

/* Numbers of fields. */
enum {
        STRUCT_FIELDS = 1,
        ENTRY_KEY = 1,
        ENTRY_VALUE = 2,
        VALUE_NUMBER = 2,
        VALUE_STRING = 3,
        VALUE_BOOL = 4,
        VALUE_STRUCT = 5,
        VALUE_LIST = 6,
};

/* --- wire format --------------------------------------------------------------------------------
 */

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

/* Takes the next field off the front. False: there is none. */
static bool next_field(struct brick_bytes *rest, struct wire_field *ret)
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

/* A message that is written in several parts is all of them, one behind the other. */
static void join(struct json_text *text, struct brick_bytes *message, struct brick_bytes more)
{
        char *joined;

        if (message->len == 0) {
                *message = more;
                return;
        }
        joined = arena_alloc(text->arena, message->len + more.len, 1);
        if (!joined) {
                text->failed = true;
                return;
        }
        memcpy(joined, message->ptr, message->len);
        if (more.len > 0)
                memcpy(joined + message->len, more.ptr, more.len);
        *message = (struct brick_bytes){ joined, message->len + more.len };
}

/* --- values -------------------------------------------------------------------------------------
 */

static void put_special(struct json_text *text, double number)
{
        json_puts(text, isnan(number) ? "\"NaN\"" : number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void put_double(struct json_text *text, uint64_t bits)
{
        double number;

        memcpy(&number, &bits, sizeof number);
        if (isfinite(number))
                json_put_double(text, number);
        else
                put_special(text, number);
}

/* The shortest decimal that reads back as the same float: 0.7, not 0.699999988079071. */
static void put_float(struct json_text *text, uint32_t bits)
{
        char digits[32];
        float number;

        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number)) {
                put_special(text, (double)number);
                return;
        }
        for (int precision = 6; precision <= FLT_DECIMAL_DIG; precision++) {
                (void)snprintf(digits, sizeof digits, "%.*g", precision, (double)number);
                if (strtof(digits, NULL) == number)
                        break;
        }
        json_puts(text, digits);
}

static void put_bytes_string(struct json_text *text, struct brick_bytes string)
{
        json_put_string(text, string.len > 0 ? string.ptr : "", string.len);
}

static void put_value(struct json_text *text, struct brick_bytes value);

static void put_entry(struct json_text *text, struct brick_bytes entry)
{
        struct brick_bytes key = {}, value = {};
        struct wire_field field;

        while (next_field(&entry, &field))
                if (field.number == ENTRY_KEY)
                        key = field.content;
                else if (field.number == ENTRY_VALUE)
                        join(text, &value, field.content);
        put_bytes_string(text, key);
        json_puts(text, ":");
        put_value(text, value);
}

/* The entries of a Struct, or the values of a ListValue: both are field 1. */
static void put_items(struct json_text *text, struct brick_bytes items, const char *brackets,
                      void (*put)(struct json_text *text, struct brick_bytes item))
{
        struct wire_field field;
        bool first = true;

        json_put(text, brackets, 1);
        while (!text->failed && next_field(&items, &field)) {
                if (field.number != STRUCT_FIELDS)
                        continue;
                if (!first)
                        json_puts(text, ",");
                first = false;
                put(text, field.content);
        }
        json_put(text, brackets + 1, 1);
}

static void put_struct(struct json_text *text, struct brick_bytes message)
{
        put_items(text, message, "{}", put_entry);
}

/* Of the kinds of a Value, the last one counts. */
static void put_value(struct json_text *text, struct brick_bytes value)
{
        struct wire_field field, kind = {};

        while (next_field(&value, &field)) {
                if (field.number > VALUE_LIST)
                        continue;
                if (field.number == kind.number && field.number >= VALUE_STRUCT)
                        join(text, &kind.content, field.content);
                else
                        kind = field;
        }
        switch (kind.number) {
        case VALUE_NUMBER:
                put_double(text, kind.value);
                break;
        case VALUE_STRING:
                put_bytes_string(text, kind.content);
                break;
        case VALUE_BOOL:
                json_puts(text, kind.value ? "true" : "false");
                break;
        case VALUE_STRUCT:
                put_struct(text, kind.content);
                break;
        case VALUE_LIST:
                put_items(text, kind.content, "[]", put_value);
                break;
        default: /* null, or a Value without a kind */
                json_puts(text, "null");
        }
}

/* --- messages -----------------------------------------------------------------------------------
 */

static void put_one(struct json_text *text, const ProtobufCFieldDescriptor *type,
                    const struct wire_field *field)
{
        switch (type->type) {
        case PROTOBUF_C_TYPE_STRING:
                put_bytes_string(text, field->content);
                break;
        case PROTOBUF_C_TYPE_BOOL:
                json_puts(text, field->value ? "true" : "false");
                break;
        case PROTOBUF_C_TYPE_INT32:
                json_put_integer(text, (int32_t)(uint32_t)field->value);
                break;
        case PROTOBUF_C_TYPE_FLOAT:
                put_float(text, (uint32_t)field->value);
                break;
        default:
                if (type->descriptor == &google__protobuf__struct__descriptor)
                        put_struct(text, field->content);
                else
                        message_json_write(text, type->descriptor, field->content, 0);
        }
}

static void put_repeated(struct json_text *text, const ProtobufCFieldDescriptor *type,
                         struct brick_bytes message)
{
        struct wire_field field;
        bool first = true;

        json_puts(text, "[");
        while (!text->failed && next_field(&message, &field)) {
                if (field.number != type->id)
                        continue;
                if (!first)
                        json_puts(text, ",");
                first = false;
                put_one(text, type, &field);
        }
        json_puts(text, "]");
}

/* The field as the message has it. False: it has not. */
static bool find_singular(struct json_text *text, const ProtobufCFieldDescriptor *type,
                          struct brick_bytes message, struct wire_field *ret)
{
        struct wire_field field;
        bool found = false;

        *ret = (struct wire_field){ .number = type->id };
        while (next_field(&message, &field)) {
                if (field.number != type->id)
                        continue;
                if (type->type == PROTOBUF_C_TYPE_MESSAGE)
                        join(text, &ret->content, field.content);
                else
                        *ret = field;
                found = true;
        }
        return found;
}

void message_json_write(struct json_text *text, const ProtobufCMessageDescriptor *type,
                        struct brick_bytes message, uint32_t omitted)
{
        const char *glue = "";

        json_puts(text, "{");
        for (unsigned i = 0; i < type->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &type->fields[i];
                bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
                struct wire_field found;

                /* A missing message differs from an empty one. */
                if (field->id == omitted ||
                    (!repeated && !find_singular(text, field, message, &found) &&
                     field->type == PROTOBUF_C_TYPE_MESSAGE))
                        continue;
                json_puts(text, glue);
                glue = ",";
                json_puts_string(text, field->name);
                json_puts(text, ":");
                if (repeated)
                        put_repeated(text, field, message);
                else
                        put_one(text, field, &found);
        }
        json_puts(text, "}");
}
