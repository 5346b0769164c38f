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

/* A text is cut there, so that what a client chooses cannot fill the log. */
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
 * What the lines about a call say of it, as the thread that writes the log gets it: a line is made
 * there, since it would cost the polling thread a tenth of a small call. The texts follow. What
 * this points to is there for ever.
 */
struct entry {
        struct rpc_end end;
        bool slow;                     /* it is the line that says so */
        const struct service *service; /* NULL: no method of ours */
        uint32_t method;               /* of the service */
        const char *path, *label;      /* NULL, or brickd's own method */
        uint64_t request_id;           /* brickd's own, if the client has given none */
        bool traced;
        struct trace_context trace;
        uint8_t lengths[TEXTS];
};

_Static_assert(sizeof(struct entry) + TEXTS * TEXT_MAX <= LOG_LATER_MAX, "no line is left out");
_Static_assert(TEXT_MAX <= UINT8_MAX, "lengths are bytes");

/* --- on the log's thread ----------------------------------------------------------------------
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

/* The field whose value has just been put, from `value` on. */
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

static void add_fields(struct log_line *line, const struct entry *entry,
                       const struct brick_str texts[static TEXTS])
{
        const struct rpc_end *end = &entry->end;

        add_path(line, entry);
        add_string(line, "RPC_STATUS", grpc_status_to_string(end->status));
        if (texts[TEXT_BRICK].len > 0) {
                add_text(line, "BRICK", texts[TEXT_BRICK]);
                add_string(line, "BRICK_TYPE", brick_type_to_string(entry->service->type));
        }
        if (entry->service && (end->status == GRPC_STATUS_OK || end->in_band))
                add_code(line, end->code);
        if (texts[TEXT_REQUEST].len > 0)
                add_text(line, "REQUEST_ID", texts[TEXT_REQUEST]);
        else
                add_id(line, "REQUEST_ID", entry->request_id);
        add_text(line, "SESSION_ID", texts[TEXT_SESSION]);
        add_text(line, "CLIENT_ID", texts[TEXT_CLIENT]);
        if (entry->traced)
                add_trace(line, &entry->trace);
        add_usec(line, "DURATION_USEC", end->duration);
        add_text(line, "IDENTITY", texts[TEXT_IDENTITY]);
        add_text(line, "PEER", texts[TEXT_PEER]);
        if (entry->slow) {
                add_usec(line, "QUEUED_USEC", end->queued);
                add_usec(line, "BRICK_USEC", end->brick);
                add_usec(line, "WRITING_USEC", end->writing);
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
        return entry->service ? brick_method_to_string(entry->method) : "unknown method";
}

/* "chat Unary OK error 4001 in 12.345 ms" */
static void put_message(struct log_line *line, const struct entry *entry, struct brick_str brick)
{
        const struct rpc_end *end = &entry->end;

        line->message = line->out.next;
        if (brick.len > 0)
                out_put(&line->out, brick.ptr, brick.len);
        else
                out_put(&line->out, "-", 1);
        out_put(&line->out, " ", 1);
        out_string(&line->out, label_of(entry));
        out_put(&line->out, " ", 1);
        out_string(&line->out, grpc_status_to_string(end->status));
        if (end->in_band) {
                out_string(&line->out, " error ");
                out_signed(&line->out, end->code);
        }
        put_stage(line, " in ", end->duration);
        if (entry->slow) {
                put_stage(line, ", slow: queued ", end->queued);
                put_stage(line, ", in the brick ", end->brick);
                put_stage(line, ", writing ", end->writing);
        }
        line->length = (size_t)(line->out.next - line->message);
}

static void render(const void *parts, struct log_line *line)
{
        const struct entry *entry = parts;
        const char *next = (const char *)(entry + 1);
        struct brick_str texts[TEXTS];

        for (size_t i = 0; i < TEXTS; i++) {
                texts[i] = (struct brick_str){ next, entry->lengths[i] };
                next += entry->lengths[i];
        }
        add_fields(line, entry, texts);
        put_message(line, entry, texts[TEXT_BRICK]);
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

static void find_ids(const struct rpc_call *call, struct brick_str texts[static TEXTS])
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

static void write_line(struct entry *entry, enum log_level level,
                       const struct brick_str texts[static TEXTS])
{
        struct iovec parts[1 + TEXTS] = { { entry, sizeof *entry } };

        for (size_t i = 0; i < TEXTS; i++) {
                entry->lengths[i] = (uint8_t)utf8_prefix(texts[i].ptr, texts[i].len, TEXT_MAX);
                parts[1 + i] = (struct iovec){ (void *)texts[i].ptr, entry->lengths[i] };
        }
        log_later(level, render, parts, ELEMENTSOF(parts));
}

static bool is_wanted(const struct conf *conf, const struct rpc_end *end)
{
        bool failed = end->status != GRPC_STATUS_OK || end->in_band;

        return conf->log_access == ACCESS_ALL || (conf->log_access == ACCESS_ERRORS && failed);
}

static bool is_slow(const struct conf *conf, const struct rpc_end *end)
{
        return conf->log_slow > 0 && end->duration > (uint64_t)conf->log_slow;
}

static bool logs(const struct instance *instance, enum log_level level)
{
        return instance ? instance_logs(instance, level) : log_enabled(level);
}

/* The client's id of the request comes from the metadata, or is made up, so that the lines about
 * one call can be told from those about others. */
static void set_request_id(struct entry *entry, struct brick_str texts[static TEXTS],
                           const grpc_metadata_array *metadata)
{
        if (texts[TEXT_REQUEST].len == 0)
                texts[TEXT_REQUEST] = metadata_request_id(metadata);
        if (texts[TEXT_REQUEST].len == 0)
                entry->request_id = random_u64();
}

static void log_end(struct rpc_call *call, const struct rpc_end *end, bool wanted, bool slow)
{
        const struct brick_call *base = &call->base;
        struct brick_str texts[TEXTS] = {
                [TEXT_BRICK] = brick_str(base->instance ? base->instance->conf->name : NULL),
                [TEXT_IDENTITY] = base->identity,
                [TEXT_PEER] = brick_str(call->peer),
        };
        struct entry entry = { .end = *end };

        if (call->method) {
                entry.service = call->method->route->service;
                entry.method = call->method->method;
                find_ids(call, texts);
        }
        set_request_id(&entry, texts, &call->metadata);
        entry.traced = call_trace(&call->base, &entry.trace);
        if (wanted)
                write_line(&entry, LOG_LEVEL_INFO, texts);
        entry.slow = true;
        if (slow)
                write_line(&entry, LOG_LEVEL_WARNING, texts);
}

void access_log(struct rpc_call *call, const struct rpc_end *end)
{
        const struct conf *conf = call->port->rpc->conf;
        const struct instance *instance = call->base.instance;
        bool wanted = is_wanted(conf, end) && logs(instance, LOG_LEVEL_INFO);
        bool slow = instance && is_slow(conf, end) && logs(instance, LOG_LEVEL_WARNING);

        if (wanted || slow)
                log_end(call, end, wanted, slow);
}

void access_log_builtin(const struct conf *conf, const char *path, const char *label,
                        const grpc_metadata_array *metadata, unsigned status, uint64_t started)
{
        struct entry entry = {
                .end = { .status = status, .duration = clock_now() - started },
                .path = path,
                .label = label,
        };
        struct brick_str texts[TEXTS] = {};

        if (!is_wanted(conf, &entry.end) || !log_enabled(LOG_LEVEL_INFO))
                return;
        set_request_id(&entry, texts, metadata);
        write_line(&entry, LOG_LEVEL_INFO, texts);
}
