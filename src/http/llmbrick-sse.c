/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "http/llm.h"
#include "http/models.h"
#include "http/route-tools.h"
#include "http/route.h"
#include "http/sse-request.h"
#include "module/instance.h"
#include "util/arena.h"
#include "util/utf8.h"

/* POST /chat/completions: llmbrick's SSE server to the byte, for bodies with a session; other
 * bodies are chat completions. */

#define BUSINESS "Business validation failed"

/* --- events -------------------------------------------------------------------------------------
 */

static void put_escape(struct json_text *text, uint32_t c)
{
        static const char digits[] = "0123456789abcdef";
        const char escape[] = {
                '\\',          'u', digits[c >> 12 & 15], digits[c >> 8 & 15], digits[c >> 4 & 15],
                digits[c & 15]
        };

        json_put(text, escape, sizeof escape);
}

/* A string as Python's json writes it: only ASCII. */
static void put_ascii_string(struct json_text *text, const char *s, size_t length)
{
        static const char escaped[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";

        json_puts(text, "\"");
        while (length > 0) {
                uint32_t c = 0xfffd;
                size_t n = utf8_decode(s, length, &c);
                const char *name = c > 0 && c < 0x80 ? strchr(escaped, (int)c) : NULL;

                if (name) {
                        json_puts(text, "\\");
                        json_put(text, &names[name - escaped], 1);
                } else if (c >= 0x20 && c < 0x7f) {
                        json_put(text, s, 1);
                } else if (c >= 0x10000) {
                        put_escape(text, 0xd800 + ((c - 0x10000) >> 10));
                        put_escape(text, 0xdc00 + ((c - 0x10000) & 0x3ff));
                } else {
                        put_escape(text, c);
                }
                n = n > 0 ? n : 1;
                s += n;
                length -= n;
        }
        json_puts(text, "\"");
}

static void send_error(struct exchange *x, const char *error, const char *details, size_t length)
{
        struct json_text event = json_text(exchange_scratch(x));

        json_puts(&event, "event: error\ndata: {\"error\": ");
        json_puts_string(&event, error);
        json_puts(&event, ", \"details\": ");
        put_ascii_string(&event, details, length);
        json_puts(&event, "}\n\n");
        llm_put_event(x, &event);
}

/* text NULL: none. */
static void send_message(struct exchange *x, const struct llm *llm, const char *type,
                         const char *text, size_t length, const char *progress)
{
        struct json_text event = json_text(exchange_scratch(x));

        json_puts(&event, "event: message\ndata: {\"id\":");
        json_puts_string(&event, llm->id);
        json_puts(&event, ",\"type\":");
        json_puts_string(&event, type);
        json_puts(&event, ",\"model\":");
        json_puts_string(&event, llm->request.model);
        json_puts(&event, ",\"text\":");
        json_put_string(&event, text, length);
        json_puts(&event, ",\"progress\":");
        json_puts_string(&event, progress);
        json_puts(&event, ",\"context\":{\"conversation_id\":");
        json_puts_string(&event, llm->request.message.session_id);
        json_puts(&event, ",\"cursor\":null},\"metadata\":null}\n\n");
        llm_put_event(x, &event);
}

static void first(struct exchange *x, struct llm *llm)
{
}

static void piece(struct exchange *x, struct llm *llm, const char *text, size_t length)
{
        send_message(x, llm, "text", text, length, "IN_PROGRESS");
}

static void last(struct exchange *x, struct llm *llm)
{
        send_message(x, llm, "done", NULL, 0, "DONE");
}

static void error(struct exchange *x, struct llm *llm, const struct exchange_error *error)
{
        send_error(x, "Handler exception", error->message, strlen(error->message));
}

static const struct llm_form form = {
        .route = "/chat/completions",
        .id_prefix = "",
        .first = first,
        .piece = piece,
        .last = last,
        .error = error,
        .always_begins = true,
};

/* --- the request --------------------------------------------------------------------------------
 */

static void answer(struct exchange *x, unsigned status, const char *json, size_t length)
{
        struct json_text text = json_text(exchange_arena(x));

        json_puts(&text, "{\"detail\":");
        json_put(&text, json, length);
        json_puts(&text, "}");
        if (text.failed)
                route_refuse_memory(x);
        else
                exchange_answer(x, status, JSON_TYPE, text.bytes, text.length);
}

static bool has_llm(struct exchange *x)
{
        struct instance *const *bricks;
        size_t n = exchange_bricks(x, &bricks);

        for (size_t i = 0; i < n; i++)
                if (bricks[i]->type == BRICK_TYPE_LLM)
                        return true;
        return false;
}

/* From here on, the status is 200 and a mistake is an event. */
static void refuse(struct exchange *x, struct json_text *why)
{
        if (why->failed) {
                route_refuse_memory(x);
                return;
        }
        route_begin_events(x);
        send_error(x, BUSINESS, why->bytes, why->length);
        exchange_end(x);
}

/* The last message becomes the prompt. */
static void converse(struct exchange *x, struct llm *llm)
{
        LLMRequest *message = &llm->request.message;
        struct json_text why = json_text(exchange_arena(x));
        struct instance *brick;
        bool own_name;

        json_puts(&why, "[1400] ");
        if (!sse_request_check(&llm->request, &why)) {
                refuse(x, &why);
                return;
        }
        brick = models_find(x, llm->request.model, &own_name);
        if (!brick) {
                json_puts(&why, "Unsupported model: ");
                json_puts(&why, llm->request.model);
                refuse(x, &why);
                return;
        }
        message->prompt = message->context[--message->n_context]->content;
        llm_call(x, llm, brick, own_name);
}

static void serve_session(struct exchange *x, struct json_value body)
{
        static const char accept[] = "{\"error\":\"Accept header must include 'text/event-stream' "
                                     "for SSE\"}";
        static const char handler[] = "{\"error\":\"Handler not set\"}";
        struct json_text errors = json_text(exchange_arena(x));
        struct llm *llm = llm_new(x, &form);

        if (!llm)
                return;
        if (!sse_request_read(&llm->request, body, exchange_request_arena(x), &errors)) {
                if (errors.failed)
                        route_refuse_memory(x);
                else
                        answer(x, 422, errors.bytes, errors.length);
        } else if (!route_takes_events(x)) {
                answer(x, 406, accept, sizeof accept - 1);
        } else if (!has_llm(x)) {
                answer(x, 404, handler, sizeof handler - 1);
        } else {
                converse(x, llm);
        }
}

void sse_serve(struct exchange *x, const char *const *parameters)
{
        struct http_text text = exchange_body(x);
        struct json_mistake mistake;
        struct json_value body;

        if (text.length > 0 && json_check(text.ptr, text.length, &body, &mistake) &&
            sse_request_is(body))
                serve_session(x, body);
        else
                chat_serve(x, parameters);
}
