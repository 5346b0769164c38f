/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "retrieval.pb-c.h"
#include "struct.pb-c.h"

#include "fake-exchange.h"
#include "http/route.h"

/* Vector stores: a call to a retrieval brick. */

static struct exchange x;

static void begin(const char *name, const char *body)
{
        fake_reset(&x);
        fake_add(&x, "chat", BRICK_TYPE_LLM, 1u << BRICK_METHOD_UNARY);
        fake_add(&x, "docs", BRICK_TYPE_RETRIEVAL, 1u << BRICK_METHOD_UNARY);
        x.body = body;
        search_serve(&x, &name);
}

static const Protocols__Grpc__Retrieval__RetrievalRequest *request(void)
{
        assert(x.running && x.call.brick == x.instances[1] && x.call.method == BRICK_METHOD_UNARY);
        return fake_request(&x, 0, &protocols__grpc__retrieval__retrieval_request__descriptor);
}

static void test_search(void)
{
        Google__Protobuf__Value page = GOOGLE__PROTOBUF__VALUE__INIT;
        Google__Protobuf__Struct__FieldsEntry entry = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT;
        Google__Protobuf__Struct__FieldsEntry *entries[] = { &entry };
        Google__Protobuf__Struct metadata = GOOGLE__PROTOBUF__STRUCT__INIT;
        Protocols__Grpc__Retrieval__Document a = PROTOCOLS__GRPC__RETRIEVAL__DOCUMENT__INIT;
        Protocols__Grpc__Retrieval__Document b = PROTOCOLS__GRPC__RETRIEVAL__DOCUMENT__INIT;
        Protocols__Grpc__Retrieval__Document *documents[] = { &a, &b };
        Protocols__Grpc__Retrieval__RetrievalResponse reply =
                PROTOCOLS__GRPC__RETRIEVAL__RETRIEVAL_RESPONSE__INIT;

        page.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        page.number_value = 7;
        entry.key = (char *)"page";
        entry.value = &page;
        metadata.fields = entries;
        metadata.n_fields = 1;
        a.doc_id = (char *)"1";
        a.title = (char *)"A";
        a.snippet = (char *)"\"a\"\n";
        a.score = 0.7f;
        a.metadata = &metadata;
        b.doc_id = (char *)"2";
        reply.documents = documents;
        reply.n_documents = 2;

        begin("docs", "{\"query\":\"list \\u00e9\"}");
        assert(strcmp(request()->query, "list é") == 0 && request()->max_results == 10);
        fake_reply(&x, &reply.base);
        fake_success(&x);
        fake_expect(&x, 200,
                    "{\"object\":\"vector_store.search_results.page\",\"search_query\":"
                    "[\"list \\u00e9\"],\"data\":[{\"file_id\":\"1\",\"filename\":\"A\",\"score\":"
                    "0.7,\"attributes\":{\"page\":7},\"content\":[{\"type\":\"text\",\"text\":"
                    "\"\\\"a\\\"\\n\"}]},{\"file_id\":\"2\",\"filename\":\"2\",\"score\":0,"
                    "\"attributes\":{},\"content\":[{\"type\":\"text\",\"text\":\"\"}]}],"
                    "\"has_more\":false,\"next_page\":null}");
        assert(!x.fields[0]);
}

static void test_options(void)
{
        begin("docs", "{\"query\":[\"a\",\"b\"],\"max_num_results\":3,\"filters\":null,"
                      "\"rewrite_query\":true,\"ranking_options\":{}}");
        assert(strcmp(request()->query, "a b") == 0 && request()->max_results == 3);
        assert(strcmp(x.fields, "X-Brickd-Ignored: ranking_options, rewrite_query\n") == 0);
        fake_success(&x);
        fake_expect(&x, 200,
                    "{\"object\":\"vector_store.search_results.page\",\"search_query\":"
                    "[\"a\",\"b\"],\"data\":[],\"has_more\":false,\"next_page\":null}");

        begin("docs", "{\"query\":\"a\"}");
        fake_failure(&x, 504, "too late");
        fake_expect_error(&x, 504, "failed", NULL);
}

static const struct {
        const char *name;
        const char *body;
        unsigned status;
        const char *code;
        const char *param;
} refusals[] = {
        { "chat", "{\"query\":\"a\"}", 404, "brick_not_found", NULL },
        { "docs", "{", 400, "invalid_json", NULL },
        { "docs", "5", 400, "invalid_type", NULL },
        { "docs", NULL, 400, "missing_required_parameter", "query" },
        { "docs", "{\"query\":5}", 400, "invalid_type", "query" },
        { "docs", "{\"query\":[5]}", 400, "invalid_type", "query" },
        { "docs", "{\"query\":\"a\",\"max_num_results\":0}", 400, "invalid_value",
          "max_num_results" },
        { "docs", "{\"query\":\"a\",\"max_num_results\":51}", 400, "invalid_value",
          "max_num_results" },
        { "docs", "{\"query\":\"a\",\"max_num_results\":\"3\"}", 400, "invalid_value",
          "max_num_results" },
        { "docs", "{\"query\":\"a\",\"filters\":{\"type\":\"eq\"}}", 400, "unsupported_parameter",
          "filters" },
};

static void test_refusals(void)
{
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                begin(refusals[i].name, refusals[i].body);
                fake_expect_error(&x, refusals[i].status, refusals[i].code, refusals[i].param);
        }
}

int main(void)
{
        test_search();
        test_options();
        test_refusals();
        fake_done(&x);
        return 0;
}
