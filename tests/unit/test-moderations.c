/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.pb-c.h"

#include "fake-exchange.h"
#include "http/route.h"

/* Moderations: a call to a guard for each text. */

typedef Protocols__Grpc__Guard__GuardResult GuardResult;

static struct exchange x;

static void begin(const char *body)
{
        fake_reset(&x);
        fake_add(&x, "chat", BRICK_TYPE_LLM, 1u << BRICK_METHOD_UNARY);
        fake_add(&x, "other", BRICK_TYPE_GUARD, 1u << BRICK_METHOD_UNARY);
        fake_add(&x, "shield", BRICK_TYPE_GUARD, 1u << BRICK_METHOD_UNARY)->conf.is_default = true;
        x.body = body;
        moderations_serve(&x, NULL);
}

/* The guard has found so many things. */
static void answer(const GuardResult *results, size_t n)
{
        Protocols__Grpc__Guard__GuardResponse response =
                PROTOCOLS__GRPC__GUARD__GUARD_RESPONSE__INIT;
        GuardResult copies[8], *list[8];

        for (size_t i = 0; i < n; i++) {
                protocols__grpc__guard__guard_result__init(&copies[i]);
                copies[i].is_attack = results[i].is_attack;
                copies[i].confidence = results[i].confidence;
                copies[i].detail = results[i].detail;
                list[i] = &copies[i];
        }
        response.results = list;
        response.n_results = n;
        fake_reply(&x, &response.base);
        fake_success(&x);
}

static const char *text_of_request(void)
{
        const Protocols__Grpc__Guard__GuardRequest *request = fake_request(
                &x, 0, &protocols__grpc__guard__guard_request__descriptor);

        assert(x.running && strcmp(request->request_id, exchange_id(&x)) == 0);
        return request->text;
}

static void expect(const char *part)
{
        if (x.status != 200 || !strstr(x.answer, part))
                fprintf(stderr, "got  %u %s\nwant %s\n", x.status, x.answer, part);
        assert(x.status == 200 && strstr(x.answer, part) && x.ended);
}

static void test_one(void)
{
        const GuardResult results[] = {
                { .is_attack = true, .confidence = 0.9f, .detail = (char *)"secret: aws-key" },
                { .is_attack = true, .confidence = 0.7f, .detail = (char *)" secret : other" },
                { .is_attack = true, .confidence = 0.5f, .detail = (char *)"" },
                { .is_attack = true, .confidence = 1, .detail = (char *)"violence" },
                { .is_attack = false, .confidence = 1, .detail = (char *)"fine: really" },
        };

        begin("{\"model\":\"omni-moderation-latest\",\"input\":\"My key\"}");
        assert(x.call.brick == x.instances[2] && x.call.method == BRICK_METHOD_UNARY);
        assert(strcmp(text_of_request(), "My key") == 0);
        answer(results, ELEMENTSOF(results));
        expect("\"model\":\"shield\",\"results\":[{\"flagged\":true,\"categories\":{"
               "\"harassment\":false,");
        expect("\"violence\":true,\"violence/graphic\":false,\"secret\":true,\"attack\":true},"
               "\"category_scores\":{\"harassment\":0,");
        expect("\"violence\":1,\"violence/graphic\":0,\"secret\":0.9,\"attack\":0.5},"
               "\"category_applied_input_types\":{\"harassment\":[],");
        expect("\"secret\":[\"text\"],\"attack\":[\"text\"]}}]}");
        assert(strncmp(x.answer, "{\"id\":\"modr-", 12) == 0);
}

static void test_several(void)
{
        const GuardResult attack = { .is_attack = true, .confidence = 1, .detail = (char *)"x:" };

        begin("{\"model\":\"other\",\"input\":[\"a\",{\"type\":\"text\",\"text\":\"b\"}]}");
        assert(x.call.brick == x.instances[1]);
        assert(strcmp(text_of_request(), "a") == 0);
        answer(&attack, 1);
        assert(!x.status && strcmp(text_of_request(), "b") == 0);
        answer(NULL, 0);
        assert(x.calls == 2);
        expect("\"x\":[\"text\"]}},{\"flagged\":false,");
        assert(!strstr(strstr(x.answer, "\"flagged\":false"), "\"x\":"));

        begin("{\"input\":[\"a\",\"b\",\"c\"]}");
        answer(NULL, 0);
        fake_failure(&x, 429, "too often"); /* the others are not asked any more */
        fake_expect_error(&x, 429, "failed", NULL);
        assert(x.calls == 2);
}

/* A guard may name more categories than are told apart. */
static void test_many_categories(void)
{
        GuardResult results[8];
        char names[8][16];
        char body[] = "{\"input\":\"a\"}";

        begin(body);
        for (unsigned round = 0; round < 20; round++) {
                Protocols__Grpc__Guard__GuardResponse response =
                        PROTOCOLS__GRPC__GUARD__GUARD_RESPONSE__INIT;
                GuardResult *list[8];

                for (unsigned i = 0; i < 8; i++) {
                        (void)snprintf(names[i], sizeof names[i], "c%u", 8 * round + i);
                        protocols__grpc__guard__guard_result__init(&results[i]);
                        results[i].is_attack = true;
                        results[i].confidence = 0.5f;
                        results[i].detail = names[i];
                        list[i] = &results[i];
                }
                response.results = list;
                response.n_results = 8;
                fake_reply(&x, &response.base);
        }
        fake_success(&x);
        expect("\"c0\":true,");
        assert(!strstr(x.answer, "\"c100\""));
}

static const struct {
        const char *body;
        unsigned status;
        const char *code;
        const char *param;
} refusals[] = {
        { "[]", 400, "invalid_type", NULL },
        { "{", 400, "invalid_json", NULL },
        { "{}", 400, "missing_required_parameter", "input" },
        { "{\"input\":null}", 400, "missing_required_parameter", "input" },
        { "{\"input\":[]}", 400, "invalid_value", "input" },
        { "{\"input\":5}", 400, "invalid_type", "input" },
        { "{\"input\":[[1,2]]}", 400, "invalid_type", "input" },
        { "{\"input\":\"\\u0000\"}", 400, "invalid_value", "input" },
        { "{\"input\":[{\"type\":\"image_url\"}]}", 400, "unsupported_content", "input" },
        { "{\"input\":[{\"type\":\"text\"}]}", 400, "missing_required_parameter", "input" },
        { "{\"input\":\"a\",\"model\":5}", 400, "invalid_type", "model" },
};

static void test_refusals(void)
{
        char *many = malloc(1024);

        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                begin(refusals[i].body);
                fake_expect_error(&x, refusals[i].status, refusals[i].code, refusals[i].param);
        }
        assert(many);
        strcpy(many, "{\"input\":[\"a\"");
        for (unsigned i = 0; i < 128; i++)
                strcat(many, ",\"a\"");
        strcat(many, "]}");
        begin(many);
        fake_expect_error(&x, 400, "invalid_value", "input");
        free(many);

        fake_reset(&x);
        fake_add(&x, "chat", BRICK_TYPE_LLM, 1u << BRICK_METHOD_UNARY);
        x.body = "{\"input\":\"a\"}";
        moderations_serve(&x, NULL);
        fake_expect_error(&x, 404, "brick_not_found", NULL);
}

int main(void)
{
        test_one();
        test_several();
        test_many_categories();
        test_refusals();
        fake_done(&x);
        return 0;
}
