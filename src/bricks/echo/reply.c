/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <stdbool.h>
#include <string.h>

/* The most documents of a Retrieval reply. */
#define DOCUMENTS_MAX 100
#define DOCUMENTS_DEFAULT 3

/* Room for "tok" and a number. */
#define TOKEN_SIZE 32

/* prefix and s, padded with dots. NULL: out of memory. */
static char *padded(struct brick_call *call, const struct reply_sizes *sizes, const char *prefix,
                    const char *s)
{
        size_t m = strlen(prefix), n = strlen(s);
        size_t length = m + n < sizes->padding ? sizes->padding : m + n;
        char *text = brick_alloc(call, length + 1);

        if (!text)
                return NULL;
        memcpy(text, prefix, m);
        memcpy(text + m, s, n);
        memset(text + m + n, '.', length - m - n);
        text[length] = '\0';
        return text;
}

/* ---- streams of tokens ------------------------------------------------------------------ */

static int tokens_prepare(struct reply *reply, struct brick_call *call,
                          const struct reply_sizes *sizes, size_t count)
{
        reply->count = count;
        reply->text_size = sizes->padding + TOKEN_SIZE;
        reply->text = brick_alloc(call, reply->text_size);
        if (!reply->text)
                return -ENOMEM;
        memset(reply->text, '.', reply->text_size);
        return 0;
}

static void next_token(struct reply *reply, size_t index)
{
        int n = snprintf(reply->text, TOKEN_SIZE, "tok%zu ", index);
        size_t padding = reply->text_size - TOKEN_SIZE;

        /* Replace the NUL of the token by padding; the rest of the buffer is padding already. */
        if ((size_t)n < padding) {
                reply->text[n] = '.';
                reply->text[padding] = '\0';
        }
}

static void advance_llm(struct reply *reply, size_t index)
{
        LLMResponse *response = (LLMResponse *)reply->message;

        next_token(reply, index);
        response->text = reply->text;
        response->is_final = index + 1 == reply->count;
}

static void advance_translate(struct reply *reply, size_t index)
{
        TranslateResponse *response = (TranslateResponse *)reply->message;

        next_token(reply, index);
        response->text = reply->text;
        response->is_final = index + 1 == reply->count;
}

/* ---- one for each type ------------------------------------------------------------------ */

static int prepare_llm(struct reply *reply, struct brick_call *call, const LLMRequest *request,
                       LLMResponse *response, bool stream, const struct reply_sizes *sizes)
{
        if (stream) {
                reply->advance = advance_llm;
                return tokens_prepare(reply, call, sizes,
                                      request->max_tokens > 0 ? (size_t)request->max_tokens
                                                              : sizes->tokens);
        }
        response->text = padded(call, sizes, "Echo: ", request->prompt);
        response->is_final = true;
        return response->text ? 0 : -ENOMEM;
}

static int prepare_translate(struct reply *reply, struct brick_call *call,
                             const TranslateRequest *request, TranslateResponse *response,
                             bool stream, const struct reply_sizes *sizes)
{
        char *tag;

        response->language_code = request->target_language;
        if (stream) {
                reply->advance = advance_translate;
                return tokens_prepare(reply, call, sizes, sizes->tokens);
        }
        tag = brick_printf(call, "[%s] ", request->target_language);
        response->text = tag ? padded(call, sizes, tag, request->text) : NULL;
        response->is_final = true;
        return response->text ? 0 : -ENOMEM;
}

static int prepare_guard(struct brick_call *call, const GuardRequest *request,
                         GuardResponse *response, const struct reply_sizes *sizes)
{
        GuardResult *result = brick_add(call, response, results);

        if (!result)
                return -ENOMEM;
        result->confidence = 1;
        result->detail = padded(call, sizes, "Echo: ", request->text);
        return result->detail ? 0 : -ENOMEM;
}

static int prepare_intention(struct brick_call *call, IntentionResponse *response)
{
        IntentionResult *result = brick_add(call, response, results);

        if (!result)
                return -ENOMEM;
        result->intent_category = (char *)"echo";
        result->confidence = 1;
        return 0;
}

static int prepare_rectify(struct brick_call *call, const RectifyRequest *request,
                           RectifyResponse *response, const struct reply_sizes *sizes)
{
        response->corrected_text = padded(call, sizes, "", request->text);
        return response->corrected_text ? 0 : -ENOMEM;
}

