/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "conf/names.h"
#include "config.h"
#include "module/span.h"
#include "serve/service.h"
#include "util/grpc-status.h"
#include "util/out.h"
#include "worker/otlp.h"

/* Numbers of opentelemetry/proto/trace/v1/trace.proto. */
enum { KIND_INTERNAL = 1, KIND_SERVER = 2 };
enum { STATUS_ERROR = 2 };

static void put_text(struct out *out, const char *key, const char *value, size_t length)
{
        out_string(out, "{\"key\":\"");
        out_string(out, key);
        out_string(out, "\",\"value\":{\"stringValue\":");
        out_json(out, value, length);
        out_string(out, "}},");
}

/* protobuf's JSON writes 64-bit numbers as strings. */
static void put_number(struct out *out, const char *key, int64_t value)
{
        out_string(out, "{\"key\":\"");
        out_string(out, key);
        out_string(out, "\",\"value\":{\"intValue\":\"");
        out_signed(out, value);
        out_string(out, "\"}},");
}

/* Ends a list: replaces the last comma with the bracket. */
static void end_list(struct out *out)
{
        out->next[-1] = ']';
}

static void put_id(struct out *out, const char *name, uint64_t id)
{
        char digits[TRACE_SPAN_LENGTH];

        trace_put_span(id, digits);
        out_string(out, name);
        out_put(out, digits, sizeof digits);
}

static void put_ids(struct out *out, const struct span *span)
{
        char digits[TRACE_ID_LENGTH];

        trace_put_id(&span->context, digits);
        out_string(out, "{\"traceId\":\"");
        out_put(out, digits, sizeof digits);
        put_id(out, "\",\"spanId\":\"", span->context.span);
        if (span->parent)
                put_id(out, "\",\"parentSpanId\":\"", span->parent);
}

/* The statuses that OpenTelemetry counts as errors of the server. Clients cause the others. */
static bool is_server_error(unsigned status)
{
        static const unsigned errors = 1 << 2 | 1 << 4 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

        return status < 32 && errors >> status & 1;
}

static void put_error(struct out *out, const struct span_record *r)
{
        char code[16];
        struct out digits = { code, code + sizeof code };

        if (r->in_band) {
                out_signed(&digits, r->code);
                put_number(out, "brickd.error_code", r->code);
                put_text(out, "error.type", code, (size_t)(digits.next - code));
        } else if (r->status != 0) {
                const char *name = grpc_status_to_string(r->status);

                put_text(out, "error.type", name, strlen(name));
        }
}

static void put_genai_text(struct out *out, enum genai_attribute attribute, const char *value)
{
        if (*value)
                put_text(out, genai_attribute_to_string(attribute), value, strlen(value));
}

static void put_finish_reason(struct out *out, const char *reason)
{
        if (!*reason)
                return;
        out_string(out, "{\"key\":\"");
        out_string(out, genai_attribute_to_string(GENAI_ATTRIBUTE_FINISH_REASONS));
        out_string(out, "\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":");
        out_json(out, reason, strlen(reason));
        out_string(out, "}]}}},");
}

static void put_genai(struct out *out, const struct genai_call *call)
{
        put_genai_text(out, GENAI_ATTRIBUTE_OPERATION,
                       genai_operation_to_string(call->key.operation));
        put_genai_text(out, GENAI_ATTRIBUTE_PROVIDER, genai_provider_to_string(call->key.provider));
        put_genai_text(out, GENAI_ATTRIBUTE_REQUEST_MODEL, call->key.request_model);
        put_genai_text(out, GENAI_ATTRIBUTE_RESPONSE_MODEL, call->key.response_model);
        put_finish_reason(out, call->finish_reason);
        if (!call->counted)
                return;
        put_number(out, genai_attribute_to_string(GENAI_ATTRIBUTE_INPUT_TOKENS), call->input);
        put_number(out, genai_attribute_to_string(GENAI_ATTRIBUTE_OUTPUT_TOKENS), call->output);
}

static void put_attributes(struct out *out, const struct span_record *r, const char *service)
{
        const char *method = brick_method_to_string(r->method);

        out_string(out, ",\"attributes\":[");
        put_text(out, "rpc.system", "grpc", 4);
        if (service) {
                put_text(out, "rpc.service", service, strlen(service));
                put_text(out, "rpc.method", method, strlen(method));
        }
        put_number(out, "rpc.grpc.status_code", r->status);
        if (r->http_route)
                put_text(out, "http.route", r->http_route, strlen(r->http_route));
        if (r->http_status > 0)
                put_number(out, "http.response.status_code", r->http_status);
        if (r->brick)
                put_text(out, "brickd.brick", r->brick, strlen(r->brick));
        if (r->request_id_length > 0)
                put_text(out, "brickd.request_id", r->request_id, r->request_id_length);
        if (r->has_genai)
                put_genai(out, &r->genai);
        if (*r->client)
                put_text(out, "client.address", r->client, strlen(r->client));
        put_error(out, r);
        end_list(out);
}

static void put_name(struct out *out, const char *service, const struct span_record *r)
{
        out_string(out, "\",\"name\":");
        if (r->name_length > 0) {
                out_json(out, r->name, r->name_length);
        } else if (service) {
                out_string(out, "\"");
                out_string(out, service);
                out_string(out, "/");
                out_string(out, brick_method_to_string(r->method));
                out_string(out, "\"");
        } else {
                out_string(out, "\"unknown method\"");
        }
}

static void put_span(struct out *out, const struct span_record *r, uint64_t to_unix)
{
        const char *service = r->type ? service_of_type(r->type)->name : NULL;

        put_ids(out, &r->span);
        put_name(out, service, r);
        out_string(out, ",\"kind\":");
        out_number(out, r->internal ? KIND_INTERNAL : KIND_SERVER);
        out_string(out, ",\"startTimeUnixNano\":\"");
        out_number(out, r->span.began + to_unix);
        out_string(out, "\",\"endTimeUnixNano\":\"");
        out_number(out, r->ended + to_unix);
        out_string(out, "\"");
        put_attributes(out, r, service);
        out_string(out, ",\"status\":{");
        if (r->in_band || is_server_error(r->status)) {
                out_string(out, "\"code\":");
                out_number(out, STATUS_ERROR);
        }
        out_string(out, "}},");
}

static void put_resource(struct out *out, const char *service)
{
        char host[256] = "";

        (void)gethostname(host, sizeof host - 1);
        out_string(out, "\"resource\":{\"attributes\":[");
        put_text(out, "service.name", service, strlen(service));
        put_text(out, "service.version", BRICKD_VERSION, strlen(BRICKD_VERSION));
        put_text(out, "host.name", host, strlen(host));
        put_number(out, "process.pid", getpid());
        end_list(out);
        out_string(out, "}");
}

size_t otlp_write_request(char *ret, const char *service, const struct span_record *records,
                          size_t n, uint64_t to_unix)
{
        struct out out = { ret, ret + OTLP_REQUEST_MAX(n) };

        out_string(&out, "{\"resourceSpans\":[{");
        put_resource(&out, service);
        out_string(&out,
                   ",\"scopeSpans\":[{\"scope\":{\"name\":\"brickd\",\"version\":\"" BRICKD_VERSION
                   "\"},\"spans\":[");
        for (size_t i = 0; i < n; i++)
                put_span(&out, &records[i], to_unix);
        end_list(&out);
        out_string(&out, "}]}]}");
        return (size_t)(out.next - ret);
}
