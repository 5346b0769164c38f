/* SPDX-License-Identifier: MIT */

/* Sets fields of messages to values. */

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "expr/node.h"
#include "expr/value.h"

struct store {
        void *(*alloc)(void *user, size_t size);
        void *user;
};

static bool in_range(double number, double min, double max)
{
        return number >= min && number <= max && trunc(number) == number;
}

static int store_number(void *at, ProtobufCType type, double n)
{
        switch (type) {
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_SINT32:
        case PROTOBUF_C_TYPE_SFIXED32:
                if (!in_range(n, INT32_MIN, INT32_MAX))
                        return -ERANGE;
                *(int32_t *)at = (int32_t)n;
                return 0;
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_FIXED32:
                if (!in_range(n, 0, UINT32_MAX))
                        return -ERANGE;
                *(uint32_t *)at = (uint32_t)n;
                return 0;
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
                if (!in_range(n, -0x1p63, 0x1.fffffffffffffp62))
                        return -ERANGE;
                *(int64_t *)at = (int64_t)n;
                return 0;
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
                if (!in_range(n, 0, 0x1.fffffffffffffp63))
                        return -ERANGE;
                *(uint64_t *)at = (uint64_t)n;
                return 0;
        case PROTOBUF_C_TYPE_FLOAT:
                if (!(fabs(n) <= (double)FLT_MAX))
                        return -ERANGE;
                *(float *)at = (float)n;
                return 0;
        case PROTOBUF_C_TYPE_DOUBLE:
                *(double *)at = n;
                return 0;
        default:
                return -EINVAL;
        }
}

bool expr_fits_field(const struct expr *expr, const ProtobufCFieldDescriptor *field)
{
        const struct expr_node *root = expr->root;
        uint64_t scratch;

        return root->op != &expr_op_constant || root->value.kind != EXPR_NUMBER ||
               store_number(&scratch, field->type, root->value.number) != -ERANGE;
}

static int store_text(void *at, const struct expr_value *value, const struct store *store)
{
        char *copy = store->alloc(store->user, value->n + 1);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, value->text, value->n);
        copy[value->n] = '\0';
        *(char **)at = copy;
        return 0;
}

static int store_message(void *at, const ProtobufCFieldDescriptor *field,
                         const struct expr_value *value)
{
        if (value->message && !expr_same_message(value->message->descriptor, field->descriptor))
                return -EINVAL;
        *(const ProtobufCMessage **)at = value->message;
        return 0;
}

static int store_one(void *at, const ProtobufCFieldDescriptor *field,
                     const struct expr_value *value, const struct store *store)
{
        switch (value->kind) {
        case EXPR_BOOL:
                if (field->type != PROTOBUF_C_TYPE_BOOL)
                        return -EINVAL;
                *(protobuf_c_boolean *)at = value->truth;
                return 0;
        case EXPR_NUMBER:
                return store_number(at, field->type, value->number);
        case EXPR_TEXT:
                return field->type == PROTOBUF_C_TYPE_STRING ? store_text(at, value, store)
                                                             : -EINVAL;
        case EXPR_MESSAGE:
                return field->type == PROTOBUF_C_TYPE_MESSAGE ? store_message(at, field, value)
                                                              : -EINVAL;
        default:
                return -EINVAL;
        }
}

static int store_list(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                      const struct expr_value *list, const struct store *store)
{
        size_t size = expr_stored_size(field->type);
        char *elements = NULL;
        int r;

        if (list->n > 0) {
                elements = store->alloc(store->user, list->n * size);
                if (!elements)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < list->n; i++) {
                struct expr_value value = expr_element(list, i);

                if (expr_is_null(&value))
                        return -EINVAL;
                r = store_one(elements + i * size, field, &value, store);
                if (r < 0)
                        return r;
        }
        *(size_t *)(void *)((char *)message + field->quantifier_offset) = list->n;
        *(void **)(void *)((char *)message + field->offset) = elements;
        return 0;
}

int expr_set_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                   const struct expr_value *value, void *(*alloc)(void *user, size_t size),
                   void *user)
{
        struct store store = { alloc, user };
        struct expr_type type = expr_type_of_field(field);

        if (type.kind == EXPR_NULL)
                return -EINVAL;
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return value->kind == EXPR_LIST ? store_list(message, field, value, &store)
                                                : -EINVAL;
        return store_one((char *)message + field->offset, field, value, &store);
}
