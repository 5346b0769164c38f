/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/names.h"
#include "module/instance.h"
#include "serve/access.h"
#include "serve/served.h"
#include "serve/validate.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/grpc-status.h"
#include "util/log.h"
#include "util/out.h"
#include "util/random.h"
#include "util/trace.h"
#include "util/utf8.h"

/* Longer texts are cut, in bytes, so that a client cannot fill the log. */
#define TEXT_MAX 128

enum text {
        TEXT_BRICK,
        TEXT_REQUEST,
        TEXT_SESSION,
        TEXT_CLIENT,
        TEXT_IDENTITY,
        TEXT_PEER,
        TEXTS,
};

/*
 * The facts of a line about a call, for the log's thread. That thread makes the line, because it
 * would cost the polling thread a tenth of a small call. What the pointers point to is never freed.
 * Behind the entry come the parts that it says it has, and then the texts.
 */
struct entry {
        const struct service *service; /* NULL: none of the eight */
        const char *path, *label;      /* of a call that brickd has answered itself; else NULL */
        const char *route;             /* of HTTP; NULL: the call came by gRPC */
        uint64_t request_id;           /* made by brickd, if the client has given none */
        uint64_t duration;             /* ns */
        uint32_t status;               /* gRPC's */
        int32_t code;
        uint16_t http_status; /* 0: none */
        uint8_t method;       /* BRICK_METHOD_* */
        bool in_band;
        bool slow;   /* it is a slow line, and has a struct stages */
        bool traced; /* it has a struct trace_context */
        uint8_t lengths[TEXTS];
};

struct stages {
        uint64_t queued, brick, writing; /* ns */
};

/* An entry with its parts and texts. */
struct subject {
        const struct entry *entry;
        const struct stages *stages;       /* NULL: it is not a slow line */
        const struct trace_context *trace; /* NULL: none */
        struct brick_str texts[TEXTS];
};

_Static_assert(sizeof(struct entry) + sizeof(struct stages) + sizeof(struct trace_context) +
                               TEXTS * TEXT_MAX <=
                       LOG_LATER_MAX,
               "every line fits");
_Static_assert(sizeof(struct entry) % 8 == 0 && sizeof(struct stages) % 8 == 0, "alignment");
_Static_assert(TEXT_MAX <= UINT8_MAX, "lengths are bytes");

/* --- on the log's thread -----------------------------------------------------------------------
 */

/* "12.345 ms" */
static void put_ms(struct log_line *line, uint64_t ns)
{
        uint64_t usec = ns / NSEC_PER_USEC;
        const char fraction[] = { '.', (char)('0' + usec / 100 % 10), (char)('0' + usec / 10 % 10),
                                  (char)('0' + usec % 10) };

        out_number(&line->out, usec / 1000);
        out_put(&line->out, fraction, sizeof fraction);
        out_string(&line->out, " ms");
}

static void add(struct log_line *line, const char *name, const char *value, size_t length)
{
        if (length > 0 && line->n < ELEMENTSOF(line->fields))
                line->fields[line->n++] = (struct log_field){ name, value, length };
}

static void add_string(struct log_line *line, const char *name, const char *value)
{
        add(line, name, value, strlen(value));
}

/* Adds a field whose value has just been written to line->out, from `value` on. */
static void add_put(struct log_line *line, const char *name, const char *value)
{
        add(line, name, value, (size_t)(line->out.next - value));
}

static void add_usec(struct log_line *line, const char *name, uint64_t ns)
{
        const char *value = line->out.next;

        out_number(&line->out, ns / NSEC_PER_USEC);
        add_put(line, name, value);
}

static void add_text(struct log_line *line, const char *name, struct brick_str text)
{
        add(line, name, text.ptr, text.len);
}

static void add_id(struct log_line *line, const char *name, uint64_t id)
{
        char digits[TRACE_SPAN_LENGTH];
        const char *value = line->out.next;

        trace_put_span(id, digits);
        out_put(&line->out, digits, sizeof digits);
        add_put(line, name, value);
}

static void add_trace(struct log_line *line, const struct trace_context *trace)
{
        char id[TRACE_ID_LENGTH];
        const char *value = line->out.next;

        trace_put_id(trace, id);
        out_put(&line->out, id, sizeof id);
        add_put(line, "TRACE_ID", value);
        add_id(line, "SPAN_ID", trace->span);
}

