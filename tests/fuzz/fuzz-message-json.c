/* SPDX-License-Identifier: MIT */

/*
 * The JSON mapping of the HTTP door beside brickctl's, which is built on other libraries: any bytes
 * as a request that a client writes and as a reply that a brick sends. Both take the same requests,
 * make the same messages of them, refuse the others with the same words, and show the same replies.
 * The first byte says of which service.
 */

#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "brick.h"
#include "ctl/json.h"
#include "ctl/service.h"
#include "http/message-json.h"
#include "serve/validate.h"
#include "serve/wire-read.h"
#include "util/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like json_equal(), but 2 is 2.0, and brickctl shows a string up to the first NUL in it. */
static bool is_same(const json_t *a, const json_t *b)
{
        const char *key;
        json_t *value;
        size_t i;

        if (json_is_number(a) && json_is_number(b))
                return json_number_value(a) == json_number_value(b);
        if (json_typeof(a) != json_typeof(b))
                return false;
        if (json_is_string(a))
                return strcmp(json_string_value(a), json_string_value(b)) == 0;
        if (json_is_array(a)) {
                if (json_array_size(a) != json_array_size(b))
                        return false;
                json_array_foreach((json_t *)a, i,
                                   value) if (!is_same(value, json_array_get(b, i))) return false;
                return true;
        }
        if (!json_is_object(a))
                return json_equal(a, b);
        if (json_object_size(a) != json_object_size(b))
                return false;
        json_object_foreach((json_t *)a, key,
                            value) if (!json_object_get(b, key) ||
                                       !is_same(value, json_object_get(b, key))) return false;
        return true;
}

/* Whether a message in it comes in several parts, which protobuf-c joins wrongly: it takes a number
 * that the last part does not have for 0. */
static bool has_parts(const ProtobufCMessageDescriptor *type, struct brick_bytes bytes)
{
        uint64_t seen = 0;
        struct wire_field field;

        while (wire_next_field(&bytes, &field)) {
                const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(
                        type, field.number);

                if (!known || known->type != PROTOBUF_C_TYPE_MESSAGE)
                        continue;
                if (has_parts(known->descriptor, field.content) ||
                    (known->label != PROTOBUF_C_LABEL_REPEATED && seen & UINT64_C(1)
                                                                                  << field.number))
                        return true;
                seen |= UINT64_C(1) << field.number;
        }
        return false;
}

/* What the door writes is what brickctl prints. */
static void check_written(const ProtobufCMessageDescriptor *type, struct brick_bytes bytes,
                          struct arena *arena)
{
        _cleanup_(message_freep)
                ProtobufCMessage *message = message_unpack(type, bytes.ptr, bytes.len);
        _cleanup_(json_unrefp) json_t *want = NULL, *got = NULL;
        struct json_text text = json_text(arena);
        struct json_mistake mistake;
        struct json_value value;
        json_error_t error;

        if (!message)
                return;
        want = message_to_json(message);
        message_json_write(&text, type, bytes, 0);
        if (text.failed)
                return;
        got = json_loadb(text.bytes, text.length, JSON_ALLOW_NUL, &error);
        assert(json_check(text.bytes, text.length, &value, &mistake) ||
               strcmp(mistake.text, "too deep") == 0);
        if (has_parts(type, bytes))
                return;
        if (!got) /* jansson takes no key with a NUL in it */
                assert(memmem(text.bytes, text.length, "\\u0000", 6));
        else
                assert(want && is_same(want, got));
}

static void read_reply(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                       struct arena *arena)
{
        if (validate_message(type, bytes, size, 0))
                check_written(type, (struct brick_bytes){ bytes, size }, arena);
}

static void check_refused(const char *got, const char *want)
{
        if (!got)
                return; /* the arena is full */
        if (strstr(got, "…") || strstr(got, "too deep") || strstr(got, "two fields") ||
            strstr(got, "NUL"))
                return; /* only the door says so */
        assert(want && strcmp(got, want) == 0);
}

/* What the door reads is the message that brickctl sends. */
static void write_request(const ProtobufCMessageDescriptor *type, const char *bytes, size_t size,
                          struct arena *arena)
{
        _cleanup_(message_freep) ProtobufCMessage *want = NULL, *got = NULL;
        _cleanup_(json_unrefp) json_t *json = NULL, *shown = NULL, *again = NULL;
        _cleanup_free_ char *error = NULL;
        struct json_mistake mistake;
        struct json_value value;
        struct brick_bytes wire;
        json_error_t syntax;
        const char *refused;
        int r;

        if (!json_check(bytes, size, &value, &mistake))
                return;
        json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &syntax);
        if (!json) {
                (void)message_json_read(type, value, arena, &wire, &refused);
                return;
        }
        r = message_from_json(type, json, &want, &error);
        if (!message_json_read(type, value, arena, &wire, &refused)) {
                check_refused(refused, error);
                return;
        }
        assert(r == 0 && validate_message(type, wire.ptr, wire.len, 0));
        got = message_unpack(type, wire.ptr, wire.len);
        assert(got);
        shown = message_to_json(want);
        again = message_to_json(got);
        assert(shown && again && json_equal(shown, again));
        check_written(type, wire, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const ProtobufCMethodDescriptor *types;
        struct arena arena;

        if (size == 0)
                return 0;
        types = service_method(&services[data[0] % 8], method_find("Unary"));
        arena_init(&arena, 64 << 20);
        write_request(types->input, (const char *)data + 1, size - 1, &arena);
        read_reply(types->output, data + 1, size - 1, &arena);
        arena_done(&arena);
        return 0;
}
