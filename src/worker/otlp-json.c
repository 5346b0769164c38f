/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "conf/names.h"
#include "config.h"
#include "module/span.h"
#include "rpc/service.h"
#include "util/grpc-status.h"
#include "util/json.h"
#include "worker/otlp.h"

/* Numbers of opentelemetry/proto/trace/v1/trace.proto. */
enum { KIND_INTERNAL = 1, KIND_SERVER = 2 };
enum { STATUS_ERROR = 2 };

static void put_string(FILE *f, const char *s)
{
        json_put_string(f, s, strlen(s));
}

static void put_text(FILE *f, const char *key, const char *value, size_t length)
{
        (void)fprintf(f, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
        json_put_string(f, value, length);
        (void)fputs("}}", f);
}

static void put_number(FILE *f, const char *key, int64_t value)
{
        (void)fprintf(f, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%" PRId64 "\"}}", key, value);
}

static void put_id(FILE *f, const char *name, uint64_t id)
{
        char digits[TRACE_SPAN_LENGTH];

        trace_put_span(id, digits);
        (void)fprintf(f, ",\"%s\":\"%.*s\"", name, TRACE_SPAN_LENGTH, digits);
}

static void put_ids(FILE *f, const struct span *span)
{
        char digits[TRACE_ID_LENGTH];

        trace_put_id(&span->context, digits);
        (void)fprintf(f, "\"traceId\":\"%.*s\"", TRACE_ID_LENGTH, digits);
        put_id(f, "spanId", span->context.span);
        if (span->parent)
                put_id(f, "parentSpanId", span->parent);
}

/* Of a server, these statuses are its own fault; the others are its client's. */
static bool is_server_error(unsigned status)
{
        static const unsigned errors = 1 << 2 | 1 << 4 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

        return status < 32 && errors >> status & 1;
}

static void put_error(FILE *f, const struct span_record *r)
{
        char code[16];

        if (r->in_band) {
                (void)snprintf(code, sizeof code, "%" PRId32, r->code);
                (void)fputc(',', f);
                put_number(f, "brickd.error_code", r->code);
                (void)fputc(',', f);
                put_text(f, "error.type", code, strlen(code));
        } else if (r->status != 0) {
                const char *name = grpc_status_to_string(r->status);

                (void)fputc(',', f);
                put_text(f, "error.type", name, strlen(name));
        }
}

static void put_attributes(FILE *f, const struct span_record *r, const char *service)
{
        const char *method = brick_method_to_string(r->method);

        (void)fputs(",\"attributes\":[", f);
        put_text(f, "rpc.system", "grpc", 4);
        if (service) {
                (void)fputc(',', f);
                put_text(f, "rpc.service", service, strlen(service));
                (void)fputc(',', f);
                put_text(f, "rpc.method", method, strlen(method));
        }
        (void)fputc(',', f);
        put_number(f, "rpc.grpc.status_code", r->status);
        if (r->brick) {
                (void)fputc(',', f);
                put_text(f, "brickd.brick", r->brick, strlen(r->brick));
        }
        if (r->request_id_length > 0) {
                (void)fputc(',', f);
                put_text(f, "brickd.request_id", r->request_id, r->request_id_length);
        }
        put_error(f, r);
        (void)fputc(']', f);
}

static void put_span(FILE *f, const struct span_record *r, uint64_t to_unix)
{
        const char *service = r->type ? service_of_type(r->type)->name : NULL;

        (void)fputc('{', f);
        put_ids(f, &r->span);
        (void)fprintf(f,
                      ",\"name\":\"%s%s%s\",\"kind\":%d,\"startTimeUnixNano\":\"%" PRIu64
                      "\",\"endTimeUnixNano\":\"%" PRIu64 "\"",
                      service ? service : "unknown method", service ? "/" : "",
                      service ? brick_method_to_string(r->method) : "",
                      r->internal ? KIND_INTERNAL : KIND_SERVER, r->span.began + to_unix,
                      r->ended + to_unix);
        put_attributes(f, r, service);
        (void)fputs(",\"status\":{", f);
        if (r->in_band || is_server_error(r->status))
                (void)fprintf(f, "\"code\":%d", STATUS_ERROR);
        (void)fputs("}}", f);
}

static void put_resource(FILE *f, const char *service)
{
        char host[256] = "";

        (void)gethostname(host, sizeof host - 1);
        (void)fputs("\"resource\":{\"attributes\":[", f);
        put_text(f, "service.name", service, strlen(service));
        (void)fputc(',', f);
        put_text(f, "service.version", BRICKD_VERSION, strlen(BRICKD_VERSION));
        (void)fputc(',', f);
        put_text(f, "host.name", host, strlen(host));
        (void)fputc(',', f);
        put_number(f, "process.pid", getpid());
        (void)fputs("]}", f);
}

void otlp_put_request(FILE *f, const char *service, const struct span_record *records, size_t n,
                      uint64_t to_unix)
{
        (void)fputs("{\"resourceSpans\":[{", f);
        put_resource(f, service);
        (void)fputs(",\"scopeSpans\":[{\"scope\":{\"name\":\"brickd\",\"version\":", f);
        put_string(f, BRICKD_VERSION);
        (void)fputs("},\"spans\":[", f);
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        (void)fputc(',', f);
                put_span(f, &records[i], to_unix);
        }
        (void)fputs("]}]}]}", f);
}