static void add_path(struct log_line *line, const struct entry *entry)
{
        const char *value = line->out.next;

        if (entry->path) {
                add_string(line, "RPC_METHOD", entry->path);
        } else if (entry->service) {
                out_put(&line->out, "/", 1);
                out_string(&line->out, entry->service->name);
                out_put(&line->out, "/", 1);
                out_string(&line->out, brick_method_to_string(entry->method));
                add_put(line, "RPC_METHOD", value);
        }
}

static void add_code(struct log_line *line, int32_t code)
{
        const char *value = line->out.next;

        out_signed(&line->out, code);
        add_put(line, "BRICK_ERROR_CODE", value);
}

static void add_http(struct log_line *line, const struct entry *entry)
{
        const char *value = line->out.next;

        add_string(line, "HTTP_ROUTE", entry->route);
        if (entry->http_status == 0)
                return;
        out_number(&line->out, entry->http_status);
        add_put(line, "HTTP_STATUS", value);
}

/* Of HTTP: no call has been made. */
static bool is_plain(const struct entry *entry)
{
        return entry->route && !entry->service;
}

static void add_fields(struct log_line *line, const struct subject *subject)
{
        const struct entry *entry = subject->entry;
        const struct brick_str *texts = subject->texts;

        add_path(line, entry);
        if (!is_plain(entry))
                add_string(line, "RPC_STATUS", grpc_status_to_string(entry->status));
        if (entry->route)
                add_http(line, entry);
        if (texts[TEXT_BRICK].len > 0) {
                add_text(line, "BRICK", texts[TEXT_BRICK]);
                add_string(line, "BRICK_TYPE", brick_type_to_string(entry->service->type));
        }
        if (entry->service && (entry->status == STATUS_OK || entry->in_band))
                add_code(line, entry->code);
        if (texts[TEXT_REQUEST].len > 0)
                add_text(line, "REQUEST_ID", texts[TEXT_REQUEST]);
        else
                add_id(line, "REQUEST_ID", entry->request_id);
        add_text(line, "SESSION_ID", texts[TEXT_SESSION]);
        add_text(line, "CLIENT_ID", texts[TEXT_CLIENT]);
        if (subject->trace)
                add_trace(line, subject->trace);
        add_usec(line, "DURATION_USEC", entry->duration);
        add_text(line, "IDENTITY", texts[TEXT_IDENTITY]);
        add_text(line, "PEER", texts[TEXT_PEER]);
        if (subject->stages) {
                add_usec(line, "QUEUED_USEC", subject->stages->queued);
                add_usec(line, "BRICK_USEC", subject->stages->brick);
                add_usec(line, "WRITING_USEC", subject->stages->writing);
        }
        add_string(line, "MESSAGE_ID", entry->slow ? LOG_ID_CALL_SLOW : LOG_ID_ACCESS);
}

static void put_stage(struct log_line *line, const char *before, uint64_t ns)
{
        out_string(&line->out, before);
        put_ms(line, ns);
}

static const char *label_of(const struct entry *entry)
{
        if (entry->label)
                return entry->label;
        if (is_plain(entry))
                return entry->route;
        return entry->service ? brick_method_to_string(entry->method) : "unknown method";
}

/* "chat Unary OK error 4001 in 12.345 ms" */
static void put_message(struct log_line *line, const struct subject *subject)
{
        const struct entry *entry = subject->entry;
        struct brick_str brick = subject->texts[TEXT_BRICK];

        line->message = line->out.next;
        if (brick.len > 0)
                out_put(&line->out, brick.ptr, brick.len);
        else
                out_put(&line->out, "-", 1);
        out_put(&line->out, " ", 1);
        out_string(&line->out, label_of(entry));
        out_put(&line->out, " ", 1);
        if (is_plain(entry))
                out_number(&line->out, entry->http_status);
        else
                out_string(&line->out, grpc_status_to_string(entry->status));
        if (entry->in_band) {
                out_string(&line->out, " error ");
                out_signed(&line->out, entry->code);
        }
        put_stage(line, " in ", entry->duration);
        if (subject->stages) {
                put_stage(line, ", slow: queued ", subject->stages->queued);
                put_stage(line, ", in the brick ", subject->stages->brick);
                put_stage(line, ", writing ", subject->stages->writing);
        }
        line->length = (size_t)(line->out.next - line->message);
}

