/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common.pb-c.h"
#include "llm.pb-c.h"
#include "serve/service.h"
#include "serve/validate.h"
#include "util/cleanup.h"

#define LLM (&protocols__grpc__llm__llmrequest__descriptor)
#define COMMON (&protocols__grpc__common__common_request__descriptor)
#define BYTES(s) (s), sizeof(s) - 1

static const struct {
        const char *what;
        const char *bytes;
        size_t length;
        bool valid;
} rows[] = {
        { "nothing", BYTES(""), true },
        { "a prompt", BYTES("\x12\x02ok"), true },
        { "all of it",
          BYTES("\x0a\x01m\x12\x01p\x1a\x09\x0a\x04user\x12\x01"
                "c\x22\x01"
                "c*\x01s2\x01r:\x02"
                "enE333?H\x07"),
          true },
        { "an unknown field", BYTES("\x12\x02ok\x9a\x06\x03xyz"), true },
        { "an unknown number", BYTES("\xa0\x06\x01"), true },
        { "a string that is cut", BYTES("\x12\x05ok"), false },
        { "a length that is cut", BYTES("\x12\xff"), false },
        { "a length without end", BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
          false },
        { "a length of nearly 2^64", BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"),
          false },
        { "a length in five bytes", BYTES("\x12\x82\x80\x80\x80\x00ok"), true },
        { "a length in six bytes", BYTES("\x12\x82\x80\x80\x80\x80\x00ok"), false },
        { "a length in ten bytes", BYTES("\x12\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00ok"), false },
        { "a length of 2^32 + 2", BYTES("\x12\x82\x80\x80\x80\x10ok"), false },
        { "a length in six bytes of an unknown field", BYTES("\xa2\x06\x80\x80\x80\x80\x80\x00"),
          false },
        { "a length in six bytes within a message", BYTES("\x1a\x07\x0a\x80\x80\x80\x80\x80\x00"),
          false },
        { "a number in ten bytes", BYTES("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), true },
        { "a number in eleven bytes", BYTES("\x48\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
          false },
        { "a tag in five bytes", BYTES("\x92\x80\x80\x80\x00\x02ok"), true },
        { "a tag in six bytes", BYTES("\x92\x80\x80\x80\x80\x00\x02ok"), false },
        { "a tag of 33 bits", BYTES("\x92\x80\x80\x80\x10\x02ok"), false },
        { "not UTF-8", BYTES("\x12\x02\xc3\x28"), false },
        { "an overlong form", BYTES("\x12\x02\xc0\x80"), false },
        { "a surrogate", BYTES("\x12\x03\xed\xa0\x80"), false },
        { "Chinese", BYTES("\x12\x06\xe4\xbd\xa0\xe5\xa5\xbd"), true },
        { "not UTF-8 within a message", BYTES("\x1a\x04\x0a\x02\xff\xfe"), false },
        { "a string as a number", BYTES("\x10\x01"), false },
        { "a float as a varint", BYTES("\x40\x01"), false },
        { "a float that is cut", BYTES("\x45\x33\x33"), false },
        { "field 0", BYTES("\x02\x01x"), false },
        { "a group", BYTES("\x13\x14"), false },
        { "wire type 7", BYTES("\x17"), false },
};

static void test_rows(void)
{
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (validate_message(LLM, rows[i].bytes, rows[i].length, 0) != rows[i].valid) {
                        (void)fprintf(stderr, "%s: expected to be %s\n", rows[i].what,
                                      rows[i].valid ? "valid" : "invalid");
                        abort();
                }
}

/* A Value in a list in a Value in a list ... */
static size_t nest(unsigned depth, uint8_t **ret)
{
        size_t size = (size_t)depth * 12 + 16, at = size, length = 0;
        uint8_t *bytes = malloc(size);

        assert(bytes);
        for (unsigned i = 0; i < depth; i++) {
                uint8_t head[6];
                size_t n = 0;

                head[n++] = i % 2 ? 0x32 : 0x0a; /* Value.list_value, ListValue.values */
                for (size_t v = length; n == 1 || v > 0; v >>= 7)
                        head[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
                at -= n;
                memcpy(bytes + at, head, n);
                length += n;
        }
        memmove(bytes, bytes + at, length);
        *ret = bytes;
        return length;
}

static void test_depth(void)
{
        static const unsigned depths[] = { 10, 99, 100, 101, 102, 1000, 100000 };

        for (size_t i = 0; i < ELEMENTSOF(depths); i++) {
                _cleanup_free_ uint8_t *bytes = NULL;
                size_t length = nest(depths[i], &bytes);
                const ProtobufCMessageDescriptor *type =
                        depths[i] % 2 ? &google__protobuf__list_value__descriptor
                                      : &google__protobuf__value__descriptor;

                assert(validate_message(type, bytes, length, 0) ==
                       (depths[i] <= VALIDATE_DEPTH_MAX));
        }
}

static void test_forbidden(void)
{
        static const char reply[] = "\x0a\x02t0\x22\x03\x08\xc8\x01";
        const ProtobufCMessageDescriptor *type = &protocols__grpc__llm__llmresponse__descriptor;

        assert(validate_message(type, reply, sizeof reply - 1, 0));
        assert(!validate_message(type, reply, sizeof reply - 1, 4));
        assert(validate_message(type, reply, 4, 4));
}

static void test_find_string(void)
{
        static const char bytes[] = "\x0a\x01m\x12\x01p2\x03r-12\x03r-2";
        size_t length;

        assert(memcmp(validate_find_string(bytes, sizeof bytes - 1, 1, &length), "m", 1) == 0 &&
               length == 1);
        assert(memcmp(validate_find_string(bytes, sizeof bytes - 1, 6, &length), "r-2", 3) == 0 &&
               length == 3);
        assert(!validate_find_string(bytes, sizeof bytes - 1, 5, &length) && length == 0);
        assert(!validate_find_string(NULL, 0, 5, &length));
}

/* What serve/validate.h takes for granted. A Value may hold a Struct may hold a Value. */
static void check_not_packed(const ProtobufCMessageDescriptor *type, unsigned depth)
{
        for (unsigned i = 0; i < type->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &type->fields[i];

                assert(field->label != PROTOBUF_C_LABEL_REPEATED ||
                       field->type == PROTOBUF_C_TYPE_STRING ||
                       field->type == PROTOBUF_C_TYPE_BYTES ||
                       field->type == PROTOBUF_C_TYPE_MESSAGE);
                if (field->type == PROTOBUF_C_TYPE_MESSAGE && depth < 6)
                        check_not_packed(field->descriptor, depth + 1);
        }
}

/* Eight services, 22 methods, as llmbrick has them. */
static void test_services(void)
{
        unsigned methods = 0;

        for (unsigned type = BRICK_TYPE_COMMON; type <= BRICK_TYPE_TRANSLATE; type++) {
                const struct service *service = service_of_type(type);

                assert(service && service->type == type);
                check_not_packed(service->request, 0);
                check_not_packed(service->reply, 0);
                check_not_packed(service_reply(service, BRICK_METHOD_SERVICE_INFO), 0);
                for (uint32_t m = 0; m <= BRICK_METHOD_BIDI_STREAMING; m++)
                        methods += (service->methods >> m) & 1;
        }
        assert(methods == 22);
        assert(!service_of_type(0) && !service_of_type(9));
}

int main(void)
{
        test_rows();
        test_depth();
        test_forbidden();
        test_find_string();
        test_services();
        return 0;
}
