/* SPDX-License-Identifier: MIT */
#include "http/sse-request.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/arena.h"
#include "util/cleanup.h"

#define MESSAGES_MAX 100
#define MESSAGE_CHARACTERS_MAX 10000
#define ERRORS_MAX 1000 /* that are told */
#define FIELDS 10

/* What is known of a body while it is read. */
struct schema {
        struct chat_request *request;
        struct arena *arena;
        struct json_text *errors;
        size_t n_errors;
        bool failed;                                  /* the arena is full */
        struct json_value own[FIELDS], alias[FIELDS]; /* the values of fields[]; ptr NULL: none */
};

/* Where a value stands, such as ["body","messages",0,"content"]. */
struct location {
        const struct location *parent;
        const char *name; /* NULL: use index */
        size_t index;
};

/* --- errors -------------------------------------------------------------------------------------
 */

/* Nothing more is to be told. */
static bool is_over(const struct schema *s)
{
        return s->failed || s->errors->failed || s->n_errors == ERRORS_MAX;
}

static void put_string(struct json_text *text, struct json_value value)
{
        const char *string;
        size_t length;

        if (!memchr(value.ptr, '\\', value.length)) {
                json_put(text, value.ptr, value.length);
                return;
        }
        string = json_value_string(value, text->arena, &length);
        if (string)
                json_put_string(text, string, length);
        else
                text->failed = true;
}

/* A value as another writer would put it: without spaces, with the same escapes everywhere. The
 * recursion is bounded by JSON_READ_DEPTH. */
static void put_value(struct json_text *text, struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value key, item;
        const char *glue = "";

        switch (json_value_kind(value)) {
        case JSON_KIND_STRING:
                put_string(text, value);
                break;
        case JSON_KIND_LIST:
                json_puts(text, "[");
                for (; !text->failed && json_next_item(&walk, &item); glue = ",") {
                        json_puts(text, glue);
                        put_value(text, item);
                }
                json_puts(text, "]");
                break;
        case JSON_KIND_OBJECT:
                json_puts(text, "{");
                for (; !text->failed && json_next_member(&walk, &key, &item); glue = ",") {
                        json_puts(text, glue);
                        put_value(text, key);
                        json_puts(text, ":");
                        put_value(text, item);
                }
                json_puts(text, "}");
                break;
        default:
                json_put(text, value.ptr, value.length);
        }
}

static void put_location(struct json_text *text, const struct location *at)
{
        if (at->parent) {
                put_location(text, at->parent);
                json_puts(text, ",");
        }
        if (at->name)
                json_puts_string(text, at->name);
        else
                json_put_integer(text, (int64_t)at->index);
}

static void add_error(struct schema *s, const char *type, const struct location *at,
                      const char *message, struct json_value input)
{
        if (is_over(s))
                return;
        s->n_errors++;
        json_puts(s->errors, s->errors->length > 0 ? ",{\"type\":" : "[{\"type\":");
        json_puts_string(s->errors, type);
        json_puts(s->errors, ",\"loc\":[");
        put_location(s->errors, at);
        json_puts(s->errors, "],\"msg\":");
        json_puts_string(s->errors, message);
        json_puts(s->errors, ",\"input\":");
        put_value(s->errors, input);
        json_puts(s->errors, "}");
}

/* --- values, as pydantic converts them ----------------------------------------------------------
 */

/* NULL: it is no string, or the arena is full. */
static char *string_of(struct schema *s, struct json_value value)
{
        size_t length;
        const char *text;

        if (json_value_kind(value) != JSON_KIND_STRING)
                return NULL;
        text = json_value_string(value, s->arena, &length);
        s->failed = s->failed || !text;
        return (char *)text;
}

static void read_string(struct schema *s, const struct location *at, struct json_value value,
                        char **ret)
{
        char *text = string_of(s, value);

        if (text)
                *ret = text;
        else
                add_error(s, "string_type", at, "Input should be a valid string", value);
}

static void read_optional_string(struct schema *s, const struct location *at,
                                 struct json_value value, char **ret)
{
        if (json_value_kind(value) != JSON_KIND_NULL)
                read_string(s, at, value, ret);
}

