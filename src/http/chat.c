/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/chat-request.h"
#include "http/exchange.h"
#include "http/models.h"
#include "http/route.h"
#include "http/stops.h"
#include "module/instance.h"
#include "serve/validate.h"
#include "util/arena.h"
#include "util/json-write.h"
#include "util/random.h"
#include "util/utf8.h"

/* POST /v1/chat/completions: a call to an LLM brick, in the form of OpenAI's API. */

#define ROUTE "/v1/chat/completions"

#define FIELD_TEXT 1 /* of LLMResponse */

struct chat {
        struct chat_request request;
        char id[32];
        time_t created;
        struct json_text text; /* of a stream with stops: what is not given yet; else the answer */
        bool has_role;         /* the first piece of a stream has been sent */
        bool stopped;          /* by one of the request's stops */
};

/* --- pieces of JSON -----------------------------------------------------------------------------
 */

static void put_start(struct json_text *json, const struct chat *chat, const char *object)
{
        json_puts(json, "{\"id\":");
        json_puts_string(json, chat->id);
        json_puts(json, ",\"object\":");
        json_puts_string(json, object);
        json_puts(json, ",\"created\":");
        json_put_integer(json, chat->created);
        json_puts(json, ",\"model\":");
        json_puts_string(json, chat->request.model);
}

/* A count in the brick's trailing metadata. False: it has not counted. */
static bool count(const struct exchange *x, const char *key, int64_t *ret)
{
        struct brick_str value = exchange_trailer(x, key);
        char digits[20] = "";

        if (!value.ptr || value.len == 0 || value.len >= sizeof digits)
                return false;
        memcpy(digits, value.ptr, value.len);
        if (strspn(digits, "0123456789") != value.len)
                return false;
        *ret = strtoll(digits, NULL, 10);
        return true;
}

/* ,"usage":{...}. False: the brick has not counted. */
static bool put_usage(struct json_text *json, const struct exchange *x)
{
        int64_t prompt, completion, total;

        if (!count(x, "x-usage-prompt-tokens", &prompt) ||
            !count(x, "x-usage-completion-tokens", &completion))
                return false;
        if (!count(x, "x-usage-total-tokens", &total))
                total = prompt + completion;
        json_puts(json, ",\"usage\":{\"prompt_tokens\":");
        json_put_integer(json, prompt);
        json_puts(json, ",\"completion_tokens\":");
        json_put_integer(json, completion);
        json_puts(json, ",\"total_tokens\":");
        json_put_integer(json, total);
        json_puts(json, "}");
        return true;
}

static void put_finish_reason(struct json_text *json, const struct exchange *x,
                              const struct chat *chat)
{
        struct brick_str reason = exchange_trailer(x, "x-finish-reason");

        if (chat->stopped || !reason.ptr || reason.len == 0)
                json_puts_string(json, "stop");
        else
                json_put_string(json, reason.ptr, reason.len);
}

/* --- the whole answer ---------------------------------------------------------------------------
 */

static struct brick_str text_of(struct brick_bytes message)
{
        struct brick_str text = {};

        text.ptr = validate_find_string(message.ptr, message.len, FIELD_TEXT, &text.len);
        return text;
}

static void unary_reply(struct exchange *x, struct brick_bytes message)
{
        struct chat *chat = exchange_data(x);
        struct brick_str text = text_of(message);

        if (text.len > 0)
                json_put(&chat->text, text.ptr, text.len);
}

static void unary_done(struct exchange *x, const struct exchange_outcome *outcome)
{
        struct chat *chat = exchange_data(x);
        struct json_text json = json_text(exchange_arena(x));
        size_t length;

        if (!outcome->success) {
                exchange_fail(x, &outcome->error);
                return;
        }
        length = chat->text.length;
        if (chat->request.n_stops > 0) {
                size_t n = stops_scan(chat->text.bytes, length, chat->request.stops,
                                      chat->request.n_stops, &chat->stopped);

                length = chat->stopped ? n : length;
        }
        put_start(&json, chat, "chat.completion");
        json_puts(&json, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                         "\"content\":");
        json_put_string(&json, chat->text.bytes ? chat->text.bytes : "", length);
        json_puts(&json, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":");
        put_finish_reason(&json, x, chat);
        json_puts(&json, "}]");
        (void)put_usage(&json, x);
        json_puts(&json, "}");
        if (json.failed || chat->text.failed) {
                exchange_fail(x, &(struct exchange_error){
                                         .status = 503,
                                         .message = "There is no memory for the answer.",
                                         .code = "overloaded",
                                 });
                return;
        }
        exchange_answer(x, 200, "application/json", json.bytes, json.length);
}

/* --- the stream ---------------------------------------------------------------------------------
 */

static void begin_stream(struct exchange *x)
{
        if (exchange_has_begun(x))
                return;
        exchange_header(x, "Cache-Control", "no-cache, no-transform");
        exchange_header(x, "X-Accel-Buffering", "no");
        exchange_begin(x, 200, "text/event-stream; charset=utf-8");
}