static int prepare_retrieval(struct brick_call *call, const RetrievalRequest *request,
                             RetrievalResponse *response, const struct reply_sizes *sizes)
{
        size_t n = request->max_results > 0 ? (size_t)request->max_results : DOCUMENTS_DEFAULT;
        char *snippet = padded(call, sizes, "Echo: ", request->query);
        RetrievalDocument **documents;

        n = n < DOCUMENTS_MAX ? n : DOCUMENTS_MAX;
        documents = brick_add_n(call, response, documents, n);
        if (!documents || !snippet)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                documents[i]->doc_id = brick_printf(call, "echo-%zu", i + 1);
                documents[i]->title = brick_printf(call, "Echo %zu", i + 1);
                documents[i]->snippet = snippet;
                documents[i]->score = 1 / (float)(i + 1);
                if (!documents[i]->doc_id || !documents[i]->title)
                        return -ENOMEM;
        }
        return 0;
}

static void set_string(Value *value, char *string)
{
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        value->string_value = string;
}

static void advance_compose(struct reply *reply, size_t index)
{
        set_string(reply->value, reply->compose->input_documents[index]->doc_id);
}

/* { format: ..., documents: [ids] }, or as a stream { document: id } for each. */
static int prepare_compose(struct reply *reply, struct brick_call *call,
                           const ComposeRequest *request, ComposeResponse *response, bool stream)
{
        size_t n = request->n_input_documents;
        Value **values, *documents;

        if (stream) {
                reply->count = n;
                reply->compose = request;
                reply->advance = advance_compose;
                reply->value = brick_struct_add(call, response->output, "document");
                return reply->value ? 0 : -ENOMEM;
        }
        if (brick_struct_add_string(call, response->output, "format", request->target_format) < 0)
                return -ENOMEM;
        documents = brick_struct_add(call, response->output, "documents");
        if (!documents)
                return -ENOMEM;
        documents->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        documents->list_value = brick_new(call, &google__protobuf__list_value__descriptor);
        if (!documents->list_value)
                return -ENOMEM;
        values = brick_add_n(call, documents->list_value, values, n);
        if (!values)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                set_string(values[i], request->input_documents[i]->doc_id);
        return 0;
}

static int prepare_common(struct reply *reply, struct brick_call *call,
                          const CommonRequest *request, CommonResponse *response, bool stream,
                          const struct reply_sizes *sizes)
{
        const char *padding;

        if (stream)
                reply->count = sizes->tokens;
        if (request->data)
                response->data = request->data;
        if (sizes->padding == 0)
                return 0;
        padding = padded(call, sizes, "", "");
        return padding ? brick_struct_add_string(call, response->data, "padding", padding)
                       : -ENOMEM;
}

int reply_prepare(struct reply *reply, struct brick_call *call, unsigned type, unsigned method,
                  const struct reply_sizes *sizes)
{
        bool stream = method == BRICK_METHOD_OUTPUT_STREAMING;
        void *request, *response;
        int r;

        r = brick_begin(call, type, &request, &response);
        if (r < 0)
                return r;
        *reply = (struct reply){ .count = 1, .message = response };
        switch (type) {
        case BRICK_TYPE_LLM:
                return prepare_llm(reply, call, request, response, stream, sizes);
        case BRICK_TYPE_TRANSLATE:
                return prepare_translate(reply, call, request, response, stream, sizes);
        case BRICK_TYPE_COMPOSE:
                return prepare_compose(reply, call, request, response, stream);
        case BRICK_TYPE_COMMON:
                return prepare_common(reply, call, request, response, stream, sizes);
        case BRICK_TYPE_GUARD:
                return prepare_guard(call, request, response, sizes);
        case BRICK_TYPE_INTENTION:
                return prepare_intention(call, response);
        case BRICK_TYPE_RECTIFY:
                return prepare_rectify(call, request, response, sizes);
        case BRICK_TYPE_RETRIEVAL:
                return prepare_retrieval(call, request, response, sizes);
        }
        return -ENOSYS;
}

CommonResponse *reply_summary(struct brick_call *call, size_t count, Struct *last)
{
        CommonResponse *response;
        Value *value;

        response = brick_new(call, &protocols__grpc__common__common_response__descriptor);
        if (!response || brick_struct_add_number(call, response->data, "count", (double)count) < 0)
                return NULL;
        if (!last)
                return response;
        value = brick_struct_add(call, response->data, "last");
        if (!value)
                return NULL;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        value->struct_value = last;
        return response;
}
