/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include <string.h>

#include "util/utf8.h"

enum {
        SHOWN_MAX = 4096,     /* bytes of a refused reply that the model is shown */
        TURNS_BESIDES = 1,    /* the instructions */
        STATUS_CANCELLED = 1, /* of gRPC */
};

struct ask {
        const struct config *config;
        struct brick_call *call;
        ProtobufCMessage *request;
        LLMContext **context; /* room for all turns that there may be */
        size_t n_context;
        char *question;
        unsigned attempt; /* 1 for the first */
        struct brick_child *child;
        LLMResponse *reply; /* on the heap; of a stream: the part that is not sent yet */
        int error;          /* of reading a reply, or of sending */
        struct reply_reason reason;

        /* Only of streams. */
        bool streams;
        size_t length; /* of the text so far */
        bool ended;    /* the model's call is over, as outcome says */
        struct brick_outcome outcome;
};

static void *call_memory(void *call, size_t size)
{
        return brick_alloc(call, size);
}

static void ask_destroy(void *data)
{
        struct ask *ask = data;

        if (ask->child)
                brick_host->child_free(ask->child);
        brick_unpacked_free(ask->reply);
}

static void drop_reply(struct ask *ask)
{
        brick_unpacked_free(ask->reply);
        ask->reply = NULL;
}

/* --- the question --- */

static int add_turn(struct ask *ask, const char *role, const char *content)
{
        LLMContext *turn = BRICK_NEW(ask->call, LLMContext);

        if (!turn)
                return -ENOMEM;
        turn->role = brick_const(role);
        turn->content = brick_const(content);
        ask->context[ask->n_context++] = turn;
        return 0;
}

static int add_instructions(struct ask *ask, const char *instructions)
{
        const char *form = ask->config->form;
        char *text = brick_printf(ask->call, "%s\n%s", instructions, form);

        return text ? add_turn(ask, "system", text) : -ENOMEM;
}

static int add_examples(struct ask *ask)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ask->config->n_examples; i++) {
                r = add_turn(ask, "user", ask->config->examples[i].question);
                if (r == 0)
                        r = add_turn(ask, "assistant", ask->config->examples[i].reply);
        }
        return r;
}

static int render(struct ask *ask, const struct expr *template, char **ret)
{
        struct expr_mistake mistake;
        int r = config_render(ask->config, template, ask->request, call_memory, ask->call, ret,
                              &mistake);

        if (r == -EINVAL || r == -E2BIG)
                return brick_failf(ask->call, BRICK_E_BAD_REQUEST, mistake.text,
                                   "the template cannot be filled in: line %u, column %u",
                                   mistake.line, mistake.column);
        return r;
}

/* 0, BRICK_TAKEN or a negative errno. */
static int prepare(struct ask *ask)
{
        const struct config *config = ask->config;
        size_t turns = TURNS_BESIDES + 2 * (config->n_examples + config->attempts);
        char *instructions;
        int r = render(ask, config->instructions, &instructions);

        if (r == 0)
                r = render(ask, config->question, &ask->question);
        if (r != 0)
                return r;
        ask->context = brick_alloc(ask->call, turns * sizeof(*ask->context));
        if (!ask->context)
                return -ENOMEM;
        r = add_instructions(ask, instructions);
        return r < 0 ? r : add_examples(ask);
}

static void copy_text(const struct ask *ask, LLMRequest *request, const char *field)
{
        config_set_text(&request->base, field, config_text(ask->request, field));
}

static void fill_request(const struct ask *ask, LLMRequest *request)
{
        protocols__grpc__llm__llmrequest__init(request);
        copy_text(ask, request, "client_id");
        copy_text(ask, request, "session_id");
        copy_text(ask, request, "request_id");
        copy_text(ask, request, "source_language");
        if (ask->config->model)
                request->model_id = ask->config->model;
        request->temperature = ask->config->temperature;
        request->max_tokens = ask->config->max_tokens;
        request->prompt = ask->question;
        request->n_context = ask->n_context;
        request->context = ask->context;
}

static int put_question(struct ask *ask);

/* --- the reply --- */

