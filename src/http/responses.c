/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "http/llm.h"
#include "http/route.h"
#include "util/arena.h"

/* POST /v1/responses: the subset of OpenAI's API that its clients need for texts: an answer is one
 * message with one text, and a stream the events about it. Nothing is kept. */

#define MESSAGE_PREFIX "msg_"

/* --- pieces of JSON -----------------------------------------------------------------------------
 */

/* The item has the id of its response, with another prefix. */
static void put_item_id(struct json_text *json, const struct llm *llm)
{
        json_puts(json, "\"" MESSAGE_PREFIX);
        json_puts(json, llm->id + strlen(llm->form->id_prefix));
        json_puts(json, "\"");
}

static void put_part(struct json_text *json, const char *text, size_t length)
{
        json_puts(json, "{\"type\":\"output_text\",\"text\":");
        json_put_string(json, text, length);
        json_puts(json, ",\"annotations\":[],\"logprobs\":[]}");
}

/* text NULL: there is none yet. */
static void put_item(struct json_text *json, const struct llm *llm, const char *status,
                     const char *text, size_t length)
{
        json_puts(json, "{\"id\":");
        put_item_id(json, llm);
        json_puts(json, ",\"type\":\"message\",\"status\":");
        json_puts_string(json, status);
        json_puts(json, ",\"role\":\"assistant\",\"content\":[");
        if (text)
                put_part(json, text, length);
        json_puts(json, "]}");
}