/* A number in a text, without spaces around it. False: the text is none. */
static bool number_of(struct schema *s, struct json_value value, const char *letters, double *ret)
{
        const char *text = string_of(s, value);
        size_t length;
        char *end;

        if (!text)
                return false;
        text += strspn(text, " \t\r\n");
        length = strcspn(text, " \t\r\n");
        if (length == 0 || strspn(text, letters) < length ||
            text[length + strspn(text + length, " \t\r\n")] != '\0')
                return false;
        *ret = strtod(text, &end);
        return end == text + length;
}

static void read_float(struct schema *s, const struct location *at, struct json_value value)
{
        double number = 0;

        switch (json_value_kind(value)) {
        case JSON_KIND_NULL:
                return;
        case JSON_KIND_NUMBER:
                number = json_value_number(value);
                break;
        case JSON_KIND_TRUE:
                number = 1;
                break;
        case JSON_KIND_FALSE:
                break;
        case JSON_KIND_STRING:
                if (number_of(s, value, "+-.0123456789eE", &number))
                        break;
                add_error(s, "float_parsing", at,
                          "Input should be a valid number, unable to parse string as a number",
                          value);
                return;
        default:
                add_error(s, "float_type", at, "Input should be a valid number", value);
                return;
        }
        s->request->message.temperature = (float)number;
        s->request->has_temperature = true;
}

static void read_integer(struct schema *s, const struct location *at, struct json_value value)
{
        double number = 0;

        switch (json_value_kind(value)) {
        case JSON_KIND_NULL:
                return;
        case JSON_KIND_NUMBER:
                number = json_value_number(value);
                if (number == trunc(number))
                        break;
                add_error(s, "int_from_float", at,
                          "Input should be a valid integer, got a number with a fractional part",
                          value);
                return;
        case JSON_KIND_TRUE:
                number = 1;
                break;
        case JSON_KIND_FALSE:
                break;
        case JSON_KIND_STRING:
                if (number_of(s, value, "+-.0123456789", &number) && number == trunc(number))
                        break;
                add_error(s, "int_parsing", at,
                          "Input should be a valid integer, unable to parse string as an integer",
                          value);
                return;
        default:
                add_error(s, "int_type", at, "Input should be a valid integer", value);
                return;
        }
        /* A message has no room for more, and no brick gives more. */
        s->request->message.max_tokens = (int32_t)(number > INT32_MAX   ? INT32_MAX
                                                   : number < INT32_MIN ? INT32_MIN
                                                                        : number);
}

static bool is_bool_word(const char *text)
{
        static const char *const words[] = { "0",  "1",   "f",  "t",   "n",     "y",
                                             "no", "off", "on", "yes", "false", "true" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(text, words[i]) == 0)
                        return true;
        return false;
}

/* Its value does not matter: the answer is a stream. */
static void check_bool(struct schema *s, const struct location *at, struct json_value value)
{
        enum json_kind kind = json_value_kind(value);
        const char *text = string_of(s, value);
        double number = kind == JSON_KIND_NUMBER ? json_value_number(value) : 0;

        if (kind == JSON_KIND_TRUE || kind == JSON_KIND_FALSE ||
            (kind == JSON_KIND_NUMBER && (number == 0 || number == 1)) ||
            (text && is_bool_word(text)))
                return;
        if (kind == JSON_KIND_STRING || (kind == JSON_KIND_NUMBER && number == trunc(number)))
                add_error(s, "bool_parsing", at,
                          "Input should be a valid boolean, unable to interpret input", value);
        else
                add_error(s, "bool_type", at, "Input should be a valid boolean", value);
}

/* --- messages -----------------------------------------------------------------------------------
 */

static struct json_value member(struct json_value object, const char *name)
{
        struct json_walk walk = json_begin(object);
        struct json_value key, value, found = {};

        while (json_next_member(&walk, &key, &value))
                if (json_value_is(key, name))
                        found = value;
        return found;
}

/* A key's text ends at its first NUL, as all texts of messages do. */
static void refuse_extra(struct schema *s, const struct location *parent, struct json_value key,
                         struct json_value value)
{
        const char *name = string_of(s, key);

        if (name)
                add_error(s, "extra_forbidden", &(struct location){ parent, name, 0 },
                          "Extra inputs are not permitted", value);
}

