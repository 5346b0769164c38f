/* SPDX-License-Identifier: MIT */
#include "http/route.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "guard.pb-c.h"

#include "conf/conf.h"
#include "http/message-json.h"
#include "http/route-tools.h"
#include "module/instance.h"
#include "serve/wire-read.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/random.h"

/* POST /v1/moderations: one call to a guard for each text, one after the other. */

#define INPUTS_MAX 128
#define CATEGORIES_MAX 64 /* what a guard says beyond them counts as the last one */

#define FIELD_RESULTS 1 /* of GuardResponse */

/* Of GuardResult. */
#define FIELD_IS_ATTACK 1
#define FIELD_CONFIDENCE 2
#define FIELD_DETAIL 3

/* Clients look for these categories of OpenAI's, whatever the guard looks for. */
static const char *const usual[] = {
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
};

struct category {
        struct brick_str name;
        bool applies;
        float score;
};

struct moderation {
        struct instance *brick;
        char *inputs[INPUTS_MAX];
        size_t n_inputs;
        size_t next;                                /* of the inputs, the one to judge next */
        struct json_text answer;                    /* so far */
        struct category categories[CATEGORIES_MAX]; /* of the input that is being judged */
        size_t n_categories;
};

/* --- the answer ---------------------------------------------------------------------------------
 */

static struct brick_str category_of(struct brick_bytes detail)
{
        const char *name = detail.ptr;
        const char *colon = detail.len > 0 ? memchr(name, ':', detail.len) : NULL;
        size_t length = colon ? (size_t)(colon - name) : detail.len;

        while (length > 0 && *name == ' ') {
                name++;
                length--;
        }
        while (length > 0 && name[length - 1] == ' ')
                length--;
        return length > 0 ? (struct brick_str){ name, length } : brick_str("attack");
}

/* NULL: the arena is full. */
static struct category *find_category(struct exchange *x, struct moderation *m,
                                      struct brick_str name)
{
        struct category *category;
        char *copy;

        for (size_t i = 0; i < m->n_categories; i++)
                if (m->categories[i].name.len == name.len &&
                    memcmp(m->categories[i].name.ptr, name.ptr, name.len) == 0)
                        return &m->categories[i];
        if (m->n_categories == CATEGORIES_MAX)
                return &m->categories[CATEGORIES_MAX - 1];
        copy = arena_strndup(exchange_arena(x), name.ptr, name.len);
        if (!copy)
                return NULL;
        category = &m->categories[m->n_categories++];
        *category = (struct category){ .name = { copy, name.len } };
        return category;
}

static void begin_result(struct moderation *m)
{
        for (size_t i = 0; i < ELEMENTSOF(usual); i++)
                m->categories[i] = (struct category){ .name = brick_str(usual[i]) };
        m->n_categories = ELEMENTSOF(usual);
}

/* A finding of the guard. */
static void take_result(struct exchange *x, struct moderation *m, struct brick_bytes result)
{
        struct brick_bytes detail = {};
        struct category *category;
        struct wire_field field;
        bool is_attack = false;
        float score = 0;

        while (wire_next_field(&result, &field))
                if (field.number == FIELD_IS_ATTACK)
                        is_attack = field.value != 0;
                else if (field.number == FIELD_CONFIDENCE)
                        score = wire_float(&field);
                else if (field.number == FIELD_DETAIL)
                        detail = field.content;
        if (!is_attack)
                return;
        category = find_category(x, m, category_of(detail));
        if (!category) {
                m->answer.failed = true;
                return;
        }
        category->applies = true;
        if (score > category->score)
                category->score = score;
}

static void put_categories(struct moderation *m, const char *name,
                           void (*put)(struct json_text *text, const struct category *category))
{
        json_puts(&m->answer, name);
        for (size_t i = 0; i < m->n_categories; i++) {
                json_puts(&m->answer, i > 0 ? "," : "{");
                json_put_string(&m->answer, m->categories[i].name.ptr, m->categories[i].name.len);
                json_puts(&m->answer, ":");
                put(&m->answer, &m->categories[i]);
        }
        json_puts(&m->answer, "}");
}

static void put_applies(struct json_text *text, const struct category *category)
{
        json_puts(text, category->applies ? "true" : "false");
}

static void put_score(struct json_text *text, const struct category *category)
{
        message_json_put_float(text, category->score);
}

static void put_input_types(struct json_text *text, const struct category *category)
{
        json_puts(text, category->applies ? "[\"text\"]" : "[]");
}

static void end_result(struct moderation *m)
{
        bool flagged = false;

        for (size_t i = 0; i < m->n_categories; i++)
                flagged = flagged || m->categories[i].applies;
        json_puts(&m->answer, m->next > 0 ? ",{\"flagged\":" : "{\"flagged\":");
        json_puts(&m->answer, flagged ? "true" : "false");
        put_categories(m, ",\"categories\":", put_applies);
        put_categories(m, ",\"category_scores\":", put_score);
        put_categories(m, ",\"category_applied_input_types\":", put_input_types);
        json_puts(&m->answer, "}");
}

