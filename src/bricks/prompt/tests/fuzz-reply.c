/* SPDX-License-Identifier: MIT */

/*
 * What a model may reply. The first byte says as which type. What is refused has a reason; what is
 * taken is an object of the type, which is taken again when it is written anew, and makes a message
 * that protobuf can read.
 */

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLY_MAX = 4096, BLOCKS = 65536 };

static const unsigned types[] = { BRICK_TYPE_GUARD, BRICK_TYPE_INTENTION, BRICK_TYPE_RECTIFY,
                                  BRICK_TYPE_TRANSLATE, BRICK_TYPE_COMPOSE };
static char *const categories[] = { (char *)"greeting", (char *)"order", NULL };

/* The memory of a call. */
static void *blocks[BLOCKS];
static size_t n_blocks;

static void *call_alloc(struct brick_call *call, size_t size, size_t align)
{
        if (n_blocks == BLOCKS)
                return NULL;
        blocks[n_blocks] = malloc(size);
        return blocks[n_blocks++];
}

static const struct brick_host host = { .struct_size = sizeof host, .call_alloc = call_alloc };

static const ProtobufCMessageDescriptor *response_of(unsigned type)
{
        switch (type) {
        case BRICK_TYPE_GUARD:
                return BRICK_DESCRIPTOR(GuardResponse);
        case BRICK_TYPE_INTENTION:
                return BRICK_DESCRIPTOR(IntentionResponse);
        case BRICK_TYPE_RECTIFY:
                return BRICK_DESCRIPTOR(RectifyResponse);
        case BRICK_TYPE_TRANSLATE:
                return BRICK_DESCRIPTOR(TranslateResponse);
        default:
                return BRICK_DESCRIPTOR(ComposeResponse);
        }
}

static void fill(unsigned type, const json_t *object)
{
        struct brick_call *call = (struct brick_call *)&n_blocks; /* only a name */
        ProtobufCMessage *response = brick_new(call, response_of(type));
        uint8_t *packed;
        size_t size;
        void *again;

        assert(response);
        if (reply_fill(reply_shape(type), object, call, response) == 0) {
                size = protobuf_c_message_get_packed_size(response);
                packed = malloc(size + 1);
                assert(packed && protobuf_c_message_pack(response, packed) == size);
                again = brick_unpack_heap(response->descriptor,
                                          (struct brick_bytes){ packed, size });
                assert(again);
                brick_unpacked_free(again);
                free(packed);
        }
        while (n_blocks > 0)
                free(blocks[--n_blocks]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        unsigned type = size > 0 ? types[data[0] % 5] : BRICK_TYPE_GUARD;
        struct reply_rules rules = { reply_shape(type), categories, REPLY_MAX };
        const char *text = (const char *)data + (size > 0);
        size_t length = size > 0 ? size - 1 : 0;
        struct reply_reason reason = { "" };
        json_t *object, *again;
        char *dump;

        brick_sdk_init(&host);
        object = reply_parse(&rules, text, length, &reason);
        if (object) {
                dump = json_dumps(object, JSON_COMPACT);
                assert(dump && !reason.text[0]);
                rules.max = strlen(dump);
                again = reply_parse(&rules, dump, strlen(dump), &reason);
                assert(again && json_equal(object, again));
                fill(type, object);
                free(dump);
                json_decref(again);
                json_decref(object);
        } else {
                assert(reason.text[0]);
        }
        rules.max = REPLY_MAX;
        if (reply_plain(&rules, &text, &length, &reason) == 0)
                assert(length > 0 && length <= REPLY_MAX && !memchr(" \t\r\n", text[0], 4));
        return 0;
}
