/* SPDX-License-Identifier: MIT */

/*
 * Any bytes as the body of a chat completion, a completion, a response or a conversation with
 * llmbrick's server: no crash; what is taken is a valid message to an LLM brick, and what is
 * refused is told in valid UTF-8. The first byte says which.
 */

#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/chat-request.h"
#include "http/sse-request.h"
#include "serve/validate.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
        assert(!text || utf8_valid(text, strlen(text)));
}

static void check_message(const struct chat_request *request)
{
        const ProtobufCMessage *message = &request->message.base;
        size_t size = protobuf_c_message_get_packed_size(message);
        _cleanup_free_ uint8_t *bytes = malloc(size + 1);

        assert(bytes && protobuf_c_message_pack(message, bytes) == size);
        assert(validate_message(message->descriptor, bytes, size, 0));
        check_text(request->model);
        check_text(request->ignored);
        for (size_t i = 0; i < request->n_stops; i++)
                assert(request->stops[i][0]);
}

static void read_session(struct json_value body, struct arena *arena)
{
        struct json_text errors = json_text(arena), why = json_text(arena);
        struct chat_request request;
        struct json_mistake mistake;
        struct json_value list;

        if (!sse_request_is(body))
                return;
        if (sse_request_read(&request, body, arena, &errors)) {
                check_message(&request);
                if (sse_request_check(&request, &why))
                        assert(request.message.n_context > 0);
                else
                        assert(why.length > 0 && utf8_valid(why.bytes, why.length));
        } else if (!errors.failed) {
                assert(json_check(errors.bytes, errors.length, &list, &mistake) ||
                       strcmp(mistake.text, "too deep") == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static bool (*const readers[])(struct chat_request * ret, struct json_value body,
                                       struct arena * arena, struct exchange_error * ret_error) = {
                chat_request_read, completion_request_read, response_request_read
        };
        struct exchange_error error = { 0 };
        struct chat_request request;
        struct json_mistake mistake;
        struct json_value body;
        struct arena arena;
        unsigned reader;

        if (size == 0 || !json_check((const char *)data + 1, size - 1, &body, &mistake))
                return 0;
        arena_init(&arena, 16 << 20);
        reader = data[0] % 4;
        if (reader == 3) {
                read_session(body, &arena);
        } else if (readers[reader](&request, body, &arena, &error)) {
                check_message(&request);
        } else {
                assert(error.status >= 400 && error.message && error.code);
                check_text(error.message);
                check_text(error.param);
        }
        arena_done(&arena);
        return 0;
}
