/* SPDX-License-Identifier: MIT */
#include "http/llm.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "http/models.h"
#include "http/route-tools.h"
#include "http/stops.h"
#include "module/instance.h"
#include "serve/validate.h"
#include "util/arena.h"
#include "util/random.h"
#include "util/utf8.h"

#define FIELD_TEXT 1 /* of LLMResponse */

/* --- what the brick says besides the text -------------------------------------------------------
 */

static struct brick_str find_trailer(const void *exchange, const char *key)
{
        return exchange_trailer(exchange, key);
}

struct brick_str llm_finish_reason(const struct llm *llm)
{
        return llm->stopped || llm->usage.finish_reason.len == 0 ? brick_str("stop")
                                                                 : llm->usage.finish_reason;
}

static struct brick_str text_of(struct brick_bytes message)
{
        struct brick_str text = {};

        text.ptr = validate_find_string(message.ptr, message.len, FIELD_TEXT, &text.len);
        return text;
}

/* How much of llm->text may be given. */
static size_t scan(struct llm *llm)
{
        return stops_scan(llm->text.bytes, llm->text.length, llm->request.stops,
                          llm->request.n_stops, &llm->stopped);
}

/* --- the whole answer ---------------------------------------------------------------------------
 */

static void unary_reply(struct exchange *x, struct brick_bytes message)
{
        struct llm *llm = exchange_data(x);
        struct brick_str text = text_of(message);

        if (text.len > 0)
                json_put(&llm->text, text.ptr, text.len);
}

/* Of an answer besides its text, roughly: with room for both, a large one is not copied. */
#define OBJECT_SIZE 1024

static void unary_done(struct exchange *x, const struct exchange_outcome *outcome)
{
        struct llm *llm = exchange_data(x);
        struct json_text json = json_text(exchange_arena(x));
        size_t n;

        if (!outcome->success) {
                exchange_fail(x, &outcome->error);
                return;
        }
        usage_read(&llm->usage, find_trailer, x);
        n = llm->request.n_stops > 0 ? scan(llm) : 0;
        if (!llm->stopped) /* what may have been the beginning of a stop is none */
                n = llm->text.length;
        json_reserve(&json, n + OBJECT_SIZE);
        llm->form->whole(x, llm, &json, llm->text.bytes ? llm->text.bytes : "", n);
        json.failed = json.failed || llm->text.failed;
        route_answer(x, &json);
}

/* --- the stream ---------------------------------------------------------------------------------
 */

void llm_put_event(struct exchange *x, const struct json_text *event)
{
        if (event->failed)
                exchange_abort(x);
        else
                exchange_write(x, event->bytes, event->length);
}

static void begin(struct exchange *x, struct llm *llm)
{
        route_begin_events(x);
        if (llm->has_begun)
                return;
        llm->has_begun = true;
        llm->form->first(x, llm);
}

static void give(struct exchange *x, struct llm *llm, const char *text, size_t length)
{
        if (length == 0)
                return;
        if (llm->form->keeps_text)
                json_put(&llm->all, text, length);
        llm->form->piece(x, llm, text, length);
}

/* Gives what cannot be the beginning of a stop. At a stop, the brick is told to give up. */
static void give_up_to_stop(struct exchange *x, struct llm *llm)
{
        size_t n = scan(llm);

        if (llm->stopped)
                exchange_cancel(x);
        give(x, llm, llm->text.bytes, n);
        memmove(llm->text.bytes, llm->text.bytes + n, llm->text.length - n);
        llm->text.length -= n;
}

static void stream_reply(struct exchange *x, struct brick_bytes message)
{
        struct llm *llm = exchange_data(x);
        struct brick_str text = text_of(message);

        if (llm->stopped)
                return;
        begin(x, llm);
        if (text.len == 0)
                return;
        if (llm->request.n_stops == 0) {
                give(x, llm, text.ptr, text.len);
        } else {
                json_put(&llm->text, text.ptr, text.len);
                if (!llm->text.failed)
                        give_up_to_stop(x, llm);
        }
        if (llm->text.failed || llm->all.failed)
                exchange_abort(x);
}

static void stream_done(struct exchange *x, const struct exchange_outcome *outcome)
{
        struct llm *llm = exchange_data(x);

        if (!outcome->success && !exchange_has_begun(x) && !llm->form->always_begins) {
                exchange_fail(x, &outcome->error);
                return;
        }
        usage_read(&llm->usage, find_trailer, x);
        begin(x, llm);
        if (!llm->stopped)
                give(x, llm, llm->text.bytes, llm->text.length);
        if (outcome->success)
                llm->form->last(x, llm);
        else
                llm->form->error(x, llm, &outcome->error);
        exchange_end(x);
}