/* --- the calls ----------------------------------------------------------------------------------
 */

static void judge(struct exchange *x, struct moderation *m);

static void reply(struct exchange *x, struct brick_bytes message)
{
        struct moderation *m = exchange_data(x);
        struct wire_field field;

        while (wire_next_field(&message, &field))
                if (field.number == FIELD_RESULTS)
                        take_result(x, m, field.content);
}

static void done(struct exchange *x, const struct exchange_outcome *outcome)
{
        struct moderation *m = exchange_data(x);

        if (!outcome->success) {
                exchange_fail(x, &outcome->error);
                return;
        }
        end_result(m);
        if (++m->next < m->n_inputs && !m->answer.failed) {
                judge(x, m);
                return;
        }
        json_puts(&m->answer, "]}");
        route_answer(x, &m->answer);
}

static const struct exchange_call_ops ops = { .reply = reply, .done = done };

static void judge(struct exchange *x, struct moderation *m)
{
        Protocols__Grpc__Guard__GuardRequest request = PROTOCOLS__GRPC__GUARD__GUARD_REQUEST__INIT;
        struct brick_bytes message;

        begin_result(m);
        request.text = m->inputs[m->next];
        request.request_id = (char *)exchange_id(x);
        if (!route_pack(x, &request.base, &message))
                return;
        exchange_call(x, &(struct exchange_call){
                                 .brick = m->brick,
                                 .method = BRICK_METHOD_UNARY,
                                 .requests = &message,
                                 .n_requests = 1,
                                 .route = "/v1/moderations",
                                 .ops = &ops,
                         });
}

/* --- the request --------------------------------------------------------------------------------
 */

/* A text, or a part {"type":"text","text":...}. False: refused. */
static bool add_input(struct exchange *x, struct moderation *m, struct json_value value)
{
        struct json_value type;

        if (m->n_inputs == INPUTS_MAX) {
                route_refuse(x, 400, "invalid_value", "input", "'input' has more than %d texts.",
                             INPUTS_MAX);
                return false;
        }
        if (json_value_kind(value) == JSON_KIND_OBJECT) {
                type = route_member(value, "type");
                if (!type.ptr || json_value_kind(type) != JSON_KIND_STRING ||
                    !json_value_is(type, "text")) {
                        route_refuse(x, 400, "unsupported_content", "input",
                                     "'input' has a part that is no text: guards take only text.");
                        return false;
                }
                value = route_member(value, "text");
        }
        return route_string(x, value, "input", &m->inputs[m->n_inputs]) && ++m->n_inputs;
}

static bool read_inputs(struct exchange *x, struct moderation *m, struct json_value body)
{
        struct json_value input = route_member(body, "input"), item;
        struct json_walk walk = json_begin(input);

        if (!input.ptr) {
                route_refuse(x, 400, "missing_required_parameter", "input", "'input' is missing.");
                return false;
        }
        if (json_value_kind(input) != JSON_KIND_LIST)
                return add_input(x, m, input);
        while (json_next_item(&walk, &item))
                if (!add_input(x, m, item))
                        return false;
        if (m->n_inputs == 0)
                route_refuse(x, 400, "invalid_value", "input", "'input' is empty.");
        return m->n_inputs > 0;
}

/* The guard whose name is the model; if the model is another, the port's default. */
static bool read_model(struct exchange *x, struct moderation *m, struct json_value body)
{
        struct json_value model = route_member(body, "model");
        char *name;

        if (model.ptr) {
                if (!route_string(x, model, "model", &name))
                        return false;
                m->brick = route_brick_named(x, name, BRICK_TYPE_GUARD);
        }
        if (!m->brick)
                m->brick = route_default_brick(x, BRICK_TYPE_GUARD);
        return m->brick != NULL;
}

void moderations_serve(struct exchange *x, const char *const *parameters)
{
        struct moderation *m = arena_alloc(exchange_arena(x), sizeof *m, _Alignof(typeof(*m)));
        struct json_value body;
        char id[32];

        if (!m) {
                route_refuse_memory(x);
                return;
        }
        *m = (struct moderation){ .answer = json_text(exchange_arena(x)) };
        if (!route_object(x, &body) || !read_inputs(x, m, body) || !read_model(x, m, body))
                return;
        (void)snprintf(id, sizeof id, "modr-%016" PRIx64, random_u64());
        json_puts(&m->answer, "{\"id\":");
        json_puts_string(&m->answer, id);
        json_puts(&m->answer, ",\"model\":");
        json_puts_string(&m->answer, m->brick->conf->name);
        json_puts(&m->answer, ",\"results\":[");
        exchange_keep_request(x);
        exchange_set_data(x, m);
        judge(x, m);
}