/* The memory of each event is used again for the next one. */
static void put_event(struct exchange *x, const struct json_text *json)
{
        if (json->failed)
                exchange_abort(x);
        else
                exchange_write(x, json->bytes, json->length);
}

static struct json_text chunk_begin(struct exchange *x, const struct chat *chat)
{
        struct json_text json = json_text(exchange_arena(x));

        json_puts(&json, "data: ");
        put_start(&json, chat, "chat.completion.chunk");
        return json;
}

static void chunk_end(struct json_text *json, const struct chat *chat)
{
        json_puts(json, chat->request.include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

/* delta: JSON, before `text`, which follows as a string if it is not NULL. */
static void send_delta(struct exchange *x, const struct chat *chat, const char *delta,
                       const char *text, size_t length)
{
        size_t mark = arena_mark(exchange_arena(x));
        struct json_text json = chunk_begin(x, chat);

        json_puts(&json, ",\"choices\":[{\"index\":0,\"delta\":{");
        json_puts(&json, delta);
        if (text)
                json_put_string(&json, text, length);
        json_puts(&json, "},\"logprobs\":null,\"finish_reason\":null}]");
        chunk_end(&json, chat);
        put_event(x, &json);
        (void)arena_rewind(exchange_arena(x), mark);
}

static void send_role(struct exchange *x, struct chat *chat)
{
        begin_stream(x);
        if (!chat->has_role)
                send_delta(x, chat, "\"role\":\"assistant\",\"content\":\"\"", NULL, 0);
        chat->has_role = true;
}

/* Gives what cannot be the beginning of a stop. At a stop, the brick is told to give up. */
static void send_up_to_stop(struct exchange *x, struct chat *chat)
{
        size_t n = stops_scan(chat->text.bytes, chat->text.length, chat->request.stops,
                              chat->request.n_stops, &chat->stopped);

        if (chat->stopped)
                exchange_cancel(x);
        if (n == 0)
                return;
        send_delta(x, chat, "\"content\":", chat->text.bytes, n);
        memmove(chat->text.bytes, chat->text.bytes + n, chat->text.length - n);
        chat->text.length -= n;
}

static void stream_reply(struct exchange *x, struct brick_bytes message)
{
        struct chat *chat = exchange_data(x);
        struct brick_str text = text_of(message);

        if (chat->stopped)
                return;
        send_role(x, chat);
        if (text.len == 0)
                return;
        if (chat->request.n_stops == 0) {
                send_delta(x, chat, "\"content\":", text.ptr, text.len);
                return;
        }
        json_put(&chat->text, text.ptr, text.len);
        if (chat->text.failed)
                exchange_abort(x);
        else
                send_up_to_stop(x, chat);
}

static void send_end(struct exchange *x, const struct chat *chat)
{
        struct json_text json = chunk_begin(x, chat);

        json_puts(&json, ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
                         "\"finish_reason\":");
        put_finish_reason(&json, x, chat);
        json_puts(&json, "}]");
        chunk_end(&json, chat);
        if (chat->request.include_usage) {
                json_puts(&json, "data: ");
                put_start(&json, chat, "chat.completion.chunk");
                json_puts(&json, ",\"choices\":[]");
                if (!put_usage(&json, x))
                        json_puts(&json, ",\"usage\":null");
                json_puts(&json, "}\n\n");
        }
        json_puts(&json, "data: [DONE]\n\n");
        put_event(x, &json);
}

static void send_error(struct exchange *x, const struct exchange_error *error)
{
        struct http_text text = exchange_error_json(x, error);
        struct json_text json = json_text(exchange_arena(x));

        json_puts(&json, "data: ");
        json_put(&json, text.ptr, text.length);
        json_puts(&json, "\n\n");
        put_event(x, &json);
}

static void stream_done(struct exchange *x, const struct exchange_outcome *outcome)
{
        struct chat *chat = exchange_data(x);

        if (!outcome->success && !exchange_has_begun(x)) {
                exchange_fail(x, &outcome->error);
                return;
        }
        send_role(x, chat);
        if (chat->text.length > 0 && !chat->stopped)
                send_delta(x, chat, "\"content\":", chat->text.bytes, chat->text.length);
        if (outcome->success)
                send_end(x, chat);
        else
                send_error(x, &outcome->error);
        exchange_end(x);
}

/* A comment, with one newline: with two, some clients take it for an empty event. */
static void stream_silent(struct exchange *x)
{
        static const char comment[] = ": keep-alive\n";

        begin_stream(x);
        exchange_write(x, comment, sizeof comment - 1);
}

/* --- the call -----------------------------------------------------------------------------------
 */

static const struct exchange_call_ops unary_ops = { .reply = unary_reply, .done = unary_done };
static const struct exchange_call_ops stream_ops = {
        .reply = stream_reply,
        .done = stream_done,
        .silent = stream_silent,
};

static void refuse_json(struct exchange *x, const struct json_mistake *mistake)
{
        char text[192];

        (void)snprintf(text, sizeof text, "The body is not JSON: line %zu, column %zu: %s.",
                       mistake->line, mistake->column, mistake->text);
        exchange_fail(x, &(struct exchange_error){
                                 .status = 400,
                                 .message = text,
                                 .code = "invalid_json",
                                 .would_repeat = true,
                         });
}

static void refuse_model(struct exchange *x, const char *model)
{
        struct json_text names = json_text(exchange_arena(x));
        struct json_text text = json_text(exchange_arena(x));

        models_name(x, &names);
        json_puts(&text, "There is no model '");
        json_puts(&text, model);
        json_puts(&text, names.length > 0 ? "' here. There is " : "' here, nor any other");
        json_put(&text, names.bytes, names.length);
        json_put(&text, ".", sizeof ".");
        exchange_fail(x, &(struct exchange_error){
                                 .status = 404,
                                 .message = text.failed ? "There is no such model." : text.bytes,
                                 .param = "model",
                                 .code = "model_not_found",
                                 .would_repeat = true,
                         });
}

/* False: the request has been answered. */
static bool read_request(struct exchange *x, struct chat *chat)
{
        struct http_text body = exchange_body(x);
        struct json_mistake mistake;
        struct exchange_error error;
        struct json_value value;

        if (!json_check(body.ptr ? body.ptr : "", body.length, &value, &mistake)) {
                refuse_json(x, &mistake);
                return false;
        }
        if (!chat_request_read(&chat->request, value, exchange_arena(x), &error)) {
                exchange_fail(x, &error);
                return false;
        }
        return true;
}

/* NULL: there is none that could be a string of a message. */
static char *copy_field(struct exchange *x, const char *name)
{
        struct http_text value = http_head_field(exchange_head(x), name);

        return value.ptr && utf8_valid(value.ptr, value.length)
                       ? arena_strndup(exchange_arena(x), value.ptr, value.length)
                       : NULL;
}

/* An empty ptr: out of memory. */
static struct brick_bytes pack(struct exchange *x, struct chat *chat, bool own_name)
{
        LLMRequest *message = &chat->request.message;
        char *session = copy_field(x, "x-session-id");
        size_t size;
        void *bytes;

        message->model_id = (char *)(own_name ? "" : chat->request.model);
        message->request_id = (char *)exchange_id(x);
        if (session)
                message->session_id = session;
        size = protocols__grpc__llm__llmrequest__get_packed_size(message);
        bytes = arena_alloc(exchange_arena(x), size + 1, 1);
        if (bytes)
                (void)protocols__grpc__llm__llmrequest__pack(message, bytes);
        return (struct brick_bytes){ bytes, size };
}

static void call(struct exchange *x, struct chat *chat, struct instance *brick, bool own_name)
{
        const bool stream = chat->request.stream;
        char temperature[32];
        struct brick_pair pair = { .key = brick_str("x-temperature") };
        struct brick_bytes message = pack(x, chat, own_name);

        if (!message.ptr) {
                exchange_fail(x, &(struct exchange_error){
                                         .status = 413,
                                         .message = "The request needs more memory than one "
                                                    "request may have.",
                                         .code = "request_too_large",
                                         .would_repeat = true,
                                 });
                return;
        }
        (void)snprintf(temperature, sizeof temperature, "%g",
                       (double)chat->request.message.temperature);
        pair.value = brick_str(temperature);
        exchange_call(x,
                      &(struct exchange_call){
                              .brick = brick,
                              .method = stream ? BRICK_METHOD_OUTPUT_STREAMING : BRICK_METHOD_UNARY,
                              .requests = &message,
                              .n_requests = 1,
                              .metadata = &pair,
                              .n_metadata = chat->request.has_temperature,
                              .route = ROUTE,
                              .ops = stream ? &stream_ops : &unary_ops,
                      });
}

void chat_serve(struct exchange *x, const char *const *parameters)
{
        struct arena *arena = exchange_arena(x);
        struct chat *chat = arena_alloc(arena, sizeof *chat, _Alignof(struct chat));
        struct instance *brick;
        bool own_name;

        if (!chat) {
                exchange_abort(x);
                return;
        }
        *chat = (struct chat){ .created = time(NULL), .text = json_text(arena) };
        (void)snprintf(chat->id, sizeof chat->id, "chatcmpl-%016" PRIx64, random_u64());
        exchange_set_data(x, chat);
        if (!read_request(x, chat))
                return;
        brick = models_find(x, chat->request.model, &own_name);
        if (!brick) {
                refuse_model(x, chat->request.model);
                return;
        }
        if (chat->request.ignored)
                exchange_header(x, "X-Brickd-Ignored", chat->request.ignored);
        call(x, chat, brick, own_name);
}