static const void *take(const char **next, size_t size)
{
        const char *p = *next;

        *next += size;
        return p;
}

static void render(const void *parts, struct log_line *line)
{
        const char *next = parts;
        struct subject subject = { .entry = take(&next, sizeof(struct entry)) };

        if (subject.entry->slow)
                subject.stages = take(&next, sizeof(struct stages));
        if (subject.entry->traced)
                subject.trace = take(&next, sizeof(struct trace_context));
        for (size_t i = 0; i < TEXTS; i++) {
                size_t length = subject.entry->lengths[i];

                subject.texts[i] = (struct brick_str){ take(&next, length), length };
        }
        add_fields(line, &subject);
        put_message(line, &subject);
}

/* --- when a call ends --------------------------------------------------------------------------
 */

static bool is_graphic(struct brick_str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
                        return false;
        return s.len > 0;
}

/* An id from the metadata, if it is fit for the log. */
static struct brick_str sound_id(struct brick_str id)
{
        return is_graphic(id) ? id : (struct brick_str){};
}

static struct brick_str metadata_id(struct served *call)
{
        return sound_id(call_metadata(&call->base, "x-request-id"));
}

struct brick_str access_request_id(struct served *call)
{
        struct brick_str id = {};

        if (call->method)
                validate_find_strings(call->base.request.ptr, call->base.request.len,
                                      &call->method->route->service->request_id, 1, &id);
        return id.len > 0 ? id : metadata_id(call);
}

static void find_ids(const struct served *call, struct brick_str texts[static TEXTS])
{
        enum { REQUEST, SESSION, CLIENT, IDS };
        const struct service *service = call->method->route->service;
        const uint32_t fields[IDS] = {
                [REQUEST] = service->request_id,
                [SESSION] = service->session_id,
                [CLIENT] = service->client_id,
        };
        struct brick_str ids[IDS] = {};

        validate_find_strings(call->base.request.ptr, call->base.request.len, fields, IDS, ids);
        texts[TEXT_REQUEST] = ids[REQUEST];
        texts[TEXT_SESSION] = ids[SESSION];
        texts[TEXT_CLIENT] = ids[CLIENT];
}

/* A field's tag and length need two bytes each at most: service.c has no field above 15. */
_Static_assert(4 * (4 + TEXT_MAX) <= ACCESS_DIGEST_MAX && SPAN_REQUEST_ID_MAX <= TEXT_MAX,
               "a digest has room for everything that is logged");

static char *put_field(char *p, uint32_t field, struct brick_str text)
{
        size_t length = utf8_prefix(text.ptr, text.len, TEXT_MAX);

        if (length == 0)
                return p;
        *p++ = (char)(field << 3 | 2);
        if (length >= 0x80)
                *p++ = (char)((length & 0x7f) | 0x80);
        *p++ = (char)(length >= 0x80 ? length >> 7 : length);
        memcpy(p, text.ptr, length);
        return p + length;
}

struct brick_str access_model(const struct served *call)
{
        struct brick_str model = {};

        validate_find_strings(call->base.request.ptr, call->base.request.len,
                              &call->method->route->service->model_id, 1, &model);
        return model;
}

size_t access_digest(const struct served *call, char ret[static ACCESS_DIGEST_MAX])
{
        const struct service *service = call->method->route->service;
        struct brick_str texts[TEXTS] = {};
        char *p = ret;

        find_ids(call, texts);
        if (service->model_id)
                p = put_field(p, service->model_id, access_model(call));
        p = put_field(p, service->request_id, texts[TEXT_REQUEST]);
        p = put_field(p, service->session_id, texts[TEXT_SESSION]);
        p = put_field(p, service->client_id, texts[TEXT_CLIENT]);
        return (size_t)(p - ret);
}

