/* SPDX-License-Identifier: MIT */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"
#include "util/ascii.h"

/* The stack that unpacking may use, for about 400 levels of nesting. protobuf-c has no limit. */
#define UNPACK_STACK_MAX (256 * 1024)

/* The memory of one message on the heap: two bytes on the wire can become fifty. */
#define HEAP_MESSAGE_MAX (64 * 1024 * 1024)

struct unpacker {
        struct brick_call *call; /* NULL: from the heap, up to budget */
        size_t budget;
        const char *stack;
        bool out_of_memory;
};

/* Called for each allocation, because protobuf-c allocates before it descends: a failure stops the
 * recursion. */
static bool unpacker_too_deep(const struct unpacker *unpacker)
{
        const char *here = __builtin_frame_address(0);

        return unpacker->stack - here > UNPACK_STACK_MAX;
}

static void *unpacker_alloc_arena(void *data, size_t size)
{
        struct unpacker *unpacker = data;
        void *p;

        if (unpacker_too_deep(unpacker))
                return NULL;
        p = brick_alloc(unpacker->call, size);
        unpacker->out_of_memory |= !p;
        return p;
}

static void unpacker_free_arena(void *data, void *p)
{
}

static void *unpacker_alloc_heap(void *data, size_t size)
{
        struct unpacker *unpacker = data;
        void *p = NULL;

        if (unpacker_too_deep(unpacker))
                return NULL;
        if (size <= unpacker->budget)
                p = malloc(size);
        unpacker->out_of_memory |= !p;
        if (p)
                unpacker->budget -= size;
        return p;
}

static void unpacker_free_heap(void *data, void *p)
{
        free(p);
}

static bool utf8_valid(const char *string)
{
        const unsigned char *p = (const unsigned char *)string, *end = p + strlen(string);

        while (p < end) {
                unsigned n, min, c;

                p += ascii_prefix((const char *)p, (size_t)(end - p));
                if (p == end)
                        break;
                c = *p++;
                if (c >= 0xc2 && c < 0xe0) {
                        n = 1, min = 0x80, c &= 0x1f;
                } else if (c >= 0xe0 && c < 0xf0) {
                        n = 2, min = 0x800, c &= 0x0f;
                } else if (c >= 0xf0 && c < 0xf5) {
                        n = 3, min = 0x10000, c &= 0x07;
                } else {
                        return false;
                }
                while (n-- > 0) {
                        if ((*p & 0xc0) != 0x80)
                                return false;
                        c = c << 6 | (*p++ & 0x3f);
                }
                if (c < min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                        return false;
        }
        return true;
}

static bool strings_valid(const ProtobufCMessage *message);

static bool value_valid(const ProtobufCFieldDescriptor *field, const void *value)
{
        return !value ||
               (field->type == PROTOBUF_C_TYPE_STRING ? utf8_valid(value) : strings_valid(value));
}

static bool field_valid(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
        const char *base = (const char *)message;
        const void *value, *const *list;
        uint32_t which;
        size_t n;

        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
                memcpy(&which, base + field->quantifier_offset, sizeof which);
                if (which != field->id)
                        return true;
        }
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
                memcpy(&value, base + field->offset, sizeof value);
                return value_valid(field, value);
        }
        memcpy(&n, base + field->quantifier_offset, sizeof n);
        memcpy(&list, base + field->offset, sizeof list);
        for (size_t i = 0; i < n; i++)
                if (!value_valid(field, list[i]))
                        return false;
        return true;
}

/* Checks the strings of a message: protobuf-c does not. */
static bool strings_valid(const ProtobufCMessage *message)
{
        const ProtobufCMessageDescriptor *type = message->descriptor;

        for (unsigned i = 0; i < type->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &type->fields[i];

                if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
                        continue;
                if (!field_valid(message, field))
                        return false;
        }
        return true;
}

static int unpack_arena(struct brick_call *call, const ProtobufCMessageDescriptor *type,
                        struct brick_bytes bytes, void **ret)
{
        struct unpacker unpacker = { .call = call, .stack = __builtin_frame_address(0) };
        ProtobufCAllocator allocator = { unpacker_alloc_arena, unpacker_free_arena, &unpacker };
        ProtobufCMessage *message;

        message = protobuf_c_message_unpack(type, &allocator, bytes.len, bytes.ptr);
        if (!message)
                return unpacker.out_of_memory ? -ENOMEM : -EBADMSG;
        if (!strings_valid(message))
                return -EBADMSG;
        *ret = message;
        return 0;
}

