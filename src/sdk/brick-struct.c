/* SPDX-License-Identifier: MIT */

#include <string.h>

#include "brick-sdk.h"

const Value *brick_struct_get(const Struct *object, const char *key)
{
        for (size_t i = 0; object && i < object->n_fields; i++)
                if (strcmp(object->fields[i]->key, key) == 0)
                        return object->fields[i]->value;
        return NULL;
}

static const Value *get_kind(const Struct *object, const char *key,
                             Google__Protobuf__Value__KindCase kind)
{
        const Value *value = brick_struct_get(object, key);

        return value && value->kind_case == kind ? value : NULL;
}

const char *brick_struct_get_string(const Struct *object, const char *key)
{
        const Value *value = get_kind(object, key, GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE);

        return value ? value->string_value : NULL;
}

int brick_struct_get_number(const Struct *object, const char *key, double *ret)
{
        const Value *value = get_kind(object, key, GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE);

        if (value)
                *ret = value->number_value;
        return value != NULL;
}

int brick_struct_get_bool(const Struct *object, const char *key, int *ret)
{
        const Value *value = get_kind(object, key, GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE);

        if (value)
                *ret = value->bool_value;
        return value != NULL;
}

const Struct *brick_struct_get_struct(const Struct *object, const char *key)
{
        const Value *value = get_kind(object, key, GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE);

        return value ? value->struct_value : NULL;
}

const ListValue *brick_struct_get_list(const Struct *object, const char *key)
{
        const Value *value = get_kind(object, key, GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE);

        return value ? value->list_value : NULL;
}

/* ---- values ----------------------------------------------------------------------------- */

int brick_value_set_string(Value *value, const char *string)
{
        if (!value)
                return -ENOMEM;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        /* protobuf-c leaves out a text that is its own empty one, as of a field that is not set. */
        value->string_value = brick_const(string && !*string ? "" : string);
        return 0;
}

int brick_value_set_number(Value *value, double number)
{
        if (!value)
                return -ENOMEM;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        value->number_value = number;
        return 0;
}

int brick_value_set_bool(Value *value, int truth)
{
        if (!value)
                return -ENOMEM;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        value->bool_value = !!truth;
        return 0;
}

Struct *brick_value_set_struct(struct brick_call *call, Value *value)
{
        Struct *object = value ? BRICK_NEW(call, Struct) : NULL;

        if (object) {
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
                value->struct_value = object;
        }
        return object;
}

ListValue *brick_value_set_list(struct brick_call *call, Value *value)
{
        ListValue *list = value ? BRICK_NEW(call, ListValue) : NULL;

        if (list) {
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
                value->list_value = list;
        }
        return list;
}

/* ---- adding to a Struct ----------------------------------------------------------------- */

/* Makes a value null until it is set: some parsers refuse a value without a kind. */
static void set_null(Value *value)
{
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        value->null_value = GOOGLE__PROTOBUF__NULL_VALUE__NULL_VALUE;
}

Value *brick_struct_add(struct brick_call *call, Struct *object, const char *key)
{
        Value *value = BRICK_NEW(call, Value);
        Google__Protobuf__Struct__FieldsEntry *entry;

        if (!value)
                return NULL;
        set_null(value);
        entry = brick_add(call, object, fields);
        if (!entry)
                return NULL;
        entry->key = brick_const(key);
        entry->value = value;
        return value;
}

int brick_struct_add_string(struct brick_call *call, Struct *object, const char *key,
                            const char *string)
{
        return brick_value_set_string(brick_struct_add(call, object, key), string);
}

int brick_struct_add_number(struct brick_call *call, Struct *object, const char *key, double number)
{
        return brick_value_set_number(brick_struct_add(call, object, key), number);
}

int brick_struct_add_bool(struct brick_call *call, Struct *object, const char *key, int truth)
{
        return brick_value_set_bool(brick_struct_add(call, object, key), truth);
}

Struct *brick_struct_add_struct(struct brick_call *call, Struct *object, const char *key)
{
        return brick_value_set_struct(call, brick_struct_add(call, object, key));
}

ListValue *brick_struct_add_list(struct brick_call *call, Struct *object, const char *key)
{
        return brick_value_set_list(call, brick_struct_add(call, object, key));
}

/* ---- adding to a list ------------------------------------------------------------------- */

Value *brick_list_add(struct brick_call *call, ListValue *list)
{
        Value *value = brick_add(call, list, values);

        if (value)
                set_null(value);
        return value;
}

int brick_list_add_string(struct brick_call *call, ListValue *list, const char *string)
{
        return brick_value_set_string(brick_list_add(call, list), string);
}

int brick_list_add_number(struct brick_call *call, ListValue *list, double number)
{
        return brick_value_set_number(brick_list_add(call, list), number);
}

int brick_list_add_bool(struct brick_call *call, ListValue *list, int truth)
{
        return brick_value_set_bool(brick_list_add(call, list), truth);
}

Struct *brick_list_add_struct(struct brick_call *call, ListValue *list)
{
        return brick_value_set_struct(call, brick_list_add(call, list));
}

ListValue *brick_list_add_list(struct brick_call *call, ListValue *list)
{
        return brick_value_set_list(call, brick_list_add(call, list));
}
