/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "struct.pb-c.h"

#include "conf/nearest.h"
#include "http/message-json.h"
#include "serve/validate.h"
#include "serve/wire.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/utf8.h"

#define VARINT_MAX 10
#define KEY_SHOWN 200 /* bytes of a key in a mistake */

/* The place in the JSON, for messages. Each level of the recursion has one on its stack. */
struct path {
        const struct path *parent;
        struct json_value key; /* ptr NULL: use index */
        size_t index;
        unsigned depth; /* of the message, as the wire format nests it */
};

struct reading {
        struct arena *arena;
        struct json_text wire;
        struct json_text mistake; /* empty: there is none */
};

/* --- mistakes -----------------------------------------------------------------------------------
 */

static void put_key(struct reading *r, struct json_value key)
{
        size_t length;
        const char *text = json_value_string(key, r->arena, &length);

        if (text && length > KEY_SHOWN) {
                json_put(&r->mistake, text, utf8_prefix(text, length, KEY_SHOWN));
                json_puts(&r->mistake, "…");
        } else if (text) {
                json_put(&r->mistake, text, length);
        }
}

static void put_path(struct reading *r, const struct path *path)
{
        char index[32];

        if (!path->parent)
                return;
        put_path(r, path->parent);
        if (path->key.ptr) {
                if (path->parent->parent)
                        json_puts(&r->mistake, ".");
                put_key(r, path->key);
        } else {
                (void)snprintf(index, sizeof index, "[%zu]", path->index);
                json_puts(&r->mistake, index);
        }
}

__attribute__((format(printf, 3, 4))) static bool fail(struct reading *r, const struct path *path,
                                                       const char *format, ...)
{
        char text[256];
        va_list args;

        r->mistake = json_text(r->arena);
        put_path(r, path);
        if (path->parent)
                json_puts(&r->mistake, ": ");
        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        json_put(&r->mistake, text, strlen(text) + 1);
        return false;
}

static bool wrong_type(struct reading *r, const struct path *path, const char *expected,
                       struct json_value json)
{
        return fail(r, path, "expected %s, got %s", expected, json_value_kind_name(json));
}

/* --- wire format --------------------------------------------------------------------------------
 */

static bool put_varint(struct reading *r, uint64_t value)
{
        char bytes[VARINT_MAX];

        json_put(&r->wire, bytes, (size_t)(wire_put_varint(bytes, value) - bytes));
        return !r->wire.failed;
}

/* The lowest `size` bytes of a value. */
static bool put_fixed(struct reading *r, uint32_t field, unsigned wire_type, uint64_t value,
                      size_t size)
{
        put_varint(r, wire_tag(field, wire_type));
        for (size_t i = 0; i < size; i++)
                json_put(&r->wire, &(char){ (char)(value >> 8 * i & 0xff) }, 1);
        return !r->wire.failed;
}

/* Between these two, the content of a message is written. begin_message() returns where it begins.
 * The length takes one byte, until it is known to need more. */
static size_t begin_message(struct reading *r, uint32_t field)
{
        put_varint(r, wire_tag(field, WIRE_PUT_BYTES));
        json_put(&r->wire, "", 1);
        return r->wire.length;
}

static bool end_message(struct reading *r, size_t begin)
{
        char length[VARINT_MAX], *content;
        size_t size = r->wire.length - begin;
        size_t more = (size_t)(wire_put_varint(length, size) - length) - 1;

        json_put(&r->wire, length, more);
        if (r->wire.failed)
                return false;
        content = r->wire.bytes + begin;
        if (more > 0)
                memmove(content + more, content, size);
        memcpy(content - 1, length, more + 1);
        return true;
}

static bool put_string(struct reading *r, uint32_t field, struct json_value string,
                       const struct path *path)
{
        /* Where the bytes have room already, the copy between can be freed. */
        bool fits = r->wire.size - r->wire.length >= string.length + 2 * VARINT_MAX;
        size_t mark = arena_mark(r->arena), length;
        const char *text = json_value_string(string, r->arena, &length);

        if (!text)
                return false;
        if (strlen(text) != length)
                return fail(r, path, "a NUL character is not allowed");
        put_varint(r, wire_tag(field, WIRE_PUT_BYTES));
        put_varint(r, length);
        json_put(&r->wire, text, length);
        if (fits)
                (void)arena_rewind(r->arena, mark);
        return !r->wire.failed;
}

/* --- google.protobuf.Struct ---------------------------------------------------------------------
 */

/* Numbers of fields. */
enum {
        STRUCT_FIELDS = 1,
        ENTRY_KEY = 1,
        ENTRY_VALUE = 2,
        LIST_VALUES = 1,
        VALUE_NULL = 1,
        VALUE_NUMBER = 2,
        VALUE_STRING = 3,
        VALUE_BOOL = 4,
        VALUE_STRUCT = 5,
        VALUE_LIST = 6,
};

/* How much deeper the wire format nests the value of a member and of an item. */
#define MEMBER_DEPTH 2
#define ITEM_DEPTH 1