void *brick_unpack(struct brick_call *call, const ProtobufCMessageDescriptor *type,
                   struct brick_bytes bytes)
{
        void *message = NULL;

        (void)unpack_arena(call, type, bytes, &message);
        return message;
}

static int unpack_heap(const ProtobufCMessageDescriptor *type, struct brick_bytes bytes, void **ret)
{
        struct unpacker unpacker = { .budget = HEAP_MESSAGE_MAX,
                                     .stack = __builtin_frame_address(0) };
        ProtobufCAllocator allocator = { unpacker_alloc_heap, unpacker_free_heap, &unpacker };
        ProtobufCMessage *message;

        message = protobuf_c_message_unpack(type, &allocator, bytes.len, bytes.ptr);
        if (!message)
                return unpacker.out_of_memory ? -ENOMEM : -EBADMSG;
        if (!strings_valid(message)) {
                brick_unpacked_free(message);
                return -EBADMSG;
        }
        *ret = message;
        return 0;
}

void *brick_unpack_heap(const ProtobufCMessageDescriptor *type, struct brick_bytes bytes)
{
        void *message = NULL;

        (void)unpack_heap(type, bytes, &message);
        return message;
}

void brick_unpacked_free(void *message)
{
        if (message)
                protobuf_c_message_free_unpacked(message, NULL);
}

/* ---- streams ---------------------------------------------------------------------------- */

/* The handler that runs on this thread. */
static _Thread_local struct brick_frame *innermost;

void brick_frame_begin(struct brick_frame *frame)
{
        frame->outer = innermost;
        frame->begun = 1;
        innermost = frame;
}

void brick_frame_end(struct brick_frame *frame)
{
        brick_unpacked_free(frame->last_read);
        innermost = frame->outer;
}

int brick_read(struct brick_call *call, CommonRequest **message)
{
        struct brick_bytes bytes;
        void *unpacked = NULL;
        int r;

        r = brick_host->call_read(call, &bytes);
        if (r == 1)
                r = unpack_heap(&protocols__grpc__common__common_request__descriptor, bytes,
                                &unpacked);
        if (!unpacked) {
                brick_read_end(message);
                return r;
        }
        brick_unpacked_free(*message);
        *message = unpacked;
        return 1;
}

/* The handler's response may point into the last message, and is packed after the handler has
 * returned. */
void brick_read_end(CommonRequest **message)
{
        if (!*message)
                return;
        if (innermost) {
                brick_unpacked_free(innermost->last_read);
                innermost->last_read = *message;
        } else {
                brick_unpacked_free(*message);
        }
        *message = NULL;
}

/* ---- the request of a call -------------------------------------------------------------- */

static const struct {
        const ProtobufCMessageDescriptor *request, *response;
} typed[] = {
        [BRICK_TYPE_COMMON] = { &protocols__grpc__common__common_request__descriptor,
                                &protocols__grpc__common__common_response__descriptor },
        [BRICK_TYPE_RECTIFY] = { &protocols__grpc__rectify__rectify_request__descriptor,
                                 &protocols__grpc__rectify__rectify_response__descriptor },
        [BRICK_TYPE_INTENTION] = { &protocols__grpc__intention__intention_request__descriptor,
                                   &protocols__grpc__intention__intention_response__descriptor },
        [BRICK_TYPE_GUARD] = { &protocols__grpc__guard__guard_request__descriptor,
                               &protocols__grpc__guard__guard_response__descriptor },
        [BRICK_TYPE_LLM] = { &protocols__grpc__llm__llmrequest__descriptor,
                             &protocols__grpc__llm__llmresponse__descriptor },
        [BRICK_TYPE_COMPOSE] = { &protocols__grpc__compose__compose_request__descriptor,
                                 &protocols__grpc__compose__compose_response__descriptor },
        [BRICK_TYPE_RETRIEVAL] = { &protocols__grpc__retrieval__retrieval_request__descriptor,
                                   &protocols__grpc__retrieval__retrieval_response__descriptor },
        [BRICK_TYPE_TRANSLATE] = { &protocols__grpc__translate__translate_request__descriptor,
                                   &protocols__grpc__translate__translate_response__descriptor },
};

int brick_begin(struct brick_call *call, unsigned type, void **ret_request, void **ret_response)
{
        int r = 0;

        if (ret_request)
                r = unpack_arena(call, typed[type].request, brick_host->call_request(call),
                                 ret_request);
        if (r == 0 && ret_response) {
                *ret_response = brick_new(call, typed[type].response);
                r = *ret_response ? 0 : -ENOMEM;
        }
        return r;
}
