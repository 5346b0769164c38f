/* SPDX-License-Identifier: MIT */
#include "http/route.h"

#include <string.h>

#include "retrieval.pb-c.h"
#include "struct.pb-c.h"

#include "http/message-json.h"
#include "http/route-tools.h"
#include "module/instance.h"
#include "serve/wire-read.h"
#include "util/arena.h"
#include "util/cleanup.h"

/* POST /v1/vector_stores/{brick}/search: a call to a retrieval brick. */

#define RESULTS_DEFAULT 10
#define RESULTS_MAX 50

#define FIELD_DOCUMENTS 1 /* of RetrievalResponse */

/* Of Document. */
enum { DOCUMENT_ID = 1, DOCUMENT_TITLE, DOCUMENT_SNIPPET, DOCUMENT_SCORE, DOCUMENT_METADATA };

struct search {
        struct json_text answer; /* so far */
        bool any;                /* there is a document in it */
};

/* --- the answer ---------------------------------------------------------------------------------
 */

static void put_text(struct json_text *text, const char *name, struct brick_bytes value)
{
        json_puts(text, name);
        json_put_string(text, value.len > 0 ? value.ptr : "", value.len);
}

static void put_document(struct search *s, struct brick_bytes document)
{
        struct brick_bytes parts[DOCUMENT_METADATA + 1] = {};
        struct wire_field field;
        float score = 0;

        while (wire_next_field(&document, &field))
                if (field.number == DOCUMENT_SCORE)
                        score = wire_float(&field);
                else if (field.number <= DOCUMENT_METADATA)
                        parts[field.number] = field.content;
        put_text(&s->answer, s->any ? ",{\"file_id\":" : "{\"file_id\":", parts[DOCUMENT_ID]);
        put_text(&s->answer, ",\"filename\":",
                 parts[parts[DOCUMENT_TITLE].len > 0 ? DOCUMENT_TITLE : DOCUMENT_ID]);
        json_puts(&s->answer, ",\"score\":");
        message_json_put_float(&s->answer, score);
        json_puts(&s->answer, ",\"attributes\":");
        message_json_write(&s->answer, &google__protobuf__struct__descriptor,
                           parts[DOCUMENT_METADATA], 0);
        put_text(&s->answer, ",\"content\":[{\"type\":\"text\",\"text\":", parts[DOCUMENT_SNIPPET]);
        json_puts(&s->answer, "}]}");
        s->any = true;
}

static void reply(struct exchange *x, struct brick_bytes message)
{
        struct search *s = exchange_data(x);
        struct wire_field field;

        while (wire_next_field(&message, &field))
                if (field.number == FIELD_DOCUMENTS)
                        put_document(s, field.content);
}

static void done(struct exchange *x, const struct exchange_outcome *outcome)
{
        struct search *s = exchange_data(x);

        if (!outcome->success) {
                exchange_fail(x, &outcome->error);
                return;
        }
        json_puts(&s->answer, "],\"has_more\":false,\"next_page\":null}");
        route_answer(x, &s->answer);
}

static const struct exchange_call_ops ops = { .reply = reply, .done = done };

/* --- the request --------------------------------------------------------------------------------
 */

/* One text, or a list of texts, which are searched for together. */
static bool read_query(struct exchange *x, struct json_value query, char **ret)
{
        struct json_text all = json_text(exchange_arena(x));
        struct json_walk walk = json_begin(query);
        struct json_value item;
        char *text;

        if (!query.ptr || json_value_kind(query) != JSON_KIND_LIST)
                return route_string(x, query, "query", ret);
        while (json_next_item(&walk, &item)) {
                if (!route_string(x, item, "query", &text))
                        return false;
                json_puts(&all, all.length > 0 ? " " : "");
                json_puts(&all, text);
        }
        json_put(&all, "", 1);
        if (all.failed)
                route_refuse_memory(x);
        *ret = all.bytes;
        return !all.failed;
}

static bool read_count(struct exchange *x, struct json_value value, int32_t *ret)
{
        int64_t n = RESULTS_DEFAULT;

        if (value.ptr && (json_value_kind(value) != JSON_KIND_NUMBER ||
                          !json_value_integer(value, &n) || n < 1 || n > RESULTS_MAX)) {
                route_refuse(x, 400, "invalid_value", "max_num_results",
                             "'max_num_results' must be a whole number from 1 to %d.", RESULTS_MAX);
                return false;
        }
        *ret = (int32_t)n;
        return true;
}

static bool check_filters(struct exchange *x, struct json_value filters)
{
        if (filters.ptr)
                route_refuse(x, 400, "unsupported_parameter", "filters",
                             "'filters' is not supported: bricks search by a query alone.");
        return !filters.ptr;
}

static void note_ignored(struct exchange *x, struct json_value body)
{
        bool ranking = route_member(body, "ranking_options").ptr;
        struct json_value rewrite = route_member(body, "rewrite_query");
        bool rewrites = rewrite.ptr && json_value_kind(rewrite) == JSON_KIND_TRUE;

        if (ranking || rewrites)
                exchange_header(x, "X-Brickd-Ignored",
                                !rewrites  ? "ranking_options"
                                : !ranking ? "rewrite_query"
                                           : "ranking_options, rewrite_query");
}

/* The query as the client wrote it, always as a list. */
static void begin_answer(struct search *s, struct json_value query)
{
        bool list = json_value_kind(query) == JSON_KIND_LIST;

        json_puts(&s->answer, "{\"object\":\"vector_store.search_results.page\",\"search_query\":");
        json_puts(&s->answer, list ? "" : "[");
        json_put(&s->answer, query.ptr, query.length);
        json_puts(&s->answer, list ? "" : "]");
        json_puts(&s->answer, ",\"data\":[");
}

void search_serve(struct exchange *x, const char *const *parameters)
{
        Protocols__Grpc__Retrieval__RetrievalRequest request =
                PROTOCOLS__GRPC__RETRIEVAL__RETRIEVAL_REQUEST__INIT;
        struct instance *brick = route_brick(x, parameters[0], BRICK_TYPE_RETRIEVAL);
        struct search *s = arena_alloc(exchange_arena(x), sizeof *s, _Alignof(typeof(*s)));
        struct json_value body, query;
        struct brick_bytes message;

        if (!brick)
                return;
        if (!s) {
                route_refuse_memory(x);
                return;
        }
        if (!route_object(x, &body))
                return;
        query = route_member(body, "query");
        request.request_id = (char *)exchange_id(x);
        if (!read_query(x, query, &request.query) ||
            !read_count(x, route_member(body, "max_num_results"), &request.max_results) ||
            !check_filters(x, route_member(body, "filters")) ||
            !route_pack(x, &request.base, &message))
                return;
        note_ignored(x, body);
        *s = (struct search){ .answer = json_text(exchange_arena(x)) };
        begin_answer(s, query);
        exchange_set_data(x, s);
        exchange_call(x, &(struct exchange_call){
                                 .brick = brick,
                                 .method = BRICK_METHOD_UNARY,
                                 .requests = &message,
                                 .n_requests = 1,
                                 .route = "/v1/vector_stores/{brick}/search",
                                 .ops = &ops,
                         });
}
