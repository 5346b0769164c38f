/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/json-read.h"

/* JSON is read as jansson reads it. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena arena;

static void compare(struct json_value value, json_t *other);

static void compare_string(struct json_value value, const char *text, size_t length)
{
        size_t n;
        const char *s = json_value_string(value, &arena, &n);

        if (!s || n != length || memcmp(s, text, n) != 0)
                abort();
        if (strlen(text) == length && !json_value_is(value, text))
                abort();
}

static void compare_list(struct json_value value, json_t *other)
{
        struct json_walk walk = json_begin(value);
        struct json_value item;
        size_t n = 0;

        while (json_next_item(&walk, &item))
                compare(item, json_array_get(other, n++));
        if (n != json_array_size(other))
                abort();
}

/* Of duplicate keys, jansson keeps the last: only the others are compared. */
static void compare_object(struct json_value value, json_t *other)
{
        struct json_walk walk = json_begin(value);
        struct json_value key, member;
        size_t n = 0, length;

        while (json_next_member(&walk, &key, &member)) {
                const char *name = json_value_string(key, &arena, &length);
                json_t *found = name ? json_object_get(other, name) : NULL;

                n++;
                if (strlen(name) == length && !found)
                        abort();
                if (json_object_size(other) == 1 && walk.at == walk.end && n == 1)
                        compare(member, found);
        }
        if (n < json_object_size(other))
                abort();
}

static void compare(struct json_value value, json_t *other)
{
        int64_t i;

        switch (json_value_kind(value)) {
        case JSON_KIND_NULL:
                if (!json_is_null(other))
                        abort();
                return;
        case JSON_KIND_FALSE:
        case JSON_KIND_TRUE:
                if (!json_is_boolean(other) ||
                    json_is_true(other) != (json_value_kind(value) == JSON_KIND_TRUE))
                        abort();
                return;
        case JSON_KIND_NUMBER:
                if (!json_is_number(other) || json_value_number(value) != json_number_value(other))
                        abort();
                if (json_is_integer(other) &&
                    (!json_value_integer(value, &i) || i != json_integer_value(other)))
                        abort();
                return;
        case JSON_KIND_STRING:
                compare_string(value, json_string_value(other), json_string_length(other));
                return;
        case JSON_KIND_LIST:
                compare_list(value, other);
                return;
        case JSON_KIND_OBJECT:
                compare_object(value, other);
                return;
        }
}

/* What this reader takes and jansson does not: halves of surrogate pairs, large integers, and keys
 * with a NUL. Where a text has none of them, both agree. */
static bool is_disputed(const char *text, size_t size, const char *mistake)
{
        return memmem(text, size, "\\u", 2) || strstr(mistake, "too big") || strstr(mistake, "NUL");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        struct json_mistake mistake;
        struct json_value value;
        json_error_t error;
        json_t *other = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

        arena_init(&arena, 1 << 20);
        if (json_check(text, size, &value, &mistake)) {
                if (other)
                        compare(value, other);
                else if (!is_disputed(text, size, error.text))
                        abort();
        } else if (other && !memchr(text, '\0', size) && /* which ends a text for jansson */
                   strcmp(mistake.text, "too deep") != 0 &&
                   strcmp(mistake.text, "the number is too large") != 0) {
                abort();
        }
        arena_done(&arena);
        json_decref(other);
        return 0;
}