static void finish(struct ask *ask)
{
        const struct brick_outcome *outcome = &ask->outcome;

        if (ask->reason.text[0])
                (void)brick_fail(ask->call, BRICK_E_BAD_GATEWAY,
                                 "the reply of the model cannot be used", ask->reason.text);
        else if (ask->error < 0)
                brick_host->call_fail_errno(ask->call, ask->error);
        else if (brick_fail_as(ask->call, outcome) == 0)
                brick_finish(ask->call);
}

static int fill_plain(const struct ask *ask, ProtobufCMessage *response, char *text)
{
        if (ask->config->type == BRICK_TYPE_COMPOSE)
                return brick_struct_add_string(ask->call, ((ComposeResponse *)response)->output,
                                               "text", text);
        config_set_text(response, "text", text);
        config_set_text(response, "corrected_text", text);
        return 0;
}

/* What the model need not say. */
static void complete(const struct ask *ask, ProtobufCMessage *response, bool is_final)
{
        TranslateResponse *translation = (TranslateResponse *)response;

        if (ask->config->type != BRICK_TYPE_TRANSLATE)
                return;
        translation->is_final = is_final;
        if (!*translation->language_code)
                translation->language_code = brick_const(
                        config_text(ask->request, "target_language"));
}

/* 0; -EINVAL: the reply cannot be used, see reason; -ENOMEM. */
static int read_reply(struct ask *ask, ProtobufCMessage *response)
{
        const struct reply_rules *rules = &ask->config->rules;
        const char *text = ask->reply->text;
        size_t length = strlen(text);
        json_t *object;
        char *copy;
        int r;

        if (ask->config->plain) {
                r = reply_plain(rules, &text, &length, &ask->reason);
                if (r < 0)
                        return r;
                copy = brick_strndup(ask->call, text, length);
                return copy ? fill_plain(ask, response, copy) : -ENOMEM;
        }
        object = reply_parse(rules, text, length, &ask->reason);
        if (!object)
                return -EINVAL;
        r = reply_fill(rules->shape, object, ask->call, response);
        json_decref(object);
        return r;
}

static void log_refusal(const struct ask *ask)
{
        struct brick_str name = brick_host->target_name(ask->config->llm);

        brick_logf(brick_host, ask->config->ctx, BRICK_LOG_INFO,
                   "attempt %u of %u: the reply of %.*s cannot be used: %s", ask->attempt,
                   ask->config->attempts, (int)name.len, name.ptr, ask->reason.text);
}

/* The model sees its own reply and what is wrong with it. */
static int ask_again(struct ask *ask)
{
        const char *text = *ask->reply->text ? ask->reply->text : "(nothing)";
        char *shown = brick_strndup(ask->call, text, utf8_prefix(text, strlen(text), SHOWN_MAX));
        int r = add_turn(ask, "user", ask->question);

        if (r == 0)
                r = shown ? add_turn(ask, "assistant", shown) : -ENOMEM;
        ask->question = brick_printf(ask->call, "This reply cannot be used: %s. %s",
                                     ask->reason.text, ask->config->form);
        if (r < 0 || !ask->question)
                return -ENOMEM;
        ask->reason.text[0] = '\0';
        drop_reply(ask);
        return put_question(ask);
}

static int use_reply(struct ask *ask)
{
        void *response;
        int r = brick_begin(ask->call, ask->config->type, NULL, &response);

        if (r == 0)
                r = read_reply(ask, response);
        if (r == 0) {
                complete(ask, response, true);
                brick_reply(ask->call, response);
        }
        if (r != -EINVAL)
                return r;
        log_refusal(ask);
        if (ask->attempt < ask->config->attempts)
                return ask_again(ask);
        finish(ask);
        return 0;
}

static void on_message(void *user, struct brick_bytes message)
{
        struct ask *ask = user;

        ask->reply = brick_unpack_heap(BRICK_DESCRIPTOR(LLMResponse), message);
        if (!ask->reply)
                ask->error = -ENOMEM;
}

static void on_done(void *user, const struct brick_outcome *outcome)
{
        struct ask *ask = user;
        int r = ask->error;

        if (r == 0 && brick_fail_as(ask->call, outcome) != 0)
                return;
        if (r == 0)
                r = ask->reply ? use_reply(ask) : -EBADMSG;
        if (r < 0)
                brick_host->call_fail_errno(ask->call, r);
}

static const struct brick_child_ops unary_ops = {
        .struct_size = sizeof unary_ops,
        .message = on_message,
        .done = on_done,
};

