/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "llm.pb-c.h"
#include "remote/payload.h"
#include "serve/validate.h"

/* Replies of backends, of the type LLMResponse: what is split off is what protobuf-c reads. */

#define TYPE (&protocols__grpc__llm__llmresponse__descriptor)
#define ERROR_FIELD 4

static void check(int good)
{
        if (!good)
                abort();
}

static int same(struct brick_str a, const char *b)
{
        return a.len == strlen(b) && memcmp(a.len ? a.ptr : "", b, a.len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct brick_bytes reply = { data, size };
        char *copy;
        struct payload payload, status;
        Protocols__Grpc__Llm__LLMResponse *whole;

        (void)payload_find_error(&status, (struct brick_str){ (const char *)data, size });
        if (payload_split(&payload, TYPE, ERROR_FIELD, reply, &copy) == 0) {
                check(validate_message(TYPE, payload.bytes.ptr, payload.bytes.len, ERROR_FIELD));
                whole = protocols__grpc__llm__llmresponse__unpack(NULL, size, data);
                check(whole != NULL);
                /* protobuf-c's strings end at a NUL, and it merges two errors in a way of its own
                 */
                if (whole->error && !copy && !memchr(data, 0, size)) {
                        check(payload.code == whole->error->code);
                        check(same(payload.message, whole->error->message));
                        check(same(payload.detail, whole->error->detail));
                }
                protocols__grpc__llm__llmresponse__free_unpacked(whole, NULL);
        }
        free(copy);
        return 0;
}
