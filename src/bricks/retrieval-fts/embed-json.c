/* SPDX-License-Identifier: MIT */
#include "embed-json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "scope.h"
#include "unicode.h"
#include "vector.h"

static json_t *with_prefix(const char *prefix, const char *text)
{
        return json_sprintf("%s%s", prefix, text);
}

char *embed_request(const char *model, const char *input_type, const char *prefix,
                    const char *const *texts, size_t n)
{
        json_auto_t *request = NULL;
        json_t *input = json_array();

        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(input, with_prefix(prefix, texts[i])) < 0) {
                        json_decref(input);
                        return NULL;
                }
        request = json_pack("{s:s, s:s, s:o}", "model", model, "encoding_format", "float", "input",
                            input);
        if (!request || (input_type[0] &&
                         json_object_set_new(request, "input_type", json_string(input_type)) < 0))
                return NULL;
        return json_dumps(request, JSON_COMPACT);
}

__attribute__((format(printf, 2, 3))) static int bad(char *error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(error, EMBED_ERROR_SIZE, format, args);
        va_end(args);
        return -EBADMSG;
}

static int numbers_get(const json_t *list, size_t n, float *ret, char *error)
{
        for (size_t i = 0; i < n; i++) {
                const json_t *number = json_array_get(list, i);

                ret[i] = (float)json_number_value(number);
                if (!json_is_number(number) || !isfinite(ret[i]))
                        return bad(error, "a component of a vector is no finite number");
        }
        return 0;
}

/* The vector of the item at a place in the list. *seen: whether its text has a vector already. */
static int item_get(const json_t *item, size_t place, size_t n, size_t *dimension, float **ret,
                    bool *seen, char *error)
{
        const json_t *list = json_object_get(item, "embedding");
        const json_t *index = json_object_get(item, "index");
        json_int_t at = json_is_integer(index) ? json_integer_value(index) : (json_int_t)place;
        size_t size = json_array_size(list);

        if (!json_is_array(list))
                return bad(error, "an item of \"data\" has no list \"embedding\"");
        if (at < 0 || at >= (json_int_t)n || seen[at])
                return bad(error, "the items of \"data\" are not one for each text");
        seen[at] = true;
        if (size == 0 || size > VECTOR_DIMENSION_MAX)
                return bad(error, "a vector has %zu components, not 1 to %d", size,
                           VECTOR_DIMENSION_MAX);
        if (*dimension == 0)
                *dimension = size;
        if (size != *dimension)
                return bad(error, "a vector has %zu components, others have %zu", size, *dimension);
        if (!*ret)
                *ret = calloc(n, size * sizeof **ret);
        return *ret ? numbers_get(list, size, *ret + at * size, error) : -ENOMEM;
}

/* Makes it one line of valid UTF-8. It may have been cut inside of a character, also by jansson. */
static void flatten(char *s)
{
        size_t n = strlen(s), length;

        for (size_t i = 0; i < n; i += length) {
                if (unicode_get(s + i, n - i, &length) < 0x20 || s[i] == 0x7f)
                        s[i] = ' ';
                else if (length == 1 && (unsigned char)s[i] >= 0x80)
                        s[i] = '?';
        }
}

void embed_answer_error(const char *json, size_t size, char ret[static EMBED_ERROR_SIZE])
{
        json_auto_t *answer = json_loadb(json, size, 0, NULL);
        const json_t *error = json_object_get(answer, "error");
        const char *text;

        text = json_string_value(error) ?: json_string_value(json_object_get(error, "message"));
        if (!text)
                text = json_string_value(json_object_get(answer, "message"));
        (void)snprintf(ret, EMBED_ERROR_SIZE, "%s", text ?: "");
        flatten(ret);
}

int embed_answer(const char *json, size_t size, size_t n, size_t *dimension, float **ret,
                 char error[static EMBED_ERROR_SIZE])
{
        _cleanup_free_ float *vectors = NULL;
        _cleanup_free_ bool *seen = calloc(n, sizeof *seen);
        json_auto_t *answer = NULL;
        json_error_t why;
        const json_t *data, *item;
        size_t i;
        int r;

        if (!seen)
                return -ENOMEM;
        answer = json_loadb(json, size, 0, &why);
        if (!answer) {
                (void)bad(error, "the answer is not JSON: %s", why.text);
                flatten(error);
                return -EBADMSG;
        }
        data = json_object_get(answer, "data");
        if (!json_is_array(data)) {
                embed_answer_error(json, size, error);
                return error[0] ? -EBADMSG : bad(error, "the answer has no list \"data\"");
        }
        if (json_array_size(data) != n)
                return bad(error, "%zu vectors for %zu texts", json_array_size(data), n);
        json_array_foreach(data, i, item)
        {
                r = item_get(item, i, n, dimension, &vectors, seen, error);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(vectors);
        return 0;
}
