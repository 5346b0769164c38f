/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/names.h"
#include "module/instance.h"
#include "rpc/access.h"
#include "rpc/server.h"
#include "rpc/validate.h"
#include "util/clock.h"
#include "util/grpc-status.h"
#include "util/log.h"

#define FIELDS_MAX 16
#define ID_MAX 128

struct line {
        struct log_field fields[FIELDS_MAX];
        size_t n;
};

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

/* An identifier of the client's own choice: cut, so that it cannot fill the log. */
static void add_id(struct line *line, const char *name, const struct rpc_call *call, uint32_t field)
{
        const char *value;
        size_t length;

        if (field == 0)
                return;
        value = validate_find_string(call->base.request.ptr, call->base.request.len, field,
                                     &length);
        add(line, name, value, length < ID_MAX ? length : ID_MAX);
}

static bool is_wanted(const struct conf *conf, bool failed)
{
        if (conf->log_access == ACCESS_OFF || !log_enabled(LOG_LEVEL_INFO))
                return false;
        return conf->log_access == ACCESS_ALL || failed;
}

void access_log(struct rpc_call *call, const struct rpc_end *end)
{
        const struct instance *instance = call->base.instance;
        const char *path = call->method ? call->method->path : NULL;
        uint64_t usec = end->duration / NSEC_PER_USEC;
        char duration[24], code[16];
        struct line line = { .n = 0 };

        if (!is_wanted(call->port->rpc->conf, end->status != GRPC_STATUS_OK || end->in_band))
                return;

        (void)snprintf(duration, sizeof duration, "%" PRIu64, usec);
        (void)snprintf(code, sizeof code, "%" PRId32, end->code);
        add_string(&line, "MESSAGE_ID", LOG_ID_ACCESS);
        add_string(&line, "RPC_METHOD", path);
        add_string(&line, "RPC_STATUS", grpc_status_to_string(end->status));
        if (instance) {
                add_string(&line, "BRICK", instance->conf->name);
                add_string(&line, "BRICK_TYPE", brick_type_to_string(instance->type));
        }
        if (end->status == GRPC_STATUS_OK || end->in_band)
                add_string(&line, "BRICK_ERROR_CODE", code);
        if (call->method && call->base.request.len > 0 && end->status != GRPC_STATUS_UNKNOWN) {
                const struct service *service = call->method->route->service;

                add_id(&line, "REQUEST_ID", call, service->request_id);
                add_id(&line, "SESSION_ID", call, service->session_id);
                add_id(&line, "CLIENT_ID", call, service->client_id);
        }
        add_string(&line, "DURATION_USEC", duration);
        add_string(&line, "PEER", call->peer);

        log_fields(LOG_LEVEL_INFO, line.fields, line.n, "%s %s %s%s%s in %" PRIu64 ".%03u ms",
                   instance ? instance->conf->name : "-",
                   call->method ? brick_method_to_string(call->method->method) : "unknown method",
                   grpc_status_to_string(end->status), end->in_band ? " error " : "",
                   end->in_band ? code : "", usec / 1000, (unsigned)(usec % 1000));
}

void access_log_builtin(const struct conf *conf, const char *path, const char *label,
                        unsigned status, uint64_t started)
{
        char duration[24];
        struct line line = { .n = 0 };
        uint64_t usec;

        if (!is_wanted(conf, status != GRPC_STATUS_OK))
                return;
        usec = (clock_now() - started) / NSEC_PER_USEC;
        (void)snprintf(duration, sizeof duration, "%" PRIu64, usec);
        add_string(&line, "MESSAGE_ID", LOG_ID_ACCESS);
        add_string(&line, "RPC_METHOD", path);
        add_string(&line, "RPC_STATUS", grpc_status_to_string(status));
        add_string(&line, "DURATION_USEC", duration);
        log_fields(LOG_LEVEL_INFO, line.fields, line.n, "- %s %s in %" PRIu64 ".%03u ms", label,
                   grpc_status_to_string(status), usec / 1000, (unsigned)(usec % 1000));
}
