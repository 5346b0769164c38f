/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "struct.pb-c.h"

#include "http/message-json.h"
#include "serve/wire-read.h"
#include "util/arena.h"

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

void message_json_put_float(struct json_text *text, float number)
{
        char digits[32];

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

        while (wire_next_field(&entry, &field))
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
        while (!text->failed && wire_next_field(&items, &field)) {
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

        while (wire_next_field(&value, &field)) {
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
                message_json_put_float(text, wire_float(field));
                break;
        default:
                message_json_write(text, type->descriptor, field->content, 0);
        }
}

static void put_repeated(struct json_text *text, const ProtobufCFieldDescriptor *type,
                         struct brick_bytes message)
{
        struct wire_field field;
        bool first = true;

        json_puts(text, "[");
        while (!text->failed && wire_next_field(&message, &field)) {
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
        while (wire_next_field(&message, &field)) {
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

        if (type == &google__protobuf__struct__descriptor) {
                put_struct(text, message);
                return;
        }
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