static void put_usage(struct json_text *json, const struct usage *usage)
{
        if (!usage->known) {
                json_puts(json, "null");
                return;
        }
        json_puts(json, "{\"input_tokens\":");
        json_put_integer(json, usage->prompt);
        json_puts(json, ",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":");
        json_put_integer(json, usage->completion);
        json_puts(json, ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":");
        json_put_integer(json, usage->total);
        json_puts(json, "}");
}

/* The answer was cut at the most tokens that were asked for. */
static bool is_cut(const struct llm *llm)
{
        struct brick_str reason = llm_finish_reason(llm);

        return reason.len == 6 && memcmp(reason.ptr, "length", 6) == 0;
}

/* A response; what of it is only known at the end comes from put_end(). */
static void put_response(struct json_text *json, const struct llm *llm, const char *status,
                         const char *incomplete)
{
        const LLMRequest *message = &llm->request.message;

        json_puts(json, "{\"id\":");
        json_puts_string(json, llm->id);
        json_puts(json, ",\"object\":\"response\",\"created_at\":");
        json_put_integer(json, llm->created);
        json_puts(json, ",\"status\":");
        json_puts_string(json, status);
        json_puts(json, ",\"background\":false,\"error\":null,\"incomplete_details\":");
        json_puts(json, incomplete);
        json_puts(json, ",\"instructions\":null,\"max_output_tokens\":");
        if (message->max_tokens > 0)
                json_put_integer(json, message->max_tokens);
        else
                json_puts(json, "null");
        json_puts(json, ",\"model\":");
        json_puts_string(json, llm->request.model);
        json_puts(json, ",\"parallel_tool_calls\":false,\"previous_response_id\":null,"
                        "\"reasoning\":{\"effort\":null,\"summary\":null},\"store\":false,"
                        "\"temperature\":");
        if (llm->request.has_temperature)
                json_put_double(json, (double)message->temperature);
        else
                json_puts(json, "null");
        json_puts(json, ",\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\","
                        "\"tools\":[],\"top_p\":null,\"truncation\":\"disabled\",\"metadata\":{},"
                        "\"output\":[");
}

static void put_end(struct json_text *json, const struct llm *llm, const char *text, size_t length)
{
        bool cut = is_cut(llm);

        put_response(json, llm, cut ? "incomplete" : "completed",
                     cut ? "{\"reason\":\"max_output_tokens\"}" : "null");
        put_item(json, llm, cut ? "incomplete" : "completed", text, length);
        json_puts(json, "],\"usage\":");
        put_usage(json, &llm->usage);
        json_puts(json, "}");
}

static void whole(struct exchange *x, const struct llm *llm, struct json_text *json,
                  const char *text, size_t length)
{
        put_end(json, llm, text, length);
}

/* --- events -------------------------------------------------------------------------------------
 */

static void event_begin(struct json_text *json, struct llm *llm, const char *type)
{
        json_puts(json, "event: ");
        json_puts(json, type);
        json_puts(json, "\ndata: {\"type\":");
        json_puts_string(json, type);
        json_puts(json, ",\"sequence_number\":");
        json_put_integer(json, llm->events++);
}

static void event_end(struct json_text *json)
{
        json_puts(json, "}\n\n");
}

/* An event about the one part of the one item. */
static void part_event(struct json_text *json, struct llm *llm, const char *type)
{
        event_begin(json, llm, type);
        json_puts(json, ",\"item_id\":");
        put_item_id(json, llm);
        json_puts(json, ",\"output_index\":0,\"content_index\":0");
}

static void item_event(struct json_text *json, struct llm *llm, const char *type,
                       const char *status, const char *text, size_t length)
{
        event_begin(json, llm, type);
        json_puts(json, ",\"output_index\":0,\"item\":");
        put_item(json, llm, status, text, length);
        event_end(json);
}

static void response_event(struct json_text *json, struct llm *llm, const char *type)
{
        event_begin(json, llm, type);
        json_puts(json, ",\"response\":");
        put_response(json, llm, "in_progress", "null");
        json_puts(json, "],\"usage\":null}");
        event_end(json);
}

static void first(struct exchange *x, struct llm *llm)
{
        struct json_text json = json_text(exchange_scratch(x));

        response_event(&json, llm, "response.created");
        response_event(&json, llm, "response.in_progress");
        item_event(&json, llm, "response.output_item.added", "in_progress", NULL, 0);
        part_event(&json, llm, "response.content_part.added");
        json_puts(&json, ",\"part\":");
        put_part(&json, "", 0);
        event_end(&json);
        llm_put_event(x, &json);
}

static void piece(struct exchange *x, struct llm *llm, const char *text, size_t length)
{
        struct json_text json = json_text(exchange_scratch(x));

        part_event(&json, llm, "response.output_text.delta");
        json_puts(&json, ",\"delta\":");
        json_put_string(&json, text, length);
        json_puts(&json, ",\"logprobs\":[]");
        event_end(&json);
        llm_put_event(x, &json);
}

static void last(struct exchange *x, struct llm *llm)
{
        struct json_text json = json_text(exchange_scratch(x));
        const char *text = llm->all.bytes ? llm->all.bytes : "";
        size_t length = llm->all.length;
        bool cut = is_cut(llm);

        part_event(&json, llm, "response.output_text.done");
        json_puts(&json, ",\"text\":");
        json_put_string(&json, text, length);
        json_puts(&json, ",\"logprobs\":[]");
        event_end(&json);
        part_event(&json, llm, "response.content_part.done");
        json_puts(&json, ",\"part\":");
        put_part(&json, text, length);
        event_end(&json);
        item_event(&json, llm, "response.output_item.done", cut ? "incomplete" : "completed", text,
                   length);
        event_begin(&json, llm, cut ? "response.incomplete" : "response.completed");
        json_puts(&json, ",\"response\":");
        put_end(&json, llm, text, length);
        event_end(&json);
        llm_put_event(x, &json);
}

/* Some clients read the members of the event, others its `error`. */
static void error(struct exchange *x, struct llm *llm, const struct exchange_error *error)
{
        struct http_text text = exchange_error_json(x, error);
        struct json_text json = json_text(exchange_scratch(x));

        event_begin(&json, llm, "error");
        json_puts(&json, ",\"code\":");
        json_puts_string(&json, error->code);
        json_puts(&json, ",\"message\":");
        json_puts_string(&json, error->message);
        json_puts(&json, ",\"param\":");
        json_puts_string(&json, error->param);
        json_puts(&json, ",");
        json_put(&json, text.ptr + 1, text.length - 1); /* without the '{' */
        json_puts(&json, "\n\n");
        llm_put_event(x, &json);
}

void responses_serve(struct exchange *x, const char *const *parameters)
{
        static const struct llm_form form = {
                .route = "/v1/responses",
                .id_prefix = "resp_",
                .read = response_request_read,
                .whole = whole,
                .first = first,
                .piece = piece,
                .last = last,
                .error = error,
                .keeps_text = true,
        };

        llm_serve(x, &form);
}
