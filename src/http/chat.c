/* SPDX-License-Identifier: MIT */
#include "http/llm.h"
#include "http/route.h"

/* POST /v1/chat/completions and /v1/completions: answers in two forms of OpenAI's API that differ
 * only in their choices. */

static void put_start(struct json_text *json, const struct llm *llm, const char *object)
{
        json_puts(json, "{\"id\":");
        json_puts_string(json, llm->id);
        json_puts(json, ",\"object\":");
        json_puts_string(json, object);
        json_puts(json, ",\"created\":");
        json_put_integer(json, llm->created);
        json_puts(json, ",\"model\":");
        json_puts_string(json, llm->request.model);
}

static void put_finish_reason(struct json_text *json, const struct llm *llm)
{
        struct brick_str reason = llm_finish_reason(llm);

        json_put_string(json, reason.ptr, reason.len);
}

static void put_usage(struct json_text *json, const struct usage *usage)
{
        json_puts(json, ",\"usage\":{\"prompt_tokens\":");
        json_put_integer(json, usage->prompt);
        json_puts(json, ",\"completion_tokens\":");
        json_put_integer(json, usage->completion);
        json_puts(json, ",\"total_tokens\":");
        json_put_integer(json, usage->total);
        json_puts(json, "}");
}

/* The end of a whole answer. Clients rely on the counts (llm of PyPI fails without them): they are
 * 0 if the brick has not counted. */
static void put_whole_end(struct json_text *json, const struct llm *llm)
{
        put_finish_reason(json, llm);
        json_puts(json, "}]");
        put_usage(json, &llm->usage);
        json_puts(json, "}");
}

static void send_error(struct exchange *x, struct llm *llm, const struct exchange_error *error)
{
        struct http_text text = exchange_error_json(x, error);
        struct json_text json = json_text(exchange_scratch(x));

        json_puts(&json, "data: ");
        json_put(&json, text.ptr, text.length);
        json_puts(&json, "\n\n");
        llm_put_event(x, &json);
}

/* --- streams ------------------------------------------------------------------------------------
 */

static struct json_text chunk_begin(struct exchange *x, const struct llm *llm, const char *object)
{
        struct json_text json = json_text(exchange_scratch(x));

        json_puts(&json, "data: ");
        put_start(&json, llm, object);
        return json;
}

static void chunk_end(struct json_text *json, const struct llm *llm)
{
        json_puts(json, llm->request.include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

/* The last chunks: the one that `json` has begun, and the usage if it was asked for. */
static void send_last(struct exchange *x, const struct llm *llm, struct json_text *json,
                      const char *object)
{
        put_finish_reason(json, llm);
        json_puts(json, "}]");
        chunk_end(json, llm);
        if (llm->request.include_usage) {
                json_puts(json, "data: ");
                put_start(json, llm, object);
                json_puts(json, ",\"choices\":[]");
                if (llm->usage.known)
                        put_usage(json, &llm->usage);
                else
                        json_puts(json, ",\"usage\":null");
                json_puts(json, "}\n\n");
        }
        json_puts(json, "data: [DONE]\n\n");
        llm_put_event(x, json);
}

/* --- chat completions ---------------------------------------------------------------------------
 */

static void chat_whole(struct exchange *x, const struct llm *llm, struct json_text *json,
                       const char *text, size_t length)
{
        put_start(json, llm, "chat.completion");
        json_puts(json, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                        "\"content\":");
        json_put_string(json, text, length);
        json_puts(json, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":");
        put_whole_end(json, llm);
}

/* delta: JSON, before `text`, which follows as a string if it is not NULL. */
static void send_delta(struct exchange *x, const struct llm *llm, const char *delta,
                       const char *text, size_t length)
{
        struct json_text json = chunk_begin(x, llm, "chat.completion.chunk");

        json_puts(&json, ",\"choices\":[{\"index\":0,\"delta\":{");
        json_puts(&json, delta);
        if (text)
                json_put_string(&json, text, length);
        json_puts(&json, "},\"logprobs\":null,\"finish_reason\":null}]");
        chunk_end(&json, llm);
        llm_put_event(x, &json);
}

static void chat_first(struct exchange *x, struct llm *llm)
{
        send_delta(x, llm, "\"role\":\"assistant\",\"content\":\"\"", NULL, 0);
}

static void chat_piece(struct exchange *x, struct llm *llm, const char *text, size_t length)
{
        send_delta(x, llm, "\"content\":", text, length);
}

static void chat_last(struct exchange *x, struct llm *llm)
{
        struct json_text json = chunk_begin(x, llm, "chat.completion.chunk");

        json_puts(&json, ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
                         "\"finish_reason\":");
        send_last(x, llm, &json, "chat.completion.chunk");
}

void chat_serve(struct exchange *x, const char *const *parameters)
{
        static const struct llm_form form = {
                .route = "/v1/chat/completions",
                .id_prefix = "chatcmpl-",
                .read = chat_request_read,
                .whole = chat_whole,
                .first = chat_first,
                .piece = chat_piece,
                .last = chat_last,
                .error = send_error,
        };

        llm_serve(x, &form);
}

/* --- completions --------------------------------------------------------------------------------
 */

#define COMPLETION "text_completion"

static void put_choice(struct json_text *json, const char *text, size_t length)
{
        json_puts(json, ",\"choices\":[{\"text\":");
        json_put_string(json, text, length);
        json_puts(json, ",\"index\":0,\"logprobs\":null,\"finish_reason\":");
}

static void completion_whole(struct exchange *x, const struct llm *llm, struct json_text *json,
                             const char *text, size_t length)
{
        put_start(json, llm, COMPLETION);
        put_choice(json, text, length);
        put_whole_end(json, llm);
}

static void completion_first(struct exchange *x, struct llm *llm)
{
}

static void completion_piece(struct exchange *x, struct llm *llm, const char *text, size_t length)
{
        struct json_text json = chunk_begin(x, llm, COMPLETION);

        put_choice(&json, text, length);
        json_puts(&json, "null}]");
        chunk_end(&json, llm);
        llm_put_event(x, &json);
}

static void completion_last(struct exchange *x, struct llm *llm)
{
        struct json_text json = chunk_begin(x, llm, COMPLETION);

        put_choice(&json, "", 0);
        send_last(x, llm, &json, COMPLETION);
}

void completion_serve(struct exchange *x, const char *const *parameters)
{
        static const struct llm_form form = {
                .route = "/v1/completions",
                .id_prefix = "cmpl-",
                .read = completion_request_read,
                .whole = completion_whole,
                .first = completion_first,
                .piece = completion_piece,
                .last = completion_last,
                .error = send_error,
        };

        llm_serve(x, &form);
}
