/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common.pb-c.h"
#include "remote/payload.h"
#include "serve/validate.h"

#define CODE_SUCCESS 200

/* Fields of ErrorDetail. */
enum { ERROR_CODE = 1, ERROR_MESSAGE, ERROR_DETAIL };

/* The fields of google.rpc.Status and of the google.protobuf.Any in it. */
enum { STATUS_DETAILS = 3, ANY_TYPE = 1, ANY_VALUE = 2 };

static const char error_type[] = "type.googleapis.com/protocols.grpc.common.ErrorDetail";

/* The content of a field with a length; the field is well formed. */
static struct brick_str content_of(const struct validate_field *field)
{
        const char *p = field->begin;
        size_t length = 0;

        while (*p++ & 0x80) /* the tag */
                ;
        for (unsigned shift = 0;; shift += 7) {
                length |= (size_t)(*p & 0x7f) << shift;
                if (!(*p++ & 0x80))
                        break;
        }
        return (struct brick_str){ p, length };
}

static int32_t varint_of(const struct validate_field *field)
{
        const char *p = field->begin;
        uint64_t value = 0;

        while (*p++ & 0x80) /* the tag */
                ;
        for (unsigned shift = 0; p < field->end && shift < 64; shift += 7, p++)
                value |= (uint64_t)(*p & 0x7f) << shift;
        return (int32_t)value;
}

/* error is a valid ErrorDetail. An error that has nothing is none. */
static void read_error(struct payload *ret, struct brick_str error)
{
        struct validate_field field = { .end = error.ptr };

        while (validate_next_field(&field, error.ptr + error.len)) {
                if (field.number == ERROR_CODE)
                        ret->code = varint_of(&field);
                else if (field.number == ERROR_MESSAGE)
                        ret->message = content_of(&field);
                else if (field.number == ERROR_DETAIL)
                        ret->detail = content_of(&field);
        }
        ret->failed = ret->code != CODE_SUCCESS &&
                      (ret->code != 0 || ret->message.len > 0 || ret->detail.len > 0);
}

/* How often the error is there, and where the first one begins. */
static size_t find_error(uint32_t error_field, struct brick_bytes reply, struct validate_field *ret)
{
        struct validate_field field = { .end = reply.ptr };
        size_t n = 0;

        while (reply.len > 0 && validate_next_field(&field, (const char *)reply.ptr + reply.len))
                if (field.number == error_field && n++ == 0)
                        *ret = field;
        return n;
}

/* Copies all fields but the error, and reads the error: of several, the last value of each of its
 * fields counts, as parsers merge them. */
static void split_apart(struct payload *ret, uint32_t error_field, struct brick_bytes reply,
                        char *buffer)
{
        struct validate_field field = { .end = reply.ptr };
        char *to = buffer;

        while (validate_next_field(&field, (const char *)reply.ptr + reply.len)) {
                size_t n = (size_t)(field.end - field.begin);

                if (field.number == error_field) {
                        read_error(ret, content_of(&field));
                        continue;
                }
                memcpy(to, field.begin, n);
                to += n;
        }
        ret->bytes = (struct brick_bytes){ buffer, (size_t)(to - buffer) };
}

int payload_split(struct payload *ret, const ProtobufCMessageDescriptor *type, uint32_t error_field,
                  struct brick_bytes reply, char **ret_copy)
{
        struct validate_field error;
        size_t n;

        *ret_copy = NULL;
        *ret = (struct payload){ .bytes = reply };
        if (!validate_message(type, reply.ptr, reply.len, 0))
                return -EBADMSG;
        n = find_error(error_field, reply, &error);
        if (n == 1 && error.end == (const char *)reply.ptr + reply.len) {
                read_error(ret, content_of(&error));
                ret->bytes.len = (size_t)(error.begin - (const char *)reply.ptr);
        } else if (n > 0) {
                *ret_copy = malloc(reply.len);
                if (!*ret_copy)
                        return -ENOMEM;
                split_apart(ret, error_field, reply, *ret_copy);
        }
        return 0;
}

/* The last value of a field in bytes of which only the form is known to be right. */
static struct brick_str find(struct brick_str bytes, uint32_t number)
{
        struct brick_str found = {};

        if (bytes.ptr)
                found.ptr = validate_find_string(bytes.ptr, bytes.len, number, &found.len);
        return found;
}

bool payload_find_error(struct payload *ret, struct brick_str details)
{
        struct brick_str any = find(details, STATUS_DETAILS);
        struct brick_str type = find(any, ANY_TYPE), error = find(any, ANY_VALUE);

        *ret = (struct payload){};
        if (type.len != sizeof error_type - 1 || memcmp(type.ptr, error_type, type.len) != 0 ||
            !error.ptr ||
            !validate_message(&protocols__grpc__common__error_detail__descriptor, error.ptr,
                              error.len, 0))
                return false;
        read_error(ret, error);
        return ret->failed;
}
