/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/names.h"
#include "module/instance.h"
#include "rpc/access.h"
#include "rpc/server.h"
#include "rpc/validate.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/grpc-status.h"
#include "util/log.h"
#include "util/out.h"
#include "util/random.h"
#include "util/trace.h"
#include "util/utf8.h"

#define FIELDS_MAX 18
#define ID_MAX 128
/* The message, and the numbers among the fields. */
#define TEXT_MAX 768

/* What the lines about a call say of it. */
struct subject {
        const struct conf *conf;
        struct brick_call *call;         /* NULL: it is brickd's own */
        const struct instance *instance; /* NULL: no brick has had it */
        const struct service *service;   /* whose fields `request` has */
        struct brick_bytes request;      /* empty: none that could be read */
        const grpc_metadata_array *metadata;
        struct brick_str identity; /* empty: nobody has asked */
        const char *path;          /* NULL: no method of ours */
        const char *method;        /* its short name */
        const char *peer;          /* NULL: not known */
};

/* A line is made by hand, at each end of a call: printf() would cost as much as all the rest. */
struct line {
        struct log_field fields[FIELDS_MAX];
        size_t n;
        struct out out; /* into text */
        char text[TEXT_MAX];
};

/* "12.345 ms" */
static void put_ms(struct line *line, uint64_t ns)
{
        uint64_t usec = ns / NSEC_PER_USEC;
        const char fraction[] = { '.', (char)('0' + usec / 100 % 10), (char)('0' + usec / 10 % 10),
                                  (char)('0' + usec % 10) };

        out_number(&line->out, usec / 1000);
        out_put(&line->out, fraction, sizeof fraction);
        out_string(&line->out, " ms");
}

static void add(struct line *line, const char *name, const char *value, size_t length)
{
        if (value && length > 0 && line->n < FIELDS_MAX)
                line->fields[line->n++] = (struct log_field){ name, value, length };
}

static void add_string(struct line *line, const char *name, const char *value)
{
        if (value)
                add(line, name, value, strlen(value));
}

/* The field whose value has just been put, from `value` on. */
static void add_put(struct line *line, const char *name, const char *value)
{
        add(line, name, value, (size_t)(line->out.next - value));
}

static void add_usec(struct line *line, const char *name, uint64_t ns)
{
        const char *value = line->out.next;

        out_number(&line->out, ns / NSEC_PER_USEC);
        add_put(line, name, value);
}

/* An identifier of the client's own choice: cut, so that it cannot fill the log. */
static void add_id(struct line *line, const char *name, struct brick_str id)
{
        add(line, name, id.ptr, utf8_prefix(id.ptr, id.len, ID_MAX));
}

static bool is_graphic(struct brick_str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
                        return false;
        return s.len > 0;
}

/* The client's id of the request, if its metadata has a sound one. */
static struct brick_str metadata_request_id(const grpc_metadata_array *metadata)
{
        static const char name[] = "x-request-id";

        for (size_t i = 0; i < metadata->count; i++) {
                const grpc_slice *key = &metadata->metadata[i].key;
                const grpc_slice *value = &metadata->metadata[i].value;
                struct brick_str id = { (const char *)GRPC_SLICE_START_PTR(*value),
                                        GRPC_SLICE_LENGTH(*value) };

                if (GRPC_SLICE_LENGTH(*key) == sizeof name - 1 &&
                    memcmp(GRPC_SLICE_START_PTR(*key), name, sizeof name - 1) == 0)
                        return is_graphic(id) ? id : (struct brick_str){};
        }
        return (struct brick_str){};
}

struct brick_str access_request_id(const struct rpc_call *call)
{
        struct brick_str id = {};

        if (call->method)
                validate_find_strings(call->base.request.ptr, call->base.request.len,
                                      &call->method->route->service->request_id, 1, &id);
        return id.len > 0 ? id : metadata_request_id(&call->metadata);
}

/* An id of brickd's own, so that the lines about one call can be told from those about others. */
static struct brick_str make_request_id(struct line *line)
{
        char id[TRACE_SPAN_LENGTH];
        const char *p = line->out.next;

        trace_put_span(random_u64(), id);
        out_put(&line->out, id, sizeof id);
        return (struct brick_str){ p, (size_t)(line->out.next - p) };
}

static void add_ids(struct line *line, const struct subject *subject)
{
        enum { REQUEST, SESSION, CLIENT, IDS };
        struct brick_str ids[IDS] = {};

        if (subject->service) {
                const uint32_t fields[IDS] = {
                        [REQUEST] = subject->service->request_id,
                        [SESSION] = subject->service->session_id,
                        [CLIENT] = subject->service->client_id,
                };

                validate_find_strings(subject->request.ptr, subject->request.len, fields, IDS, ids);
        }
        if (ids[REQUEST].len == 0)
                ids[REQUEST] = metadata_request_id(subject->metadata);
        if (ids[REQUEST].len == 0)
                ids[REQUEST] = make_request_id(line);
        add_id(line, "REQUEST_ID", ids[REQUEST]);
        add_id(line, "SESSION_ID", ids[SESSION]);
        add_id(line, "CLIENT_ID", ids[CLIENT]);
}

