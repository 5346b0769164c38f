/* SPDX-License-Identifier: MIT */

/*
 * Runs calls against the brick, for the tests in Python:
 *
 *   drive OPTIONS <CALLS
 *
 * OPTIONS is the brick's map, see fake-host.h. Each line of CALLS is a JSON object; all are started
 * before the first is waited for, except after one with "wait". Per call, one line of JSON tells
 * how it went.
 *
 *   {"method": "unary" | "stream" | "info", "wait": true, "repeat": 1000,
 *    "model": "", "prompt": "p", "context": [["role", "content"]], "temperature": 0.7,
 *    "max_tokens": 0, "request_id": "", "metadata": {"key": "value"}, "deadline_ms": 0,
 *    "cancel_ms": -1, "cancel_replies": -1, "window": 0, "take_ms": 0}
 *
 * Names under .invalid do not exist, and looking up slow.test takes two seconds.
 */

#undef NDEBUG
#include <assert.h>
#include <jansson.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake-host.h"

const struct brick_module *openai_brick_module_v1(void);

/* --- name lookup ---------------------------------------------------------------------- */

/* The program's own comes before libc's, for libcurl too. */
__attribute__((visibility("default"))) int getaddrinfo(const char *restrict name,
                                                       const char *restrict service,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict ret)
{
        static const struct addrinfo any;
        struct addrinfo *ai;
        size_t n = strlen(name);

        if (n > 8 && strcmp(name + n - 8, ".invalid") == 0)
                return EAI_NONAME;
        if (strcmp(name, "slow.test") == 0)
                (void)nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
        ai = malloc(sizeof *ai + sizeof(struct sockaddr_in));
        assert(ai);
        *ai = hints ? *hints : any;
        ai->ai_family = AF_INET;
        ai->ai_socktype = SOCK_STREAM;
        ai->ai_protocol = 0;
        ai->ai_canonname = NULL;
        ai->ai_next = NULL;
        ai->ai_addrlen = sizeof(struct sockaddr_in);
        ai->ai_addr = (void *)(ai + 1);
        *(struct sockaddr_in *)(void *)(ai + 1) = (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t)(service ? strtoul(service, NULL, 10) : 0)),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        *ret = ai;
        return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *ai)
{
        free(ai);
}

/* --- calls ---------------------------------------------------------------------------- */

struct run {
        const json_t *spec;
        struct fake_call *call;
        unsigned method;
        uint64_t started;
        json_int_t first_ms, end_ms;
        bool over;
};

