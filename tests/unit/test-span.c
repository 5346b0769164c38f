/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/span.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/trace.h"
#include "worker/otlp.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define ZEROS "0000000000000000"
#define THREADS 4
#define SPANS 20000 /* of each thread */

static bool parses(const char *s)
{
        struct trace_context context;

        return trace_parse(s, strlen(s), &context);
}

static void test_parent(void)
{
        static const char good[] = "00-" TRACE "-" SPAN "-01";
        struct trace_context context;
        char text[TRACE_PARENT_LENGTH];

        assert(trace_parse(good, strlen(good), &context));
        assert(context.trace[0] == 0x0af7651916cd43dd && context.trace[1] == 0x8448eb211c80319c);
        assert(context.span == 0xb7ad6b7169203331 && context.flags == TRACE_SAMPLED);
        trace_put_parent(&context, text);
        assert(memcmp(text, good, sizeof text) == 0);

        /* A later version may have more; flags it does not know are not passed on. */
        assert(trace_parse("cc-" TRACE "-" SPAN "-ff-what-the-future-will-be-like", 87, &context));
        assert(context.flags == (TRACE_SAMPLED | TRACE_RANDOM));
        trace_put_parent(&context, text);
        assert(memcmp(text, "00-" TRACE "-" SPAN "-03", sizeof text) == 0);
        assert(parses("cc-" TRACE "-" SPAN "-00") && parses("01-" TRACE "-" SPAN "-01-"));
}

static void test_unsound_parents(void)
{
        static const char good[] = "00-" TRACE "-" SPAN "-01";
        static const char *const unsound[] = {
                "ff-" TRACE "-" SPAN "-01",
                "00-" TRACE "-" SPAN "-01-",
                "00-" TRACE "-" SPAN "-01-more",
                "cc-" TRACE "-" SPAN "-01.what",
                "00-" ZEROS ZEROS "-" SPAN "-01",
                "00-" TRACE "-" ZEROS "-01",
                "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
                "00-" TRACE "-" SPAN "-0x",
                "0X-" TRACE "-" SPAN "-01",
                " 00-" TRACE "-" SPAN "-01",
                "00_" TRACE "-" SPAN "-01",
                "00-" TRACE "_" SPAN "-01",
                "00-" TRACE "-" SPAN "_01",
        };
        char text[sizeof good];

        for (size_t i = 0; i < ELEMENTSOF(unsound); i++)
                assert(!parses(unsound[i]));
        for (size_t n = 0; n < sizeof good - 1; n++) {
                struct trace_context context;
                char *exact = strndup(good, n); /* for the sanitizer to watch its end */

                assert(exact && !trace_parse(exact, n, &context));
                free(exact);
                memcpy(text, good, sizeof text);
                text[n] = '~';
                assert(!parses(text));
        }
}

static size_t add(char *state, size_t used, const char *s)
{
        return trace_add_state(state, used, s, strlen(s));
}

static void test_state(void)
{
        char state[TRACE_STATE_MAX], member[TRACE_STATE_MAX + 1] = "";
        size_t used;

        used = add(state, 0, "a=1,b=2");
        used = add(state, used, "");
        used = add(state, used, "c=\x01");
        used = add(state, used, "d=4");
        assert(used == 11 && memcmp(state, "a=1,b=2,d=4", used) == 0);

        /* Whole members only. */
        memset(member, 'x', 300);
        memcpy(member, "e=", 2);
        used = add(state, used, member);
        assert(used == 312);
        assert(add(state, used, member) == 312);
        memcpy(member + 100, ",f=", 3);
        assert(add(state, used, member) == 312 + 1 + 100);
        memset(member, 'x', TRACE_STATE_MAX);
        assert(add(state, 0, member) == TRACE_STATE_MAX);
        assert(add(state, TRACE_STATE_MAX, "a=1") == TRACE_STATE_MAX);
        assert(add(state, TRACE_STATE_MAX - 4, "a=1") == TRACE_STATE_MAX);
        assert(add(state, TRACE_STATE_MAX - 3, "a=1") == TRACE_STATE_MAX - 3);
}

