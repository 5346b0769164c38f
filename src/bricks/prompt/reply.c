/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NESTING_MAX = 32 };

static const struct reply_field guard_fields[] = {
        { "is_attack", REPLY_BOOL, "true or false" },
        { "confidence", REPLY_SCORE, "a number from 0 to 1" },
        { "detail", REPLY_REMARK, "\"the reason in a few words\"" },
        { 0 },
};
static const struct reply_field intention_fields[] = {
        { "intent_category", REPLY_CATEGORY, "one of" },
        { "confidence", REPLY_SCORE, "a number from 0 to 1" },
        { 0 },
};
static const struct reply_field rectify_fields[] = {
        { "corrected_text", REPLY_TEXT, "\"the corrected text\"" },
        { 0 },
};
static const struct reply_field translate_fields[] = {
        { "text", REPLY_TEXT, "\"the translation\"" },
        { "language_code", REPLY_REMARK, "\"the code of its language\"" },
        { 0 },
};
static const struct reply_field compose_fields[] = {
        { "output", REPLY_OBJECT, "{ what has been composed }" },
        { 0 },
};
static const struct reply_shape shapes[] = {
        [BRICK_TYPE_GUARD] = { guard_fields, "results" },
        [BRICK_TYPE_INTENTION] = { intention_fields, "results" },
        [BRICK_TYPE_RECTIFY] = { rectify_fields, NULL },
        [BRICK_TYPE_TRANSLATE] = { translate_fields, NULL },
        [BRICK_TYPE_COMPOSE] = { compose_fields, NULL },
};

const struct reply_shape *reply_shape(unsigned type)
{
        return type < sizeof shapes / sizeof *shapes && shapes[type].fields ? &shapes[type] : NULL;
}

__attribute__((format(printf, 2, 3))) static void *refuse(struct reply_reason *reason,
                                                          const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(reason->text, sizeof reason->text, format, args);
        va_end(args);
        return NULL;
}

/* --- the text --- */

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void trim(const char **text, size_t *length)
{
        for (; *length > 0 && is_space(**text); (*text)++)
                (*length)--;
        while (*length > 0 && is_space((*text)[*length - 1]))
                (*length)--;
}

/* ```json ... ```: the fence that models like to put around. The opening line may name a language.
 */
static void strip_fence(const char **text, size_t *length)
{
        const char *line;

        if (*length < 7 || memcmp(*text, "```", 3) != 0 ||
            memcmp(*text + *length - 3, "```", 3) != 0)
                return;
        line = memchr(*text, '\n', *length - 3);
        if (!line)
                return;
        *length -= (size_t)(line + 1 - *text) + 3;
        *text = line + 1;
        trim(text, length);
}

/* How deep brackets nest outside of strings: before the parser, which recurses, sees them. */
static unsigned nesting(const char *text, size_t length)
{
        unsigned depth = 0, deepest = 0;
        bool in_string = false;

        for (size_t i = 0; i < length; i++) {
                char c = text[i];

                if (in_string && c == '\\')
                        i++;
                else if (c == '"')
                        in_string = !in_string;
                else if (!in_string && (c == '{' || c == '['))
                        depth++;
                else if (!in_string && (c == '}' || c == ']'))
                        depth -= depth > 0;
                if (depth > deepest)
                        deepest = depth;
        }
        return deepest;
}

static bool check_size(const struct reply_rules *rules, size_t length, struct reply_reason *reason)
{
        if (length > rules->max)
                return refuse(reason, "it is longer than %zu bytes", rules->max);
        return length > 0 || refuse(reason, "it is empty");
}

int reply_plain(const struct reply_rules *rules, const char **text, size_t *length,
                struct reply_reason *reason)
{
        trim(text, length);
        return check_size(rules, *length, reason) ? 0 : -EINVAL;
}

/* --- the object --- */

static bool is_category(const struct reply_rules *rules, const char *text)
{
        for (char *const *category = rules->categories; *category; category++)
                if (strcmp(*category, text) == 0)
                        return true;
        return false;
}

static bool check_text(const struct reply_field *field, const json_t *value,
                       struct reply_reason *reason)
{
        if (!json_is_string(value))
                return refuse(reason, "the field '%s' must be a text", field->name);
        if (field->kind == REPLY_TEXT && json_string_length(value) == 0)
                return refuse(reason, "the field '%s' is empty", field->name);
        return true;
}

static bool check_field(const struct reply_rules *rules, const struct reply_field *field,
                        const json_t *value, struct reply_reason *reason)
{
        double score;

        if (!value)
                return field->kind == REPLY_REMARK ||
                       refuse(reason, "the field '%s' is missing", field->name);
        switch (field->kind) {
        case REPLY_TEXT:
        case REPLY_REMARK:
                return check_text(field, value, reason);
        case REPLY_BOOL:
                return json_is_boolean(value) ||
                       refuse(reason, "the field '%s' must be true or false", field->name);
        case REPLY_SCORE:
                score = json_is_number(value) ? json_number_value(value) : -1;
                return (score >= 0 && score <= 1) ||
                       refuse(reason, "the field '%s' must be a number from 0 to 1", field->name);
        case REPLY_CATEGORY:
                return (json_is_string(value) && is_category(rules, json_string_value(value))) ||
                       refuse(reason, "the field '%s' must be one of the categories", field->name);
        case REPLY_OBJECT:
                return json_is_object(value) ||
                       refuse(reason, "the field '%s' must be an object", field->name);
        }
        return false;
}

static bool check_fields(const struct reply_rules *rules, json_t *object,
                         struct reply_reason *reason)
{
        size_t known = 0;

