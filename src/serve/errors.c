/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "serve/errors.h"
#include "serve/wire.h"
#include "util/cleanup.h"

/* --- protobuf ----------------------------------------------------------------------------------
 */

static size_t varint_size(uint64_t value)
{
        size_t n = 1;

        while (value >>= 7)
                n++;
        return n;
}

/* int32 of protobuf: a negative one has ten bytes. */
static size_t int32_size(uint32_t field, int32_t value)
{
        return value == 0 ? 0
                          : varint_size(wire_tag(field, WIRE_PUT_VARINT)) +
                                    varint_size((uint64_t)(int64_t)value);
}

static char *put_int32(char *p, uint32_t field, int32_t value)
{
        if (value == 0)
                return p;
        p = wire_put_varint(p, wire_tag(field, WIRE_PUT_VARINT));
        return wire_put_varint(p, (uint64_t)(int64_t)value);
}

static size_t head_size(uint32_t field, size_t length)
{
        return varint_size(wire_tag(field, WIRE_PUT_BYTES)) + varint_size(length);
}

static size_t string_size(uint32_t field, struct brick_str s)
{
        return s.len == 0 ? 0 : head_size(field, s.len) + s.len;
}

static char *put_string(char *p, uint32_t field, struct brick_str s)
{
        if (s.len == 0)
                return p;
        p = wire_put_head(p, field, s.len);
        memcpy(p, s.ptr, s.len);
        return p + s.len;
}

/* --- ErrorDetail { code = 1; message = 2; detail = 3 } -----------------------------------------
 */

static size_t detail_size(const struct outcome *outcome)
{
        return int32_size(1, outcome->code) + string_size(2, outcome->message) +
               string_size(3, outcome->detail);
}

static char *put_detail(char *p, const struct outcome *outcome)
{
        p = put_int32(p, 1, outcome->code);
        p = put_string(p, 2, outcome->message);
        return put_string(p, 3, outcome->detail);
}

size_t errors_field_size(uint32_t error_field, const struct outcome *outcome)
{
        size_t n = detail_size(outcome);

        return head_size(error_field, n) + n;
}

void errors_put_field(char *p, uint32_t error_field, const struct outcome *outcome)
{
        p = wire_put_head(p, error_field, detail_size(outcome));
        (void)put_detail(p, outcome);
}

/* --- google.rpc.Status { code = 1; message = 2; details = 3: Any { type_url = 1; value = 2 } } -
 */

static const char type_url[] = "type.googleapis.com/protocols.grpc.common.ErrorDetail";

static size_t any_size(const struct outcome *outcome)
{
        size_t n = detail_size(outcome);

        return string_size(1, brick_str(type_url)) + head_size(2, n) + n;
}

size_t errors_details_size(unsigned status, const struct outcome *outcome)
{
        size_t n = any_size(outcome);

        return int32_size(1, (int32_t)status) + string_size(2, outcome->message) + head_size(3, n) +
               n;
}

void errors_put_details(char *p, unsigned status, const struct outcome *outcome)
{
        p = put_int32(p, 1, (int32_t)status);
        p = put_string(p, 2, outcome->message);
        p = wire_put_head(p, 3, any_size(outcome));
        p = put_string(p, 1, brick_str(type_url));
        p = wire_put_head(p, 2, detail_size(outcome));
        (void)put_detail(p, outcome);
}

/* --- codes -------------------------------------------------------------------------------------
 */

/*
 * The first row with the code in its range counts, so single codes precede the rest of their range.
 * brickd.yaml(5) has the same table; a test compares them.
 */
static const struct {
        int32_t first;
        int32_t last;
        uint32_t status;
} rows[] = {
        { 12, 12, STATUS_UNIMPLEMENTED },
        { 13, 13, STATUS_INTERNAL },

        { 401, 401, STATUS_UNAUTHENTICATED },
        { 403, 403, STATUS_PERMISSION_DENIED },
        { 404, 404, STATUS_NOT_FOUND },
        { 405, 405, STATUS_UNIMPLEMENTED },
        { 408, 408, STATUS_DEADLINE_EXCEEDED },
        { 409, 409, STATUS_ABORTED },
        { 410, 410, STATUS_NOT_FOUND },
        { 412, 412, STATUS_FAILED_PRECONDITION },
        { 413, 413, STATUS_RESOURCE_EXHAUSTED },
        { 416, 416, STATUS_OUT_OF_RANGE },
        { 417, 417, STATUS_FAILED_PRECONDITION },
        { 423, 424, STATUS_FAILED_PRECONDITION },
        { 429, 429, STATUS_RESOURCE_EXHAUSTED },
        { 400, 499, STATUS_INVALID_ARGUMENT },

        { 501, 501, STATUS_UNIMPLEMENTED },
        { 502, 503, STATUS_UNAVAILABLE },
        { 504, 504, STATUS_DEADLINE_EXCEEDED },
        { 505, 505, STATUS_UNIMPLEMENTED },
        { 507, 507, STATUS_RESOURCE_EXHAUSTED },
        { 500, 599, STATUS_INTERNAL },

        { 1003, 1003, STATUS_UNAVAILABLE },
        { 1001, 1002, STATUS_FAILED_PRECONDITION },

        { 2000, 2999, STATUS_INVALID_ARGUMENT },

        { 3001, 3001, STATUS_PERMISSION_DENIED },
        { 3004, 3004, STATUS_PERMISSION_DENIED },
        { 3000, 3999, STATUS_UNAUTHENTICATED },

        { 4001, 4001, STATUS_NOT_FOUND },
        { 4002, 4002, STATUS_UNAVAILABLE },
        { 4004, 4004, STATUS_DEADLINE_EXCEEDED },
        { 4005, 4005, STATUS_RESOURCE_EXHAUSTED },
        { 4000, 4999, STATUS_INTERNAL },

        { 5001, 5001, STATUS_INTERNAL },
        { 5002, 5002, STATUS_DEADLINE_EXCEEDED },
        { 5004, 5004, STATUS_RESOURCE_EXHAUSTED },
        { 5000, 5999, STATUS_UNAVAILABLE },

        { 6001, 6001, STATUS_NOT_FOUND },
        { 6002, 6002, STATUS_RESOURCE_EXHAUSTED },
        { 6003, 6004, STATUS_ABORTED },
        { 6000, 6999, STATUS_INTERNAL },

        { 7002, 7002, STATUS_DEADLINE_EXCEEDED },
        { 7000, 7999, STATUS_UNAVAILABLE },

        { 8002, 8002, STATUS_NOT_FOUND },
        { 8003, 8003, STATUS_PERMISSION_DENIED },
        { 8004, 8004, STATUS_RESOURCE_EXHAUSTED },
        { 8000, 8999, STATUS_INTERNAL },

        { 9000, 9999, STATUS_FAILED_PRECONDITION },
};

unsigned errors_status(int32_t code)
{
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (code >= rows[i].first && code <= rows[i].last)
                        return rows[i].status;
        return STATUS_UNKNOWN;
}