static void write_line(struct entry *entry, const struct stages *stages,
                       const struct trace_context *trace,
                       const struct brick_str texts[static TEXTS])
{
        struct iovec parts[3 + TEXTS];
        size_t n = 0;

        entry->slow = stages;
        entry->traced = trace;
        parts[n++] = (struct iovec){ entry, sizeof *entry };
        if (stages)
                parts[n++] = (struct iovec){ (void *)stages, sizeof *stages };
        if (trace)
                parts[n++] = (struct iovec){ (void *)trace, sizeof *trace };
        for (size_t i = 0; i < TEXTS; i++) {
                if (texts[i].len == 0)
                        continue;
                entry->lengths[i] = (uint8_t)utf8_prefix(texts[i].ptr, texts[i].len, TEXT_MAX);
                parts[n++] = (struct iovec){ (void *)texts[i].ptr, entry->lengths[i] };
        }
        log_later(stages ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, render, parts, n);
}

static bool is_wanted(const struct conf *conf, const struct served_end *end)
{
        bool failed = end->status != STATUS_OK || end->in_band;

        return conf->log_access == ACCESS_ALL || (conf->log_access == ACCESS_ERRORS && failed);
}

static bool is_slow(const struct conf *conf, const struct served_end *end)
{
        return conf->log_slow > 0 && end->duration > (uint64_t)conf->log_slow;
}

static bool logs(const struct instance *instance, enum log_level level)
{
        return instance ? instance_logs(instance, level) : log_enabled(level);
}

static void log_end(struct served *call, const struct served_end *end, bool wanted, bool slow)
{
        struct call *base = &call->base;
        const struct stages stages = { end->queued, end->brick, end->writing };
        struct brick_str texts[TEXTS] = {
                [TEXT_BRICK] = brick_str(base->instance ? base->instance->conf->name : NULL),
                [TEXT_IDENTITY] = base->identity,
                [TEXT_PEER] = brick_str(call->peer),
        };
        struct entry entry = {
                .status = end->status,
                .in_band = end->in_band,
                .code = end->code,
                .duration = end->duration,
                .route = call->http_route,
                .http_status = (uint16_t)call->http_status,
        };
        struct trace_context context, *trace;

        if (call->method) {
                entry.service = call->method->route->service;
                entry.method = (uint8_t)call->method->method;
                find_ids(call, texts);
        }
        if (texts[TEXT_REQUEST].len == 0)
                texts[TEXT_REQUEST] = metadata_id(call);
        if (texts[TEXT_REQUEST].len == 0)
                entry.request_id = random_u64();
        trace = call_trace(base, &context) ? &context : NULL;
        if (wanted)
                write_line(&entry, NULL, trace, texts);
        if (slow)
                write_line(&entry, &stages, trace, texts);
}

void access_log(struct served *call, const struct served_end *end)
{
        const struct conf *conf = call->port->serve->conf;
        const struct instance *instance = call->base.instance;
        bool wanted = is_wanted(conf, end) && logs(instance, LOG_LEVEL_INFO);
        bool slow = instance && is_slow(conf, end) && logs(instance, LOG_LEVEL_WARNING);

        if (wanted || slow)
                log_end(call, end, wanted, slow);
}

void access_log_builtin(const struct conf *conf, const char *path, const char *label,
                        struct brick_str request_id, unsigned status, uint64_t started)
{
        const struct served_end end = { .status = status, .duration = clock_now() - started };
        const struct brick_str texts[TEXTS] = { [TEXT_REQUEST] = sound_id(request_id) };
        struct entry entry = {
                .status = status,
                .duration = end.duration,
                .path = path,
                .label = label,
        };

        if (!is_wanted(conf, &end) || !log_enabled(LOG_LEVEL_INFO))
                return;
        if (texts[TEXT_REQUEST].len == 0)
                entry.request_id = random_u64();
        write_line(&entry, NULL, NULL, texts);
}

void access_log_http(const struct conf *conf, const struct access_http *request)
{
        const struct served_end end = {
                .status = request->status < 400 ? STATUS_OK : STATUS_UNKNOWN,
                .duration = clock_now() - request->started,
        };
        const struct brick_str texts[TEXTS] = {
                [TEXT_REQUEST] = sound_id(request->id),
                [TEXT_IDENTITY] = request->identity,
                [TEXT_PEER] = brick_str(request->peer),
        };
        struct entry entry = {
                .duration = end.duration,
                .route = request->route,
                .http_status = (uint16_t)request->status,
        };

        if (!is_wanted(conf, &end) || !log_enabled(LOG_LEVEL_INFO))
                return;
        if (texts[TEXT_REQUEST].len == 0)
                entry.request_id = random_u64();
        write_line(&entry, NULL, NULL, texts);
}
