/* SPDX-License-Identifier: MIT */

/* Why a reply is refused. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common.pb-c.h"
#include "guard.pb-c.h"
#include "serve/fault.h"
#include "serve/validate.h"
#include "util/cleanup.h"

#define ERROR_FIELD 2

int main(void)
{
        static const ProtobufCMessageDescriptor
                *const guard = &protocols__grpc__guard__guard_response__descriptor,
                       *const common = &protocols__grpc__common__common_response__descriptor;
        static const struct {
                const ProtobufCMessageDescriptor *type;
                const char *bytes;
                size_t length;
                int fault;
        } cases[] = {
                { guard, "\x12\x00", 2, -EPROTO },
                { guard, "\x0a\x02\x08\x01\x12\x03\x08\xc8\x01", 9, -EPROTO },
                { guard, "\x0a\x03\x1a\x01\xff", 5, -EILSEQ },
                { guard, "\x0a\x00\x0a\x05\x08\x01\x1a\x01\xff", 9, -EILSEQ },
                { guard, "\x0a\x06\x15\xff\xff\xff\xff\xff", 8, -EBADMSG }, /* a float, then half */
                { guard, "\xff\xff\xff\xff", 4, -EBADMSG },
                { guard, "\x08\x01", 2, -EBADMSG }, /* a number for a message */
                { guard, "\x0a", 1, -EBADMSG },
                /* the key of a Struct, two levels down */
                { common, "\x0a\x05\x0a\x03\x0a\x01\x80", 7, -EILSEQ },
                { common, "\x0a\x05\x0a\x03\x0a\x01\x40", 7, 0 },
                { common, "\x12\x03\x12\x01\xff", 5, -EILSEQ }, /* of an error field, too */
                /* an unknown field: no string, whatever it holds */
                { common, "\x7a\x01\xff\x12\x00", 5, -EPROTO },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *bytes = cases[i].bytes;
                size_t n = cases[i].length;

                assert(validate_message(cases[i].type, bytes, n, ERROR_FIELD) == !cases[i].fault);
                if (cases[i].fault)
                        assert(fault_of_reply(cases[i].type, bytes, n) == cases[i].fault);
        }
        return 0;
}
