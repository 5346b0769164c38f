/* SPDX-License-Identifier: MIT */

/* Loads the examples of brick(7), whose files are the arguments, as brickd does, and calls them. */

#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/fake-host.h"
#include "module/load.h"

static struct fake_call *ask(struct fake_host *host, const char *text)
{
        GuardRequest request = PROTOCOLS__GRPC__GUARD__GUARD_REQUEST__INIT;
        struct fake_call *call;

        request.text = (char *)text;
        call = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
        assert(fake_call_run(call) == 0);
        return call;
}

static const GuardResult *result_of(struct fake_call *call)
{
        GuardResponse *response;

        assert(fake_call_code(call) == 200 && fake_call_replies(call) == 1);
        response = fake_call_reply(call, 0, &protocols__grpc__guard__guard_response__descriptor);
        assert(response->n_results == 1);
        return response->results[0];
}

static void test_answers(struct fake_host *host)
{
        _cleanup_(fake_call_freep) struct fake_call *loud = ask(host, "STOP THAT");
        _cleanup_(fake_call_freep) struct fake_call *quiet = ask(host, "Please stop");
        _cleanup_(fake_call_freep) struct fake_call *empty = ask(host, "");

        assert(result_of(loud)->is_attack);
        assert(strcmp(result_of(loud)->detail, "8 capitals in 9 bytes") == 0);
        assert(!result_of(quiet)->is_attack);
        assert(fabsf(result_of(quiet)->confidence - 1 / 11.f) < 1e-6f);
        assert(fake_call_code(empty) == BRICK_E_PARAMETER_MISSING);
        assert(strcmp(fake_call_text(empty), "There is no text.") == 0);
        assert(fake_call_replies(empty) == 0);
}

static void test_service_info(struct fake_host *host)
{
        _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new(
                host, BRICK_METHOD_SERVICE_INFO, NULL);
        ServiceInfoResponse *info;

        assert(fake_call_run(call) == 0);
        info = fake_call_reply(call, 0,
                               &protocols__grpc__common__service_info_response__descriptor);
        assert(strcmp(info->service_name, "shout") == 0);
        assert(strcmp(info->models[0]->description, "blames capitals") == 0);
}

static void test_shout(struct fake_host *host)
{
        test_answers(host);
        test_service_info(host);
}

/* Two wait; one is cancelled, and its thread answers the other. */
static void test_later(struct fake_host *host)
{
        _cleanup_(fake_call_freep) struct fake_call *answered = NULL, *cancelled = NULL;
        LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
        LLMResponse *response;

        answered = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
        cancelled = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
        assert(fake_call_start(cancelled) == 0 && fake_call_start(answered) == 0);
        assert(!fake_call_finished(cancelled));
        fake_call_cancel(cancelled);
        assert(fake_call_finished(cancelled) && fake_call_code(cancelled) == 13);
        fake_call_wait(answered);
        response = fake_call_reply(answered, 0, &protocols__grpc__llm__llmresponse__descriptor);
        assert(strcmp(response->text, "Here I am.") == 0);
        fake_call_cancel(answered); /* too late, and harmless */
}

static void test_example(const char *path, void (*test)(struct fake_host *host))
{
        _cleanup_(module_freep) struct module *module = NULL;
        _cleanup_(fake_host_freep) struct fake_host *host = NULL;
        _cleanup_free_ char *why = NULL;

        if (module_open(&module, "/", path, &why) < 0)
                fake_die("%s", why ? why : "out of memory");
        assert(fake_host_new(&host, module->brick, NULL) == 0);
        test(host);
}

/* The fake host has no targets: what such a brick does, test_relay.py shows. */
static void test_first(const char *path)
{
        _cleanup_(module_freep) struct module *module = NULL;
        _cleanup_free_ char *why = NULL;

        if (module_open(&module, "/", path, &why) < 0)
                fake_die("%s", why ? why : "out of memory");
        assert(module->options[1].table->type == OPTION_BRICK);
        assert(module->options[1].flags == (OPTION_REQUIRED | OPTION_ONE_OR_MORE));
}

int main(int argc, char **argv)
{
        assert(argc == 4);
        test_example(argv[1], test_shout);
        test_example(argv[2], test_later);
        test_first(argv[3]);
        return 0;
}