static bool put_value(struct reading *r, const struct path *path, struct json_value json);

static bool put_members(struct reading *r, const struct path *path, struct json_value object)
{
        struct json_walk walk = json_begin(object);
        struct json_value key, value;

        while (json_next_member(&walk, &key, &value)) {
                const struct path here = { path, key, 0, path->depth + MEMBER_DEPTH };
                size_t entry = begin_message(r, STRUCT_FIELDS), content;

                if (!put_string(r, ENTRY_KEY, key, &here))
                        return false;
                content = begin_message(r, ENTRY_VALUE);
                if (!put_value(r, &here, value) || !end_message(r, content) ||
                    !end_message(r, entry))
                        return false;
        }
        return true;
}

static bool put_struct(struct reading *r, const struct path *path, struct json_value json)
{
        if (json_value_kind(json) != JSON_KIND_OBJECT)
                return wrong_type(r, path, "an object", json);
        return put_members(r, path, json);
}

static bool put_items(struct reading *r, const struct path *path, struct json_value list)
{
        struct json_walk walk = json_begin(list);
        struct json_value item;

        for (size_t i = 0; json_next_item(&walk, &item); i++) {
                const struct path here = { path, {}, i, path->depth + ITEM_DEPTH };
                size_t content = begin_message(r, LIST_VALUES);

                if (!put_value(r, &here, item) || !end_message(r, content))
                        return false;
        }
        return true;
}

static bool put_number(struct reading *r, struct json_value json)
{
        double number = json_value_number(json);
        uint64_t bits;

        memcpy(&bits, &number, sizeof bits);
        return put_fixed(r, VALUE_NUMBER, WIRE_PUT_64, bits, sizeof bits);
}

/* A Struct or a ListValue, one level below the Value at `path`. */
static bool put_inner(struct reading *r, const struct path *path, struct json_value json,
                      uint32_t field,
                      bool (*put)(struct reading *r, const struct path *path,
                                  struct json_value json))
{
        struct path inner = *path;
        size_t content;

        if (++inner.depth > VALIDATE_DEPTH_MAX)
                return fail(r, path, "too deep");
        content = begin_message(r, field);
        return put(r, &inner, json) && end_message(r, content);
}

static bool put_value(struct reading *r, const struct path *path, struct json_value json)
{
        if (path->depth > VALIDATE_DEPTH_MAX)
                return fail(r, path, "too deep");
        switch (json_value_kind(json)) {
        case JSON_KIND_NULL:
                return put_varint(r, wire_tag(VALUE_NULL, WIRE_PUT_VARINT)) && put_varint(r, 0);
        case JSON_KIND_FALSE:
        case JSON_KIND_TRUE:
                return put_varint(r, wire_tag(VALUE_BOOL, WIRE_PUT_VARINT)) &&
                       put_varint(r, json_value_kind(json) == JSON_KIND_TRUE);
        case JSON_KIND_NUMBER:
                return put_number(r, json);
        case JSON_KIND_STRING:
                return put_string(r, VALUE_STRING, json, path);
        case JSON_KIND_LIST:
                return put_inner(r, path, json, VALUE_LIST, put_items);
        default:
                return put_inner(r, path, json, VALUE_STRUCT, put_members);
        }
}

/* --- messages -----------------------------------------------------------------------------------
 */

static bool put_int32(struct reading *r, const struct path *path, uint32_t field,
                      struct json_value json)
{
        double value;

        if (json_value_kind(json) != JSON_KIND_NUMBER)
                return wrong_type(r, path, "an integer", json);
        value = json_value_number(json);
        if (value != trunc(value))
                return fail(r, path, "expected an integer, got a fraction");
        if (value < INT32_MIN || value > INT32_MAX)
                return fail(r, path, "out of range: at least %d, at most %d", INT32_MIN, INT32_MAX);
        return put_varint(r, wire_tag(field, WIRE_PUT_VARINT)) &&
               put_varint(r, (uint64_t)(int64_t)value);
}

/* JSON has no such numbers; the mapping writes them as strings. */
static bool is_special_number(struct json_value json, double *ret)
{
        static const struct {
                const char *name;
                double value;
        } numbers[] = { { "NaN", NAN }, { "Infinity", INFINITY }, { "-Infinity", -INFINITY } };

        if (json_value_kind(json) != JSON_KIND_STRING)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (json_value_is(json, numbers[i].name)) {
                        *ret = numbers[i].value;
                        return true;
                }
        return false;
}

static bool put_float(struct reading *r, const struct path *path, uint32_t field,
                      struct json_value json)
{
        double value = 0;
        bool special = is_special_number(json, &value);
        float number;
        uint32_t bits;

        if (!special && json_value_kind(json) != JSON_KIND_NUMBER)
                return wrong_type(r, path, "a number", json);
        if (!special)
                value = json_value_number(json);
        if (!special && fabs(value) > FLT_MAX)
                return fail(r, path, "out of range: at most %g", FLT_MAX);
        number = (float)value;
        memcpy(&bits, &number, sizeof bits);
        return put_fixed(r, field, WIRE_PUT_32, bits, sizeof bits);
}

