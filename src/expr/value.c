/* SPDX-License-Identifier: MIT */
#include "expr/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "struct.pb-c.h"

static const ProtobufCMessageDescriptor *const value_type = &google__protobuf__value__descriptor;
static const ProtobufCMessageDescriptor *const list_type =
        &google__protobuf__list_value__descriptor;

struct expr_value expr_null(void)
{
        return (struct expr_value){ .kind = EXPR_NULL };
}

struct expr_value expr_bool(bool truth)
{
        return (struct expr_value){ .kind = EXPR_BOOL, .truth = truth };
}

struct expr_value expr_number(double number)
{
        return (struct expr_value){ .kind = EXPR_NUMBER, .number = number };
}

struct expr_value expr_text_n(const char *s, size_t length)
{
        return (struct expr_value){ .kind = EXPR_TEXT, .text = s, .n = length };
}

struct expr_value expr_text(const char *s)
{
        return s ? expr_text_n(s, strlen(s)) : expr_text_n("", 0);
}

struct expr_value expr_message(const void *message)
{
        return (struct expr_value){ .kind = EXPR_MESSAGE, .message = message };
}

bool expr_is_struct(const ProtobufCMessageDescriptor *type)
{
        return type == &google__protobuf__struct__descriptor;
}

bool expr_is_null(const struct expr_value *value)
{
        return value->kind == EXPR_NULL || (value->kind == EXPR_MESSAGE && !value->message);
}

static bool same_field(const ProtobufCFieldDescriptor *a, const ProtobufCFieldDescriptor *b)
{
        if (a->id != b->id || a->type != b->type || a->label != b->label ||
            strcmp(a->name, b->name) != 0)
                return false;
        return a->type != PROTOBUF_C_TYPE_MESSAGE || a->descriptor == b->descriptor;
}

bool expr_same_message(const ProtobufCMessageDescriptor *a, const ProtobufCMessageDescriptor *b)
{
        if (a == b)
                return true;
        if (!a || !b || a->n_fields != b->n_fields)
                return false;
        for (unsigned i = 0; i < a->n_fields; i++)
                if (!same_field(&a->fields[i], &b->fields[i]))
                        return false;
        return true;
}

static bool kind_fits(enum expr_kind kind, const ProtobufCMessageDescriptor *message,
                      enum expr_kind want, const ProtobufCMessageDescriptor *want_message)
{
        if (kind == EXPR_ANY || want == EXPR_ANY)
                return true;
        return kind == want && (kind != EXPR_MESSAGE || expr_same_message(message, want_message));
}

bool expr_type_fits(const struct expr_type *type, const struct expr_type *want)
{
        if (!kind_fits(type->kind, type->message, want->kind, want->message))
                return false;
        if (type->kind != EXPR_LIST || want->kind != EXPR_LIST)
                return true;
        return kind_fits(type->of, type->message, want->of, want->message);
}

bool expr_value_fits(const struct expr_value *value, const struct expr_type *type)
{
        if (value->kind != type->kind)
                return type->kind == EXPR_ANY;
        return value->kind != EXPR_MESSAGE || !value->message ||
               expr_same_message(value->message->descriptor, type->message);
}

struct expr_type expr_type_of_elements(const struct expr_type *list)
{
        if (list->kind != EXPR_LIST)
                return (struct expr_type){ .kind = EXPR_ANY };
        return (struct expr_type){ .kind = list->of, .message = list->message };
}

struct expr_value expr_default_of(const struct expr_type *type)
{
        switch (type->kind) {
        case EXPR_BOOL:
                return expr_bool(false);
        case EXPR_NUMBER:
                return expr_number(0);
        case EXPR_TEXT:
                return expr_text("");
        case EXPR_MESSAGE:
                return expr_message(NULL);
        case EXPR_LIST:
                return (struct expr_value){ .kind = EXPR_LIST, .values = true };
        default:
                return expr_null();
        }
}

