/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <string.h>

#include "expr/value.h"

static int set(struct brick_call *call, const struct expr_value *value, unsigned depth, Value *ret);

static int set_text(struct brick_call *call, const struct expr_value *value, Value *ret)
{
        char *copy = brick_strndup(call, value->text, value->n);

        return copy ? brick_value_set_string(ret, copy) : -ENOMEM;
}

static int set_list(struct brick_call *call, const struct expr_value *value, unsigned depth,
                    Value *ret)
{
        ListValue *list = brick_value_set_list(call, ret);
        Value **items = list ? brick_add_n(call, list, values, value->n) : NULL;
        int r = items || value->n == 0 ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < value->n; i++) {
                struct expr_value item = expr_element(value, i);

                r = set(call, &item, depth, items[i]);
        }
        return r;
}

static int add_member(struct brick_call *call, Struct *object, const char *key,
                      const struct expr_value *value, unsigned depth)
{
        Value *member = brick_struct_add(call, object, key);

        return member ? set(call, value, depth, member) : -ENOMEM;
}

static int add_fields(struct brick_call *call, const ProtobufCMessage *message, unsigned depth,
                      Struct *object)
{
        int r = 0;

        for (unsigned i = 0; r == 0 && i < message->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
                struct expr_value value = expr_value_of_field(message, field);

                r = add_member(call, object, field->name, &value, depth);
        }
        return r;
}

static int add_keys(struct brick_call *call, const ProtobufCMessage *message, unsigned depth,
                    Struct *object)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < expr_struct_size(message); i++) {
                struct expr_value value = expr_struct_at(message, i);

                r = add_member(call, object, expr_struct_key(message, i), &value, depth);
        }
        return r;
}

static int set_message(struct brick_call *call, const ProtobufCMessage *message, unsigned depth,
                       Value *ret)
{
        Struct *object = brick_value_set_struct(call, ret);

        if (!object)
                return -ENOMEM;
        return expr_is_struct(message->descriptor) ? add_keys(call, message, depth, object)
                                                   : add_fields(call, message, depth, object);
}

static int set(struct brick_call *call, const struct expr_value *value, unsigned depth, Value *ret)
{
        if (expr_is_null(value)) {
                ret->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
                return 0;
        }
        switch (value->kind) {
        case EXPR_BOOL:
                return brick_value_set_bool(ret, value->truth);
        case EXPR_NUMBER:
                return brick_value_set_number(ret, value->number);
        case EXPR_TEXT:
                return set_text(call, value, ret);
        default:
                if (depth == 0)
                        return -E2BIG;
                return value->kind == EXPR_LIST ? set_list(call, value, depth - 1, ret)
                                                : set_message(call, value->message, depth - 1, ret);
        }
}

int json_set(struct brick_call *call, const struct expr_value *value, Value *ret)
{
        return set(call, value, JSON_DEPTH_MAX, ret);
}
