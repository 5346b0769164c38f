/* SPDX-License-Identifier: MIT */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"

/* Stack that unpacking may use: some 400 levels of nesting. protobuf-c itself has no limit. */
#define UNPACK_STACK_MAX (256 * 1024)

/* Memory that one message may take on the heap: two bytes on the wire can become fifty. */
#define HEAP_MESSAGE_MAX (64 * 1024 * 1024)

const struct brick_host *brick_host;

void brick_sdk_init(const struct brick_host *host)
{
        brick_host = host;
}

/* ---- unpacking -------------------------------------------------------------------------- */

struct unpacker {
        struct brick_call *call; /* NULL: from the heap, up to budget */
        size_t budget;
        const char *stack;
        bool out_of_memory;
};

/* protobuf-c allocates before it descends, so this is where its recursion can be stopped. */
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

/* Whether 8 * n bytes are ASCII: most text is, and many at a time are looked at. */
static bool is_ascii(const unsigned char *p, size_t n)
{
        uint64_t all = 0, word;

        for (size_t i = 0; i < n; i++) {
                memcpy(&word, p + 8 * i, sizeof word);
                all |= word;
        }
        return !(all & UINT64_C(0x8080808080808080));
}

static bool utf8_valid(const char *string)
{
        const unsigned char *p = (const unsigned char *)string, *end = p + strlen(string);

        while (p < end) {
                unsigned n, min, c;

                if (end - p >= 32 && is_ascii(p, 4)) {
                        p += 32;
                        continue;
                }
                if (end - p >= 8 && is_ascii(p, 1)) {
                        p += 8;
                        continue;
                }
                c = *p++;
                if (c < 0x80)
                        continue;
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

/* protobuf-c does not look at the bytes of a string. */
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

int brick_read(struct brick_call *call, CommonRequest **message)
{
        struct brick_bytes bytes;
        void *unpacked;
        int r;

        brick_read_end(message);
        r = brick_host->call_read(call, &bytes);
        if (r <= 0)
                return r;
        r = unpack_heap(&protocols__grpc__common__common_request__descriptor, bytes, &unpacked);
        if (r < 0)
                return r;
        *message = unpacked;
        return 1;
}

void brick_read_end(CommonRequest **message)
{
        brick_unpacked_free(*message);
        *message = NULL;
}

/* ---- answering -------------------------------------------------------------------------- */

/* call_reserve() does not say why it gave nothing; call_send() does. */
static int send_copy(struct brick_call *call, const ProtobufCMessage *message, size_t size)
{
        uint8_t small[512], *buffer = size <= sizeof small ? small : malloc(size);
        int r;

        if (!buffer)
                return -ENOMEM;
        (void)protobuf_c_message_pack(message, buffer);
        r = brick_host->call_send(call, (struct brick_bytes){ buffer, size });
        if (buffer != small)
                free(buffer);
        return r;
}

int brick_send(struct brick_call *call, const ProtobufCMessage *message)
{
        size_t size = protobuf_c_message_get_packed_size(message);
        uint8_t *out;

        out = brick_host->call_reserve(call, size);
        if (!out)
                return send_copy(call, message, size);
        (void)protobuf_c_message_pack(message, out);
        return brick_host->call_commit(call, size);
}

void brick_finish(struct brick_call *call)
{
        brick_host->call_finish(call, 0, brick_str(NULL));
}

void brick_reply(struct brick_call *call, const ProtobufCMessage *message)
{
        int r;

        r = brick_send(call, message);
        if (r == 0 || r == -ECANCELED)
                brick_finish(call);
        else if (r == -EMSGSIZE)
                (void)brick_fail(call, BRICK_E_INTERNAL,
                                 "The reply is larger than the port allows.", NULL);
        else
                (void)brick_failf(call, BRICK_E_INTERNAL, NULL, "The reply cannot be sent: %s.",
                                  strerror(-r));
}

int brick_fail(struct brick_call *call, int32_t code, const char *message, const char *detail)
{
        brick_host->call_fail(call, code, brick_str(message), brick_str(detail));
        return BRICK_TAKEN;
}

int brick_failf(struct brick_call *call, int32_t code, const char *detail, const char *format, ...)
{
        char message[1024];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(message, sizeof message, format, args);
        va_end(args);
        return brick_fail(call, code, message, detail);
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

const Value *brick_struct_get(const Struct *object, const char *key)
{
        for (size_t i = 0; object && i < object->n_fields; i++)
                if (strcmp(object->fields[i]->key, key) == 0)
                        return object->fields[i]->value;
        return NULL;
}

const char *brick_struct_get_string(const Struct *object, const char *key)
{
        const Value *value = brick_struct_get(object, key);

        if (!value || value->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
                return NULL;
        return value->string_value;
}

Value *brick_struct_add(struct brick_call *call, Struct *object, const char *key)
{
        Value *value = brick_new(call, &google__protobuf__value__descriptor);
        Google__Protobuf__Struct__FieldsEntry *entry;

        if (!value)
                return NULL;
        entry = brick_add(call, object, fields);
        if (!entry)
                return NULL;
        entry->key = (char *)key;
        entry->value = value;
        return value;
}

int brick_struct_add_string(struct brick_call *call, Struct *object, const char *key,
                            const char *string)
{
        Value *value = brick_struct_add(call, object, key);

        if (!value)
                return -ENOMEM;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        value->string_value = (char *)string;
        return 0;
}

int brick_struct_add_number(struct brick_call *call, Struct *object, const char *key, double number)
{
        Value *value = brick_struct_add(call, object, key);

        if (!value)
                return -ENOMEM;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        value->number_value = number;
        return 0;
}

int brick_struct_add_bool(struct brick_call *call, Struct *object, const char *key, int truth)
{
        Value *value = brick_struct_add(call, object, key);

        if (!value)
                return -ENOMEM;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        value->bool_value = !!truth;
        return 0;
}

/* ---- typed bricks ----------------------------------------------------------------------- */

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

ServiceInfoResponse *brick_service_info(struct brick_call *call, const struct brick_module *module)
{
        const uint32_t streams = 1u << BRICK_METHOD_OUTPUT_STREAMING;
        ServiceInfoResponse *info;
        ModelInfo *model;

        info = brick_new(call, &protocols__grpc__common__service_info_response__descriptor);
        if (!info)
                return NULL;
        model = brick_add(call, info, models);
        if (!model)
                return NULL;
        info->service_name = model->model_id = (char *)module->name;
        info->version = model->version = (char *)module->version;
        model->description = (char *)module->summary;
        model->support_streaming = (module->methods & streams) != 0;
        return info;
}

/* What a brick without state has for an instance. */
static int create_stateless(const struct brick_host *host, struct brick_ctx *ctx,
                            const struct brick_node *config, struct brick_instance **ret)
{
        *ret = (struct brick_instance *)ctx;
        return 0;
}

static void destroy_stateless(struct brick_instance *self)
{
}

const struct brick_module *brick_typed_module(struct brick_typed *self,
                                              const struct brick_module *given)
{
        struct brick_module *module = &self->module;

        if (module->magic == BRICK_MAGIC)
                return module;
        if (!module->create && !module->destroy) {
                module->create = create_stateless;
                module->destroy = destroy_stateless;
        }
        self->create = module->create;
        if (module->create)
                module->create = given->create;
        module->start = given->start;
        module->type = given->type;
        module->methods = given->methods;
        module->abi_major = BRICK_ABI_MAJOR;
        module->abi_minor = BRICK_ABI_MINOR;
        module->struct_size = sizeof *module;
        module->option_size = sizeof *module->options;
        module->magic = BRICK_MAGIC;
        return module;
}

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

int brick_typed_end(struct brick_call *call, int r, const void *response)
{
        if (r != 0)
                return r < 0 ? r : 0;
        if (response)
                brick_reply(call, response);
        else
                brick_finish(call);
        return 0;
}