static enum expr_kind kind_of_field(const ProtobufCFieldDescriptor *field)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_BOOL:
                return EXPR_BOOL;
        case PROTOBUF_C_TYPE_STRING:
                return EXPR_TEXT;
        case PROTOBUF_C_TYPE_MESSAGE:
                if (field->descriptor == value_type)
                        return EXPR_ANY;
                return field->descriptor == list_type ? EXPR_LIST : EXPR_MESSAGE;
        case PROTOBUF_C_TYPE_BYTES:
        case PROTOBUF_C_TYPE_ENUM:
                return EXPR_NULL;
        default:
                return EXPR_NUMBER;
        }
}

struct expr_type expr_type_of_field(const ProtobufCFieldDescriptor *field)
{
        struct expr_type type = { .kind = kind_of_field(field) };

        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
                return (struct expr_type){ .kind = EXPR_NULL };
        if (type.kind == EXPR_MESSAGE)
                type.message = field->descriptor;
        if (field->label == PROTOBUF_C_LABEL_REPEATED && type.kind != EXPR_NULL) {
                type.of = type.kind == EXPR_LIST ? EXPR_ANY : type.kind;
                type.kind = EXPR_LIST;
        }
        return type;
}

static struct expr_value value_of_list(const Google__Protobuf__ListValue *list)
{
        struct expr_value value = { .kind = EXPR_LIST, .stored = PROTOBUF_C_TYPE_MESSAGE };

        if (list) {
                value.n = list->n_values;
                value.elements = list->values;
        }
        return value;
}