static void read_part(struct schema *s, const struct location *at, struct json_value message,
                      const char *name, char **ret)
{
        const struct location here = { at, name, 0 };
        struct json_value value = member(message, name);

        if (value.ptr)
                read_string(s, &here, value, ret);
        else
                add_error(s, "missing", &here, "Field required", message);
}

static void read_message(struct schema *s, const struct location *at, struct json_value message,
                         LLMContext *ret)
{
        struct json_walk walk = json_begin(message);
        struct json_value key, value;

        protocols__grpc__llm__context__init(ret);
        if (json_value_kind(message) != JSON_KIND_OBJECT) {
                add_error(s, "model_attributes_type", at,
                          "Input should be a valid dictionary or object to extract fields from",
                          message);
                return;
        }
        read_part(s, at, message, "role", &ret->role);
        read_part(s, at, message, "content", &ret->content);
        while (!is_over(s) && json_next_member(&walk, &key, &value))
                if (!json_value_is(key, "role") && !json_value_is(key, "content"))
                        refuse_extra(s, at, key, value);
}

static void read_messages(struct schema *s, const struct location *at, struct json_value list)
{
        LLMRequest *request = &s->request->message;
        struct json_walk walk = json_begin(list);
        struct json_value item;
        LLMContext *messages;
        size_t n = 0;

        if (json_value_kind(list) != JSON_KIND_LIST) {
                add_error(s, "list_type", at, "Input should be a valid list", list);
                return;
        }
        while (json_next_item(&walk, &item))
                n++;
        messages = arena_alloc(s->arena, (n + 1) * sizeof *messages, _Alignof(LLMContext));
        request->context = arena_alloc(s->arena, (n + 1) * sizeof *request->context,
                                       sizeof(void *));
        if (!messages || !request->context) {
                s->failed = true;
                return;
        }
        walk = json_begin(list);
        for (size_t i = 0; !is_over(s) && json_next_item(&walk, &item); i++) {
                read_message(s, &(struct location){ at, NULL, i }, item, &messages[i]);
                request->context[request->n_context++] = &messages[i];
        }
}

/* --- fields -------------------------------------------------------------------------------------
 */

static void read_model(struct schema *s, const struct location *at, struct json_value value)
{
        read_string(s, at, value, (char **)&s->request->model);
}

static void read_client(struct schema *s, const struct location *at, struct json_value value)
{
        read_optional_string(s, at, value, &s->request->message.client_id);
}

static void read_session(struct schema *s, const struct location *at, struct json_value value)
{
        read_string(s, at, value, &s->request->message.session_id);
}

static void check_tools(struct schema *s, const struct location *at, struct json_value value)
{
        if (json_value_kind(value) != JSON_KIND_NULL && json_value_kind(value) != JSON_KIND_LIST)
                add_error(s, "list_type", at, "Input should be a valid list", value);
}

static void take_any(struct schema *s, const struct location *at, struct json_value value)
{
}

static void read_language(struct schema *s, const struct location *at, struct json_value value)
{
        read_optional_string(s, at, value, &s->request->message.source_language);
}

static const struct {
        const char *name;
        const char *alias; /* which counts if both are there; NULL: none */
        bool required;
        void (*read)(struct schema *s, const struct location *at, struct json_value value);
} fields[FIELDS] = {
        { "model", NULL, true, read_model },
        { "messages", NULL, true, read_messages },
        { "stream", NULL, false, check_bool },
        { "client_id", "clientId", false, read_client },
        { "session_id", "sessionId", true, read_session },
        { "temperature", NULL, false, read_float },
        { "max_tokens", "maxTokens", false, read_integer },
        { "tools", NULL, false, check_tools },
        { "tool_choice", "toolChoice", false, take_any },
        { "source_language", "sourceLanguage", false, read_language },
};

static void read_field(struct schema *s, const struct location *root, struct json_value body,
                       size_t i)
{
        struct json_value value = s->alias[i].ptr ? s->alias[i] : s->own[i];
        bool by_name = !fields[i].alias || (s->own[i].ptr && !s->alias[i].ptr);
        const struct location here = { root, by_name ? fields[i].name : fields[i].alias, 0 };

        if (value.ptr)
                fields[i].read(s, &here, value);
        else if (fields[i].required)
                add_error(s, "missing", &here, "Field required", body);
}