static bool put_fields(struct reading *r, const struct path *path,
                       const ProtobufCMessageDescriptor *type, struct json_value json);

static bool put_message(struct reading *r, const struct path *path,
                        const ProtobufCFieldDescriptor *field, struct json_value json)
{
        size_t content = begin_message(r, field->id);

        return put_fields(r, path, field->descriptor, json) && end_message(r, content);
}

/* One value of a field: the field itself, or an element of a repeated one. */
static bool put_one(struct reading *r, const struct path *path,
                    const ProtobufCFieldDescriptor *field, struct json_value json)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
                return json_value_kind(json) == JSON_KIND_STRING
                               ? put_string(r, field->id, json, path)
                               : wrong_type(r, path, "a string", json);
        case PROTOBUF_C_TYPE_BOOL:
                if (json_value_kind(json) != JSON_KIND_TRUE &&
                    json_value_kind(json) != JSON_KIND_FALSE)
                        return wrong_type(r, path, "true or false", json);
                return put_varint(r, wire_tag(field->id, WIRE_PUT_VARINT)) &&
                       put_varint(r, json_value_kind(json) == JSON_KIND_TRUE);
        case PROTOBUF_C_TYPE_INT32:
                return put_int32(r, path, field->id, json);
        case PROTOBUF_C_TYPE_FLOAT:
                return put_float(r, path, field->id, json);
        default:
                return put_message(r, path, field, json);
        }
}

static bool put_repeated(struct reading *r, const struct path *path,
                         const ProtobufCFieldDescriptor *field, struct json_value json)
{
        struct json_walk walk = json_begin(json);
        struct json_value item;

        if (json_value_kind(json) != JSON_KIND_LIST)
                return wrong_type(r, path, "a list", json);
        for (size_t i = 0; json_next_item(&walk, &item); i++)
                if (!put_one(r, &(struct path){ path, {}, i, path->depth }, field, item))
                        return false;
        return true;
}

static bool unknown_field(struct reading *r, const struct path *path,
                          const ProtobufCMessageDescriptor *type)
{
        size_t length;
        const char *key = json_value_string(path->key, r->arena, &length);
        struct nearest nearest;

        if (!key)
                return false;
        nearest = nearest_to(key);
        for (unsigned i = 0; i < type->n_fields; i++)
                nearest_offer(&nearest, type->fields[i].name);
        if (nearest.best)
                return fail(r, path, "no such field; did you mean '%s'?", nearest.best);
        return fail(r, path, "no such field in %s", type->short_name);
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  struct json_value key)
{
        for (unsigned i = 0; i < type->n_fields; i++)
                if (json_value_is(key, type->fields[i].name))
                        return &type->fields[i];
        return NULL;
}

/* A field may stand there once: where two writers differ, nobody knows which one counts. */
static bool put_field(struct reading *r, const struct path *path,
                      const ProtobufCMessageDescriptor *type, struct json_value json,
                      uint64_t *seen)
{
        const ProtobufCFieldDescriptor *field = find_field(type, path->key);
        uint64_t bit;

        if (!field)
                return unknown_field(r, path, type);
        bit = UINT64_C(1) << (field - type->fields);
        if (*seen & bit)
                return fail(r, path, "there are two fields of this name");
        *seen |= bit;
        if (json_value_kind(json) == JSON_KIND_NULL) /* null means that the field is not set */
                return true;
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return put_repeated(r, path, field, json);
        return put_one(r, path, field, json);
}

static bool put_fields(struct reading *r, const struct path *path,
                       const ProtobufCMessageDescriptor *type, struct json_value json)
{
        struct json_walk walk = json_begin(json);
        struct json_value key, value;
        uint64_t seen = 0;

        if (type == &google__protobuf__struct__descriptor)
                return put_struct(r, path, json);
        if (json_value_kind(json) != JSON_KIND_OBJECT)
                return wrong_type(r, path, "an object", json);
        while (json_next_member(&walk, &key, &value))
                if (!put_field(r, &(struct path){ path, key, 0, path->depth + 1 }, type, value,
                               &seen))
                        return false;
        return true;
}

bool message_json_read(const ProtobufCMessageDescriptor *type, struct json_value json,
                       struct arena *arena, struct brick_bytes *ret, const char **ret_mistake)
{
        const struct path root = {};
        struct reading r = { .arena = arena, .wire = json_text(arena) };

        *ret_mistake = NULL;
        /* Most messages are not longer than their JSON. */
        json_reserve(&r.wire, json.length + 2 * VARINT_MAX);
        if (r.wire.failed)
                return false;
        if (!put_fields(&r, &root, type, json)) {
                if (!r.mistake.failed && r.mistake.length > 0)
                        *ret_mistake = r.mistake.bytes;
                return false;
        }
        *ret = (struct brick_bytes){ r.wire.bytes, r.wire.length };
        return true;
}
