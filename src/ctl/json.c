/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "struct.pb-c.h"

#include "conf/nearest.h"
#include "ctl/json.h"

/* The place in the JSON, for messages. Each level of the recursion has one on its stack. */
struct path {
        const struct path *parent;
        const char *key; /* NULL: use index */
        size_t index;
};

static void path_print(const struct path *path, FILE *f)
{
        if (!path)
                return;
        path_print(path->parent, f);
        if (!path->key)
                fprintf(f, "[%zu]", path->index);
        else
                fprintf(f, "%s%s", path->parent ? "." : "", path->key);
}

__attribute__((format(printf, 3, 4))) static int invalid(const struct path *path, char **ret_error,
                                                         const char *format, ...)
{
        size_t size;
        va_list args;
        FILE *f;

        f = open_memstream(ret_error, &size);
        if (!f)
                return -ENOMEM;
        path_print(path, f);
        if (path)
                fputs(": ", f);
        va_start(args, format);
        vfprintf(f, format, args);
        va_end(args);
        if (fclose(f) != 0)
                return -ENOMEM;

        return -EINVAL;
}

static int wrong_type(const struct path *path, char **ret_error, const char *expected,
                      const json_t *json)
{
        static const char *const names[] = {
                [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
                [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
                [JSON_FALSE] = "false",      [JSON_NULL] = "null",
        };

        return invalid(path, ret_error, "expected %s, got %s", expected, names[json_typeof(json)]);
}

/* A message for protobuf_c_message_free_unpacked(). NULL: out of memory. */
static void *message_new(const ProtobufCMessageDescriptor *type)
{
        ProtobufCMessage *message = calloc(1, type->sizeof_message);

        if (message)
                protobuf_c_message_init(type, message);
        return message;
}

static int value_from_json(json_t *json, const struct path *path, Google__Protobuf__Value *value,
                           char **ret_error);

static int struct_from_json(json_t *json, const struct path *path,
                            Google__Protobuf__Struct *message, char **ret_error)
{
        const char *key;
        json_t *child;
        int r;

        if (!json_is_object(json))
                return wrong_type(path, ret_error, "an object", json);

        message->fields = calloc(json_object_size(json) + 1, sizeof *message->fields);
        if (!message->fields)
                return -ENOMEM;
        json_object_foreach(json, key, child)
        {
                Google__Protobuf__Struct__FieldsEntry *entry;

                entry = message_new(&google__protobuf__struct__fields_entry__descriptor);
                if (!entry)
                        return -ENOMEM;
                message->fields[message->n_fields++] = entry;
                entry->value = message_new(&google__protobuf__value__descriptor);
                entry->key = strdup(key);
                if (!entry->value || !entry->key)
                        return -ENOMEM;
                r = value_from_json(child, &(struct path){ path, key }, entry->value, ret_error);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int list_from_json(json_t *json, const struct path *path, Google__Protobuf__ListValue *list,
                          char **ret_error)
{
        size_t index;
        json_t *child;
        int r;

        if (!json_is_array(json))
                return wrong_type(path, ret_error, "a list", json);

        list->values = calloc(json_array_size(json) + 1, sizeof *list->values);
        if (!list->values)
                return -ENOMEM;
        json_array_foreach(json, index, child)
        {
                const struct path here = { .parent = path, .index = index };

                list->values[index] = message_new(&google__protobuf__value__descriptor);
                if (!list->values[index])
                        return -ENOMEM;
                list->n_values++;
                r = value_from_json(child, &here, list->values[index], ret_error);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int value_from_json(json_t *json, const struct path *path, Google__Protobuf__Value *value,
                           char **ret_error)
{
        switch (json_typeof(json)) {
        case JSON_NULL:
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
                return 0;
        case JSON_TRUE:
        case JSON_FALSE:
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
                value->bool_value = json_is_true(json);
                return 0;
        case JSON_INTEGER:
        case JSON_REAL:
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
                value->number_value = json_number_value(json);
                return 0;
        case JSON_STRING:
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
                value->string_value = strdup(json_string_value(json));
                return value->string_value ? 0 : -ENOMEM;
        case JSON_OBJECT:
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
                value->struct_value = message_new(&google__protobuf__struct__descriptor);
                if (!value->struct_value)
                        return -ENOMEM;
                return struct_from_json(json, path, value->struct_value, ret_error);
        case JSON_ARRAY:
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
                value->list_value = message_new(&google__protobuf__list_value__descriptor);
                if (!value->list_value)
                        return -ENOMEM;
                return list_from_json(json, path, value->list_value, ret_error);
        }

        return -EINVAL;
}

static int int32_from_json(json_t *json, const struct path *path, int32_t *ret, char **ret_error)
{
        double value = json_number_value(json);

        if (!json_is_number(json))
                return wrong_type(path, ret_error, "an integer", json);
        if (value != trunc(value))
                return invalid(path, ret_error, "expected an integer, got a fraction");
        if (value < INT32_MIN || value > INT32_MAX)
                return invalid(path, ret_error, "out of range: at least %d, at most %d", INT32_MIN,
                               INT32_MAX);
        *ret = (int32_t)value;

        return 0;
}

/* JSON has no such numbers; the mapping writes them as strings. */
static bool special_number(json_t *json, double *ret)
{
        const char *s = json_string_value(json);

        if (!s)
                return false;
        if (strcmp(s, "NaN") == 0)
                *ret = NAN;
        else if (strcmp(s, "Infinity") == 0)
                *ret = INFINITY;
        else if (strcmp(s, "-Infinity") == 0)
                *ret = -INFINITY;
        else
                return false;
        return true;
}

static int float_from_json(json_t *json, const struct path *path, float *ret, char **ret_error)
{
        double value = json_number_value(json);
        bool special = special_number(json, &value);

        if (!special && !json_is_number(json))
                return wrong_type(path, ret_error, "a number", json);
        if (!special && fabs(value) > FLT_MAX)
                return invalid(path, ret_error, "out of range: at most %g", FLT_MAX);
        *ret = (float)value;

        return 0;
}

static int fill_message(json_t *json, const struct path *path, ProtobufCMessage *message,
                        char **ret_error);

/* Converts one value of a field to `to`: the field itself, or an element of a repeated field. */
static int value_to_field(const ProtobufCFieldDescriptor *field, json_t *json,
                          const struct path *path, void *to, char **ret_error)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
                if (!json_is_string(json))
                        return wrong_type(path, ret_error, "a string", json);
                *(char **)to = strdup(json_string_value(json));
                return *(char **)to ? 0 : -ENOMEM;
        case PROTOBUF_C_TYPE_BOOL:
                if (!json_is_boolean(json))
                        return wrong_type(path, ret_error, "true or false", json);
                *(protobuf_c_boolean *)to = json_is_true(json);
                return 0;
        case PROTOBUF_C_TYPE_INT32:
                return int32_from_json(json, path, to, ret_error);
        case PROTOBUF_C_TYPE_FLOAT:
                return float_from_json(json, path, to, ret_error);
        case PROTOBUF_C_TYPE_MESSAGE:
                *(ProtobufCMessage **)to = message_new(field->descriptor);
                if (!*(ProtobufCMessage **)to)
                        return -ENOMEM;
                return fill_message(json, path, *(ProtobufCMessage **)to, ret_error);
        default:
                return invalid(path, ret_error, "brickctl cannot write a field of this type");
        }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_INT32:
                return sizeof(int32_t);
        case PROTOBUF_C_TYPE_FLOAT:
                return sizeof(float);
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        default:
                return sizeof(void *);
        }
}

static void *member(const ProtobufCMessage *message, unsigned offset)
{
        return (char *)message + offset;
}

static int values_to_field(const ProtobufCFieldDescriptor *field, json_t *json,
                           const struct path *path, ProtobufCMessage *message, char **ret_error)
{
        size_t *n = member(message, field->quantifier_offset);
        size_t index;
        json_t *child;
        char *values;
        int r;

        if (!json_is_array(json))
                return wrong_type(path, ret_error, "a list", json);

        values = calloc(json_array_size(json) + 1, value_size(field));
        if (!values)
                return -ENOMEM;
        *(void **)member(message, field->offset) = values;
        json_array_foreach(json, index, child)
        {
                const struct path here = { .parent = path, .index = index };

                *n = index + 1;
                r = value_to_field(field, child, &here, values + index * value_size(field),
                                   ret_error);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int unknown_field(const ProtobufCMessageDescriptor *type, const struct path *path,
                         char **ret_error)
{
        struct nearest nearest = nearest_to(path->key);

        for (unsigned i = 0; i < type->n_fields; i++)
                nearest_offer(&nearest, type->fields[i].name);
        if (nearest.best)
                return invalid(path, ret_error, "no such field; did you mean '%s'?", nearest.best);
        return invalid(path, ret_error, "no such field in %s", type->short_name);
}

static int fill_field(json_t *json, const struct path *path, ProtobufCMessage *message,
                      char **ret_error)
{
        const ProtobufCFieldDescriptor *field;

        field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, path->key);
        if (!field)
                return unknown_field(message->descriptor, path, ret_error);
        if (json_is_null(json)) /* null means that the field is not set */
                return 0;
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return values_to_field(field, json, path, message, ret_error);
        return value_to_field(field, json, path, member(message, field->offset), ret_error);
}

static int fill_message(json_t *json, const struct path *path, ProtobufCMessage *message,
                        char **ret_error)
{
        const char *key;
        json_t *child;
        int r;

        if (message->descriptor == &google__protobuf__struct__descriptor)
                return struct_from_json(json, path, (Google__Protobuf__Struct *)message, ret_error);
        if (!json_is_object(json))
                return wrong_type(path, ret_error, "an object", json);

        json_object_foreach(json, key, child)
        {
                r = fill_field(child, &(struct path){ path, key }, message, ret_error);
                if (r < 0)
                        return r;
        }

        return 0;
}

int message_from_json(const ProtobufCMessageDescriptor *type, json_t *json, ProtobufCMessage **ret,
                      char **ret_error)
{
        _cleanup_(message_freep) ProtobufCMessage *message = NULL;
        int r;

        message = message_new(type);
        if (!message)
                return -ENOMEM;
        r = fill_message(json, NULL, message, ret_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(message);

        return 0;
}

/* Parses a user's text: JSON, or a plain text that becomes a JSON string. */
static int text_to_json(const char *text, size_t length, json_t **ret, char **ret_error)
{
        size_t blank = 0;
        json_error_t error;

        while (blank < length && memchr(" \t\r\n", text[blank], 4))
                blank++;
        if (blank == length || (text[blank] != '{' && text[blank] != '"')) {
                *ret = json_stringn(text, length);
                return *ret ? 0 : invalid(NULL, ret_error, "the text is not UTF-8");
        }

        *ret = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
        if (!*ret)
                return invalid(NULL, ret_error, "not JSON: %s, at line %d, column %d", error.text,
                               error.line, error.column);
        return 0;
}

int message_from_text(const ProtobufCMessageDescriptor *type, const char *text_field,
                      const char *text, size_t length, ProtobufCMessage **ret, char **ret_error)
{
        _cleanup_(json_unrefp) json_t *json = NULL;
        _cleanup_(json_unrefp) json_t *object = NULL;
        int r;

        r = text_to_json(text, length, &json, ret_error);
        if (r < 0)
                return r;
        if (json_is_string(json) && text_field) {
                object = json_object();
                if (json_object_set(object, text_field, json) < 0)
                        return -ENOMEM;
                return message_from_json(type, object, ret, ret_error);
        }
        if (!json_is_object(json))
                return invalid(NULL, ret_error, "expected a JSON object '{...}' for %s",
                               type->short_name);
        return message_from_json(type, json, ret, ret_error);
}

static json_t *number_to_json(double value)
{
        if (isnan(value))
                return json_string("NaN");
        if (isinf(value))
                return json_string(value > 0 ? "Infinity" : "-Infinity");
        return json_real(value);
}

/* Uses the shortest decimal that reads back as the same float: 0.7, not 0.699999988079071. */
static json_t *float_to_json(float value)
{
        char text[32];

        for (int digits = 6; digits <= FLT_DECIMAL_DIG; digits++) {
                (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
                if (strtof(text, NULL) == value)
                        return number_to_json(strtod(text, NULL));
        }
        return number_to_json((double)value);
}

static json_t *value_to_json(const Google__Protobuf__Value *value);

static json_t *struct_to_json(const Google__Protobuf__Struct *message)
{
        _cleanup_(json_unrefp) json_t *json = json_object();

        for (size_t i = 0; i < message->n_fields; i++) {
                json_t *child = value_to_json(message->fields[i]->value);

                if (!child || json_object_set_new(json, message->fields[i]->key, child) < 0)
                        return NULL;
        }
        return TAKE_PTR(json);
}

static json_t *list_to_json(const Google__Protobuf__ListValue *list)
{
        _cleanup_(json_unrefp) json_t *json = json_array();

        for (size_t i = 0; i < list->n_values; i++)
                if (json_array_append_new(json, value_to_json(list->values[i])) < 0)
                        return NULL;
        return TAKE_PTR(json);
}

static json_t *value_to_json(const Google__Protobuf__Value *value)
{
        if (!value)
                return json_null();

        switch (value->kind_case) {
        case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
                return number_to_json(value->number_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
                return json_string(value->string_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
                return json_boolean(value->bool_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
                return struct_to_json(value->struct_value);
        case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
                return list_to_json(value->list_value);
        default: /* null, or a Value without a kind */
                return json_null();
        }
}

static json_t *field_to_json(const ProtobufCFieldDescriptor *field, const void *from)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
                return json_string(*(char *const *)from);
        case PROTOBUF_C_TYPE_BOOL:
                return json_boolean(*(const protobuf_c_boolean *)from);
        case PROTOBUF_C_TYPE_INT32:
                return json_integer(*(const int32_t *)from);
        case PROTOBUF_C_TYPE_FLOAT:
                return float_to_json(*(const float *)from);
        case PROTOBUF_C_TYPE_MESSAGE:
                return message_to_json(*(ProtobufCMessage *const *)from);
        default:
                return NULL;
        }
}

static json_t *values_to_json(const ProtobufCFieldDescriptor *field,
                              const ProtobufCMessage *message)
{
        _cleanup_(json_unrefp) json_t *json = json_array();
        size_t n = *(size_t *)member(message, field->quantifier_offset);
        const char *values = *(char **)member(message, field->offset);

        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(json,
                                          field_to_json(field, values + i * value_size(field))) < 0)
                        return NULL;
        return TAKE_PTR(json);
}

json_t *message_to_json(const ProtobufCMessage *message)
{
        _cleanup_(json_unrefp) json_t *json = NULL;

        if (message->descriptor == &google__protobuf__struct__descriptor)
                return struct_to_json((const Google__Protobuf__Struct *)message);

        json = json_object();
        for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
                void *from = member(message, field->offset);
                json_t *child;

                if (field->label == PROTOBUF_C_LABEL_REPEATED)
                        child = values_to_json(field, message);
                else if (field->type == PROTOBUF_C_TYPE_MESSAGE && !*(void **)from)
                        continue; /* a missing message differs from an empty one */
                else
                        child = field_to_json(field, from);
                if (json_object_set_new(json, field->name, child) < 0)
                        return NULL;
        }

        return TAKE_PTR(json);
}

#define UNPACK_STACK ((ptrdiff_t)1 << 20)

/* Beside twice the message's size: an empty message within one takes 2 bytes there and 100 here. */
#define UNPACK_MEMORY ((size_t)64 << 20)

struct unpacking {
        const char *stack;
        size_t left; /* bytes that may still be allocated */
};

/* Every level of nesting and every field allocates, so here unpacking can be stopped. */
static void *guarded_alloc(void *user, size_t size)
{
        struct unpacking *unpacking = user;
        const char *here = __builtin_frame_address(0);

        if (unpacking->stack - here > UNPACK_STACK || size > unpacking->left)
                return NULL;
        unpacking->left -= size;
        return malloc(size);
}

static void guarded_free(void *user, void *p)
{
        free(p);
}

ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, const void *bytes,
                                 size_t length)
{
        struct unpacking unpacking = { __builtin_frame_address(0), 2 * length + UNPACK_MEMORY };
        ProtobufCAllocator allocator = { guarded_alloc, guarded_free, &unpacking };

        return protobuf_c_message_unpack(type, &allocator, length, bytes);
}