static uint64_t now_ns(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sleep_ms(json_int_t ms)
{
        (void)nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static char *text(const json_t *spec, const char *key)
{
        const char *value = json_string_value(json_object_get(spec, key));

        return (char *)(value ? value : "");
}

static json_int_t number(const json_t *spec, const char *key, json_int_t otherwise)
{
        const json_t *value = json_object_get(spec, key);

        return value ? json_integer_value(value) : otherwise;
}

static unsigned method_of(const json_t *spec)
{
        if (strcmp(text(spec, "method"), "info") == 0)
                return BRICK_METHOD_SERVICE_INFO;
        return strcmp(text(spec, "method"), "unary") == 0 ? BRICK_METHOD_UNARY
                                                          : BRICK_METHOD_OUTPUT_STREAMING;
}

static struct fake_call *new_llm_call(struct fake_host *host, const json_t *spec, unsigned method)
{
        const json_t *context = json_object_get(spec, "context");
        LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
        LLMContext items[8], *list[8];

        request.model_id = text(spec, "model");
        request.prompt = json_object_get(spec, "prompt") ? text(spec, "prompt") : (char *)"p";
        request.request_id = text(spec, "request_id");
        request.temperature = (float)json_number_value(json_object_get(spec, "temperature"));
        request.max_tokens = (int32_t)number(spec, "max_tokens", 0);
        request.context = list;
        request.n_context = json_array_size(context);
        assert(request.n_context <= ELEMENTSOF(items));
        for (size_t i = 0; i < request.n_context; i++) {
                const json_t *item = json_array_get(context, i);

                protocols__grpc__llm__context__init(&items[i]);
                items[i].role = (char *)json_string_value(json_array_get(item, 0));
                items[i].content = (char *)json_string_value(json_array_get(item, 1));
                list[i] = &items[i];
        }
        return fake_call_new(host, method, &request.base);
}

static struct fake_call *new_call(struct fake_host *host, const json_t *spec, unsigned method)
{
        struct brick_bytes none = { "", 0 };
        struct fake_call *call;
        const char *key;
        json_t *value;

        call = method == BRICK_METHOD_SERVICE_INFO ? fake_call_new_bytes(host, method, none)
                                                   : new_llm_call(host, spec, method);
        json_object_foreach(json_object_get(spec, "metadata"), key, value)
                fake_call_add_metadata(call, key, json_string_value(value));
        if (number(spec, "window", 0) > 0)
                fake_call_limit_window(call, (size_t)number(spec, "window", 0));
        if (number(spec, "deadline_ms", 0) > 0)
                fake_call_set_deadline(call, now_ns() + (uint64_t)number(spec, "deadline_ms", 0) *
                                                                1000000);
        return call;
}

static json_int_t elapsed_ms(const struct run *run)
{
        return (json_int_t)((now_ns() - run->started) / 1000000);
}

static void start(struct run *run, struct fake_host *host, const json_t *spec)
{
        run->spec = spec;
        run->method = method_of(spec);
        run->call = new_call(host, spec, run->method);
        run->started = now_ns();
        if (fake_call_start(run->call) < 0)
                fake_die("start() refuses the call");
}

/* A client that takes what is there, and rests. */
static void read_slowly(struct run *run)
{
        size_t n = 0;

        while (!fake_call_finished(run->call)) {
                n = fake_call_wait_replies(run->call, n + 1);
                sleep_ms(number(run->spec, "take_ms", 0));
                fake_call_take(run->call);
        }
}

static void wait_for(struct run *run)
{
        json_int_t cancel_ms = number(run->spec, "cancel_ms", -1);
        json_int_t cancel_replies = number(run->spec, "cancel_replies", -1);

        if (run->over)
                return;
        run->over = true;
        if (cancel_replies >= 0)
                (void)fake_call_wait_replies(run->call, (size_t)cancel_replies);
        if (cancel_ms >= 0)
                sleep_ms(cancel_ms);
        if (cancel_ms >= 0 || cancel_replies >= 0) {
                run->started = now_ns();
                fake_call_cancel(run->call);
        } else if (number(run->spec, "window", 0) > 0) {
                read_slowly(run);
        } else {
                (void)fake_call_wait_replies(run->call, 1);
                run->first_ms = elapsed_ms(run);
        }
        fake_call_wait(run->call);
        run->end_ms = elapsed_ms(run);
}

/* --- telling -------------------------------------------------------------------------- */

static json_t *llm_reply(struct run *run, size_t i)
{
        const LLMResponse *reply = fake_call_reply(run->call, i,
                                                   &protocols__grpc__llm__llmresponse__descriptor);
        json_t *pair = json_pack("[sb]", reply->text, reply->is_final);

        if (!pair)
                fake_die("reply %zu is not UTF-8", i);
        assert(reply->n_tokens == 0 && !reply->error);
        return pair;
}

static json_t *info_reply(struct run *run, size_t i)
{
        const ServiceInfoResponse *reply = fake_call_reply(
                run->call, i, &protocols__grpc__common__service_info_response__descriptor);
        json_t *models = json_array();

        for (size_t k = 0; k < reply->n_models; k++) {
                assert(reply->models[k]->support_streaming);
                assert(json_array_append_new(models, json_string(reply->models[k]->model_id)) == 0);
        }
        return json_pack("[sso]", reply->service_name, reply->version, models);
}

static void tell(struct run *run)
{
        size_t n = fake_call_replies(run->call);
        json_t *replies = json_array(), *line;

        for (size_t i = 0; i < n; i++)
                assert(json_array_append_new(replies, run->method == BRICK_METHOD_SERVICE_INFO
                                                              ? info_reply(run, i)
                                                              : llm_reply(run, i)) == 0);
        line = json_pack("{so si si ss ss ss sI sI}", "replies", replies, "status",
                         fake_call_status(run->call), "code", fake_call_code(run->call), "message",
                         fake_call_text(run->call), "detail", fake_call_detail(run->call),
                         "trailers", fake_call_trailers(run->call), "first_ms", run->first_ms, "ms",
                         run->end_ms);
        if (!line)
                fake_die("the outcome is not UTF-8");
        (void)json_dumpf(line, stdout, JSON_COMPACT);
        (void)putchar('\n');
        (void)fflush(stdout);
        json_decref(line);
}

struct plan {
        struct run *runs;
        size_t n;
};

static void follow(struct plan *plan, struct fake_host *host, const json_t *spec)
{
        size_t repeat = (size_t)number(spec, "repeat", 1);

        plan->runs = realloc(plan->runs, (plan->n + repeat) * sizeof *plan->runs);
        assert(plan->runs);
        for (size_t i = 0; i < repeat; i++) {
                plan->runs[plan->n] = (struct run){};
                start(&plan->runs[plan->n++], host, spec);
        }
        if (json_is_true(json_object_get(spec, "wait")))
                wait_for(&plan->runs[plan->n - 1]);
}

int main(int argc, char **argv)
{
        _cleanup_(fake_host_freep) struct fake_host *host = NULL;
        json_t *specs = json_array(), *spec;
        struct plan plan = {};
        size_t i;
        int r;

        assert(argc == 2);
        r = fake_host_new(&host, openai_brick_module_v1(), argv[1]);
        (void)fputs(fake_host_said(host), stderr);
        while (r == 0 && (spec = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL))) {
                assert(json_array_append_new(specs, spec) == 0);
                follow(&plan, host, spec);
        }
        for (i = 0; i < plan.n; i++)
                wait_for(&plan.runs[i]);
        for (i = 0; i < plan.n; i++) {
                tell(&plan.runs[i]);
                fake_call_free(plan.runs[i].call);
        }
        free(plan.runs);
        json_decref(specs);
        return r < 0 ? 78 : 0;
}
