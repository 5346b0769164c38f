/* SPDX-License-Identifier: MIT */

#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"

const struct brick_host *brick_host;

void brick_sdk_init(const struct brick_host *host)
{
        brick_host = host;
}

/* ---- answering -------------------------------------------------------------------------- */

/* A packed message; in `small` unless it is large. */
struct packed {
        struct brick_bytes bytes;
        uint8_t *large; /* NULL: bytes are in small */
        uint8_t small[512];
};

static int pack(struct packed *packed, const ProtobufCMessage *message)
{
        size_t size = message ? protobuf_c_message_get_packed_size(message) : 0;
        uint8_t *out = packed->small;

        packed->large = NULL;
        if (size > sizeof packed->small) {
                out = packed->large = malloc(size);
                if (!out)
                        return -ENOMEM;
        }
        if (message)
                (void)protobuf_c_message_pack(message, out);
        packed->bytes = (struct brick_bytes){ out, size };
        return 0;
}

/* After call_reserve() has failed: call_send() returns the reason. */
static int send_copy(struct brick_call *call, const ProtobufCMessage *message)
{
        struct packed packed;
        int r;

        r = pack(&packed, message);
        if (r < 0)
                return r;
        r = brick_host->call_send(call, packed.bytes);
        free(packed.large);
        return r;
}

int brick_send(struct brick_call *call, const ProtobufCMessage *message)
{
        size_t size = protobuf_c_message_get_packed_size(message);
        uint8_t *out;

        out = brick_host->call_reserve(call, size);
        if (!out)
                return send_copy(call, message);
        (void)protobuf_c_message_pack(message, out);
        return brick_host->call_commit(call, size);
}

void brick_finish(struct brick_call *call)
{
        brick_host->call_finish(call, 0, brick_str(NULL));
}

/* Fails a call as brickd does for a negative errno: hosts before 1.3 do not have call_fail_errno().
 */
static void fail_errno(struct brick_call *call, int r)
{
        enum { UNIMPLEMENTED = 12, INTERNAL = 13 };

        if (BRICK_HAS(brick_host, call_fail_errno))
                brick_host->call_fail_errno(call, r);
        else if (r == -ENOSYS)
                (void)brick_fail(call, UNIMPLEMENTED, NULL, NULL);
        else
                (void)brick_fail(call, INTERNAL, strerror(r < 0 ? -r : EINVAL), NULL);
}

/* Sends the last reply, if there is one, and finishes the call. 0: it is finished. */
static int reply(struct brick_call *call, const ProtobufCMessage *message)
{
        int r = message ? brick_send(call, message) : 0;

        /* Once the call is cancelled, brickd has decided its outcome. */
        if (r < 0 && r != -ECANCELED)
                return r;
        brick_finish(call);
        return 0;
}

void brick_end(struct brick_call *call, int r, const void *response)
{
        if (r == BRICK_TAKEN)
                return;
        if (r == 0)
                r = reply(call, response);
        if (r != 0)
                fail_errno(call, r);
}

void brick_reply(struct brick_call *call, const ProtobufCMessage *message)
{
        brick_end(call, 0, message);
}

int brick_typed_end(struct brick_frame *frame, struct brick_call *call, int r, const void *response)
{
        if (r == 0)
                r = reply(call, response);
        else if (r == BRICK_TAKEN)
                r = 0;
        else if (r > 0 && !BRICK_HAS(brick_host, call_fail_errno))
                r = -EINVAL; /* for a host that takes positive numbers for success */
        if (frame->begun)
                brick_frame_end(frame);
        return r;
}

int brick_fail(struct brick_call *call, int32_t code, const char *message, const char *detail)
{
        brick_host->call_fail(call, code, brick_str(message), brick_str(detail));
        return BRICK_TAKEN;
}

int brick_failf(struct brick_call *call, int32_t code, const char *detail, const char *format, ...)
{
        struct brick_line line;
        va_list args;

        va_start(args, format);
        brick_line_format(&line, format, args);
        va_end(args);
        brick_host->call_fail(call, code, line.text, brick_str(detail));
        brick_line_free(&line);
        return BRICK_TAKEN;
}

