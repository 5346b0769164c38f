/* SPDX-License-Identifier: MIT */
#pragma once

/* Values of every kind, under the names of a scope: for the test and the fuzzer of expressions. */

#include <stdlib.h>

#include "brick-sdk.h"
#include "expr/expr.h"

enum { NAMES = 8, BLOCKS = 65536, MEMORY = 64 * 1024 * 1024 };

static const struct expr_name expr_names[NAMES] = {
        { .name = "text", .type = { .kind = EXPR_TEXT } },
        { .name = "request",
          .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(LLMRequest) } },
        { .name = "intent",
          .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(IntentionResponse) } },
        { .name = "docs",
          .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(RetrievalResponse) } },
        { .name = "skipped",
          .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(RetrievalResponse) } },
        { .name = "tags", .type = { .kind = EXPR_LIST, .of = EXPR_TEXT } },
        { .name = "common",
          .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(CommonRequest) } },
        { .name = "later",
          .type = { .kind = EXPR_TEXT },
          .unavailable = "the step 'later' comes after this one: move it before" },
};

static const struct expr_shorthand expr_shorthands[] = {
        { BRICK_DESCRIPTOR(IntentionResponse), "category", "results", "intent_category" },
        { BRICK_DESCRIPTOR(IntentionResponse), "confidence", "results", "confidence" },
};

static const struct expr_scope expr_scope = {
        .names = expr_names,
        .n_names = NAMES,
        .shorthands = expr_shorthands,
        .n_shorthands = 2,
};

/* The memory of one run, bounded in blocks and bytes. */
struct memory {
        void *blocks[BLOCKS];
        size_t n;
        size_t bytes;
};

static inline void *memory_alloc(void *user, size_t size)
{
        struct memory *memory = user;

        if (memory->n == BLOCKS || size > MEMORY - memory->bytes)
                return NULL;
        memory->bytes += size;
        memory->blocks[memory->n] = malloc(size);
        return memory->blocks[memory->n++];
}

static inline void memory_free(struct memory *memory)
{
        while (memory->n > 0)
                free(memory->blocks[--memory->n]);
        memory->bytes = 0;
}

struct struct_pair {
        Google__Protobuf__Struct__FieldsEntry entry;
        Value value;
};

/* What the names stand for; filled in once. */
struct expr_world {
        LLMRequest request;
        LLMContext turns[2], *context[2];
        IntentionResponse intent;
        IntentionResult result, *results[1];
        RetrievalResponse docs;
        RetrievalDocument documents[3], *document[3];
        CommonRequest common;
        Struct data, inner;
        ListValue list;
        struct struct_pair pairs[6], one;
        Google__Protobuf__Struct__FieldsEntry *fields[6], *inner_fields[1];
        Value items[3], *item[3];
        char *tags[2];
        struct expr_value tag_values[2];
        struct expr_value values[NAMES];
};

static inline Value *expr_pair(struct struct_pair *pair, const char *key)
{
        google__protobuf__struct__fields_entry__init(&pair->entry);
        google__protobuf__value__init(&pair->value);
        pair->entry.key = (char *)key;
        pair->entry.value = &pair->value;
        return &pair->value;
}

static inline void expr_fill_data(struct expr_world *w)
{
        static const char *const keys[] = { "name", "level", "on", "none", "list", "inner" };

        google__protobuf__struct__init(&w->data);
        google__protobuf__struct__init(&w->inner);
        google__protobuf__list_value__init(&w->list);
        for (size_t i = 0; i < 6; i++) {
                (void)expr_pair(&w->pairs[i], keys[i]);
                w->fields[i] = &w->pairs[i].entry;
        }
        brick_value_set_string(&w->pairs[0].value, "Ada \"A\" <L>");
        brick_value_set_number(&w->pairs[1].value, 3);
        brick_value_set_bool(&w->pairs[2].value, 1);
        for (size_t i = 0; i < 3; i++) {
                google__protobuf__value__init(&w->items[i]);
                brick_value_set_number(&w->items[i], (double)i + 0.5);
                w->item[i] = &w->items[i];
        }
        w->list.n_values = 3;
        w->list.values = w->item;
        w->pairs[4].value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        w->pairs[4].value.list_value = &w->list;
        brick_value_set_string(expr_pair(&w->one, "deep"), "down");
        w->inner_fields[0] = &w->one.entry;
        w->inner.n_fields = 1;
        w->inner.fields = w->inner_fields;
        w->pairs[5].value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        w->pairs[5].value.struct_value = &w->inner;
        w->data.n_fields = 6;
        w->data.fields = w->fields;
        protocols__grpc__common__common_request__init(&w->common);
        w->common.data = &w->data;
}

static inline void expr_fill_messages(struct expr_world *w)
{
        static const char *const titles[] = { "One", "Two {{ 2 }}", "" };

        protocols__grpc__llm__llmrequest__init(&w->request);
        w->request.prompt = brick_const("  H\xc3\xa9llo, World  ");
        w->request.temperature = 0.7F;
        w->request.max_tokens = 100;
        for (size_t i = 0; i < 2; i++) {
                protocols__grpc__llm__context__init(&w->turns[i]);
                w->turns[i].role = brick_const(i ? "assistant" : "user");
                w->turns[i].content = brick_const("hi");
                w->context[i] = &w->turns[i];
        }
        w->request.n_context = 2;
        w->request.context = w->context;
        protocols__grpc__intention__intention_response__init(&w->intent);
        protocols__grpc__intention__intention_result__init(&w->result);
        w->result.intent_category = brick_const("greeting");
        w->result.confidence = 0.9F;
        w->results[0] = &w->result;
        w->intent.n_results = 1;
        w->intent.results = w->results;
        protocols__grpc__retrieval__retrieval_response__init(&w->docs);
        for (size_t i = 0; i < 3; i++) {
                protocols__grpc__retrieval__document__init(&w->documents[i]);
                w->documents[i].title = brick_const(titles[i]);
                w->documents[i].score = (float)i;
                w->document[i] = &w->documents[i];
        }
        w->documents[0].metadata = &w->data;
        w->docs.n_documents = 3;
        w->docs.documents = w->document;
}

static inline void expr_fill(struct expr_world *w)
{
        expr_fill_data(w);
        expr_fill_messages(w);
        w->tag_values[0] = expr_text("a");
        w->tag_values[1] = expr_text("b");
        w->values[0] = expr_text("Where is\nmy \"order\"?");
        w->values[1] = expr_message(&w->request);
        w->values[2] = expr_message(&w->intent);
        w->values[3] = expr_message(&w->docs);
        w->values[4] = expr_message(NULL);
        w->values[5] = (struct expr_value){
                .kind = EXPR_LIST, .values = true, .n = 2, .elements = w->tag_values
        };
        w->values[6] = expr_message(&w->common);
        w->values[7] = expr_null();
}