/* A comment, with one newline: with two, some clients take it for an empty event. */
static void stream_silent(struct exchange *x)
{
        static const char comment[] = ": keep-alive\n";

        route_begin_events(x);
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

static void refuse_model(struct exchange *x, const char *model)
{
        struct json_text names = json_text(exchange_arena(x));

        models_name(x, &names);
        route_refuse(x, 404, "model_not_found", "model", "There is no model '%s' here%s%.*s.",
                     model, names.length > 0 ? ". There is " : ", nor any other", (int)names.length,
                     names.length > 0 ? names.bytes : "");
}

/* NULL: there is none that could be a string of a message. */
static char *copy_field(struct exchange *x, const char *name)
{
        struct http_text value = http_head_field(exchange_head(x), name);

        return value.ptr && utf8_valid(value.ptr, value.length)
                       ? arena_strndup(exchange_request_arena(x), value.ptr, value.length)
                       : NULL;
}

/* Replaces a text of the request by a copy that lives as long as the answer. */
static bool keep(struct exchange *x, const char **text)
{
        *text = arena_strndup(exchange_arena(x), *text, strlen(*text));
        return *text;
}

/* What the answer needs of the request's texts. */
static bool keep_texts(struct exchange *x, struct llm *llm)
{
        bool ok = keep(x, &llm->request.model) &&
                  keep(x, (const char **)&llm->request.message.session_id);

        for (size_t i = 0; i < llm->request.n_stops; i++)
                ok = ok && keep(x, &llm->request.stops[i]);
        if (!ok)
                route_refuse_memory(x);
        return ok;
}

void llm_call(struct exchange *x, struct llm *llm, struct instance *brick, bool own_name)
{
        const bool stream = llm->request.stream;
        LLMRequest *message = &llm->request.message;
        char *session = copy_field(x, "x-session-id");
        struct brick_pair pair = { .key = brick_str("x-temperature") };
        struct brick_bytes bytes;
        char temperature[32];

        if (session && message->session_id == protobuf_c_empty_string)
                message->session_id = session;
        if (!keep_texts(x, llm))
                return;
        message->model_id = (char *)(own_name ? "" : llm->request.model);
        message->request_id = (char *)exchange_id(x);
        if (!route_pack(x, &message->base, &bytes))
                return;
        (void)snprintf(temperature, sizeof temperature, "%g", (double)message->temperature);
        pair.value = brick_str(temperature);
        exchange_set_data(x, llm);
        exchange_call(x,
                      &(struct exchange_call){
                              .brick = brick,
                              .method = stream ? BRICK_METHOD_OUTPUT_STREAMING : BRICK_METHOD_UNARY,
                              .requests = &bytes,
                              .n_requests = 1,
                              .metadata = &pair,
                              .n_metadata = llm->request.has_temperature,
                              .route = llm->form->route,
                              .ops = stream ? &stream_ops : &unary_ops,
                      });
}

struct llm *llm_new(struct exchange *x, const struct llm_form *form)
{
        struct llm *llm = arena_alloc(exchange_arena(x), sizeof *llm, _Alignof(struct llm));

        if (!llm) {
                route_refuse_memory(x);
                return NULL;
        }
        *llm = (struct llm){
                .form = form,
                .created = time(NULL),
                .text = json_text(exchange_arena(x)),
                .all = json_text(exchange_arena(x)),
        };
        (void)snprintf(llm->id, sizeof llm->id, "%s%016" PRIx64, form->id_prefix, random_u64());
        return llm;
}

void llm_serve(struct exchange *x, const struct llm_form *form)
{
        struct llm *llm = llm_new(x, form);
        struct exchange_error error;
        struct instance *brick;
        struct json_value body;
        bool own_name;

        if (!llm || !route_body(x, &body))
                return;
        if (!form->read(&llm->request, body, exchange_request_arena(x), &error)) {
                exchange_fail(x, &error);
                return;
        }
        brick = models_find(x, llm->request.model, &own_name);
        if (!brick) {
                refuse_model(x, llm->request.model);
                return;
        }
        if (llm->request.ignored)
                exchange_header(x, "X-Brickd-Ignored", llm->request.ignored);
        llm_call(x, llm, brick, own_name);
}