/* ---- calling other bricks --------------------------------------------------------------- */

int brick_child_start(struct brick_call *parent, struct brick_target *target, uint32_t method,
                      const ProtobufCMessage *request, const struct brick_child_ops *ops,
                      void *user, struct brick_child **ret)
{
        return brick_child_start_with(parent, target, method, request, NULL, ops, user, ret);
}

int brick_child_start_with(struct brick_call *parent, struct brick_target *target, uint32_t method,
                           const ProtobufCMessage *request,
                           const struct brick_child_options *options,
                           const struct brick_child_ops *ops, void *user, struct brick_child **ret)
{
        struct packed packed;
        int r;

        if (options && !BRICK_HAS(brick_host, child_start_with))
                return -ENOSYS;
        r = pack(&packed, request);
        if (r < 0)
                return r;
        r = options ? brick_host->child_start_with(parent, target, method, packed.bytes, options,
                                                   ops, user, ret)
                    : brick_host->child_start(parent, target, method, packed.bytes, ops, user, ret);
        free(packed.large);
        return r;
}

int brick_child_send(struct brick_child *child, const ProtobufCMessage *message)
{
        struct packed packed;
        int r;

        r = pack(&packed, message);
        if (r < 0)
                return r;
        r = brick_host->child_send(child, packed.bytes);
        free(packed.large);
        return r;
}

int brick_fail_as(struct brick_call *call, const struct brick_outcome *outcome)
{
        if (outcome->status != 0)
                brick_host->call_finish(call, outcome->status, outcome->message);
        else if (outcome->code != 200)
                brick_host->call_fail(call, outcome->code, outcome->message, outcome->detail);
        else
                return 0;
        return BRICK_TAKEN;
}

/* ---- memory of a call ------------------------------------------------------------------- */

void *brick_alloc(struct brick_call *call, size_t size)
{
        return brick_host->call_alloc(call, size, _Alignof(max_align_t));
}

char *brick_strndup(struct brick_call *call, const char *s, size_t length)
{
        char *copy = brick_host->call_alloc(call, length + 1, 1);

        if (!copy)
                return NULL;
        memcpy(copy, s, length);
        copy[length] = '\0';
        return copy;
}

char *brick_printf(struct brick_call *call, const char *format, ...)
{
        va_list args;
        char *s;
        int n;

        va_start(args, format);
        n = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (n < 0)
                return NULL;
        s = brick_host->call_alloc(call, (size_t)n + 1, 1);
        if (!s)
                return NULL;
        va_start(args, format);
        (void)vsnprintf(s, (size_t)n + 1, format, args);
        va_end(args);
        return s;
}

/* protobuf-c generates strings of messages as `char *`; nobody writes to them. */
char *brick_const(const char *s)
{
        char *p;

        memcpy(&p, &s, sizeof p);
        return p;
}

size_t brick_mark(struct brick_call *call)
{
        return BRICK_HAS(brick_host, call_mark) ? brick_host->call_mark(call) : 0;
}

void brick_rewind(struct brick_call *call, size_t mark)
{
        if (BRICK_HAS(brick_host, call_rewind))
                brick_host->call_rewind(call, mark);
}

int brick_option_string(const struct brick_node *config, const char *key, char **ret)
{
        const struct brick_node *node = brick_host->node_get(config, key);

        *ret = node ? strdup(brick_host->node_str(node).ptr) : NULL;
        return node && !*ret ? -ENOMEM : 0;
}

/* ---- texts that grow -------------------------------------------------------------------- */

/* Makes room for n more bytes and the NUL. The memory doubles, so all copies together have at most
 * twice the length of the text. */