static void add_trace(struct line *line, struct brick_call *call)
{
        struct trace_context context;
        char id[TRACE_ID_LENGTH], span[TRACE_SPAN_LENGTH];
        const char *p = line->out.next;

        if (!call_trace(call, &context))
                return;
        trace_put_id(&context, id);
        out_put(&line->out, id, sizeof id);
        add_put(line, "TRACE_ID", p);
        p = line->out.next;
        trace_put_span(context.span, span);
        out_put(&line->out, span, sizeof span);
        add_put(line, "SPAN_ID", p);
}

static void add_fields(struct line *line, const struct subject *subject, const struct rpc_end *end)
{
        const char *code = line->out.next;

        add_string(line, "RPC_METHOD", subject->path);
        add_string(line, "RPC_STATUS", grpc_status_to_string(end->status));
        if (subject->instance) {
                add_string(line, "BRICK", subject->instance->conf->name);
                add_string(line, "BRICK_TYPE", brick_type_to_string(subject->instance->type));
        }
        if (subject->service && (end->status == GRPC_STATUS_OK || end->in_band)) {
                out_signed(&line->out, end->code);
                add_put(line, "BRICK_ERROR_CODE", code);
        }
        add_ids(line, subject);
        if (subject->call)
                add_trace(line, subject->call);
        add_usec(line, "DURATION_USEC", end->duration);
        add(line, "IDENTITY", subject->identity.ptr, subject->identity.len);
        add_string(line, "PEER", subject->peer);
}

/* "chat Unary OK error 4001 in 12.345 ms" */
static void put_message(struct line *line, const struct subject *subject, const struct rpc_end *end)
{
        out_string(&line->out, subject->instance ? subject->instance->conf->name : "-");
        out_put(&line->out, " ", 1);
        out_string(&line->out, subject->method);
        out_put(&line->out, " ", 1);
        out_string(&line->out, grpc_status_to_string(end->status));
        if (end->in_band) {
                out_string(&line->out, " error ");
                out_signed(&line->out, end->code);
        }
        out_string(&line->out, " in ");
        put_ms(line, end->duration);
}

static void write_line(struct line *line, enum log_level level, const char *id, const char *message)
{
        add_string(line, "MESSAGE_ID", id);
        log_line(level, line->fields, line->n, message, (size_t)(line->out.next - message));
        line->n--;
}

static void put_stage(struct line *line, const char *before, uint64_t ns)
{
        out_string(&line->out, before);
        put_ms(line, ns);
}

/* After the other line, whose fields and message it has, too. */
static void write_slow_line(struct line *line, const struct rpc_end *end, const char *message)
{
        size_t length = (size_t)(line->out.next - message);
        const char *slow;

        add_usec(line, "QUEUED_USEC", end->queued);
        add_usec(line, "BRICK_USEC", end->brick);
        add_usec(line, "WRITING_USEC", end->writing);
        slow = line->out.next;
        out_put(&line->out, message, length);
        put_stage(line, ", slow: queued ", end->queued);
        put_stage(line, ", in the brick ", end->brick);
        put_stage(line, ", writing ", end->writing);
        write_line(line, LOG_LEVEL_WARNING, LOG_ID_CALL_SLOW, slow);
}

static bool logs(const struct subject *subject, enum log_level level)
{
        return subject->instance ? instance_logs(subject->instance, level) : log_enabled(level);
}

static void log_end(const struct subject *subject, const struct rpc_end *end)
{
        const struct conf *conf = subject->conf;
        bool failed = end->status != GRPC_STATUS_OK || end->in_band;
        bool wanted = conf->log_access == ACCESS_ALL ||
                      (conf->log_access == ACCESS_ERRORS && failed);
        bool slow = subject->instance && conf->log_slow > 0 &&
                    end->duration > (uint64_t)conf->log_slow;
        const char *message;
        struct line line;

        wanted = wanted && logs(subject, LOG_LEVEL_INFO);
        slow = slow && logs(subject, LOG_LEVEL_WARNING);
        if (!wanted && !slow)
                return;

        line.n = 0;
        line.out = (struct out){ line.text, line.text + TEXT_MAX };
        add_fields(&line, subject, end);
        message = line.out.next;
        put_message(&line, subject, end);
        if (wanted)
                write_line(&line, LOG_LEVEL_INFO, LOG_ID_ACCESS, message);
        if (slow)
                write_slow_line(&line, end, message);
}

static struct subject subject_of(struct rpc_call *call)
{
        const struct rpc_method *method = call->method;

        return (struct subject){
                .conf = call->port->rpc->conf,
                .call = &call->base,
                .instance = call->base.instance,
                .service = method ? method->route->service : NULL,
                .request = call->base.request,
                .identity = call->base.identity,
                .metadata = &call->metadata,
                .path = method ? method->path : NULL,
                .method = method ? brick_method_to_string(method->method) : "unknown method",
                .peer = call->peer,
        };
}

void access_log(struct rpc_call *call, const struct rpc_end *end)
{
        const struct conf *conf = call->port->rpc->conf;
        struct subject subject;

        if (conf->log_access == ACCESS_OFF && conf->log_slow == 0)
                return;
        subject = subject_of(call);
        log_end(&subject, end);
}

void access_log_builtin(const struct conf *conf, const char *path, const char *label,
                        const grpc_metadata_array *metadata, unsigned status, uint64_t started)
{
        const struct subject subject = {
                .conf = conf,
                .metadata = metadata,
                .path = path,
                .method = label,
        };
        const struct rpc_end end = {
                .status = status,
                .duration = clock_now() - started,
        };

        log_end(&subject, &end);
}