        for (const struct reply_field *field = rules->shape->fields; field->name; field++) {
                const json_t *value = json_object_get(object, field->name);

                if (!check_field(rules, field, value, reason))
                        return false;
                known += value != NULL;
        }
        return known == json_object_size(object) ||
               refuse(reason, "it has a field that was not asked for");
}

/* Not the place: for jansson that is where it has noticed. */
static const char *syntax_error(const json_error_t *error)
{
        switch (json_error_code(error)) {
        case json_error_premature_end_of_input:
                return "it ends before the JSON object does";
        case json_error_end_of_input_expected:
                return "something follows the JSON object";
        case json_error_duplicate_key:
                return "it has a field twice";
        case json_error_numeric_overflow:
                return "a number in it is too large";
        case json_error_null_character:
        case json_error_null_byte_in_key:
                return "a text in it has a null character";
        case json_error_invalid_utf8:
                return "it is not UTF-8";
        case json_error_out_of_memory:
                return "it needs more memory than there is";
        default:
                return "it is not valid JSON";
        }
}

json_t *reply_parse(const struct reply_rules *rules, const char *text, size_t length,
                    struct reply_reason *reason)
{
        json_error_t error;
        json_t *object;

        trim(&text, &length);
        strip_fence(&text, &length);
        if (!check_size(rules, length, reason))
                return NULL;
        if (*text != '{')
                return refuse(reason, "it does not start with '{'");
        if (nesting(text, length) > NESTING_MAX)
                return refuse(reason, "it is nested deeper than %d", NESTING_MAX);
        object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        if (!object)
                return refuse(reason, "%s", syntax_error(&error));
        if (check_fields(rules, object, reason))
                return object;
        json_decref(object);
        return NULL;
}

/* --- the response --- */

static int fill_value(struct brick_call *call, Value *value, const json_t *json);

static int fill_struct(struct brick_call *call, Struct *object, const json_t *json)
{
        const char *key;
        json_t *member;
        int r = 0;

        json_object_foreach((json_t *)json, key, member)
        {
                char *copy = brick_strndup(call, key, strlen(key));

                r = copy && object ? fill_value(call, brick_struct_add(call, object, copy), member)
                                   : -ENOMEM;
                if (r < 0)
                        break;
        }
        return r;
}

static int fill_list(struct brick_call *call, ListValue *list, const json_t *json)
{
        size_t n = json_array_size(json);
        Value **values = list && n > 0 ? brick_add_n(call, list, values, n) : NULL;
        int r = list && (values || n == 0) ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = fill_value(call, values[i], json_array_get(json, i));
        return r;
}

static int fill_string(struct brick_call *call, Value *value, const json_t *json)
{
        char *copy = brick_strndup(call, json_string_value(json), json_string_length(json));

        return copy ? brick_value_set_string(value, copy) : -ENOMEM;
}

static int fill_value(struct brick_call *call, Value *value, const json_t *json)
{
        if (!value)
                return -ENOMEM;
        switch (json_typeof(json)) {
        case JSON_OBJECT:
                return fill_struct(call, brick_value_set_struct(call, value), json);
        case JSON_ARRAY:
                return fill_list(call, brick_value_set_list(call, value), json);
        case JSON_STRING:
                return fill_string(call, value, json);
        case JSON_INTEGER:
        case JSON_REAL:
                return brick_value_set_number(value, json_number_value(json));
        case JSON_TRUE:
        case JSON_FALSE:
                return brick_value_set_bool(value, json_is_true(json));
        default:
                value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
                return 0;
        }
}

static int fill_text(struct brick_call *call, char **member, const json_t *value)
{
        char *copy = brick_strndup(call, json_string_value(value), json_string_length(value));

        if (copy)
                *member = copy;
        return copy ? 0 : -ENOMEM;
}

static int fill_field(const struct reply_field *field, const json_t *value, struct brick_call *call,
                      ProtobufCMessage *message)
{
        const ProtobufCFieldDescriptor *descriptor =
                protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field->name);
        void *member = (char *)message + descriptor->offset;

        switch (field->kind) {
        case REPLY_BOOL:
                *(protobuf_c_boolean *)member = json_is_true(value);
                return 0;
        case REPLY_SCORE:
                *(float *)member = (float)json_number_value(value);
                return 0;
        case REPLY_OBJECT:
                return fill_struct(call, *(Struct **)member, value);
        default:
                return fill_text(call, member, value);
        }
}

int reply_fill(const struct reply_shape *shape, const json_t *object, struct brick_call *call,
               ProtobufCMessage *response)
{
        ProtobufCMessage *message = shape->list ? brick_add_one(call, response, shape->list)
                                                : response;
        int r = message ? 0 : -ENOMEM;

        for (const struct reply_field *field = shape->fields; r == 0 && field->name; field++) {
                const json_t *value = json_object_get(object, field->name);

                if (value)
                        r = fill_field(field, value, call, message);
        }
        return r;
}

char *reply_form(const struct reply_shape *shape, char *const *categories)
{
        char *text = NULL;
        size_t length;
        FILE *file = open_memstream(&text, &length);

        if (!file)
                return NULL;
        (void)fputs("Reply with one JSON object and nothing besides: {", file);
        for (const struct reply_field *field = shape->fields; field->name; field++) {
                (void)fprintf(file, "%s\"%s\": %s", field == shape->fields ? "" : ", ", field->name,
                              field->meaning);
                for (size_t i = 0; field->kind == REPLY_CATEGORY && categories[i]; i++)
                        (void)fprintf(file, "%s \"%s\"", i > 0 ? " or" : "", categories[i]);
        }
        (void)fputs("}.", file);
        if (fclose(file) == 0)
                return text;
        free(text);
        return NULL;
}
