/* SPDX-License-Identifier: MIT */

/* The answer of an exchange: its head, its body, and errors. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "http/exchange-own.h"
#include "http/limits.h"
#include "http/outcome.h"
#include "util/clock.h"
#include "util/json-write.h"

/* --- the head of the answer ---------------------------------------------------------------------
 */

static bool is_value(const char *value)
{
        for (const char *p = value; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        return false;
        return true;
}

void exchange_header(struct exchange *x, const char *name, const char *value)
{
        size_t length = strlen(name) + strlen(value) + sizeof ": \r\n" - 1;
        struct exchange_field *field;

        if (!is_value(value))
                return;
        field = arena_alloc(&x->arena, sizeof *field + length + 1, _Alignof(struct exchange_field));
        if (!field)
                return;
        (void)snprintf(field->line, length + 1, "%s: %s\r\n", name, value);
        field->length = length;
        field->next = NULL;
        *x->fields_end = field;
        x->fields_end = &field->next;
}

static void put(struct exchange *x, const char *text)
{
        (void)connection_put(x->connection, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void putf(struct exchange *x, const char *format, ...)
{
        char text[256];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        put(x, text);
}

/* Browsers show a page only these fields of an answer. */
static void put_origin(struct exchange *x)
{
        if (!x->origin)
                return;
        put(x, "Access-Control-Allow-Origin: ");
        put(x, x->origin);
        put(x, "\r\nAccess-Control-Expose-Headers: x-request-id, retry-after, retry-after-ms, "
               "x-should-retry, " LIMITS_FIELDS "\r\nVary: Origin\r\n");
}

static void put_keeping(struct exchange *x)
{
        const struct conf_port *conf = x->connection->port->base.conf;
        uint64_t idle = conf->idle > 0 ? (uint64_t)conf->idle : HTTP_IDLE_NS;

        if (x->connection->last) {
                put(x, "Connection: close\r\n");
                return;
        }
        if (x->is_old)
                put(x, "Connection: keep-alive\r\n");
        putf(x, "Keep-Alive: timeout=%" PRIu64 "\r\n", idle / NSEC_PER_SEC);
}

/* framing: of the body, a whole line or nothing. */
static void put_head(struct exchange *x, unsigned status, const char *type, const char *framing)
{
        struct door *door = x->connection->port->door;

        x->status = status;
        if (atomic_load(&door->leaving))
                x->connection->last = true;
        putf(x, "HTTP/1.1 %u %s\r\nDate: %s\r\n", status, http_reason(status), door_date(door));
        if (type)
                putf(x, "Content-Type: %s\r\n", type);
        put(x, framing);
        if (x->id)
                putf(x, "X-Request-Id: %s\r\n", x->id);
        put_origin(x);
        put_keeping(x);
        for (const struct exchange_field *field = x->fields; field; field = field->next)
                (void)connection_put(x->connection, field->line, field->length);
        put(x, "\r\n");
}

/* --- the answer ---------------------------------------------------------------------------------
 */

void exchange_answer(struct exchange *x, unsigned status, const char *type, const void *body,
                     size_t length)
{
        char framing[48] = "";

        if (x->answered || x->status)
                return;
        if (status != 204 && status != 304)
                (void)snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", length);
        put_head(x, status, type, framing);
        if (!x->is_head)
                (void)connection_put(x->connection, body, length);
        x->answered = true;
}

void exchange_begin(struct exchange *x, unsigned status, const char *type)
{
        if (x->answered || x->status)
                return;
        x->is_chunked = !x->is_old;
        if (!x->is_chunked)
                x->connection->last = true;
        put_head(x, status, type, x->is_chunked ? "Transfer-Encoding: chunked\r\n" : "");
        x->fields = NULL;
        x->fields_end = &x->fields;
}

void exchange_write(struct exchange *x, const void *bytes, size_t length)
{
        if (x->answered || length == 0 || x->is_head)
                return;
        if (x->is_chunked)
                putf(x, "%zx\r\n", length);
        (void)connection_put(x->connection, bytes, length);
        if (x->is_chunked)
                put(x, "\r\n");
}

void exchange_end(struct exchange *x)
{
        if (x->answered)
                return;
        if (x->is_chunked && !x->is_head)
                put(x, "0\r\n\r\n");
        x->answered = true;
}

void exchange_abort(struct exchange *x)
{
        x->answered = true;
        connection_break(x->connection);
}

bool exchange_has_begun(const struct exchange *x)
{
        return x->status != 0;
}

/* --- errors -------------------------------------------------------------------------------------
 */

struct http_text exchange_error_json(struct exchange *x, const struct exchange_error *error)
{
        struct json_text text = json_text(&x->arena);

        json_puts(&text, "{\"error\":{\"message\":");
        json_puts_string(&text, error->message);
        json_puts(&text, ",\"type\":");
        json_puts_string(&text, error->type ? error->type : http_type_of_status(error->status));
        json_puts(&text, ",\"param\":");
        json_puts_string(&text, error->param);
        json_puts(&text, ",\"code\":");
        json_puts_string(&text, error->code);
        if (error->brick_code != 0) {
                json_puts(&text, ",\"brick_code\":");
                json_put_integer(&text, error->brick_code);
        }
        if (error->detail) {
                json_puts(&text, ",\"detail\":");
                json_puts_string(&text, error->detail);
        }
        json_puts(&text, "}}");
        return (struct http_text){ text.bytes, text.length };
}

static void put_retry(struct exchange *x, const struct exchange_error *error)
{
        char text[24];

        if (error->retry_ms > 0) {
                (void)snprintf(text, sizeof text, "%" PRIu64, (error->retry_ms + 999) / 1000);
                exchange_header(x, "Retry-After", text);
                (void)snprintf(text, sizeof text, "%" PRIu64, error->retry_ms);
                exchange_header(x, "Retry-After-Ms", text);
        }
        if (error->would_repeat)
                exchange_header(x, "X-Should-Retry", "false");
}

void exchange_fail(struct exchange *x, const struct exchange_error *error)
{
        struct http_text json;

        if (x->status) {
                exchange_abort(x);
                return;
        }
        json = exchange_error_json(x, error);
        put_retry(x, error);
        if (error->status == 401)
                exchange_header(x, "WWW-Authenticate", "Bearer");
        exchange_answer(x, error->status, "application/json", json.ptr, json.length);
}

bool exchange_refuse(struct exchange *x, unsigned status, const char *code, const char *message)
{
        exchange_fail(x, &(struct exchange_error){
                                 .status = status,
                                 .message = message,
                                 .code = code ? code : http_code_of_status(status),
                                 .would_repeat = status < 500 && status != 408,
                         });
        return false;
}