static void test_sampling(void)
{
        struct tracer *always, *never;
        struct trace_context parent = { { 1, 2 }, 3, 0 };
        struct span span, child;

        assert(tracer_new(&always, 1) == 0 && tracer_new(&never, 0) == 0);
        for (int i = 0; i < 1000; i++) {
                span_begin(&span, never, NULL, 1);
                assert(!span_is_recorded(&span) && span.context.span != 0);
                span_begin(&span, always, NULL, 1);
                assert(span_is_recorded(&span) && span.parent == 0);
        }
        span_begin(&child, always, &span.context, 1);
        assert(child.parent == span.context.span && child.context.span != span.context.span);
        assert(memcmp(child.context.trace, span.context.trace, sizeof span.context.trace) == 0);
        span_begin(&child, always, &parent, 1);
        assert(!span_is_recorded(&child));
        parent.flags = TRACE_SAMPLED;
        span_begin(&child, never, &parent, 1);
        assert(span_is_recorded(&child) && child.parent == 3);
        (void)tracer_free(always);
        (void)tracer_free(never);
}

static void *end_spans(void *user)
{
        struct tracer *tracer = user;
        struct span_record record = { .brick = "b" };

        for (unsigned i = 0; i < SPANS; i++) {
                span_begin(&record.span, tracer, NULL, i + 1);
                record.ended = ~record.span.context.span;
                span_end(&record);
        }
        return NULL;
}

/* Every span comes out whole, or is counted. */
static void test_ring(void)
{
        struct span_record record;
        pthread_t threads[THREADS];
        struct tracer *tracer;
        uint64_t taken = 0, before;

        assert(tracer_new(&tracer, 1) == 0);
        assert(!tracer_take(tracer, &record));
        before = clock_now();
        tracer_wait(tracer, 20 * NSEC_PER_MSEC);
        assert(clock_now() - before >= 20 * NSEC_PER_MSEC);
        for (int i = 0; i < THREADS; i++)
                assert(pthread_create(&threads[i], NULL, end_spans, tracer) == 0);
        while (taken + tracer_dropped(tracer) < (uint64_t)THREADS * SPANS) {
                tracer_wait(tracer, NSEC_PER_MSEC);
                for (; tracer_take(tracer, &record); taken++)
                        assert(record.ended == ~record.span.context.span && record.brick[0] == 'b');
        }
        for (int i = 0; i < THREADS; i++)
                assert(pthread_join(threads[i], NULL) == 0);
        assert(!tracer_take(tracer, &record));
        assert(taken > 0 && taken + tracer_dropped(tracer) == (uint64_t)THREADS * SPANS);

        /* Nobody takes: 4096 stay. */
        before = tracer_dropped(tracer);
        (void)end_spans(tracer);
        assert(tracer_dropped(tracer) - before == SPANS - 4096);
        (void)tracer_free(tracer);
}