/* --- a stream of plain text --- */

static int send_part(struct ask *ask)
{
        size_t mark = brick_mark(ask->call);
        void *response;
        int r = brick_begin(ask->call, ask->config->type, NULL, &response);

        if (r == 0)
                r = fill_plain(ask, response, ask->reply->text);
        if (r == 0) {
                complete(ask, response, ask->reply->is_final);
                r = brick_send(ask->call, response);
        }
        brick_rewind(ask->call, mark);
        return r;
}

static void stop_stream(struct ask *ask)
{
        if (!ask->ended)
                brick_host->child_cancel(ask->child);
}

/* Sends what is held; then asks for more, or ends the call. */
static void proceed(struct ask *ask)
{
        int r = ask->reply ? send_part(ask) : 0;

        if (r == -EAGAIN)
                return;
        drop_reply(ask);
        if (r < 0) {
                ask->error = r;
                stop_stream(ask);
        }
        if (ask->ended)
                finish(ask);
        else if (r == 0)
                brick_host->child_recv(ask->child);
}

static void on_part(void *user, struct brick_bytes message)
{
        struct ask *ask = user;
        LLMResponse *part = brick_unpack_heap(BRICK_DESCRIPTOR(LLMResponse), message);

        if (!part) {
                ask->error = -ENOMEM;
                stop_stream(ask);
                return;
        }
        ask->length += strlen(part->text);
        if (ask->length > ask->config->rules.max) {
                (void)snprintf(ask->reason.text, sizeof ask->reason.text,
                               "it is longer than %zu bytes", ask->config->rules.max);
                brick_unpacked_free(part);
                stop_stream(ask);
                return;
        }
        ask->reply = part;
        proceed(ask);
}

static struct brick_str keep(struct ask *ask, struct brick_str text)
{
        const char *copy = text.len > 0 ? brick_strndup(ask->call, text.ptr, text.len) : NULL;

        return copy ? (struct brick_str){ copy, text.len } : brick_str("");
}

static void on_stream_done(void *user, const struct brick_outcome *outcome)
{
        struct ask *ask = user;

        ask->ended = true;
        ask->outcome = *outcome;
        ask->outcome.message = keep(ask, outcome->message);
        ask->outcome.detail = keep(ask, outcome->detail);
        if (outcome->status == 0 && outcome->code == 200 && ask->length == 0)
                (void)snprintf(ask->reason.text, sizeof ask->reason.text, "it is empty");
        if (!ask->reply)
                finish(ask);
}

static const struct brick_child_ops stream_ops = {
        .struct_size = sizeof stream_ops,
        .message = on_part,
        .done = on_stream_done,
};

void ask_writable(struct ask *ask)
{
        if (ask->reply)
                proceed(ask);
}

/* The model's call is cancelled by brickd, and its end is waited for; unless it has ended. */
void ask_cancel(struct ask *ask)
{
        if (ask->ended)
                brick_host->call_finish(ask->call, STATUS_CANCELLED, brick_str(NULL));
}

/* --- a call --- */

static int put_question(struct ask *ask)
{
        LLMRequest request;
        int r;

        if (ask->child)
                brick_host->child_free(ask->child);
        ask->child = NULL;
        ask->attempt++;
        fill_request(ask, &request);
        r = brick_child_start(ask->call, ask->config->llm,
                              ask->streams ? BRICK_METHOD_OUTPUT_STREAMING : BRICK_METHOD_UNARY,
                              &request.base, ask->streams ? &stream_ops : &unary_ops, ask,
                              &ask->child);
        if (r == 0)
                brick_host->child_recv(ask->child);
        return r;
}

int ask_start(const struct config *config, struct brick_call *call, uint32_t method)
{
        struct ask *ask = brick_alloc(call, sizeof *ask);
        void *request;
        int r = ask ? brick_begin(call, config->type, &request, NULL) : -ENOMEM;

        if (r < 0)
                return r;
        *ask = (struct ask){
                .config = config,
                .call = call,
                .request = request,
                .streams = method == BRICK_METHOD_OUTPUT_STREAMING && config->plain,
        };
        brick_host->call_set_data(call, ask, ask_destroy);
        r = prepare(ask);
        return r == 0 ? put_question(ask) : r;
}