static struct expr_value value_of_any(const Google__Protobuf__Value *any)
{
        if (!any)
                return expr_null();
        switch (any->kind_case) {
        case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
                return expr_bool(any->bool_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
                return expr_number(any->number_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
                return expr_text(any->string_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
                return expr_message(any->struct_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
                return value_of_list(any->list_value);
        default:
                return expr_null();
        }
}

static struct expr_value value_of_message(const ProtobufCMessage *message)
{
        if (message && message->descriptor == value_type)
                return value_of_any((const Google__Protobuf__Value *)message);
        if (message && message->descriptor == list_type)
                return value_of_list((const Google__Protobuf__ListValue *)message);
        return expr_message(message);
}

/* The decimal that the sender of a float meant: 0.9f is 0.9, and not 0.899999976. */
static double decimal(float f)
{
        double millionths = round((double)f * 1e6) / 1e6;
        char text[32];

        if (truncf(f) == f || !isfinite(f))
                return (double)f;
        if (fabsf(f) < 1 && (float)millionths == f)
                return millionths; /* as below, but fast: most are scores */
        for (int digits = 6; digits < 9; digits++) {
                (void)snprintf(text, sizeof text, "%.*g", digits, (double)f);
                if (strtof(text, NULL) == f)
                        return strtod(text, NULL);
        }
        return (double)f;
}

static struct expr_value value_stored(const void *at, ProtobufCType stored)
{
        switch (stored) {
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_SINT32:
        case PROTOBUF_C_TYPE_SFIXED32:
                return expr_number(*(const int32_t *)at);
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_FIXED32:
                return expr_number(*(const uint32_t *)at);
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
                return expr_number((double)*(const int64_t *)at);
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
                return expr_number((double)*(const uint64_t *)at);
        case PROTOBUF_C_TYPE_FLOAT:
                return expr_number(decimal(*(const float *)at));
        case PROTOBUF_C_TYPE_DOUBLE:
                return expr_number(*(const double *)at);
        case PROTOBUF_C_TYPE_BOOL:
                return expr_bool(*(const protobuf_c_boolean *)at);
        case PROTOBUF_C_TYPE_STRING:
                return expr_text(*(char *const *)at);
        case PROTOBUF_C_TYPE_MESSAGE:
                return value_of_message(*(ProtobufCMessage *const *)at);
        default:
                return expr_null();
        }
}

size_t expr_stored_size(ProtobufCType stored)
{
        switch (stored) {
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return 8;
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_MESSAGE:
                return sizeof(void *);
        default:
                return 4;
        }
}

struct expr_value expr_value_of_field(const ProtobufCMessage *message,
                                      const ProtobufCFieldDescriptor *field)
{
        struct expr_type type = expr_type_of_field(field);
        const char *base = (const char *)message;

        if (!message || type.kind == EXPR_NULL)
                return expr_default_of(&type);
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return (struct expr_value){
                        .kind = EXPR_LIST,
                        .stored = field->type,
                        .n = *(const size_t *)(const void *)(base + field->quantifier_offset),
                        .elements = *(void *const *)(const void *)(base + field->offset),
                };
        if (type.kind == EXPR_LIST && !*(void *const *)(const void *)(base + field->offset))
                return value_of_list(NULL);
        return value_stored(base + field->offset, field->type);
}

struct expr_value expr_element(const struct expr_value *list, size_t index)
{
        if (list->values)
                return ((const struct expr_value *)list->elements)[index];
        return value_stored((const char *)list->elements + index * expr_stored_size(list->stored),
                            list->stored);
}

size_t expr_struct_size(const ProtobufCMessage *object)
{
        const Google__Protobuf__Struct *map = (const Google__Protobuf__Struct *)object;

        return map ? map->n_fields : 0;
}

size_t expr_struct_find(const ProtobufCMessage *object, const char *key, size_t length)
{
        const Google__Protobuf__Struct *map = (const Google__Protobuf__Struct *)object;
        size_t n = expr_struct_size(object), i;

        for (i = 0; i < n; i++)
                if (strncmp(map->fields[i]->key, key, length) == 0 &&
                    map->fields[i]->key[length] == '\0')
                        break;
        return i;
}

const char *expr_struct_key(const ProtobufCMessage *object, size_t index)
{
        return ((const Google__Protobuf__Struct *)object)->fields[index]->key;
}

struct expr_value expr_struct_at(const ProtobufCMessage *object, size_t index)
{
        const Google__Protobuf__Struct *map = (const Google__Protobuf__Struct *)object;

        return index < expr_struct_size(object) ? value_of_any(map->fields[index]->value)
                                                : expr_null();
}

const char *expr_kind_name(enum expr_kind kind)
{
        switch (kind) {
        case EXPR_NULL:
                return "null";
        case EXPR_BOOL:
                return "true or false";
        case EXPR_NUMBER:
                return "a number";
        case EXPR_TEXT:
                return "a text";
        case EXPR_MESSAGE:
                return "a message";
        case EXPR_LIST:
                return "a list";
        default:
                return "any value";
        }
}

struct expr_type_name expr_type_name(const struct expr_type *type)
{
        static const char *const lists[] = {
                [EXPR_ANY] = "a list",
                [EXPR_NULL] = "a list",
                [EXPR_BOOL] = "a list of true and false",
                [EXPR_NUMBER] = "a list of numbers",
                [EXPR_TEXT] = "a list of texts",
                [EXPR_LIST] = "a list of lists",
        };
        struct expr_type_name name;
        const char *message = type->message ? type->message->short_name : "message";

        if (type->kind == EXPR_MESSAGE)
                (void)snprintf(name.text, sizeof name.text, "%s %s",
                               strchr("AEIO", message[0]) ? "an" : "a", message);
        else if (type->kind == EXPR_LIST && type->of == EXPR_MESSAGE)
                (void)snprintf(name.text, sizeof name.text, "a list of %ss", message);
        else
                (void)snprintf(name.text, sizeof name.text, "%s",
                               type->kind == EXPR_LIST ? lists[type->of]
                                                       : expr_kind_name(type->kind));
        return name;
}

struct expr_number_text expr_number_text(double number)
{
        struct expr_number_text ret;

        if (trunc(number) == number && fabs(number) < 1e15) {
                (void)snprintf(ret.text, sizeof ret.text, "%" PRId64, (int64_t)number);
                return ret;
        }
        for (int digits = 15; digits <= 17; digits++) {
                (void)snprintf(ret.text, sizeof ret.text, "%.*g", digits, number);
                if (strtod(ret.text, NULL) == number)
                        break;
        }
        return ret;
}