/* Where the value of a key belongs. NULL: it is no field. */
static struct json_value *place_of(struct schema *s, struct json_value key)
{
        for (size_t i = 0; i < FIELDS; i++) {
                if (json_value_is(key, fields[i].name))
                        return &s->own[i];
                if (fields[i].alias && json_value_is(key, fields[i].alias))
                        return &s->alias[i];
        }
        return NULL;
}

static void find_fields(struct schema *s, struct json_value body)
{
        struct json_walk walk = json_begin(body);
        struct json_value key, value, *place;

        while (json_next_member(&walk, &key, &value))
                if ((place = place_of(s, key)))
                        *place = value;
}

/* A name beside its alias is one too many. */
static bool is_extra(struct schema *s, struct json_value key)
{
        const struct json_value *place = place_of(s, key);

        return !place ||
               (place >= s->own && place < s->own + FIELDS && s->alias[place - s->own].ptr);
}

bool sse_request_is(struct json_value body)
{
        struct json_walk walk = json_begin(body);
        struct json_value key, value;

        if (json_value_kind(body) != JSON_KIND_OBJECT)
                return false;
        while (json_next_member(&walk, &key, &value))
                if (json_value_is(key, "sessionId") || json_value_is(key, "session_id"))
                        return true;
        return false;
}

bool sse_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                      struct json_text *errors)
{
        const struct location root = { NULL, "body", 0 };
        struct schema s = { .request = ret, .arena = arena, .errors = errors };
        struct json_walk walk = json_begin(body);
        struct json_value key, value;

        *ret = (struct chat_request){ .stream = true };
        protocols__grpc__llm__llmrequest__init(&ret->message);
        find_fields(&s, body);
        for (size_t i = 0; i < FIELDS; i++)
                read_field(&s, &root, body, i);
        while (!is_over(&s) && json_next_member(&walk, &key, &value))
                if (is_extra(&s, key))
                        refuse_extra(&s, &root, key, value);
        if (errors->length > 0)
                json_puts(errors, "]");
        errors->failed = errors->failed || s.failed;
        return errors->length == 0 && !errors->failed;
}

/* --- rules --------------------------------------------------------------------------------------
 */

__attribute__((format(printf, 2, 3))) static bool refuse(struct json_text *why, const char *format,
                                                         ...)
{
        char text[128];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        json_puts(why, text);
        return false;
}

/* Of valid UTF-8. */
static size_t characters(const char *text)
{
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) != 0x80;
        return n;
}

static bool check_lengths(const LLMRequest *request, struct json_text *why)
{
        for (size_t i = 0; i < request->n_context; i++) {
                size_t n = characters(request->context[i]->content);

                if (n > MESSAGE_CHARACTERS_MAX)
                        return refuse(why, "Message %zu too long: %zu > %d", i, n,
                                      MESSAGE_CHARACTERS_MAX);
        }
        return true;
}

static bool check_roles(const LLMRequest *request, struct json_text *why)
{
        for (size_t i = 0; i < request->n_context; i++) {
                const char *role = request->context[i]->role;

                if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 &&
                    strcmp(role, "assistant") != 0) {
                        json_puts(why, "Invalid role '");
                        json_puts(why, role);
                        return refuse(why, "' in message %zu", i);
                }
        }
        return true;
}

bool sse_request_check(struct chat_request *chat, struct json_text *why)
{
        LLMRequest *request = &chat->message;
        size_t n = request->n_context, systems = 0;

        if (n == 0)
                return refuse(why, "Messages cannot be empty");
        if (n > MESSAGES_MAX)
                return refuse(why, "Too many messages: %zu > %d", n, MESSAGES_MAX);
        if (!check_lengths(request, why))
                return false;
        for (size_t i = 0; i < n; i++)
                systems += strcmp(request->context[i]->role, "system") == 0;
        if (systems > 1)
                return refuse(why, "Only one system message allowed");
        if (strcmp(request->context[n - 1]->role, "user") != 0)
                return refuse(why, "Last message must be from user");
        return check_roles(request, why);
}