static int text_grow(struct brick_text *text, size_t n)
{
        size_t need, size = text->size > 0 ? text->size : 64;
        char *copy;

        if (text->failed || __builtin_add_overflow(text->len, n, &need) || need > SIZE_MAX / 4)
                return -ENOMEM;
        while (size <= need)
                size *= 2;
        if (size == text->size)
                return 0;
        copy = brick_host->call_alloc(text->call, size, 1);
        if (!copy)
                return -ENOMEM;
        if (text->len > 0)
                memcpy(copy, text->ptr, text->len);
        text->ptr = copy;
        text->size = size;
        return 0;
}

void brick_text_add(struct brick_text *text, const char *s, size_t length)
{
        if (text_grow(text, length) < 0) {
                text->failed = 1;
                return;
        }
        if (length > 0)
                memcpy(text->ptr + text->len, s, length);
        text->len += length;
}

void brick_text_adds(struct brick_text *text, const char *s)
{
        brick_text_add(text, s, strlen(s));
}

void brick_text_vprintf(struct brick_text *text, const char *format, va_list args)
{
        va_list again;
        int n;

        va_copy(again, args);
        n = vsnprintf(NULL, 0, format, args);
        if (n < 0 || text_grow(text, (size_t)n) < 0) {
                text->failed = 1;
        } else {
                (void)vsnprintf(text->ptr + text->len, (size_t)n + 1, format, again);
                text->len += (size_t)n;
        }
        va_end(again);
}

void brick_text_printf(struct brick_text *text, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        brick_text_vprintf(text, format, args);
        va_end(args);
}

char *brick_text_end(struct brick_text *text)
{
        if (text_grow(text, 0) < 0)
                return NULL;
        text->ptr[text->len] = '\0';
        return text->ptr;
}

/* ---- messages --------------------------------------------------------------------------- */

static Struct **message_struct(void *message, const ProtobufCMessageDescriptor *type)
{
        if (type == &protocols__grpc__common__common_response__descriptor)
                return &((CommonResponse *)message)->data;
        if (type == &protocols__grpc__compose__compose_response__descriptor)
                return &((ComposeResponse *)message)->output;
        if (type == &protocols__grpc__retrieval__document__descriptor)
                return &((RetrievalDocument *)message)->metadata;
        return NULL;
}

void *brick_new(struct brick_call *call, const ProtobufCMessageDescriptor *type)
{
        void *message = brick_alloc(call, type->sizeof_message);
        Struct **member;

        if (!message)
                return NULL;
        protobuf_c_message_init(type, message);
        member = message_struct(message, type);
        if (member) {
                *member = brick_new(call, &google__protobuf__struct__descriptor);
                if (!*member)
                        return NULL;
        }
        return message;
}

void *brick_add_list(struct brick_call *call, ProtobufCMessage *message, const char *field,
                     size_t n)
{
        const ProtobufCFieldDescriptor *descriptor =
                protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field);
        void **list, **old, *offset = (char *)message + descriptor->offset;
        size_t length, size, *count = (void *)((char *)message + descriptor->quantifier_offset);

        if (__builtin_add_overflow(*count, n, &length) ||
            __builtin_mul_overflow(length, sizeof *list, &size))
                return NULL;
        list = brick_alloc(call, size);
        if (!list)
                return NULL;
        memcpy(&old, offset, sizeof old);
        if (*count > 0)
                memcpy(list, old, *count * sizeof *list);
        for (size_t i = *count; i < length; i++) {
                list[i] = descriptor->descriptor ? brick_new(call, descriptor->descriptor)
                                                 : (void *)"";
                if (!list[i])
                        return NULL;
        }
        memcpy(offset, &list, sizeof list);
        list += *count;
        *count = length;
        return list;
}

void *brick_add_one(struct brick_call *call, ProtobufCMessage *message, const char *field)
{
        void **place = brick_add_list(call, message, field, 1);

        return place ? *place : NULL;
}

int brick_add_text(struct brick_call *call, ProtobufCMessage *message, const char *field,
                   const char *string)
{
        char **place = brick_add_list(call, message, field, 1);

        if (!place)
                return -ENOMEM;
        *place = brick_const(string);
        return 0;
}