static void test_json(void)
{
        const struct span_record records[] = {
                { .span = { .context = { { 0x0af7651916cd43dd, 0x8448eb211c80319c }, 0xab, 1 },
                            .parent = 0xb7ad6b7169203331,
                            .began = 5 },
                  .ended = 7,
                  .brick = "chat",
                  .type = BRICK_TYPE_LLM,
                  .method = BRICK_METHOD_UNARY,
                  .in_band = true,
                  .code = 4001,
                  .request_id = "a\"\n",
                  .request_id_length = 3 },
                { .span = { .context = { { 0, 1 }, 2, 1 }, .began = 5 }, .ended = 6, .status = 12 },
        };
        static char text[OTLP_REQUEST_MAX(2) + 1];
        const char *spans;

        text[otlp_write_request(text, "gate \"1\"", records, 2, 1000)] = '\0';
        assert(strstr(text,
                      "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"gate \\\"1\\\"\"}}"));
        spans = strstr(text, "\"spans\":");
        assert(spans);
        if (strcmp(spans,
                   "\"spans\":[{\"traceId\":\"" TRACE "\",\"spanId\":\"00000000000000ab\","
                   "\"parentSpanId\":\"" SPAN "\","
                   "\"name\":\"protocols.grpc.llm.LLMService/Unary\",\"kind\":2,"
                   "\"startTimeUnixNano\":\"1005\",\"endTimeUnixNano\":\"1007\",\"attributes\":["
                   "{\"key\":\"rpc.system\",\"value\":{\"stringValue\":\"grpc\"}},"
                   "{\"key\":\"rpc.service\",\"value\":{\"stringValue\":"
                   "\"protocols.grpc.llm.LLMService\"}},"
                   "{\"key\":\"rpc.method\",\"value\":{\"stringValue\":\"Unary\"}},"
                   "{\"key\":\"rpc.grpc.status_code\",\"value\":{\"intValue\":\"0\"}},"
                   "{\"key\":\"brickd.brick\",\"value\":{\"stringValue\":\"chat\"}},"
                   "{\"key\":\"brickd.request_id\",\"value\":{\"stringValue\":\"a\\\"\\u000a\"}},"
                   "{\"key\":\"brickd.error_code\",\"value\":{\"intValue\":\"4001\"}},"
                   "{\"key\":\"error.type\",\"value\":{\"stringValue\":\"4001\"}}],"
                   "\"status\":{\"code\":2}},"
                   "{\"traceId\":\"00000000000000000000000000000001\","
                   "\"spanId\":\"0000000000000002\",\"name\":\"unknown method\",\"kind\":2,"
                   "\"startTimeUnixNano\":\"1005\",\"endTimeUnixNano\":\"1006\",\"attributes\":["
                   "{\"key\":\"rpc.system\",\"value\":{\"stringValue\":\"grpc\"}},"
                   "{\"key\":\"rpc.grpc.status_code\",\"value\":{\"intValue\":\"12\"}},"
                   "{\"key\":\"error.type\",\"value\":{\"stringValue\":\"UNIMPLEMENTED\"}}],"
                   "\"status\":{\"code\":2}}]}]}]}") != 0) {
                printf("%s\n", spans);
                abort();
        }
}

/* The longest of all. */
static void test_json_limit(void)
{
        static struct span_record records[512];
        static char text[OTLP_REQUEST_MAX(512) + 1], name[65], service[129];
        static const char end[] = "\"status\":{\"code\":2}}]}]}]}";

        memset(name, 'n', sizeof name - 1);
        memset(service, 1, sizeof service - 1);
        for (size_t i = 0; i < ELEMENTSOF(records); i++) {
                records[i] = (struct span_record){
                        .span = { .context = { { UINT64_MAX, UINT64_MAX }, UINT64_MAX, 0xff },
                                  .parent = UINT64_MAX },
                        .brick = name,
                        .type = BRICK_TYPE_RETRIEVAL,
                        .method = BRICK_METHOD_OUTPUT_STREAMING,
                        .internal = true,
                        .status = 4,
                        .in_band = true,
                        .code = INT32_MIN,
                        .http_route = "/v1/vector_stores/{brick}/search",
                        .http_status = 599,
                        .name_length = SPAN_NAME_MAX,
                        .request_id_length = SPAN_REQUEST_ID_MAX,
                        .has_genai = true,
                        .genai = { .key.operation = GENAI_TEXT_COMPLETION,
                                   .counted = true,
                                   .input = INT64_MAX,
                                   .output = INT64_MAX },
                };
                memset(records[i].name, 0xff, SPAN_NAME_MAX);
                memset(records[i].request_id, 0xff, SPAN_REQUEST_ID_MAX);
                memset(records[i].genai.key.request_model, '"', STATS_MODEL_MAX);
                memset(records[i].genai.key.response_model, '"', STATS_MODEL_MAX);
                memset(records[i].genai.finish_reason, '"', GENAI_REASON_MAX);
        }
        text[otlp_write_request(text, service, records, ELEMENTSOF(records), UINT64_MAX)] = '\0';
        assert(strcmp(text + strlen(text) - strlen(end), end) == 0);
        assert(strlen(text) < sizeof text - 1024);
}

int main(void)
{
        test_parent();
        test_unsound_parents();
        test_state();
        test_sampling();
        test_ring();
        test_json();
        test_json_limit();
        return 0;
}
